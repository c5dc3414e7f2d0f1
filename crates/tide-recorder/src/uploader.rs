//! Offers waiting photos to the server until each has its receipt. Which photo is next, the [`Agenda`] decides; how long to wait
//! after a failure, the [`Backoff`].

mod pace;

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::{Instant, sleep, sleep_until};

use self::pace::Pace;
use crate::agenda::Agenda;
use crate::backoff::Backoff;
use crate::config::Upload;
use crate::server_link::{Link, Offer};
use crate::shot::Shot;
use crate::spool::Spool;
use crate::vitals::Vitals;

/// How long a link is young.
const YOUTH: Duration = Duration::from_secs(60);

/// Uploads photos for as long as the recorder runs.
pub struct Uploader<L> {
    carrier: Carrier<L>,
    course: Course,
    chance: Box<dyn FnMut() -> f64 + Send>,
}

/// Carries one photo at a time, as many times at once as it is asked to.
struct Carrier<L> {
    spool: Arc<Spool>,
    vitals: Arc<Vitals>,
    link: L,
    /// Trouble that only a person can mend, and that has been told.
    told: Mutex<Option<String>>,
}

/// What has been learnt from the offers so far.
struct Course {
    agenda: Agenda,
    backoff: Backoff,
    pace: Pace,
    /// When the way was last closed to all photos, or rather when the wait after that was over.
    up_since: Instant,
    was_closed: bool,
    /// Whether the last failure was of the way itself, and not of something beyond it.
    fails_on_the_way: bool,
}

/// How an offer went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// The photo waits no more.
    Done,
    /// This photo could not be delivered; others may be.
    NotThisOne {
        /// What the server asked for.
        after: Option<Duration>,
    },
    /// The server has no time for any photo.
    NotNow {
        /// What the server asked for.
        after: Option<Duration>,
    },
    /// No photo can be delivered before a person has mended something.
    NotAllowed,
    /// No photo can be delivered.
    NoConnection,
    /// The connection was lost over this photo.
    ConnectionLost,
}

/// A time in which no offer begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Wait {
    time: Duration,
    /// Whether the server asked for it; then nothing else ends it.
    is_asked_for: bool,
}

type Waiting<'a> = Option<Pin<Box<dyn Future<Output = ()> + Send + 'a>>>;

impl<L: Link> Uploader<L> {
    /// Prepares to upload from `spool` over `link`.
    pub fn new(spool: Arc<Spool>, link: L, vitals: Arc<Vitals>, settings: &Upload) -> Self {
        let (agenda, backoff) = (Agenda::new(settings.parallel), Backoff::default());
        let pace = Pace::new(settings.max_photos_per_s);
        let course =
            Course { agenda, backoff, pace, up_since: Instant::now(), was_closed: false, fails_on_the_way: false };
        Self {
            carrier: Carrier { spool, vitals, link, told: Mutex::default() },
            course,
            chance: Box::new(rand::random),
        }
    }

    /// The same with other numbers between 0 and 1 than those of the system's chance, for tests of what chance is good for.
    #[must_use]
    pub fn with_chance(self, chance: impl FnMut() -> f64 + Send + 'static) -> Self {
        Self { chance: Box::new(chance), ..self }
    }

    /// Never returns; to be dropped when the recorder stops. A photo whose offer is cut off stays in the spool.
    pub async fn run(self) {
        let Self { carrier, mut course, mut chance } = self;
        let mut under_way = FuturesUnordered::new();
        let mut pause: Waiting<'_> = None;
        loop {
            tokio::select! {
                Some((sequence, outcome)) = under_way.next() => {
                    let wait = course.learn(sequence, outcome, pause.is_some(), chance());
                    pause = wait.map(|wait| carrier.pause(wait)).or(pause);
                }
                () = over(&mut pause) => {
                    pause = None;
                    course.wait_is_over();
                }
                () = carrier.until_ready(&course), if pause.is_none() && course.agenda.has_a_place() => {
                    under_way.extend(course.choose(&carrier.spool).map(|sequence| carrier.offer(sequence)));
                }
            }
        }
    }
}

/// Returns when a pause is over; without one, never.
async fn over(pause: &mut Waiting<'_>) {
    match pause {
        Some(pause) => pause.await,
        None => std::future::pending().await,
    }
}

impl Course {
    /// The next photo, from now on under way.
    fn choose(&mut self, spool: &Spool) -> Option<u64> {
        let link_is_young = self.up_since.elapsed() < YOUTH;
        self.pace.begun(Instant::now());
        spool.choose(|waiting| self.agenda.choose(waiting, link_is_young))
    }

    fn wait_is_over(&mut self) {
        if std::mem::take(&mut self.was_closed) {
            self.up_since = Instant::now();
        }
    }

    /// Draws the lesson from an offer; after a failure, says how long to wait. `chance` lies between 0 and 1. While a wait is
    /// on, further failures tell nothing new, unless the server asks for something.
    fn learn(&mut self, sequence: u64, outcome: Outcome, is_waiting: bool, chance: f64) -> Option<Wait> {
        let is_closed = matches!(outcome, Outcome::NoConnection | Outcome::NotAllowed);
        // A server that is there again is new trouble at most: the long waits were for a way that was closed.
        if self.fails_on_the_way && !is_closed {
            self.backoff.succeeded();
        }
        self.fails_on_the_way = is_closed;
        self.was_closed |= is_closed || outcome == Outcome::ConnectionLost;
        let asked_for = match outcome {
            Outcome::Done => {
                self.agenda.delivered(sequence);
                self.backoff.succeeded();
                self.pace.delivered();
                return None;
            }
            Outcome::NotThisOne { after } => {
                self.agenda.defer(sequence);
                after
            }
            Outcome::ConnectionLost => {
                self.agenda.defer(sequence);
                None
            }
            Outcome::NotNow { after } => {
                self.agenda.defer_shortly(sequence);
                self.pace.busy();
                after
            }
            Outcome::NotAllowed | Outcome::NoConnection => {
                self.agenda.put_back(sequence);
                None
            }
        };
        if is_waiting && asked_for.is_none() {
            return None;
        }
        Some(Wait { time: self.backoff.after_failure(chance, asked_for), is_asked_for: asked_for.is_some() })
    }
}

impl<L: Link> Carrier<L> {
    /// Returns when one more offer may begin and there is a photo for it.
    async fn until_ready(&self, course: &Course) {
        if let Some(next) = course.pace.next() {
            sleep_until(next).await;
        }
        self.spool.until_more_than(course.agenda.under_way()).await;
    }

    /// The wait after a failure. It ends early if the way to the server was closed and opens.
    fn pause(&self, wait: Wait) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        let wait_s = wait.time.as_secs_f32();
        tracing::info!(wait_s, waiting = self.spool.len(), "waiting before the next offer");
        Box::pin(async move {
            tokio::select! {
                () = sleep(wait.time) => (),
                () = self.link.returned(), if !wait.is_asked_for => tracing::info!("the way to the server is open again, or the clock was set"),
            }
        })
    }

    async fn offer(&self, sequence: u64) -> (u64, Outcome) {
        let outcome = match self.on_spool(move |spool| spool.load(sequence)).await {
            Ok(shot) => self.deliver(sequence, shot).await.unwrap_or_else(|error| {
                tracing::error!(sequence, %error, "failed to note in the spool what became of a photo");
                Outcome::NotThisOne { after: None }
            }),
            Err(error) => self.set_aside(sequence, &error).await,
        };
        (sequence, outcome)
    }

    async fn deliver(&self, sequence: u64, shot: Shot) -> io::Result<Outcome> {
        Ok(match self.link.offer(shot).await {
            Offer::Held(receipt) => {
                self.vitals.delivered(receipt.received_at);
                self.trust_again();
                self.on_spool(move |spool| spool.release(sequence)).await?;
                tracing::info!(sequence, id = receipt.id, waiting = self.spool.len(), "delivered a photo");
                Outcome::Done
            }
            Offer::Refused { reason } => {
                tracing::error!(
                    sequence,
                    reason,
                    "the server refuses a photo; it is kept, and offered again after a restart"
                );
                self.on_spool(move |spool| spool.park(sequence, &reason)).await?;
                Outcome::Done
            }
            Offer::Busy { reason, after } => {
                self.vitals.delivery_failed(&reason);
                tracing::warn!(sequence, reason, "the server has no time for photos; they stay in the spool");
                Outcome::NotNow { after }
            }
            Offer::Distrusted { reason } => {
                self.vitals.delivery_failed(&reason);
                self.tell_once(reason);
                Outcome::NotAllowed
            }
            Offer::Later { reason, after } => {
                self.vitals.delivery_failed(&reason);
                tracing::warn!(sequence, reason, "the server did not take a photo; it stays in the spool");
                Outcome::NotThisOne { after }
            }
            Offer::CutOff { reason } => {
                self.vitals.delivery_failed(&reason);
                tracing::warn!(sequence, reason, "an upload was cut off; the photo stays in the spool");
                Outcome::ConnectionLost
            }
            Offer::Unreachable { reason } => {
                self.vitals.delivery_failed(&reason);
                tracing::warn!(reason, "the server cannot be reached; photos stay in the spool");
                Outcome::NoConnection
            }
        })
    }

    /// Nothing changes by itself until a person has mended it, so a line for each attempt would only bury the others.
    fn tell_once(&self, reason: String) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.as_ref() == Some(&reason) {
            tracing::debug!(reason, "still no photo can be delivered");
        } else {
            tracing::error!(waiting = self.spool.len(), "no photo can be delivered, and all are kept: {reason}");
            *told = Some(reason);
        }
    }

    fn trust_again(&self) {
        if self.told.lock().unwrap_or_else(PoisonError::into_inner).take().is_some() {
            tracing::info!("station and server trust each other again");
        }
    }

    /// A photo that cannot be read must not hold up the others. One that the card has damaged is parked; for any other reason
    /// the next attempt may succeed.
    async fn set_aside(&self, sequence: u64, error: &io::Error) -> Outcome {
        let is_damaged = matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::NotFound);
        tracing::error!(sequence, %error, is_damaged, "a photo in the spool cannot be read; it is kept, and others go first");
        if is_damaged {
            let reason = error.to_string();
            match self.on_spool(move |spool| spool.park(sequence, &reason)).await {
                Ok(()) => return Outcome::Done,
                Err(error) => tracing::error!(sequence, %error, "failed to park a damaged photo"),
            }
        }
        Outcome::NotThisOne { after: None }
    }

    async fn on_spool<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Spool) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let spool = Arc::clone(&self.spool);
        tokio::task::spawn_blocking(move || work(&spool)).await.map_err(io::Error::other)?
    }
}

#[cfg(test)]
mod tests;
