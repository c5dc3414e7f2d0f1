//! A station that is on, and what is asked of it.

use std::time::Duration;

use anyhow::{Context, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use tide_journey::appliance::{Card, Machine, Photo, Shell, Stand, TO_BOOT, until};

/// A station that is on.
pub(crate) struct Station {
    pub(crate) name: String,
    pub(crate) card: Card,
    pub(crate) machine: Machine,
}

/// Asked after a failure.
const QUESTIONS: &str = "systemctl --failed --plain --no-legend; systemctl list-jobs --no-legend; chronyc -n sources; \
    journalctl -b -o short-monotonic --no-pager -n 60 -u 'tide-*' -u 'gps*' -u 'rtc-to-clock*' -u data.mount";

/// The recorder as systemd has it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Recorder {
    pub(crate) process: u32,
    pub(crate) restarts: u32,
}

impl Station {
    pub(crate) fn wait_for_shell(&mut self) -> anyhow::Result<()> {
        self.machine.shell().wait(TO_BOOT)
    }

    pub(crate) fn shell(&mut self) -> &mut Shell {
        self.machine.shell()
    }

    /// Waits for a photo of this station in the server's list.
    pub(crate) fn until_photo(
        &mut self,
        stand: &Stand,
        what: &str,
        limit: Duration,
        is_it: impl Fn(&Photo) -> bool,
    ) -> anyhow::Result<(Photo, Duration)> {
        let found = until(what, limit, || Ok(stand.newest(&self.name)?.into_iter().find(|photo| is_it(photo))));
        found.map_err(|error| {
            let photos = stand.newest(&self.name).map(|photos| brief(&photos));
            error.context(format!("the newest photos: {photos:?}\n{}", self.own_words()))
        })
    }

    /// What the machine says itself, for a person, after something went wrong.
    fn own_words(&mut self) -> String {
        let asked = self.shell().run_within(QUESTIONS, Duration::from_secs(60));
        asked.map_or_else(|error| format!("the machine says nothing: {error}"), |answer| answer.text)
    }

    /// Waits for a photo that is taken from now on.
    pub(crate) fn until_new_photo(
        &mut self,
        stand: &Stand,
        what: &str,
        limit: Duration,
    ) -> anyhow::Result<(Photo, Duration)> {
        let now = Timestamp::now();
        self.until_photo(stand, what, limit, |photo| photo.at > now)
    }

    /// Writes `tide.toml` as a person does on a PC between two boots.
    pub(crate) fn put_settings(&mut self, settings: &str) -> anyhow::Result<()> {
        let steps = [
            "mount -o remount,rw /boot/firmware".to_owned(),
            format!("echo {} | base64 -d >/boot/firmware/tide.toml", STANDARD.encode(settings)),
            "sync".to_owned(),
            "mount -o remount,ro /boot/firmware".to_owned(),
        ];
        self.shell().output(&steps.join(" && ")).map(drop)
    }

    /// Seconds since the kernel began.
    pub(crate) fn uptime_s(&mut self) -> anyhow::Result<f64> {
        let text = self.shell().output("cat /proc/uptime")?;
        Ok(text.split(' ').next().context("the kernel says how long it is up")?.parse()?)
    }

    pub(crate) fn recorder(&mut self) -> anyhow::Result<Recorder> {
        let value = |shell: &mut Shell, key: &str| -> anyhow::Result<u32> {
            Ok(shell.output(&format!("systemctl show --value -p {key} tide-recorder.service"))?.parse()?)
        };
        Ok(Recorder { process: value(self.shell(), "MainPID")?, restarts: value(self.shell(), "NRestarts")? })
    }

    /// How the machine's clock differs from this machine's, at least, in milliseconds: the question and the answer took a while,
    /// and somewhere in between the clock was read.
    pub(crate) fn clock_error_ms(&mut self) -> anyhow::Result<i64> {
        let before_ms = Timestamp::now().as_millisecond();
        let said = self.shell().output("date +%s%3N")?;
        let after_ms = Timestamp::now().as_millisecond();
        let said_ms: i64 = said.parse().with_context(|| format!("`date` said {said:?}"))?;
        Ok((before_ms - said_ms).max(said_ms - after_ms).max(0))
    }

    /// Fails if the clock is further off than a photo says.
    pub(crate) fn expect_clock_within(&mut self, photo: &Photo) -> anyhow::Result<()> {
        let claimed_ms = photo.uncertainty_ms.context("a photo says nothing of its clock's uncertainty")?;
        let error_ms = self.clock_error_ms()?;
        ensure!(
            error_ms.unsigned_abs() <= claimed_ms,
            "the clock is off by {error_ms} ms or more, and a photo claims {claimed_ms} ms"
        );
        Ok(())
    }

    /// What the recorder says of itself.
    pub(crate) fn status(&mut self) -> anyhow::Result<serde_json::Value> {
        // The token is root's and the recorder's; to ask, any will do.
        let command = "TIDE_CONFIG=/data/tide/settings.toml TIDE_TOKEN=none tide-recorder status --json";
        Ok(serde_json::from_str(&self.shell().output(command)?)?)
    }

    /// Waits until nothing waits in the spool.
    pub(crate) fn until_delivered(&mut self, limit: Duration) -> anyhow::Result<Duration> {
        let delivered = until("at most the newest photo waits in the spool", limit, || {
            Ok(self.status()?["spool"]["waiting"].as_u64().filter(|waiting| *waiting <= 1))
        });
        delivered.map(|(_, took)| took)
    }
}

/// Times and sources, for a person.
pub(crate) fn brief(photos: &[Photo]) -> String {
    let lines = photos.iter().take(5).map(|photo| format!("{} {}", photo.at, photo.source));
    lines.collect::<Vec<_>>().join(", ")
}
