//! What happens to the clock once GPS has said how far it is off: nothing, a slew, a step, or a refusal, each with its reason.

use std::fmt;

use serde::{Deserialize, Deserializer};

use crate::keeper::{Hold, Keeper};

/// Offsets above this are stepped, in microseconds: 128 ms, as in ntpd and RFC 5905 (`STEPT`).
pub const STEP_ABOVE_US: u64 = 128_000;

/// A slew is exact to one part in so many: the kernel spreads each part of it over one second of the very clock that it slews, which
/// makes 32 us of the largest.
const SLEW_EXACT_TO: u64 = 4_000;

/// Longest time that a setting may give, in seconds: ten years. Ours; more would be no limit.
const LONGEST_S: u32 = 315_360_000;

/// How far the clock may be set: the table `[clock.limits]`. They are those of ntpd-rs (its `*-step-panic-threshold`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Largest step once the clock has been set in this boot, in seconds, beyond what the oscillator explains.
    #[serde(deserialize_with = "limit_s")]
    pub single_s: u32,
    /// Largest step forward at the first setting of a boot, in seconds. None: as far as need be.
    #[serde(deserialize_with = "some_limit_s")]
    pub startup_forward_s: Option<u32>,
    /// Largest step back at the first setting of a boot, in seconds.
    #[serde(deserialize_with = "limit_s")]
    pub startup_backward_s: u32,
    /// How much all steps after the first may come to in a boot, in seconds, beyond what the oscillator explains.
    #[serde(deserialize_with = "limit_s")]
    pub total_s: u32,
    /// How long after the boot a time daemon has to set the clock before it is no longer waited for, in seconds; 0 waits for none.
    #[serde(deserialize_with = "grace_s")]
    pub keeper_grace_s: u32,
    /// After how many runs in a row in which GPS said the same it is believed against all these limits; 0: never.
    #[serde(deserialize_with = "runs")]
    pub believe_after_runs: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // ntpd's and ntpd-rs's.
            single_s: 1_000,
            // Ours (ntpd-rs has none): five years in a drawer; beyond that two clocks contradict each other, and somebody has to look.
            startup_forward_s: Some(157_788_000),
            // ntpd-rs's: a clock does not run ahead by more than a day while it is off.
            startup_backward_s: 86_400,
            // Ours (ntpd-rs has none): three and a half of the largest single steps.
            total_s: 3_600,
            // Ours: chrony and ntpd need a few minutes with a receiver, timesyncd some seconds with a network.
            keeper_grace_s: 600,
            // Ours: a day of the timer's. Nobody comes to a pier to allow a step.
            believe_after_runs: 4,
        }
    }
}

fn limit_s<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    within(deserializer, 1, LONGEST_S)
}

fn some_limit_s<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    limit_s(deserializer).map(Some)
}

fn runs<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    within(deserializer, 0, 1_000)
}

/// A day at most: photos are waiting.
fn grace_s<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    within(deserializer, 0, 86_400)
}

fn within<'de, D: Deserializer<'de>>(deserializer: D, low_s: u32, high_s: u32) -> Result<u32, D::Error> {
    let seconds = i64::deserialize(deserializer)?;
    let refusal = || serde::de::Error::custom(format!("{low_s} to {high_s}, not {seconds}"));
    u32::try_from(seconds).ok().filter(|seconds| (low_s..=high_s).contains(seconds)).ok_or_else(refusal)
}

/// What a decision rests on, beside the measured offset.
#[derive(Debug, Clone, Copy)]
pub struct Facts {
    /// What the clock shows, in microseconds since 1970 UTC.
    pub clock_us: i64,
    /// The earliest time that can be: when this program was built, in microseconds since 1970 UTC.
    pub earliest_us: i64,
    /// The latest that GPS can tell apart: 1,024 weeks later.
    pub latest_us: i64,
    /// Who else keeps the clock.
    pub keeper: Option<Keeper>,
    /// Whether the clock has not been set in this boot yet.
    pub is_first_of_boot: bool,
    /// What [`Decision::counted_us`] came to in this boot so far, in microseconds.
    pub stepped_us: u64,
    /// Whether GPS has said so often enough to be believed against the limits.
    pub is_believed: bool,
    /// How far the oscillator may have taken the clock since it was set last, in microseconds; 0 if it was not.
    pub drift_us: u64,
}

impl Facts {
    /// Whether the clock shows a time that cannot be.
    fn is_unset(&self) -> bool {
        !self.is_plausible(self.clock_us)
    }

    fn is_plausible(&self, time_us: i64) -> bool {
        (self.earliest_us..=self.latest_us).contains(&time_us)
    }

    /// What of a step the oscillator does not explain.
    fn unexplained_us(&self, offset_us: i64) -> u64 {
        offset_us.unsigned_abs().saturating_sub(self.drift_us)
    }
}

/// What is done to the clock. Offsets are GPS time minus the clock, so a clock that is behind has a positive one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Somebody else keeps the clock; it is only compared.
    LeaveToKeeper {
        /// Who.
        keeper: Keeper,
        /// The measured offset.
        offset_us: i64,
        /// How far that may be off.
        uncertainty_us: u64,
    },
    /// The offset is smaller than what the measurement can tell.
    AlreadyRight {
        /// The measured offset.
        offset_us: i64,
        /// How far that may be off.
        uncertainty_us: u64,
    },
    /// The clock runs a little faster or slower until it is right.
    Slew {
        /// By this much.
        by_us: i64,
        /// How far the measurement may be off.
        uncertainty_us: u64,
    },
    /// The clock is set in one go.
    Step {
        /// By this much.
        by_us: i64,
        /// How far the measurement may be off.
        uncertainty_us: u64,
        /// Whether it showed a time that cannot be, so that no limit counts.
        was_unset: bool,
    },
    /// The clock is left as it is, because it would have to be set too far.
    Refuse {
        /// By this much.
        by_us: i64,
        /// What forbids it.
        limit: Limit,
    },
}

/// What forbids a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// `single_s`.
    Single {
        /// Its value.
        limit_s: u32,
    },
    /// `startup_forward_s`.
    StartupForward {
        /// Its value.
        limit_s: u32,
    },
    /// `startup_backward_s`.
    StartupBackward {
        /// Its value.
        limit_s: u32,
    },
    /// `total_s`.
    Total {
        /// Its value.
        limit_s: u32,
    },
    /// The clock would show a time that cannot be.
    Implausible,
}

/// What is to be done about a clock that GPS says is `offset_us` behind.
pub fn decide(offset_us: i64, uncertainty_us: u64, facts: &Facts, limits: &Limits) -> Decision {
    if let Some(keeper) = facts.keeper {
        return Decision::LeaveToKeeper { keeper, offset_us, uncertainty_us };
    }
    if offset_us.unsigned_abs() <= uncertainty_us {
        return Decision::AlreadyRight { offset_us, uncertainty_us };
    }
    if let Some(limit) = forbidden(offset_us, facts, limits) {
        return Decision::Refuse { by_us: offset_us, limit };
    }
    if offset_us.unsigned_abs() <= STEP_ABOVE_US {
        return Decision::Slew { by_us: offset_us, uncertainty_us };
    }
    Decision::Step { by_us: offset_us, uncertainty_us, was_unset: facts.is_unset() }
}

fn forbidden(offset_us: i64, facts: &Facts, limits: &Limits) -> Option<Limit> {
    if !facts.is_plausible(facts.clock_us.saturating_add(offset_us)) {
        return Some(Limit::Implausible);
    }
    if facts.is_unset() || facts.is_believed {
        return None;
    }
    let is_beyond = |us: u64, limit_s: u32| us > u64::from(limit_s) * 1_000_000;
    let by_us = offset_us.unsigned_abs();
    if facts.is_first_of_boot && offset_us >= 0 {
        let limit_s = limits.startup_forward_s.filter(|limit_s| is_beyond(by_us, *limit_s))?;
        return Some(Limit::StartupForward { limit_s });
    }
    if facts.is_first_of_boot {
        let limit_s = limits.startup_backward_s;
        return is_beyond(by_us, limit_s).then_some(Limit::StartupBackward { limit_s });
    }
    if is_beyond(facts.unexplained_us(offset_us), limits.single_s) {
        return Some(Limit::Single { limit_s: limits.single_s });
    }
    let total_us = facts.stepped_us.saturating_add(facts.unexplained_us(offset_us));
    is_beyond(total_us, limits.total_s).then_some(Limit::Total { limit_s: limits.total_s })
}

impl Decision {
    /// How far the clock may be off once this is done, in microseconds, apart from what is being slewed; none if it is not ours to
    /// say, or not known.
    pub fn bound_us(&self) -> Option<u64> {
        match *self {
            Self::Step { uncertainty_us, .. } => Some(uncertainty_us),
            Self::Slew { by_us, uncertainty_us } => {
                Some(uncertainty_us.saturating_add(by_us.unsigned_abs().div_ceil(SLEW_EXACT_TO)))
            }
            Self::AlreadyRight { offset_us, uncertainty_us } => {
                Some(uncertainty_us.saturating_add(offset_us.unsigned_abs()))
            }
            Self::LeaveToKeeper { .. } | Self::Refuse { .. } => None,
        }
    }

    /// What this adds to the steps of the boot, in microseconds: nothing at its first setting, and not what the oscillator explains.
    pub fn counted_us(&self, facts: &Facts) -> u64 {
        match *self {
            Self::Step { by_us, was_unset: false, .. } if !facts.is_first_of_boot && !facts.is_believed => {
                facts.unexplained_us(by_us)
            }
            _ => 0,
        }
    }

    /// Whether an operator should look: GPS and the keeper cannot both be right, or the clock is wrong and stays so.
    pub fn is_warning(&self) -> bool {
        match *self {
            Self::LeaveToKeeper {
                keeper: Keeper { hold: Hold::Disciplines { bound_us }, .. },
                offset_us,
                uncertainty_us,
            } => offset_us.unsigned_abs() > bound_us.saturating_add(uncertainty_us),
            Self::Refuse { .. } => true,
            _ => false,
        }
    }
}

/// A sentence for the log, without its full stop.
impl fmt::Display for Decision {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::LeaveToKeeper { keeper, offset_us, uncertainty_us } => {
                let offset = Offset(offset_us, uncertainty_us);
                match self.is_warning() {
                    true => write!(out, "{keeper}, but GPS finds it {offset}: both cannot be right; it is not touched"),
                    false => write!(out, "{keeper}, so it is left to it; GPS finds it {offset}"),
                }
            }
            Self::AlreadyRight { offset_us, uncertainty_us } => {
                write!(out, "the clock is right as far as can be told: {}", Offset(offset_us, uncertainty_us))
            }
            Self::Slew { by_us, uncertainty_us } => {
                write!(out, "the clock is {}, and is slewed", Offset(by_us, uncertainty_us))
            }
            Self::Step { by_us, uncertainty_us, was_unset: false } => {
                write!(out, "the clock is {}, and is stepped", Offset(by_us, uncertainty_us))
            }
            Self::Step { by_us, uncertainty_us, was_unset: true } => {
                write!(out, "the clock shows a time that cannot be, {}, and is set", Offset(by_us, uncertainty_us))
            }
            Self::Refuse { by_us, limit } => {
                write!(out, "the clock should be stepped by {} s, but {limit}; it is not touched", Seconds(by_us))
            }
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Single { limit_s } => write!(out, "one step is {limit_s} s at most (single_s in [clock.limits])"),
            Self::StartupForward { limit_s } => {
                write!(out, "the first one forward is {limit_s} s at most (startup_forward_s in [clock.limits])")
            }
            Self::StartupBackward { limit_s } => {
                write!(out, "the first one back is {limit_s} s at most (startup_backward_s in [clock.limits])")
            }
            Self::Total { limit_s } => {
                write!(out, "all steps of a boot come to {limit_s} s at most (total_s in [clock.limits])")
            }
            Self::Implausible => out.write_str("it would then show a time that cannot be"),
        }
    }
}

/// Offset and uncertainty.
struct Offset(i64, u64);

impl fmt::Display for Offset {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = if self.0 < 0 { "ahead" } else { "behind" };
        let uncertainty_us = i64::try_from(self.1).unwrap_or(i64::MAX);
        write!(out, "{} s {side} (± {} s)", Seconds(self.0.saturating_abs()), Seconds(uncertainty_us))
    }
}

/// Microseconds, shown as seconds.
struct Seconds(i64);

impl fmt::Display for Seconds {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        write!(out, "{sign}{}.{:06}", self.0.unsigned_abs() / 1_000_000, self.0.unsigned_abs() % 1_000_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keeper::Daemon;

    const S_US: i64 = 1_000_000;

    /// 2026-01-01T00:00:00Z.
    const BUILT_US: i64 = 1_767_225_600 * S_US;

    /// 1,024 weeks.
    const ERA_US: i64 = 1_024 * 7 * 86_400 * S_US;

    /// A clock that was set in this boot and nobody keeps, two months after the build.
    const SET: Facts = Facts {
        clock_us: BUILT_US + 60 * 86_400 * S_US,
        earliest_us: BUILT_US,
        latest_us: BUILT_US + ERA_US,
        keeper: None,
        is_first_of_boot: false,
        is_believed: false,
        stepped_us: 0,
        drift_us: 0,
    };

    const FIRST: Facts = Facts { is_first_of_boot: true, ..SET };

    fn decided(offset_us: i64, facts: &Facts) -> Decision {
        decide(offset_us, 1_000, facts, &Limits::default())
    }

    fn check(offset_us: i64, facts: &Facts, expected: &str) {
        assert_eq!(decided(offset_us, facts).to_string(), expected);
    }

    #[test]
    fn small_offsets_are_left_middling_ones_slewed_large_ones_stepped() {
        check(-1_000, &SET, "the clock is right as far as can be told: 0.001000 s ahead (± 0.001000 s)");
        check(1_001, &SET, "the clock is 0.001001 s behind (± 0.001000 s), and is slewed");
        check(-128_000, &SET, "the clock is 0.128000 s ahead (± 0.001000 s), and is slewed");
        check(128_001, &SET, "the clock is 0.128001 s behind (± 0.001000 s), and is stepped");
    }

    #[test]
    fn a_clock_that_is_left_may_be_off_by_offset_and_uncertainty() {
        assert_eq!(decided(-400, &SET).bound_us(), Some(1_400));
        assert_eq!(decided(128_000, &SET).bound_us(), Some(1_032));
        assert_eq!(decided(50 * S_US, &SET).bound_us(), Some(1_000));
        assert_eq!(decided(5_000 * S_US, &SET).bound_us(), None);
    }

    #[test]
    fn one_step_has_a_limit_and_so_have_all_of_them() {
        let refused = |offset_us, facts: &Facts| match decided(offset_us, facts) {
            Decision::Refuse { limit, .. } => Some(limit),
            _ => None,
        };
        assert_eq!(refused(1_000 * S_US, &SET), None);
        assert_eq!(refused(-1_000 * S_US - 1, &SET), Some(Limit::Single { limit_s: 1_000 }));
        let often = Facts { stepped_us: 3_599_000_000, ..SET };
        assert_eq!(refused(S_US, &often), None);
        assert_eq!(refused(S_US + 1, &often), Some(Limit::Total { limit_s: 3_600 }));
        assert_eq!(
            refused(3 * S_US, &Facts { drift_us: 2_000_000, ..often }),
            None,
            "the oscillator explains two seconds"
        );
        check(
            -1_500 * S_US,
            &SET,
            "the clock should be stepped by -1500.000000 s, but one step is 1000 s at most (single_s in [clock.limits]); it is not touched",
        );
        assert!(decided(-1_500 * S_US, &SET).is_warning());
    }

    #[test]
    fn the_first_setting_of_a_boot_goes_further() {
        let day_us = 86_400 * S_US;
        assert!(matches!(decided(300 * day_us, &FIRST), Decision::Step { .. }));
        assert!(matches!(decided(-day_us, &FIRST), Decision::Step { .. }));
        let back = Limit::StartupBackward { limit_s: 86_400 };
        assert_eq!(decided(-day_us - 1, &FIRST), Decision::Refuse { by_us: -day_us - 1, limit: back });
        let limits = Limits { startup_forward_s: Some(60), ..Limits::default() };
        let forward = Limit::StartupForward { limit_s: 60 };
        assert_eq!(decide(61 * S_US, 1, &FIRST, &limits), Decision::Refuse { by_us: 61 * S_US, limit: forward });
        assert_eq!(decided(300 * day_us, &FIRST).counted_us(&FIRST), 0);
        assert_eq!(decided(300 * S_US, &SET).counted_us(&Facts { drift_us: 10, ..SET }), 299_999_990);
    }

    #[test]
    fn a_clock_that_is_obviously_unset_is_set_however_far() {
        for (clock_us, is_first_of_boot) in
            [(0, true), (0, false), (BUILT_US - 1, false), (BUILT_US + ERA_US + 1, true)]
        {
            let facts = Facts { clock_us, is_first_of_boot, stepped_us: u64::MAX, ..SET };
            let by_us = SET.clock_us - clock_us;
            let decision = decided(by_us, &facts);
            assert_eq!(decision, Decision::Step { by_us, uncertainty_us: 1_000, was_unset: true });
            assert_eq!(decision.counted_us(&facts), 0);
        }
        let beyond = ERA_US;
        assert_eq!(decided(beyond, &FIRST), Decision::Refuse { by_us: beyond, limit: Limit::Implausible });
    }

    #[test]
    fn a_kept_clock_is_only_compared() {
        let kept = |hold| Facts { keeper: Some(Keeper { daemon: Some(Daemon::Chronyd), hold }), ..SET };
        let kept_within_3_ms = kept(Hold::Disciplines { bound_us: 3_000 });
        check(
            4_000,
            &kept_within_3_ms,
            "chronyd keeps the clock within 3000 us, so it is left to it; GPS finds it 0.004000 s behind (± 0.001000 s)",
        );
        check(
            -4_001,
            &kept_within_3_ms,
            "chronyd keeps the clock within 3000 us, but GPS finds it 0.004001 s ahead (± 0.001000 s): both cannot be right; \
             it is not touched",
        );
        assert!(!decided(4_000, &kept_within_3_ms).is_warning() && decided(-4_001, &kept_within_3_ms).is_warning());
        let starting = kept(Hold::Starting { left_s: 9 });
        assert!(!decided(-9 * S_US, &starting).is_warning(), "it has not set the clock yet");
    }

    #[test]
    fn settings_have_bounds() {
        let read = |text: &str| toml::from_str::<Limits>(text).map_err(|error| error.to_string());
        assert_eq!(read(""), Ok(Limits::default()));
        let all = "single_s = 5\nstartup_forward_s = 6\nstartup_backward_s = 7\ntotal_s = 8\nkeeper_grace_s = 0";
        let limits = Limits {
            single_s: 5,
            startup_forward_s: Some(6),
            startup_backward_s: 7,
            total_s: 8,
            keeper_grace_s: 0,
            ..Limits::default()
        };
        assert_eq!(read(all), Ok(limits));
        for (text, why) in [
            ("single_s = 0", "1 to 315360000, not 0"),
            ("startup_forward_s = -1", "not -1"),
            ("keeper_grace_s = 86401", "0 to 86400, not 86401"),
            ("step_s = 1", "unknown field"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
