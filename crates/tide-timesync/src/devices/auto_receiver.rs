//! gpsd, and the receiver's own device once gpsd has been silent for a while: gpsd may be absent, or hang.

use std::time::Duration;

use super::receiver::{Event, Receiver};

/// How long gpsd may tell nothing of a receiver, not even that it knows no time, before the device is read beside it. Ours: gpsd needs some seconds to find out a
/// receiver's speed and language.
const PATIENCE: Duration = Duration::from_secs(30);

/// The same for a gpsd that is not even there: at the boot it may be a moment behind.
const ABSENT_FOR: Duration = Duration::from_secs(3);

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

    fn begin_anew(&mut self) {
        self.first.begin_anew();
        self.second.begin_anew();
    }

    fn listen(&mut self, patience: Duration) -> Vec<Event> {
        let begun = *self.heard_at.get_or_insert_with(&self.now);
        // While the second is listened to nothing waits for the first: what the second says would be heard late.
        let mut events = self.first.listen(if self.is_second_heard { Duration::ZERO } else { patience });
        let now = (self.now)();
        // Two who read one device each get half of it.
        if events.iter().any(|event| matches!(event, Event::Fix { .. } | Event::NoTime { .. })) {
            (self.heard_at, self.is_second_heard) = (Some(now), false);
        } else if now.saturating_sub(begun) > if self.first.is_there() { PATIENCE } else { ABSENT_FOR } {
            if !std::mem::replace(&mut self.is_second_heard, true) {
                let (first, second) = (self.first.name(), self.second.name());
                events.push(Event::Note(format!("{first} tells no time; {second} is read beside it")));
            }
            events.extend(self.second.listen(patience));
        }
        events
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use super::*;

    /// Says the same again and again, and counts how often it was asked.
    struct Parrot(Vec<Event>, Rc<Cell<u32>>);

    impl Receiver for Parrot {
        fn begin_anew(&mut self) {}

        fn name(&self) -> String {
            "parrot".to_owned()
        }

        fn listen(&mut self, _: Duration) -> Vec<Event> {
            self.1.set(self.1.get() + 1);
            self.0.clone()
        }
    }

    /// How often the device was read in a minute beside a gpsd that says this every second.
    fn device_read(gpsd: Vec<Event>) -> u32 {
        let (seconds, asked, read) = (Rc::new(Cell::new(0)), Rc::default(), Rc::default());
        let now = {
            let seconds = Rc::clone(&seconds);
            move || Duration::from_secs(seconds.get())
        };
        let (first, second) = (Parrot(gpsd, asked), Parrot(Vec::new(), Rc::clone(&read)));
        let mut receiver = AutoReceiver::new(Box::new(first), Box::new(second), Box::new(now));
        for second in 0..60 {
            seconds.set(second);
            receiver.listen(Duration::ZERO);
        }
        read.get()
    }

    #[test]
    fn the_device_is_read_only_beside_a_gpsd_that_hears_no_receiver() {
        assert_eq!(device_read(vec![Event::NoTime { receiver: "x".to_owned() }]), 0);
        assert_eq!(device_read(Vec::new()), 29);
        assert_eq!(device_read(vec![Event::Note("gpsd has no receiver".to_owned())]), 29);
    }
}
