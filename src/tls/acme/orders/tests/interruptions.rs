//! Processes that end at any point, and stores that fail.

use super::*;
use async_trait::async_trait;

#[tokio::test]
async fn whenever_a_process_ends_the_next_one_goes_on_with_account_and_order() {
    let undisturbed = Scene::new();
    assert_eq!(undisturbed.settle_with_ends().await, 0);
    let calls = undisturbed.played.world().calls.clone();
    for number in 1..=calls.len() {
        for is_after in [false, true] {
            let scene = Scene::new();
            match is_after {
                true => scene.played.world().plan.ends_after = Some(number),
                false => scene.played.world().plan.ends_before = Some(number),
            }
            let call = &calls[number - 1];
            assert_eq!(scene.settle_with_ends().await, 1, "{call} {is_after}");
            assert_eq!(scene.played.world().accounts.len(), 1, "{call} {is_after}");
            // An order of which no answer arrived cannot be found again.
            let is_lost = call == "place" && is_after;
            assert_eq!(
                scene.played.world().orders.len(),
                1 + usize::from(is_lost),
                "{call} {is_after}"
            );
            assert!(
                scene.certificate().await.is_for(&scene.domains),
                "{call} {is_after}"
            );
            assert_eq!(scene.history().await.issued, [NOW], "{call} {is_after}");
            for left in [
                Names::of(&scene.acme()).order(),
                Names::of(&scene.acme()).next_key(),
            ] {
                assert_eq!(scene.folder().get(&left).await.unwrap(), None, "{left}");
            }
        }
    }
    assert!(calls.len() > 6, "{calls:?}");
}

/// A store whose process ends at a write: before it, or after.
struct Ending {
    folder: Folder,
    writes: Mutex<usize>,
    at: usize,
    is_after: bool,
}

impl Ending {
    fn counts(&self, is_after: bool) {
        let mut writes = self.writes.lock().unwrap();
        *writes += usize::from(!is_after);
        let ends = *writes == self.at && self.is_after == is_after;
        drop(writes);
        if ends {
            panic!("{END}");
        }
    }
}

#[async_trait]
impl Store for Ending {
    async fn get(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        self.folder.get(name).await
    }

    async fn put(&self, name: &str, value: &[u8]) -> io::Result<()> {
        self.counts(false);
        self.folder.put(name, value).await?;
        self.counts(true);
        Ok(())
    }

    async fn remove(&self, name: &str) -> io::Result<()> {
        self.counts(false);
        self.folder.remove(name).await?;
        self.counts(true);
        Ok(())
    }

    async fn lock(&self, name: &str) -> io::Result<Option<Lock>> {
        self.folder.lock(name).await
    }
}

#[tokio::test]
async fn whatever_was_written_last_is_enough_to_go_on() {
    let mut number = 0;
    loop {
        number += 1;
        let mut has_ended = false;
        for is_after in [false, true] {
            let scene = Scene::new();
            let store = Ending {
                folder: scene.folder(),
                writes: Mutex::new(0),
                at: number,
                is_after,
            };
            let mut orders = Orders::new(
                scene.acme(),
                Arc::new(store),
                scene.played.clone(),
                Box::new(|| 0.5),
                Box::new(|_| ()),
            );
            let task =
                tokio::spawn(
                    async move { while !matches!(orders.step(NOW).await, Next::At(_)) {} },
                );
            has_ended |= task.await.is_err();
            scene.settle_with_ends().await;
            assert_eq!(
                scene.played.world().accounts.len(),
                1,
                "{number} {is_after}"
            );
            assert!(
                scene.played.world().orders.len() <= 2,
                "{number} {is_after}"
            );
            assert!(
                scene.certificate().await.is_for(&scene.domains),
                "{number} {is_after}"
            );
            assert_eq!(scene.history().await.issued, [NOW], "{number} {is_after}");
        }
        if !has_ended {
            break;
        }
    }
    assert!(number > 8, "{number}");
}

/// A store on a disk that is full.
struct Full(Folder);

#[async_trait]
impl Store for Full {
    async fn get(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        self.0.get(name).await
    }

    async fn put(&self, _: &str, _: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::StorageFull.into())
    }

    async fn remove(&self, name: &str) -> io::Result<()> {
        self.0.remove(name).await
    }

    async fn lock(&self, name: &str) -> io::Result<Option<Lock>> {
        self.0.lock(name).await
    }
}

#[tokio::test]
async fn nothing_is_asked_of_the_authority_while_nothing_can_be_kept() {
    let scene = Scene::new();
    let mut orders = Orders::new(
        scene.acme(),
        Arc::new(Full(scene.folder())),
        scene.played.clone(),
        Box::new(|| 0.5),
        Box::new(|_| ()),
    );
    assert_eq!(orders.obstacles(), Obstacles::default());
    assert_eq!(orders.step(NOW).await, Next::After(STORE_RETRY));
    assert!(scene.played.world().calls.is_empty());
    let fault = orders.obstacles().store_fault.unwrap();
    assert!(fault.contains("storage"), "{fault}");
    // There is room again.
    orders.store = Arc::new(scene.folder());
    scene.settle(&mut orders).await;
    assert_eq!(orders.obstacles().store_fault, None);
    assert!(scene.certificate().await.is_for(&scene.domains));
}
