//! Orders against an authority that is played here, with ends of the process at any point.

mod interruptions;
mod played;

use super::*;
use crate::config::{AcmeState, Domain};
use crate::tls::acme::authority::ValidationView;
use crate::tls::acme::records::{ValidationRecord, validation};
use crate::tls::acme::store::Folder;
use played::{DAY, END, NOW, Played};
use std::path::Path;
use std::sync::Mutex;

/// The processes that order, one after the other.
struct Scene {
    played: Played,
    state: tempfile::TempDir,
    domains: Vec<Domain>,
    profile: Option<String>,
    events: Arc<Mutex<Vec<AcmeEvent>>>,
    now: i64,
}

impl Scene {
    fn new() -> Self {
        Self {
            played: Played::new(),
            state: tempfile::tempdir().unwrap(),
            domains: vec![Domain::parse("hooks.example").unwrap()],
            profile: None,
            events: Arc::default(),
            now: NOW,
        }
    }

    fn acme(&self) -> Arc<Acme> {
        Arc::new(Acme {
            domains: self.domains.clone(),
            email: None,
            directory: "https://ca/directory".into(),
            directory_ca: Vec::new(),
            profile: self.profile.clone(),
            eab: None,
            state: AcmeState::Folder(self.state.path().to_owned()),
        })
    }

    fn folder(&self) -> Folder {
        Folder::open(self.state.path()).unwrap()
    }

    fn process(&self) -> Orders<Played> {
        let events = self.events.clone();
        Orders::new(
            self.acme(),
            Arc::new(self.folder()),
            self.played.clone(),
            Box::new(|| 0.5),
            Box::new(move |event| events.lock().unwrap().push(event)),
        )
    }

    /// Takes steps until one is due at another time. Returns that time.
    async fn settle(&self, orders: &mut Orders<Played>) -> i64 {
        for _ in 0..100 {
            if let Next::At(at) = orders.step(self.now).await {
                return at;
            }
        }
        panic!("no end: {:?}", self.played.world().calls);
    }

    /// Starts processes until one has come to rest. Returns how many ended before.
    async fn settle_with_ends(&self) -> usize {
        for ended in 0..10 {
            let mut orders = self.process();
            let now = self.now;
            let task = tokio::spawn(async move {
                for _ in 0..100 {
                    if let Next::At(_) = orders.step(now).await {
                        return;
                    }
                }
                panic!("no end");
            });
            match task.await {
                Ok(()) => return ended,
                Err(error) => {
                    let panic = error.into_panic();
                    assert_eq!(
                        panic
                            .downcast_ref::<&str>()
                            .or(panic.downcast_ref::<String>().map(|s| s.as_str()).as_ref()),
                        Some(&END)
                    );
                }
            }
        }
        panic!("too many ends");
    }

    async fn history(&self) -> History {
        let names = Names::of(&self.acme());
        records::read(&self.folder(), &names.history())
            .await
            .unwrap()
            .unwrap()
    }

    async fn certificate(&self) -> Issued {
        let file = self
            .folder()
            .get(&Names::of(&self.acme()).certificate())
            .await
            .unwrap();
        Issued::read(&file.unwrap()).unwrap()
    }

    fn calls(&self, name: &str) -> usize {
        let world = self.played.world();
        world.calls.iter().filter(|call| *call == name).count()
    }

    fn fails_next(&self, call: &'static str, error: AcmeError) {
        self.played.world().plan.errors.push((call, error));
    }

    fn passes(&mut self, until: i64) {
        self.now = until;
        self.played.world().plan.now = until;
    }
}

#[tokio::test]
async fn a_certificate_is_ordered_once_and_renewed_when_it_is_due() {
    let mut scene = Scene::new();
    let mut orders = scene.process();
    let due = scene.settle(&mut orders).await;
    // It is asked again whether the authority suggests a window.
    assert_eq!(due, NOW + schedule::ASK_LATER);
    let first = scene.certificate().await;
    assert!(first.is_for(&scene.domains));
    assert_eq!(
        scene.settle(&mut orders).await,
        due,
        "nothing is to be done"
    );
    assert_eq!(scene.played.world().orders.len(), 1);
    scene.passes(NOW + 62 * DAY);
    scene.settle(&mut orders).await;
    assert_eq!(scene.played.world().orders.len(), 2);
    assert_eq!(scene.played.world().accounts.len(), 1);
    assert_ne!(scene.certificate().await.serial, first.serial);
    let previous = scene
        .folder()
        .get(&Names::of(&scene.acme()).previous())
        .await
        .unwrap();
    assert_eq!(
        Issued::read(&previous.unwrap()).unwrap().serial,
        first.serial
    );
    let events = scene.events.lock().unwrap().clone();
    assert_eq!(events, [AcmeEvent::Issued, AcmeEvent::Issued]);
}

#[tokio::test]
async fn a_certificate_that_has_expired_meanwhile_is_replaced_at_once() {
    let mut scene = Scene::new();
    scene.settle(&mut scene.process()).await;
    // As after a long time without power: the start is not to wait for what was planned.
    scene.passes(NOW + 100 * DAY);
    scene.settle(&mut scene.process()).await;
    assert_eq!(scene.played.world().orders.len(), 2);
    assert!(!scene.certificate().await.is_over(scene.now));
}

#[tokio::test]
async fn a_clock_that_differs_from_the_authority_s_is_told() {
    let scene = Scene::new();
    let mut orders = scene.process();
    scene.played.world().plan.clock_skew = ClockSkew::of(-90);
    scene.settle(&mut orders).await;
    let skew = orders.obstacles().clock_skew.unwrap().to_string();
    assert!(skew.contains("90 s behind"), "{skew}");
}

#[tokio::test]
async fn waits_grow_with_failures_and_outlive_the_process() {
    let mut scene = Scene::new();
    for (failures, minutes) in [(1, 1), (2, 10), (3, 30), (4, 60)] {
        let mut orders = scene.process();
        scene.fails_next(
            "place",
            AcmeError::refused("rejectedIdentifier", "no\nsuch name"),
        );
        let at = scene.settle(&mut orders).await;
        assert_eq!(at - scene.now, minutes * 60);
        let history = scene.history().await;
        assert_eq!((history.failures, history.retry_at), (failures, Some(at)));
        let problem = history.problem.unwrap();
        assert_eq!(
            (problem.code.as_str(), problem.detail.as_str()),
            ("rejectedIdentifier", "no�such name")
        );
        // Neither this process nor the next one asks before.
        let asked = scene.played.world().calls.len();
        scene.passes(at - 1);
        assert_eq!(scene.settle(&mut orders).await, at);
        assert_eq!(scene.settle(&mut scene.process()).await, at);
        assert_eq!(scene.played.world().calls.len(), asked);
        scene.passes(at);
    }
    scene.settle(&mut scene.process()).await;
    let history = scene.history().await;
    assert_eq!(
        (history.failures, history.problem, history.retry_at),
        (0, None, None)
    );
}

#[tokio::test]
async fn an_authority_is_not_asked_before_it_wants_to_be() {
    let scene = Scene::new();
    let mut error = AcmeError::new(ErrorKind::Away, "rateLimited", "too many certificates");
    error.retry_after = Some(Duration::from_secs(3 * 24 * 60 * 60));
    scene.fails_next("place", error);
    assert_eq!(scene.settle(&mut scene.process()).await, NOW + 3 * DAY);
}

#[tokio::test]
async fn an_operator_may_ask_for_another_try_but_not_for_a_storm() {
    let scene = Scene::new();
    let mut orders = scene.process();
    for round in 1..=4 {
        scene.fails_next("place", AcmeError::refused("dns", "x"));
        orders.hurry(NOW).await.unwrap();
        scene.settle(&mut orders).await;
        assert_eq!(scene.calls("place"), round.min(3));
    }
}

#[tokio::test]
async fn an_order_outlives_an_authority_that_is_away() {
    let mut scene = Scene::new();
    for call in ["look", "validate", "finalize", "fetch"] {
        scene.fails_next(call, AcmeError::new(ErrorKind::Away, "unreachable", "x"));
        let at = scene.settle(&mut scene.process()).await;
        scene.passes(at);
    }
    scene.settle(&mut scene.process()).await;
    assert_eq!(scene.played.world().orders.len(), 1);
    assert!(scene.certificate().await.is_for(&scene.domains));
}

#[tokio::test]
async fn a_refused_order_is_given_up_and_its_answers_end() {
    let mut scene = Scene::new();
    scene.fails_next("finalize", AcmeError::refused("badCSR", "x"));
    let at = scene.settle(&mut scene.process()).await;
    let name = validation("hooks.example");
    let answer: ValidationRecord = records::read(&scene.folder(), &name)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(answer.until, NOW + 60);
    scene.passes(at.max(NOW + 60));
    scene.settle(&mut scene.process()).await;
    assert_eq!(scene.played.world().orders.len(), 2);
    scene.passes(scene.now + 61);
    scene.settle(&mut scene.process()).await;
    assert_eq!(scene.folder().get(&name).await.unwrap(), None);
}

#[tokio::test]
async fn used_up_nonces_are_not_failures_but_end_somewhere() {
    let scene = Scene::new();
    for _ in 0..15 {
        scene.fails_next("place", AcmeError::new(ErrorKind::Again, "badNonce", "x"));
    }
    scene.settle(&mut scene.process()).await;
    assert!(scene.certificate().await.is_for(&scene.domains));
    let scene = Scene::new();
    for _ in 0..100 {
        scene.fails_next("place", AcmeError::new(ErrorKind::Again, "badNonce", "x"));
    }
    assert_eq!(scene.settle(&mut scene.process()).await, NOW + 60);
    assert_eq!(scene.calls("place"), REPETITIONS as usize);
}

#[tokio::test]
async fn a_lost_account_is_created_again_with_the_same_key() {
    let scene = Scene::new();
    scene.fails_next(
        "place",
        AcmeError::new(ErrorKind::AccountGone, "accountDoesNotExist", "x"),
    );
    scene.settle(&mut scene.process()).await;
    assert_eq!(scene.calls("register"), 2);
    assert_eq!(scene.played.world().accounts.len(), 1);
    assert!(scene.certificate().await.is_for(&scene.domains));
    // One that remains lost is a failure.
    let scene = Scene::new();
    for _ in 0..9 {
        scene.fails_next(
            "place",
            AcmeError::new(ErrorKind::AccountGone, "accountDoesNotExist", "x"),
        );
    }
    assert_eq!(scene.settle(&mut scene.process()).await, NOW + 60);
    assert_eq!(scene.calls("register"), 3);
}

#[tokio::test]
async fn the_authority_decides_when_to_renew_and_a_new_certificate_starts_anew() {
    let mut scene = Scene::new();
    scene.played.world().plan.window = Some((NOW + 20 * DAY, NOW + 22 * DAY));
    let mut orders = scene.process();
    scene.settle(&mut orders).await;
    scene.passes(NOW + 21 * DAY - 1);
    scene.settle(&mut orders).await;
    assert_eq!(scene.played.world().orders.len(), 1);
    scene.passes(NOW + 21 * DAY);
    let identifier = scene.certificate().await.identifier;
    // From now on, it says so of every certificate: a loop would never end.
    scene.settle(&mut orders).await;
    assert_eq!(scene.played.world().orders.len(), 2);
    assert!(identifier.is_some());
    assert_eq!(scene.played.world().orders[1].replaces, identifier);
    let at = scene.settle(&mut orders).await;
    assert!(at > scene.now, "at most one an hour");
    assert_eq!(scene.played.world().orders.len(), 2);
}

#[tokio::test]
async fn a_certificate_that_cannot_be_replaced_is_ordered_all_the_same() {
    let mut scene = Scene::new();
    scene.played.world().plan.window = Some((NOW + 20 * DAY, NOW + 22 * DAY));
    let mut orders = scene.process();
    scene.settle(&mut orders).await;
    scene.passes(NOW + 22 * DAY);
    scene.fails_next("place", AcmeError::refused("alreadyReplaced", "x"));
    scene.settle(&mut orders).await;
    assert_eq!(scene.played.world().orders[1].replaces, None);
    assert_eq!(scene.history().await.failures, 0);
}

#[tokio::test]
async fn other_names_are_ordered_at_once() {
    let mut scene = Scene::new();
    scene.settle(&mut scene.process()).await;
    scene.domains.push(Domain::parse("other.example").unwrap());
    scene.settle(&mut scene.process()).await;
    assert!(scene.certificate().await.is_for(&scene.domains));
    assert_eq!(scene.played.world().orders.len(), 2);
}

#[tokio::test]
async fn another_profile_is_ordered_at_once_and_once() {
    let mut scene = Scene::new();
    scene.settle(&mut scene.process()).await;
    scene.profile = Some("shortlived".into());
    for _ in 0..2 {
        scene.settle(&mut scene.process()).await;
        assert_eq!(scene.played.world().orders.len(), 2);
    }
    scene.profile = None;
    scene.settle(&mut scene.process()).await;
    assert_eq!(scene.played.world().orders.len(), 3);
}

#[tokio::test]
async fn what_cannot_be_used_is_not_kept() {
    let mut scene = Scene::new();
    scene.played.world().plan.lifetime = -2 * DAY;
    let mut orders = scene.process();
    scene.settle(&mut orders).await;
    let problem = scene.history().await.problem.unwrap();
    assert_eq!(problem.code, "unusable_certificate");
    let name = Names::of(&scene.acme()).certificate();
    assert_eq!(scene.folder().get(&name).await.unwrap(), None);
    // A broken file is put aside, and another certificate ordered.
    scene
        .folder()
        .put(&name, b"-----BEGIN nothing")
        .await
        .unwrap();
    scene.passes(NOW + DAY);
    scene.played.world().plan.lifetime = 90 * DAY;
    scene.settle(&mut orders).await;
    assert!(scene.certificate().await.is_for(&scene.domains));
    assert!(
        scene
            .folder()
            .get(&format!("{name}.unreadable"))
            .await
            .unwrap()
            .is_some()
    );
}

#[tokio::test]
async fn an_authority_without_this_validation_or_with_other_names_is_refused() {
    let scene = Scene::new();
    let orders = scene.process();
    let order = OrderRecord {
        url: "https://ca/order/0".into(),
        names: vec!["hooks.example".into()],
        profile: None,
    };
    for (identifier, digest, code) in [
        ("hooks.example", None, "no_tls_alpn_01"),
        ("other.example", Some(vec![7; 32]), "unknown_identifier"),
        ("../../etc/passwd", Some(vec![7; 32]), "unknown_identifier"),
    ] {
        let validation = ValidationView {
            identifier: identifier.into(),
            digest,
        };
        let trouble = orders.publish(&order, &validation, NOW).await.err();
        let Some(Trouble::Authority(error)) = trouble else {
            panic!("{identifier}")
        };
        assert_eq!(error.code, code);
    }
    assert!(!Path::new(&scene.state.path().join("acme/validations")).exists());
}
