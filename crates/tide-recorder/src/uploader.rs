//! Offers waiting photos to the server until each has its receipt. Which photo is next, the [`Agenda`] decides.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::agenda::Agenda;
use crate::backoff::Backoff;
use crate::server_link::{Link, Offer};
use crate::shot::Shot;
use crate::spool::Spool;
use crate::vitals::Vitals;

/// How long a link is young.
const YOUTH: Duration = Duration::from_secs(60);

/// Uploads photos for as long as the recorder runs.
pub struct Uploader<L> {
    spool: Arc<Spool>,
    vitals: Arc<Vitals>,
    link: L,
    backoff: Backoff,
    agenda: Agenda,
    up_since: Instant,
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
    /// No photo can be delivered.
    NoConnection,
    /// The connection was lost over this photo.
    ConnectionLost,
}

impl<L: Link> Uploader<L> {
    /// Prepares to upload from `spool` over `link`.
    pub fn new(spool: Arc<Spool>, link: L, vitals: Arc<Vitals>) -> Self {
        let (backoff, agenda) = (Backoff::default(), Agenda::default());
        Self { spool, vitals, link, backoff, agenda, up_since: Instant::now() }
    }

    /// Never returns; to be dropped when the recorder stops. A photo whose offer is cut off stays in the spool.
    pub async fn run(mut self) {
        loop {
            self.spool.until_waiting().await;
            let link_is_young = self.up_since.elapsed() < YOUTH;
            let Some(sequence) = self.spool.choose(|waiting| self.agenda.choose(waiting, link_is_young)) else {
                continue;
            };
            let outcome = self.offer(sequence).await;
            if let Some(wait) = self.learn(sequence, outcome, rand::random()) {
                tracing::info!(
                    wait_s = wait.as_secs_f32(),
                    waiting = self.spool.len(),
                    "waiting before the next offer"
                );
                sleep(wait).await;
            }
            if matches!(outcome, Outcome::NoConnection | Outcome::ConnectionLost) {
                self.up_since = Instant::now();
            }
        }
    }

    /// Draws the lesson from an offer; after a failure, says how long to wait. `chance` lies between 0 and 1.
    fn learn(&mut self, sequence: u64, outcome: Outcome, chance: f64) -> Option<Duration> {
        let asked_for = match outcome {
            Outcome::Done => {
                self.agenda.delivered();
                self.backoff.succeeded();
                return None;
            }
            Outcome::NotThisOne { after } => after,
            Outcome::NoConnection | Outcome::ConnectionLost => None,
        };
        if outcome != Outcome::NoConnection {
            self.agenda.defer(sequence);
        }
        Some(self.backoff.after_failure(chance, asked_for))
    }

    async fn offer(&self, sequence: u64) -> Outcome {
        let shot = match self.on_spool(move |spool| spool.load(sequence)).await {
            Ok(shot) => shot,
            Err(error) => return self.set_aside(sequence, &error).await,
        };
        self.deliver(sequence, shot).await.unwrap_or_else(|error| {
            tracing::error!(sequence, %error, "failed to note in the spool what became of a photo");
            Outcome::NotThisOne { after: None }
        })
    }

    async fn deliver(&self, sequence: u64, shot: Shot) -> io::Result<Outcome> {
        Ok(match self.link.offer(shot).await {
            Offer::Held(receipt) => {
                self.vitals.delivered(receipt.received_at);
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
