//! Who keeps the clock: a daemon that disciplines it, one that has been started and may do so at any moment, or nobody. Evidence
//! that somebody does is the kernel's bound, as long as it is not the one that we ourselves have set.

use std::fmt;

use tide_photo::clock_report::{KERNEL_LIMIT_US, is_still_the_bound};

use crate::devices::clock::KernelState;

/// What is known of those who may keep the clock.
#[derive(Debug, Clone, Copy)]
pub struct Evidence<'a> {
    /// The kernel's account of its clock.
    pub kernel: KernelState,
    /// The daemons that run.
    pub daemons: &'a [Daemon],
    /// The bound that we gave the kernel last in this boot, if we did.
    pub ours: Option<OurBound>,
    /// Microseconds since the boot.
    pub uptime_us: u64,
}

/// A bound that we gave the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OurBound {
    /// The bound, in microseconds.
    pub max_error_us: u64,
    /// When, in microseconds since the boot.
    pub set_at_us: u64,
}

/// A program that is known to keep clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Daemon {
    /// chrony.
    Chronyd,
    /// The reference implementation, NTPsec, or OpenNTPD.
    Ntpd,
    /// ntpd-rs.
    NtpDaemon,
    /// systemd's.
    Timesyncd,
}

impl Daemon {
    /// The daemon of a process's name, which the kernel cuts off after 15 bytes.
    pub fn named(process: &str) -> Option<Self> {
        match process {
            "chronyd" => Some(Self::Chronyd),
            "ntpd" => Some(Self::Ntpd),
            "ntp-daemon" => Some(Self::NtpDaemon),
            "systemd-timesyn" => Some(Self::Timesyncd),
            _ => None,
        }
    }

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Chronyd => "chronyd",
            Self::Ntpd => "ntpd",
            Self::NtpDaemon => "ntp-daemon",
            Self::Timesyncd => "systemd-timesyncd",
        }
    }
}

/// Somebody who keeps the clock, or is about to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keeper {
    /// Which daemon; none if no known one runs, yet the kernel says that its clock is kept.
    pub daemon: Option<Daemon>,
    /// Whether it does.
    pub hold: Hold,
}

/// How a keeper holds the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// It disciplines the clock, which is within this bound, in microseconds.
    Disciplines {
        /// The kernel's bound and what is being slewed.
        bound_us: u64,
    },
    /// It has not set the clock yet, and may do so at any moment. After this time, in seconds, it is not waited for any longer.
    Starting {
        /// Never 0.
        left_s: u64,
    },
}

impl Keeper {
    /// Its name, for the report.
    pub fn name(&self) -> &'static str {
        self.daemon.map_or("another program", Daemon::as_str)
    }
}

impl fmt::Display for Keeper {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.hold {
            Hold::Disciplines { bound_us } => write!(out, "{} keeps the clock within {bound_us} us", self.name()),
            Hold::Starting { left_s } => {
                write!(out, "{} has not set the clock yet, and has {left_s} s left to do so", self.name())
            }
        }
    }
}

/// Whether somebody keeps the clock, and why we think so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Somebody does.
    Kept(Keeper),
    /// Nobody vouches for the clock, and no daemon runs.
    NoDaemon,
    /// The bound that the kernel has is our own.
    OnlyWe,
    /// These run, and have not set the clock in all this time.
    Idle {
        /// Which.
        daemons: Vec<Daemon>,
        /// Seconds since the boot.
        uptime_s: u64,
    },
}

impl Verdict {
    /// Who keeps the clock.
    pub fn keeper(&self) -> Option<Keeper> {
        match self {
            Self::Kept(keeper) => Some(*keeper),
            Self::NoDaemon | Self::OnlyWe | Self::Idle { .. } => None,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kept(keeper) => keeper.fmt(out),
            Self::NoDaemon => out.write_str("no time daemon runs, and nobody vouches for the clock"),
            Self::OnlyWe => out.write_str("nobody but we ourselves has set the clock"),
            Self::Idle { daemons, uptime_s } => {
                let names: Vec<&str> = daemons.iter().map(|daemon| daemon.as_str()).collect();
                write!(out, "{} has not set the clock in {uptime_s} s, so nobody keeps it", names.join(" and "))
            }
        }
    }
}

/// Who keeps the clock. A daemon that has just been started is left alone for a while: it may step the clock at any moment, and
/// two who set one clock make it worse. One that has no network, or no sky, never does, so the wait ends `grace_s` after the boot.
pub fn who_keeps(evidence: &Evidence, grace_s: u32) -> Verdict {
    let Evidence { kernel, daemons, uptime_us, .. } = *evidence;
    let is_ours = evidence.has_our_bound();
    if !is_ours && evidence.is_disciplined() {
        let hold = Hold::Disciplines { bound_us: kernel.bound_us() };
        return Verdict::Kept(Keeper { daemon: daemons.first().copied(), hold });
    }
    let uptime_s = uptime_us / 1_000_000;
    match (daemons.first(), u64::from(grace_s).saturating_sub(uptime_s)) {
        (None, _) if is_ours => Verdict::OnlyWe,
        (None, _) => Verdict::NoDaemon,
        (Some(_), 0) => Verdict::Idle { daemons: daemons.to_vec(), uptime_s },
        (Some(daemon), left_s) => Verdict::Kept(Keeper { daemon: Some(*daemon), hold: Hold::Starting { left_s } }),
    }
}

impl Evidence<'_> {
    /// Whether the kernel's bound is what ours has grown to.
    fn has_our_bound(&self) -> bool {
        self.ours.is_some_and(|ours| {
            let age_us = self.uptime_us.saturating_sub(ours.set_at_us);
            is_still_the_bound(self.kernel.max_error_us, ours.max_error_us, age_us)
        })
    }

    /// Whether somebody gives the kernel a bound. chrony without `rtcsync` does, but leaves the clock marked as unsynchronised, so
    /// that the kernel does not copy the time to its battery-backed clock (`set_sync_status` in chrony's sys_timex.c).
    fn is_disciplined(&self) -> bool {
        let chrony_without_rtcsync =
            self.daemons.contains(&Daemon::Chronyd) && self.kernel.max_error_us < KERNEL_LIMIT_US;
        self.kernel.synchronised || chrony_without_rtcsync
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ours. As in the settings.
    const GRACE_S: u32 = 600;

    const SYNCHRONISED: bool = true;

    fn kernel(synchronised: bool, max_error_us: u64) -> KernelState {
        KernelState {
            synchronised,
            max_error_us,
            est_error_us: 0,
            slewing_us: 0,
            time_constant: 6,
            frequency_ppb: 0,
            status: 0,
        }
    }

    fn check(kernel: KernelState, daemons: &[Daemon], ours: Option<(u64, u64)>, uptime_s: u64, expected: &str) {
        let ours = ours.map(|(max_error_us, set_at_s)| OurBound { max_error_us, set_at_us: set_at_s * 1_000_000 });
        let evidence = Evidence { kernel, daemons, ours, uptime_us: uptime_s * 1_000_000 };
        assert_eq!(who_keeps(&evidence, GRACE_S).to_string(), expected);
    }

    #[test]
    fn somebody_who_gives_the_kernel_a_bound_keeps_the_clock() {
        let kept = kernel(SYNCHRONISED, 3_000);
        check(kept, &[Daemon::Chronyd], None, 9_000, "chronyd keeps the clock within 3000 us");
        check(kept, &[], None, 9_000, "another program keeps the clock within 3000 us");
        check(kernel(false, 3_000), &[Daemon::Chronyd], None, 9_000, "chronyd keeps the clock within 3000 us");
        let slewing = KernelState { slewing_us: -1_000, ..kept };
        check(slewing, &[Daemon::Timesyncd], None, 9_000, "systemd-timesyncd keeps the clock within 4004 us");
    }

    #[test]
    fn our_own_bound_is_no_evidence() {
        let (set, hours_later) = (Some((20_000, 1_000)), 4_600);
        check(kernel(SYNCHRONISED, 1_820_000), &[], set, hours_later, "nobody but we ourselves has set the clock");
        let idle = "systemd-timesyncd has not set the clock in 4600 s, so nobody keeps it";
        check(kernel(SYNCHRONISED, 1_820_000), &[Daemon::Timesyncd], set, hours_later, idle);
        let kept = "systemd-timesyncd keeps the clock within 500 us";
        check(kernel(SYNCHRONISED, 500), &[Daemon::Timesyncd], set, hours_later, kept);
    }

    #[test]
    fn a_daemon_has_a_while_to_set_the_clock() {
        let loose = kernel(false, KERNEL_LIMIT_US);
        for daemon in [Daemon::Chronyd, Daemon::Ntpd, Daemon::NtpDaemon, Daemon::Timesyncd] {
            let name = daemon.as_str();
            let waits = format!("{name} has not set the clock yet, and has 480 s left to do so");
            check(loose, &[daemon], None, 120, &waits);
            check(loose, &[daemon], None, 600, &format!("{name} has not set the clock in 600 s, so nobody keeps it"));
        }
        check(loose, &[], None, 120, "no time daemon runs, and nobody vouches for the clock");
    }

    #[test]
    fn a_stepped_clock_is_nobodys() {
        let stepped = kernel(false, KERNEL_LIMIT_US);
        check(stepped, &[], Some((20_000, 1_000)), 4_600, "no time daemon runs, and nobody vouches for the clock");
    }

    #[test]
    fn daemons_are_known_by_the_names_of_their_processes() {
        assert_eq!(Daemon::named("systemd-timesyn"), Some(Daemon::Timesyncd));
        assert_eq!(Daemon::named("ntp-daemon"), Some(Daemon::NtpDaemon));
        assert_eq!(Daemon::named("ntpd-wrapper"), None);
    }
}
