//! gpsd, and the receiver's own device once gpsd has been silent for a while: gpsd may be absent, or hang.

use std::time::Duration;

use super::receiver::{Event, Receiver};

/// How long gpsd may tell no fix, good or void, before the device is read beside it. Ours: gpsd needs some seconds to find out a
/// receiver's speed and language.
const PATIENCE: Duration = Duration::from_secs(30);

/// One after the other.
pub struct AutoReceiver {
    first: Box<dyn Receiver>,
    second: Box<dyn Receiver>,
    /// The time since the boot.
    now: Box<dyn Fn() -> Duration>,
    heard_at: Option<Duration>,
    is_second_heard: bool,
}

impl AutoReceiver {
    /// `second` is listened to only while `first` tells nothing. `now` is the time since the boot.
    pub fn new(first: Box<dyn Receiver>, second: Box<dyn Receiver>, now: Box<dyn Fn() -> Duration>) -> Self {
        Self { first, second, now, heard_at: None, is_second_heard: false }
    }
}

impl Receiver for AutoReceiver {
    fn name(&self) -> String {
        format!("{}, else {}", self.first.name(), self.second.name())
    }

    fn listen(&mut self, patience: Duration) -> Vec<Event> {
        let begun = *self.heard_at.get_or_insert_with(&self.now);
        // While the second is listened to nothing waits for the first: what the second says would be heard late.
        let mut events = self.first.listen(if self.is_second_heard { Duration::ZERO } else { patience });
        let now = (self.now)();
        if events.iter().any(|event| matches!(event, Event::Fix { .. })) {
            (self.heard_at, self.is_second_heard) = (Some(now), false);
        } else if now.saturating_sub(begun) > PATIENCE {
            if !std::mem::replace(&mut self.is_second_heard, true) {
                let (first, second) = (self.first.name(), self.second.name());
                events.push(Event::Note(format!("{first} tells no time; {second} is read beside it")));
            }
            events.extend(self.second.listen(patience));
        }
        events
    }
}
