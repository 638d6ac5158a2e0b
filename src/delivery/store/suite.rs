//! What every engine does: one set of tests, which each runs.

use super::*;

/// A place for stores, which are opened again and again.
pub(super) trait Scene {
    /// Opens the store, as another process does.
    async fn open(&self) -> Arc<dyn Store>;
}

/// Makes the tests of an engine. Each has a scene of its own.
macro_rules! tests {
    ($scene:expr) => {
        $crate::delivery::store::suite::tests!(
            $scene =>
            what_is_stored_is_there_after_a_restart_until_it_is_delivered
            only_the_newest_that_waits_is_a_duplicate
            the_same_in_one_batch_is_a_duplicate
            routes_that_are_gone_are_parked_until_they_are_back
            one_process_has_the_term_and_sees_what_others_store
            a_process_without_the_term_only_records_deliveries
            everything_that_waits_for_the_disk_is_committed_together
        );
    };
    ($scene:expr => $($test:ident)*) => {
        $(
            #[tokio::test]
            async fn $test() {
                $crate::delivery::store::suite::$test(&$scene).await;
            }
        )*
    };
}
pub(super) use tests;

pub(super) fn new(key: u8, received: i64, body: &str) -> NewNotification {
    NewNotification {
        receipt: receipt(key, received),
        route: "/a".into(),
        key: Key([key; 16]),
        idempotency: body.into(),
        received,
        attempts: 0,
        last_error: None,
        next_try: None,
        ticket: None,
        about: "{}".into(),
        head: 0,
        message: body.to_owned().into(),
    }
}

/// Returns the receipt of what [`new`] makes.
pub(super) fn receipt(key: u8, received: i64) -> u128 {
    u128::from(key) << 64 | u128::from(received.cast_unsigned())
}

/// Returns the times of receipt and the ids.
fn ids(spots: &[Spot]) -> Vec<(i64, i64)> {
    let places = spots.iter().map(|spot| spot.place);
    places.map(|place| (place.received, place.id)).collect()
}

pub(super) async fn store_one(
    store: &dyn Store,
    new: NewNotification,
) -> Result<Stored, StoreError> {
    store.store(vec![new]).await.pop().unwrap()
}

/// Stores one, and returns its id, or 0 for a duplicate.
async fn id_of(store: &dyn Store, new: NewNotification) -> i64 {
    match store_one(store, new).await.unwrap() {
        Stored::New(place) => place.id,
        Stored::Duplicate => 0,
    }
}

/// Takes the term, which must be free.
pub(super) async fn take(store: &dyn Store) -> Term {
    match store.term(TermStep::Take { lapsed: None }).await.unwrap() {
        Holder::Here(term) => term,
        elsewhere => panic!("{elsewhere:?}"),
    }
}

/// Returns everything that waits.
pub(super) async fn waiting(store: &dyn Store) -> Vec<(i64, i64)> {
    ids(&store.read(Seen::default()).await.unwrap().spots)
}

async fn fetch(store: &dyn Store, term: Term, id: i64) -> Option<StoredMessage> {
    let reading = store.read(Seen::default()).await.unwrap();
    let mut spots = reading.spots.into_iter();
    let spot = spots.find(|spot| spot.place.id == id)?;
    store.fetch(term, spot).await.unwrap().message
}

/// The end of the one of key 1 that was received then.
pub(super) fn park(id: i64, received: i64, reason: Parking) -> Settlement {
    Settlement {
        id,
        receipt: receipt(1, received),
        end: End::Parked(reason),
    }
}

fn delivered(id: i64, receipt: u128) -> Settlement {
    Settlement {
        id,
        receipt,
        end: End::Delivered,
    }
}

pub(super) async fn what_is_stored_is_there_after_a_restart_until_it_is_delivered(
    scene: &impl Scene,
) {
    let store = scene.open().await;
    let first = new(1, 10, "one");
    assert_eq!(id_of(&*store, first).await, 1);
    assert_eq!(id_of(&*store, new(2, 9, "two")).await, 2);
    drop(store);
    let store = scene.open().await;
    let term = take(&*store).await;
    let (reading, totals, rerouted) = store.load(term, vec!["/a".into()]).await.unwrap();
    assert_eq!(ids(&reading.spots), [(10, 1), (9, 2)]);
    assert_eq!(reading.spots[0].key, Key([1; 16]));
    assert_eq!(rerouted, Rerouted::default());
    // Where the store decides the order, the time of receipt does not matter.
    let latest = if store.is_shared() { 0 } else { 10 };
    assert_eq!(totals.latest, latest);
    let one = fetch(&*store, term, 1).await.unwrap();
    assert_eq!((&one.message[..], one.attempts), (&b"one"[..], 0));
    let two = fetch(&*store, term, 2).await.unwrap();
    let failed = Settlement {
        id: 2,
        receipt: two.receipt,
        end: End::Failed {
            attempts: 3,
            error: "status 500".into(),
            next_try: Some(20),
        },
    };
    let settled = store.settle(Some(term), vec![failed, delivered(1, one.receipt)]);
    assert_eq!(settled.await, Ok(vec![]));
    assert_eq!(waiting(&*store).await, [(9, 2)]);
    assert_eq!(fetch(&*store, term, 1).await, None);
    assert_eq!(fetch(&*store, term, 2).await.unwrap().attempts, 3);
    // No id is used twice: it would be taken for one that is known.
    let settled = store.settle(Some(term), vec![delivered(2, two.receipt)]);
    settled.await.unwrap();
    assert_eq!(id_of(&*store, new(1, 11, "three")).await, 3);
    assert_eq!(waiting(&*store).await, [(11, 3)]);
}

pub(super) async fn only_the_newest_that_waits_is_a_duplicate(scene: &impl Scene) {
    let store = scene.open().await;
    assert_eq!(id_of(&*store, new(1, 1, "down")).await, 1);
    assert_eq!(id_of(&*store, new(1, 2, "down")).await, 0);
    assert_eq!(id_of(&*store, new(2, 3, "down")).await, 2);
    assert_eq!(id_of(&*store, new(1, 4, "up")).await, 3);
    assert_eq!(id_of(&*store, new(1, 5, "down")).await, 4);
    let term = take(&*store).await;
    let parked = vec![park(4, 5, Parking::Operator)];
    let parked = store.settle(Some(term), parked).await.unwrap();
    let [
        Listed {
            id: 4,
            parked: Some(reason),
            ..
        },
    ] = &parked[..]
    else {
        panic!("{parked:?}");
    };
    assert_eq!(reason, "operator");
    assert_eq!(id_of(&*store, new(1, 6, "down")).await, 5);
}

pub(super) async fn the_same_in_one_batch_is_a_duplicate(scene: &impl Scene) {
    let store = scene.open().await;
    assert_eq!(id_of(&*store, new(1, 1, "a")).await, 1);
    let bodies = ["a", "b", "b", "a", "a"];
    let batch = (2..).zip(bodies).map(|(at, body)| new(1, at, body));
    let stored = store.store(batch.collect()).await;
    let is_new = |stored: &Result<Stored, _>| matches!(stored, Ok(Stored::New(_)));
    let new: Vec<_> = stored.iter().map(is_new).collect();
    assert_eq!(new, [false, true, false, true, false]);
    assert_eq!(waiting(&*store).await, [(1, 1), (3, 2), (5, 3)]);
}

pub(super) async fn routes_that_are_gone_are_parked_until_they_are_back(scene: &impl Scene) {
    let store = scene.open().await;
    for (route, received) in [("/a", 1), ("/b", 2), ("/b", 3)] {
        let new = NewNotification {
            route: route.into(),
            ..new(1, received, &received.to_string())
        };
        id_of(&*store, new).await;
    }
    let term = take(&*store).await;
    let parked = vec![park(3, 3, Parking::Poison)];
    store.settle(Some(term), parked).await.unwrap();
    let (reading, totals, rerouted) = store.load(term, vec!["/a".into()]).await.unwrap();
    let of_b = BTreeMap::from([("/b".to_owned(), 1)]);
    let expected = Rerouted {
        parked: of_b.clone(),
        ..Rerouted::default()
    };
    assert_eq!((rerouted, ids(&reading.spots)), (expected, vec![(1, 1)]));
    let counts = store.counts().await.unwrap();
    let waiting = WaitingCount {
        route: "/a".into(),
        count: 1,
        oldest: 1,
    };
    assert_eq!(counts.waiting, [waiting]);
    assert_eq!(counts.parked.len(), 2);
    assert_eq!(store.present(vec![3, 1, 9]).await, Ok(vec![3, 1]));
    let mut parked = totals.parked;
    parked.sort_by(|one, other| one.reason.cmp(&other.reason));
    let parked: Vec<_> = parked.iter().map(|it| (&*it.reason, it.count)).collect();
    assert_eq!(parked, [("no_route", 1), ("poison", 1)]);
    let routes = vec!["/a".into(), "/b".into()];
    let (reading, _, rerouted) = store.load(term, routes).await.unwrap();
    assert_eq!((rerouted.parked.len(), rerouted.unparked), (0, of_b));
    assert_eq!(ids(&reading.spots), [(1, 1), (2, 2)]);
}

pub(super) async fn one_process_has_the_term_and_sees_what_others_store(scene: &impl Scene) {
    let (first, second) = (scene.open().await, scene.open().await);
    let take_term = || TermStep::Take { lapsed: None };
    let term = take(&*first).await;
    let elsewhere = second.term(take_term()).await.unwrap();
    assert!(matches!(elsewhere, Holder::Elsewhere(_)), "{elsewhere:?}");
    assert_eq!(id_of(&*first, new(1, 1, "own")).await, 1);
    let (reading, ..) = first.load(term, vec!["/a".into()]).await.unwrap();
    let seen = reading.seen;
    assert_eq!(
        first.read(seen).await,
        Ok(Reading {
            seen,
            spots: vec![]
        })
    );
    assert_eq!(id_of(&*second, new(1, 2, "other")).await, 2);
    let reading = first.read(seen).await.unwrap();
    assert_eq!((ids(&reading.spots), reading.seen.id), (vec![(2, 2)], 2));
    assert_eq!(
        first.term(TermStep::Beat(term)).await,
        Ok(Holder::Here(term))
    );
    let resigned = first.term(TermStep::Resign(term)).await.unwrap();
    assert!(matches!(resigned, Holder::Elsewhere(_)), "{resigned:?}");
    let next = take(&*second).await;
    assert!(next >= term);
    let fenced = first.term(TermStep::Beat(term)).await.unwrap();
    assert!(matches!(fenced, Holder::Elsewhere(_)), "{fenced:?}");
}

pub(super) async fn a_process_without_the_term_only_records_deliveries(scene: &impl Scene) {
    let (first, second) = (scene.open().await, scene.open().await);
    for received in 1..=3 {
        id_of(&*first, new(1, received, &received.to_string())).await;
    }
    let term = take(&*first).await;
    let one = fetch(&*first, term, 1).await.unwrap();
    first.term(TermStep::Resign(term)).await.unwrap();
    take(&*second).await;
    let late = vec![delivered(1, one.receipt), park(2, 2, Parking::TooOld)];
    assert_eq!(
        first.settle(Some(term), late).await,
        Err(StoreError::Fenced)
    );
    assert_eq!(waiting(&*second).await, [(2, 2), (3, 3)]);
}

pub(super) async fn everything_that_waits_for_the_disk_is_committed_together(scene: &impl Scene) {
    let store = scene.open().await;
    // Many, and yet few enough for the time that a sender has, on a machine that has other work.
    let stores = (0..200).map(|number| {
        let store = store.clone();
        tokio::spawn(async move { store_one(&*store, new(1, number, &number.to_string())).await })
    });
    for stored in stores.collect::<Vec<_>>() {
        let stored = stored.await.unwrap();
        assert!(matches!(stored, Ok(Stored::New(_))), "{stored:?}");
    }
    assert_eq!(waiting(&*store).await.len(), 200);
}
