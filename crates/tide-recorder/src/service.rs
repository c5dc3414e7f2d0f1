//! What the service manager (systemd) is told: that the recorder is ready, alive, or stopping. Without one nothing is said.

use sd_notify::NotifyState;

/// All photos' way is open: settings read, spool and camera there.
pub fn ready(station: &str) {
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
