//! Offers waiting photos to the server until each has its receipt.
//!
//! The policy: while the link is young (it failed less than a minute ago, or the recorder has just started) the newest photo
//! goes first, because that is what people look at and the link may not last; after that newest and oldest take turns, so that
//! the backlog drains while a photo just taken waits for at most two others.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::backoff::Backoff;
use crate::server_link::{Offer, ServerLink};
use crate::shot::Shot;
use crate::spool::Spool;

/// How long a link is young.
const YOUTH: Duration = Duration::from_secs(60);

/// Uploads photos for as long as the recorder runs.
pub struct Uploader {
    spool: Arc<Spool>,
    link: ServerLink,
    backoff: Backoff,
    up_since: Instant,
    offers: u64,
}

impl Uploader {
    /// Prepares to upload from `spool` over `link`.
    pub fn new(spool: Arc<Spool>, link: ServerLink) -> Self {
        Self { spool, link, backoff: Backoff::default(), up_since: Instant::now(), offers: 0 }
    }

    /// Never returns; to be dropped when the recorder stops. A photo whose offer is cut off stays in the spool.
    pub async fn run(mut self) {
        loop {
            self.spool.until_waiting().await;
            let wait = match self.offer_one().await {
                Ok(wait) => wait,
                Err(error) => {
                    tracing::error!(error = &error as &dyn std::error::Error, "failed to use the spool");
                    Some(self.backoff.after_failure(rand::random(), None))
                }
            };
            if let Some(wait) = wait {
                sleep(wait).await;
                self.up_since = Instant::now();
            }
        }
    }

    /// Offers one photo; after a failure, says how long to wait.
    async fn offer_one(&mut self) -> io::Result<Option<Duration>> {
        let (is_young, turn) = (self.up_since.elapsed() < YOUTH, self.offers);
        let Some(sequence) = self.spool.choose(|waiting| choose(waiting, is_young, turn)) else { return Ok(None) };
        self.offers += 1;
        let Some(shot) = self.load(sequence).await? else { return Ok(None) };
        match self.link.offer(shot).await {
            Offer::Held(receipt) => {
                self.on_spool(move |spool| spool.release(sequence)).await?;
                self.backoff.succeeded();
                tracing::info!(sequence, id = receipt.id, waiting = self.spool.len(), "delivered a photo");
                Ok(None)
            }
            Offer::Refused { reason } => {
                tracing::error!(sequence, reason, "the server refuses a photo; it is kept and not offered again");
                self.on_spool(move |spool| spool.park(sequence, &reason)).await?;
                self.backoff.succeeded();
                Ok(None)
            }
            Offer::Later { reason, after } => {
                let wait = self.backoff.after_failure(rand::random(), after);
                let (wait_s, waiting) = (wait.as_secs_f32(), self.spool.len());
                tracing::warn!(reason, wait_s, waiting, "the server did not take a photo; it stays in the spool");
                Ok(Some(wait))
            }
        }
    }

    /// A photo from the spool; one that the card has damaged is parked, so that it does not hold up the others.
    async fn load(&self, sequence: u64) -> io::Result<Option<Shot>> {
        match self.on_spool(move |spool| spool.load(sequence)).await {
            Ok(shot) => Ok(Some(shot)),
            Err(error) if matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::NotFound) => {
                tracing::error!(sequence, %error, "a photo in the spool is damaged; it is kept and not offered");
                let reason = error.to_string();
                self.on_spool(move |spool| spool.park(sequence, &reason)).await?;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    async fn on_spool<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Spool) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let spool = Arc::clone(&self.spool);
        tokio::task::spawn_blocking(move || work(&spool)).await.map_err(io::Error::other)?
    }
}

/// The policy above. `turn` counts the offers.
fn choose(waiting: &BTreeSet<u64>, link_is_young: bool, turn: u64) -> Option<u64> {
    let newest_first = link_is_young || turn.is_multiple_of(2);
    if newest_first { waiting.last().copied() } else { waiting.first().copied() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The order in which photos go while one more is taken after every third offer.
    fn order(link_is_young: bool) -> Vec<u64> {
        let mut waiting: BTreeSet<u64> = (1..=4).collect();
        let mut order = Vec::new();
        for turn in 0..5 {
            let chosen = choose(&waiting, link_is_young, turn).unwrap();
            waiting.remove(&chosen);
            order.push(chosen);
            if turn == 2 {
                waiting.insert(10);
            }
        }
        order
    }

    #[test]
    fn a_young_link_carries_the_newest_first() {
        assert_eq!(order(true), [4, 3, 2, 10, 1]);
    }

    #[test]
    fn later_the_backlog_takes_every_other_turn() {
        assert_eq!(order(false), [4, 1, 3, 2, 10]);
    }

    #[test]
    fn an_empty_spool_has_nothing_to_offer() {
        assert_eq!(choose(&BTreeSet::new(), true, 0), None);
    }
}
