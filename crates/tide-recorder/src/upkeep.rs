//! What is looked after beside the schedule: photos that wait in memory for a disk that takes files again, and photos whose time
//! can be found now that the clock is good.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tide_photo::ClockQuality;
use tokio::time::sleep;

use crate::devices::clock::Clock;
use crate::repair::{Reading, became_good, repaired};
use crate::spool::Spool;

/// How often. Ours: soon enough for a person who has just made room, and before many photos are delivered whose time could
/// have been found.
const EVERY: Duration = Duration::from_secs(10);

/// Looks after the spool.
pub struct Upkeep {
    spool: Arc<Spool>,
    clock: Arc<dyn Clock>,
    /// The clock's quality when times were last looked for.
    was: ClockQuality,
}

impl Upkeep {
    /// What an earlier recorder of the same boot left to be found counts too, so the clock is taken to have been no good.
    pub fn new(spool: Arc<Spool>, clock: Arc<dyn Clock>) -> Self {
        Self { spool, clock, was: ClockQuality::unsynchronised() }
    }

    /// Never returns; to be dropped when the recorder stops.
    pub async fn run(mut self) {
        loop {
            sleep(EVERY).await;
            let work = tokio::task::spawn_blocking(move || {
                self.spool.retry_disk();
                self.find_times();
                self
            });
            self = match work.await {
                Ok(upkeep) => upkeep,
                Err(error) => return tracing::error!(%error, "nobody looks after the spool any more"),
            };
        }
    }

    fn find_times(&mut self) {
        let quality = self.clock.quality();
        if became_good(self.was, quality)
            && let Err(error) = self.repair(quality)
        {
            return tracing::warn!(%error, "times that could be found are not in the spool yet; tried again");
        }
        self.was = quality;
    }

    fn repair(&self, clock: ClockQuality) -> io::Result<()> {
        let (now, monotonic_us) = (self.clock.now(), self.clock.monotonic_us());
        let reading = Reading { now, monotonic_us, clock, boot_id: self.clock.boot_id() };
        match self.spool.amend(self.clock.boot_id(), |manifest| repaired(manifest, &reading))? {
            0 => (),
            photos => {
                tracing::info!(photos, %clock, "the clock is good now; photos taken before it was have their time");
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Mutex;

    use tide_durable::Durable;
    use tide_durable::testing::CrashDisk;
    use tide_photo::{CapturedAt, ClockSource};

    use super::*;
    use crate::shot::example;

    /// An hour after switching on, at 18:00, with a quality that changes.
    struct Changing(Mutex<ClockQuality>);

    impl Clock for Changing {
        fn now(&self) -> CapturedAt {
            "2026-05-31T18:00:00Z".parse().unwrap()
        }

        fn quality(&self) -> ClockQuality {
            *self.0.lock().unwrap()
        }

        fn monotonic_us(&self) -> u64 {
            3_600_000_000
        }

        fn boot_id(&self) -> &'static str {
            "boot"
        }
    }

    #[test]
    fn waiting_photos_get_their_time_once_the_clock_is_good() {
        let disk = CrashDisk::with_folder(Path::new("/data"));
        let (spool, _) = Spool::open(Durable::on(Arc::new(disk.clone()), Path::new("/data"))).unwrap();
        let (spool, clock) = (Arc::new(spool), Arc::new(Changing(Mutex::new(ClockQuality::unsynchronised()))));
        let mut upkeep = Upkeep::new(Arc::clone(&spool), Arc::<Changing>::clone(&clock));
        spool.accept(&example(1, "taken while the station was switched on")).unwrap();
        upkeep.find_times();
        assert_eq!(spool.load(1).unwrap().manifest.captured_at, CapturedAt::EPOCH);
        *clock.0.lock().unwrap() = ClockQuality::synchronised(ClockSource::Gps, 12).unwrap();
        disk.set_read_only(true);
        upkeep.find_times();
        assert_eq!(spool.load(1).unwrap().manifest.captured_at, CapturedAt::EPOCH, "not on this disk");
        disk.set_read_only(false);
        upkeep.find_times();
        let found = spool.load(1).unwrap().manifest;
        assert_eq!(
            (found.captured_at.to_string().as_str(), found.clock.source()),
            ("2026-05-31T17:00:00.000Z", ClockSource::Gps)
        );
        assert_eq!(found.repaired.map(|repair| repair.clock_said), Some(CapturedAt::EPOCH));
    }
}
