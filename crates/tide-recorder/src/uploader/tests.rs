//! The uploader against fake links, in virtual time.

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
    /// Whether the way opens again and again.
    returns: bool,
}

enum Answer {
    Held,
    Refused,
    Later,
    /// Asks for so many seconds.
    Busy(u64),
    Distrusted,
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
            Answer::Busy(seconds) => Offer::Busy { reason, after: Some(Duration::from_secs(seconds)) },
            Answer::Distrusted => Offer::Distrusted { reason },
            Answer::CutOff => Offer::CutOff { reason },
            Answer::Unreachable => Offer::Unreachable { reason },
        }
    }

    async fn returned(&self) {
        if !self.returns {
            std::future::pending::<()>().await;
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
    upload_over(spool, time, answer, false).await
}

/// The same over a link whose way opens again and again, or never.
async fn upload_over(
    spool: &Arc<Spool>,
    time: Duration,
    answer: fn(u64) -> Answer,
    returns: bool,
) -> Vec<(u64, Duration)> {
    let offered = Arc::<Mutex<Vec<_>>>::default();
    let link = FakeLink { answer, offered: Arc::clone(&offered), began: Instant::now(), returns };
    let working = Uploader::new(Arc::clone(spool), link, Arc::default(), &Upload::default()).run();
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

/// A link on which photos take their time, and that counts how many are under way. A way that opens is told by `opens`.
struct SlowLink {
    takes: fn(u64) -> Duration,
    under_way: Mutex<BTreeSet<u64>>,
    seen: Arc<Mutex<Seen>>,
    began: Instant,
    opens_after: Duration,
}

#[derive(Debug, Default, Clone)]
struct Seen {
    most_under_way: usize,
    delivered: Vec<(u64, Duration)>,
    offered: Vec<Duration>,
}

impl SlowLink {
    fn new(takes: fn(u64) -> Duration, opens_after: Duration) -> (Self, Arc<Mutex<Seen>>) {
        let seen = Arc::<Mutex<Seen>>::default();
        let link =
            Self { takes, under_way: Mutex::default(), seen: Arc::clone(&seen), began: Instant::now(), opens_after };
        (link, seen)
    }
}

impl Link for SlowLink {
    async fn offer(&self, shot: Shot) -> Offer {
        let sequence = shot.manifest.sequence;
        self.seen.lock().unwrap().offered.push(self.began.elapsed());
        if self.began.elapsed() < self.opens_after {
            return Offer::Unreachable { reason: "as the test wants".to_owned() };
        }
        assert!(self.under_way.lock().unwrap().insert(sequence), "photo {sequence} is under way twice");
        let under_way = self.under_way.lock().unwrap().len();
        sleep((self.takes)(sequence)).await;
        self.under_way.lock().unwrap().remove(&sequence);
        let mut seen = self.seen.lock().unwrap();
        seen.most_under_way = seen.most_under_way.max(under_way);
        seen.delivered.push((sequence, self.began.elapsed()));
        Offer::Held(receipt(&shot.manifest))
    }

    async fn returned(&self) {
        if self.began.elapsed() >= self.opens_after {
            std::future::pending::<()>().await;
        }
        sleep(self.opens_after - self.began.elapsed()).await;
    }
}

/// Lets the uploader work for so long over a slow link.
async fn upload_slowly(spool: &Arc<Spool>, time: Duration, takes: fn(u64) -> Duration, opens_after: Duration) -> Seen {
    let (link, seen) = SlowLink::new(takes, opens_after);
    let working = Uploader::new(Arc::clone(spool), link, Arc::default(), &Upload::default()).run();
    tokio::time::timeout(time, working).await.unwrap_err();
    let seen = seen.lock().unwrap();
    seen.clone()
}

#[tokio::test(start_paused = true)]
async fn two_photos_are_under_way_and_a_slow_one_does_not_hold_up_the_new() {
    let spool = spool(memory(), 1..=100);
    let later = Arc::clone(&spool);
    tokio::spawn(async move {
        sleep(Duration::from_secs(100)).await;
        later.accept(&example(200, "photo")).unwrap();
    });
    // The oldest is large, and its turn comes after the first minute.
    let takes = |number| Duration::from_secs(if number == 1 { 1_000 } else { 5 });
    let seen = upload_slowly(&spool, HOUR, takes, Duration::ZERO).await;
    assert_eq!(seen.most_under_way, 2);
    let (_, at) = seen.delivered.iter().find(|(number, _)| *number == 200).unwrap();
    assert!(*at <= Duration::from_secs(100 + 3 * 5), "the new photo took until {at:?}");
}

#[tokio::test(start_paused = true)]
async fn no_more_than_two_offers_begin_in_a_second() {
    let spool = spool(memory(), 1..=40);
    let seen = upload_slowly(&spool, HOUR, |_| Duration::from_millis(10), Duration::ZERO).await;
    assert_eq!(seen.offered.len(), 40);
    for offers in seen.offered.windows(3) {
        assert!(offers[2] - offers[0] >= Duration::from_secs(1), "{offers:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_way_that_opens_ends_the_wait() {
    let spool = spool(memory(), 1..=3);
    let opens_after = Duration::from_secs(7_777);
    let seen = upload_slowly(&spool, 3 * HOUR, |_| Duration::from_millis(10), opens_after).await;
    let (_, first) = seen.delivered[0];
    assert!(first < opens_after + Duration::from_secs(1), "{first:?}");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_asks_for_a_wait_gets_it_although_the_way_opens() {
    let spool = spool(memory(), 1..=3);
    let offered = upload_over(&spool, HOUR, |_| Answer::Busy(200), true).await;
    let gaps = offered.windows(2).map(|pair| pair[1].1 - pair[0].1);
    assert!(gaps.min().unwrap() >= Duration::from_secs(200), "{offered:?}");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_back_with_other_trouble_is_asked_again_soon() {
    let (link, _) = SlowLink::new(|_| HOUR, HOUR);
    let mut course = Uploader::new(spool(memory(), []), link, Arc::default(), &Upload::default()).course;
    let mut fail = |outcome| course.learn(1, outcome, false, 0.0).unwrap().time.as_secs();
    assert_eq!((0..20).map(|_| fail(Outcome::NoConnection)).last(), Some(150));
    assert_eq!(fail(Outcome::NotNow { after: Some(Duration::from_secs(5)) }), 5);
    assert_eq!((0..20).map(|_| fail(Outcome::NoConnection)).last(), Some(150));
    assert_eq!(fail(Outcome::ConnectionLost), 0, "half a second");
    assert_eq!((0..20).map(|_| fail(Outcome::ConnectionLost)).last(), Some(150), "as long as nothing goes through");
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_refused_keeps_every_photo_and_the_newest_first() {
    let spool = spool(memory(), 1..=5);
    let offered = upload(&spool, HOUR, |_| Answer::Distrusted).await;
    assert!(offered.len() < 40 && offered.iter().all(|(number, _)| *number == 5), "{offered:?}");
    assert_eq!(waiting(&spool), [1, 2, 3, 4, 5]);
    upload(&spool, YOUTH, |_| Answer::Held).await;
    assert!(spool.is_empty(), "it drains once a person has mended it");
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
