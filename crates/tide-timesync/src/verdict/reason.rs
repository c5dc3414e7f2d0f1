//! Why fixes are not trusted, in words.

use std::fmt;

use jiff::Timestamp;

/// Why fixes are not trusted.
#[derive(Debug, Clone, PartialEq)]
pub enum Reason {
    /// Nothing that could be read has come.
    Silent,
    /// The receiver sends, but has no fix.
    Void,
    /// So many fixes agree, and so many have to.
    TooFew {
        /// How many there are.
        have: usize,
        /// How many are needed.
        need: usize,
    },
    /// Dead reckoning, a simulation, or a time entered by hand: it runs on without a signal.
    Estimated,
    /// Too few satellites.
    TooFewSatellites(u8),
    /// The receiver itself does not vouch for its time.
    Inexact {
        /// Its own bound in microseconds.
        accuracy_us: u64,
    },
    /// The receiver does not know the leap seconds yet, which satellites tell every 12.5 minutes.
    Unresolved,
    /// The same time again and again.
    Stale,
    /// The time does not go on as the clock that is never set does.
    Jump {
        /// By how much, in microseconds.
        by_us: i64,
    },
    /// Pulses mark another moment than the messages leave for the beginning of a second.
    PulseElsewhere {
        /// By how much, in microseconds.
        by_us: u64,
    },
    /// Within a leap second, which a clock cannot show.
    LeapSecond,
    /// A time before this program was built, or too long after.
    Implausible(Timestamp),
    /// Implausible, but with some times 1,024 weeks more or less it would not be, and no other clock bears witness to that.
    Rollover {
        /// What the receiver says.
        told: Timestamp,
        /// What it may mean.
        meant: Timestamp,
    },
    /// The bounds of the fixes do not overlap: messages came later than any may.
    Scattered,
    /// Two receivers contradict each other.
    Disagree {
        /// By how much, in microseconds.
        by_us: u64,
    },
}

/// A sentence for the log, without its full stop.
impl fmt::Display for Reason {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |us: i64| us as f64 / 1_000.0;
        match self {
            Self::Silent => out.write_str("the receiver says nothing"),
            Self::Void => out.write_str("the receiver has no fix"),
            Self::TooFew { have, need } => write!(out, "{have} fixes agree, and {need} are needed"),
            Self::Estimated => out.write_str("the receiver only estimates, without a signal"),
            Self::TooFewSatellites(count) => write!(out, "the receiver uses {count} satellites only"),
            Self::Inexact { accuracy_us } => {
                write!(
                    out,
                    "the receiver takes its own time to be exact to {:.0} ms only",
                    ms(accuracy_us.cast_signed())
                )
            }
            Self::Unresolved => out.write_str("the receiver does not know the leap seconds yet"),
            Self::Stale => out.write_str("the receiver repeats the same time"),
            Self::Jump { by_us } => write!(out, "the receiver's time has jumped by {:.0} ms", ms(*by_us)),
            Self::PulseElsewhere { by_us } => write!(
                out,
                "the pulse per second and the messages contradict each other by {:.0} ms: is max_latency_ms too small?",
                ms(by_us.cast_signed())
            ),
            Self::LeapSecond => out.write_str("it is a leap second"),
            Self::Implausible(time) => write!(out, "the receiver says {time:.0}, which cannot be"),
            Self::Rollover { told, meant } => write!(
                out,
                "the receiver says {told:.0}, which is before this program was built or too long after; it may mean \
                 {meant:.0} (1024 weeks between them), but no other clock says so"
            ),
            Self::Scattered => out.write_str("the receiver's messages come too irregularly"),
            Self::Disagree { by_us } => {
                write!(out, "two receivers contradict each other by {:.0} ms", ms(by_us.cast_signed()))
            }
        }
    }
}
