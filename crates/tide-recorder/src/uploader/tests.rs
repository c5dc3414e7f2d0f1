//! The uploader against one fake link, in virtual time.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Mutex;

use tide_durable::Durable;
use tide_durable::testing::CrashDisk;
use tide_photo::Receipt;

use super::*;
use crate::shot::example;

/// Answers by the photo's number, and notes what was offered when.
struct FakeLink {
    answer: fn(u64) -> Answer,
    offered: Arc<Mutex<Vec<(u64, Duration)>>>,
    began: Instant,
}

enum Answer {
    Held,
    Refused,
    Later,
    CutOff,
    Unreachable,
}

impl Link for FakeLink {
    async fn offer(&self, shot: Shot) -> Offer {
        let manifest = shot.manifest;
        self.offered.lock().unwrap().push((manifest.sequence, self.began.elapsed()));
        let reason = "as the test wants".to_owned();
        match (self.answer)(manifest.sequence) {
            Answer::Held => Offer::Held(receipt(&manifest)),
            Answer::Refused => Offer::Refused { reason },
            Answer::Later => Offer::Later { reason, after: None },
            Answer::CutOff => Offer::CutOff { reason },
            Answer::Unreachable => Offer::Unreachable { reason },
        }
    }
}

fn receipt(manifest: &tide_photo::Manifest) -> Receipt {
    let json = serde_json::json!({
        "digest": manifest.digest,
        "station": manifest.station,
        "id": manifest.sequence,
        "holding": "stored",
        "received_at": "2026-05-31T18:00:00Z",
    });
    serde_json::from_value(json).unwrap()
}

fn memory() -> Durable {
    Durable::on(Arc::new(CrashDisk::with_folder(Path::new("/data"))), Path::new("/data"))
}

/// A spool in which photos of these numbers wait.
fn spool(durable: Durable, waiting: impl IntoIterator<Item = u64>) -> Arc<Spool> {
    let (spool, _) = Spool::open(durable).unwrap();
    for sequence in waiting {
        spool.accept(&example(sequence, "photo")).unwrap();
    }
    Arc::new(spool)
}

/// Lets the uploader work for so long; what it offered when.
async fn upload(spool: &Arc<Spool>, time: Duration, answer: fn(u64) -> Answer) -> Vec<(u64, Duration)> {
    let offered = Arc::<Mutex<Vec<_>>>::default();
    let link = FakeLink { answer, offered: Arc::clone(&offered), began: Instant::now() };
    let working = Uploader::new(Arc::clone(spool), link, Arc::default()).run();
    tokio::time::timeout(time, working).await.unwrap_err();
    offered.lock().unwrap().clone()
}

fn waiting(spool: &Spool) -> Vec<u64> {
    let mut numbers = Vec::new();
    spool.choose(|waiting| {
        let taken = std::cell::RefCell::new(BTreeSet::new());
        while let Some(number) = waiting.oldest(&|number| taken.borrow().contains(&number)) {
            taken.borrow_mut().insert(number);
        }
        numbers.extend(taken.into_inner());
        None
    });
    numbers
}

const HOUR: Duration = Duration::from_secs(3_600);

#[tokio::test(start_paused = true)]
async fn a_photo_that_the_server_never_takes_does_not_starve_the_others() {
    let spool = spool(memory(), 1..=30);
    let answer = |number| if number == 30 { Answer::Later } else { Answer::Held };
    upload(&spool, YOUTH / 2, answer).await;
    assert_eq!(waiting(&spool), [30], "although the link is young");
    let offered = upload(&spool, HOUR, answer).await;
    assert!(offered.len() > 10, "it is offered again and again");
}

#[tokio::test(start_paused = true)]
async fn nor_do_one_that_cuts_the_link_and_one_that_is_refused() {
    let spool = spool(memory(), 1..=30);
    let answer = |number| match number {
        30 => Answer::CutOff,
        29 => Answer::Refused,
        _ => Answer::Held,
    };
    upload(&spool, YOUTH / 2, answer).await;
    assert_eq!(waiting(&spool), [30]);
    assert_eq!(spool.offer_parked_again().unwrap(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_photo_that_cannot_be_read_does_not_starve_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let spool = spool(Durable::open(folder.path()).unwrap(), 1..=3);
    let image = folder.path().join("spool/0000000/0000000003.jpg");
    std::fs::remove_file(&image).unwrap();
    std::fs::create_dir(&image).unwrap();
    assert!(!matches!(spool.load(3).unwrap_err().kind(), io::ErrorKind::InvalidData | io::ErrorKind::NotFound));
    upload(&spool, YOUTH / 2, |_| Answer::Held).await;
    assert_eq!(waiting(&spool), [3], "although the link is young");
}

#[tokio::test(start_paused = true)]
async fn without_a_connection_the_newest_stays_first_and_the_waits_grow() {
    let spool = spool(memory(), 1..=5);
    let offered = upload(&spool, HOUR, |_| Answer::Unreachable).await;
    assert!(offered.iter().all(|(number, _)| *number == 5), "{offered:?}");
    assert!((15..=40).contains(&offered.len()), "{} offers in an hour", offered.len());
}

#[tokio::test(start_paused = true)]
async fn a_server_that_answers_does_not_make_the_link_young() {
    let spool = spool(memory(), 1..=200);
    let offered = upload(&spool, HOUR, |_| Answer::Later).await;
    let late: Vec<u64> = offered.iter().filter(|(_, at)| *at > YOUTH).map(|(number, _)| *number).collect();
    assert!(
        late.iter().any(|number| *number > 100) && late.iter().any(|number| *number < 100),
        "they take turns: {late:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_photo_that_arrives_is_offered_at_once() {
    let spool = spool(memory(), []);
    let later = Arc::clone(&spool);
    tokio::spawn(async move {
        sleep(Duration::from_secs(500)).await;
        later.accept(&example(7, "photo")).unwrap();
    });
    assert_eq!(upload(&spool, HOUR, |_| Answer::Held).await, [(7, Duration::from_secs(500))]);
}
