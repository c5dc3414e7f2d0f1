//! What the service manager (systemd) is told: that the recorder is ready, alive, or stopping. Without one nothing is said.

use std::time::Duration;

use sd_notify::NotifyState;

/// `WatchdogSec` of the unit.
const UNITS_WATCHDOG: Duration = Duration::from_secs(90);

/// What a turn of the loop takes beside the shot, at most: the loop's own sleep, the flash, a `failure_command`, a slow card.
const BESIDE_A_SHOT: Duration = Duration::from_secs(75);

/// All photos' way is open: settings read, spool and camera there. A shot takes at most `longest_shot`: the watchdog of a
/// station with long exposures has to be patient.
pub fn ready(station: &str, longest_shot: Duration) {
    let patience = longest_shot + BESIDE_A_SHOT;
    if patience > UNITS_WATCHDOG {
        tell(&[NotifyState::WatchdogUsec(u32::try_from(patience.as_micros()).unwrap_or(u32::MAX))]);
    }
    tell(&[NotifyState::Ready, NotifyState::Status(&format!("{station} takes photos"))]);
}

/// The schedule's loop turned once more. Called from nowhere else, so that the watchdog sees a loop that does not turn.
pub fn alive() {
    tell(&[NotifyState::Watchdog]);
}

/// A shot in hand is finished first.
pub fn stopping() {
    tell(&[NotifyState::Stopping]);
}

fn tell(states: &[NotifyState]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "failed to tell the service manager");
    }
}
