//! Notices that the way to the server has opened again, so that nobody sits out a wait of five minutes beside a link that works.
//!
//! Two signs count, and of each only the change from no to yes: that the system has a route to the server, and that the server
//! takes a connection. A third is that the clock is set: before that no certificate may be valid. A way that was open all the time says nothing: something other than the way is broken then, or a proxy
//! in front takes every connection, and the wait is right.

use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

/// How often the system is asked for a route. It costs a system call and sends nothing.
const ROUTE_EVERY: Duration = Duration::from_secs(2);

/// Time between two connections that are tried, at most. With [`SETTLE`] and one offer it stays below the minute in which a new
/// photo is to arrive.
const DOOR_EVERY: Duration = Duration::from_secs(30);

/// By how much a clock has to be set to count, in seconds. Ours: what is slewed, or off by less, makes no certificate invalid.
const CLOCK_SET_S: u64 = 60;

/// Over how long stations spread that see a server come back. All of them see it at once.
const SETTLE: Duration = Duration::from_secs(15);

/// What can be seen of the way to a server without offering anything.
pub trait Way: Send + Sync {
    /// Whether the system has a route to the server.
    fn has_route(&self) -> impl Future<Output = bool> + Send;

    /// Whether the server takes a connection.
    fn takes_a_connection(&self) -> impl Future<Output = bool> + Send;

    /// How far the clock is ahead of one that is never set, in seconds from a beginning that stays the same.
    fn clock_offset_s(&self) -> i64;
}

/// A sign of which only the change from no to yes counts.
#[derive(Debug, Default)]
struct Sign(Option<bool>);

impl Sign {
    /// Whether it has turned to yes.
    fn turned(&mut self, now: bool) -> bool {
        self.0.replace(now) == Some(false) && now
    }
}

/// Returns when a way that was closed has opened, and this station's turn has come. `chance` draws numbers between 0 and 1.
pub async fn until_returned(way: &impl Way, mut chance: impl FnMut() -> f64) {
    let (mut route, mut door) = (Sign::default(), Sign::default());
    tokio::select! {
        () = until_route(way, &mut route) => (),
        () = until_clock_is_set(way) => (),
        wait = until_door(way, &mut door, &mut chance) => sleep(wait).await,
    }
}

async fn until_route(way: &impl Way, route: &mut Sign) {
    while !route.turned(way.has_route().await) {
        sleep(ROUTE_EVERY).await;
    }
}

async fn until_clock_is_set(way: &impl Way) {
    let before = way.clock_offset_s();
    while way.clock_offset_s().abs_diff(before) <= CLOCK_SET_S {
        sleep(ROUTE_EVERY).await;
    }
}

/// Returns how long to let others go first.
async fn until_door(way: &impl Way, door: &mut Sign, chance: &mut impl FnMut() -> f64) -> Duration {
    loop {
        // An attempt that hangs is part of the time.
        let next = Instant::now() + DOOR_EVERY.mul_f64(2.0 / 3.0 + chance() / 3.0);
        if door.turned(way.takes_a_connection().await) {
            return SETTLE.mul_f64(chance());
        }
        sleep_until(next).await;
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    /// A way that opens, each kind of sign after its own time.
    struct FakeWay {
        began: Instant,
        route_after_s: u64,
        door_after_s: u64,
        clock_after_s: u64,
        clock_by_s: i64,
    }

    impl FakeWay {
        fn is_after(&self, seconds: u64) -> bool {
            self.began.elapsed() >= Duration::from_secs(seconds)
        }
    }

    impl Way for FakeWay {
        async fn has_route(&self) -> bool {
            self.is_after(self.route_after_s)
        }

        async fn takes_a_connection(&self) -> bool {
            self.is_after(self.door_after_s)
        }

        fn clock_offset_s(&self) -> i64 {
            if self.is_after(self.clock_after_s) { self.clock_by_s } else { 0 }
        }
    }

    /// The second in which the way is seen to return within an hour.
    async fn returned(route_after_s: u64, door_after_s: u64, chance: f64) -> Option<u64> {
        seen(FakeWay { began: Instant::now(), route_after_s, door_after_s, clock_after_s: 0, clock_by_s: 0 }, chance)
            .await
    }

    async fn seen(way: FakeWay, chance: f64) -> Option<u64> {
        let seen = timeout(Duration::from_secs(3_600), until_returned(&way, || chance)).await;
        seen.ok().map(|()| way.began.elapsed().as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn a_route_is_seen_within_two_seconds() {
        assert_eq!(returned(1_001, 9_999, 0.5).await, Some(1_002));
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_is_seen_within_45_seconds_and_not_by_all_at_once() {
        assert_eq!(returned(0, 1_001, 1.0).await, Some(1_020 + 15));
        assert_eq!(returned(0, 1_001, 0.0).await, Some(1_020));
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_open_all_the_time_ends_no_wait() {
        assert_eq!(returned(0, 0, 0.5).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_is_set_ends_a_wait_and_one_that_is_slewed_does_not() {
        for (clock_by_s, expected) in [(841_000_000, Some(1_002)), (-86_400, Some(1_002)), (60, None), (-1, None)] {
            let clock_after_s = 1_001;
            let began = Instant::now();
            let way = FakeWay { began, route_after_s: 0, door_after_s: 0, clock_after_s, clock_by_s };
            assert_eq!(seen(way, 0.5).await, expected, "{clock_by_s}");
        }
    }

    #[test]
    fn only_the_change_to_yes_counts() {
        let mut sign = Sign::default();
        assert_eq!(
            [true, false, false, true, true, false, true].map(|now| sign.turned(now)).map(u8::from),
            [0, 0, 0, 1, 0, 0, 1]
        );
    }
}
