//! One request at a time for an upload, and the newest wins: the one before may come over a connection that died without a word,
//! and the station that comes back must not wait until somebody notices.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedMutexGuard, watch};
use tokio::time::timeout;

/// How long a request waits for the one before, which ends at once unless it is waiting for the disk.
const PATIENCE: Duration = Duration::from_secs(10);

/// The uploads that requests are dealing with, by name. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct Turns(Arc<Mutex<HashMap<String, Arc<Door>>>>);

struct Door {
    room: Arc<tokio::sync::Mutex<()>>,
    /// How many have come to this door.
    callers: watch::Sender<u64>,
}

/// One request's turn, until it is dropped.
pub struct Turn {
    callers: watch::Receiver<u64>,
    number: u64,
    _room: OwnedMutexGuard<()>,
    _visit: Visit,
}

/// Keeps a door in the map; the last visit takes it away.
struct Visit {
    turns: Turns,
    name: String,
    door: Arc<Door>,
}

impl Turns {
    /// Waits for the turn, while the request that has it is called off; `None` if that does not end in time.
    pub(crate) async fn take(&self, name: &str) -> Option<Turn> {
        let visit = self.visit(name);
        let mut number = 0;
        visit.door.callers.send_modify(|callers| {
            *callers += 1;
            number = *callers;
        });
        let room = timeout(PATIENCE, Arc::clone(&visit.door.room).lock_owned()).await.ok()?;
        Some(Turn::new(visit, number, room))
    }

    /// The turn, if nobody has it, for work that may as well be done later.
    pub(crate) fn try_take(&self, name: &str) -> Option<Turn> {
        let visit = self.visit(name);
        let room = Arc::clone(&visit.door.room).try_lock_owned().ok()?;
        let number = *visit.door.callers.borrow();
        Some(Turn::new(visit, number, room))
    }

    fn visit(&self, name: &str) -> Visit {
        let new = || Arc::new(Door { room: Arc::default(), callers: watch::Sender::new(0) });
        let door = Arc::clone(self.lock().entry(name.to_owned()).or_insert_with(new));
        Visit { turns: self.clone(), name: name.to_owned(), door }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<Door>>> {
        // Nothing between lock and unlock can panic half way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turn {
    fn new(visit: Visit, number: u64, room: OwnedMutexGuard<()>) -> Self {
        Self { callers: visit.door.callers.subscribe(), number, _room: room, _visit: visit }
    }

    /// Returns once a newer request waits for this turn to end.
    pub async fn called_off(&mut self) {
        let number = self.number;
        // The sender lives as long as this turn.
        drop(self.callers.wait_for(|callers| *callers > number).await);
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        let mut doors = self.turns.lock();
        // The map's and this visit's: nobody else is at the door.
        if Arc::strong_count(&self.door) == 2 {
            doors.remove(&self.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_newest_request_gets_the_upload_and_calls_the_one_before_off() {
        let turns = Turns::default();
        let mut first = turns.take("upload").await.unwrap();
        assert!(turns.try_take("upload").is_none());
        assert!(turns.try_take("another").is_some());
        assert!(timeout(Duration::from_secs(60), first.called_off()).await.is_err(), "nobody has come");
        let next = {
            let turns = turns.clone();
            tokio::spawn(async move { turns.take("upload").await.is_some() })
        };
        timeout(PATIENCE / 2, first.called_off()).await.expect("the newer request calls the older one off");
        drop(first);
        assert!(next.await.unwrap());
        assert!(turns.lock().is_empty(), "nothing is remembered");
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_does_not_end_is_not_waited_for_for_ever() {
        let turns = Turns::default();
        let first = turns.take("upload").await.unwrap();
        assert!(timeout(PATIENCE * 2, turns.take("upload")).await.expect("the wait ends").is_none());
        drop(first);
        assert!(turns.take("upload").await.is_some());
    }
}
