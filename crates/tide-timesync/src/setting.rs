//! A decision is carried out: the order in which the clock is moved, the track told, and the kernel given its new bound.

use crate::devices::clock::{ClockError, SystemClock};
use crate::drift::Track;
use crate::steering::Decision;

/// Moves the clock as was decided, and vouches for it. Gives the bound that the kernel was given, in microseconds, for the report;
/// none where the clock is another's, or known to be wrong.
///
/// # Errors
/// If the clock, or its kernel, does not do as it is told. A clock that was stepped is then nobody's.
pub fn carry_out(
    decision: &Decision,
    clock: &mut dyn SystemClock,
    track: &mut Track,
) -> Result<Option<u64>, ClockError> {
    let Some(mut bound_us) = decision.bound_us() else { return Ok(None) };
    match *decision {
        Decision::Step { by_us, .. } => {
            clock.step(by_us)?;
            track.stepped(by_us);
        }
        Decision::Slew { by_us, .. } => {
            // What an earlier slew brings within this second comes on top, and no more shows.
            bound_us = bound_us.saturating_add(clock.kernel_state()?.in_flight_us());
            clock.slew(by_us)?;
            track.slewed(by_us);
        }
        // An earlier slew goes on, and takes a right clock with it.
        Decision::AlreadyRight { .. } => {
            bound_us = bound_us.saturating_add(clock.kernel_state()?.slewing_bound_us());
        }
        Decision::LeaveToKeeper { .. } | Decision::Refuse { .. } => (),
    }
    clock.vouch(bound_us, bound_us)?;
    Ok(Some(bound_us))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::devices::rehearsed_clock::RehearsedClock;
    use crate::steering::Limit;

    /// Bound, shown time, and what the kernel then says: whether it vouches, within how many microseconds, and what it slews.
    fn done(decision: Decision) -> (Option<u64>, i64, bool, u64, i64) {
        let mut clock = RehearsedClock::new(Arc::new(|| 1_000_000), 5_000_000);
        let bound_us = carry_out(&decision, &mut clock, &mut Track::default()).unwrap();
        let state = clock.kernel_state().unwrap();
        (bound_us, clock.reading().real_us, state.synchronised, state.max_error_us, state.slewing_us)
    }

    #[test]
    fn the_kernel_is_given_the_bound_after_the_clock_is_right() {
        let stepped = Decision::Step { by_us: 7_000_000, uncertainty_us: 20_000, was_unset: false };
        assert_eq!(done(stepped), (Some(20_000), 12_000_000, true, 20_000, 0));
        let slewed = Decision::Slew { by_us: 80_000, uncertainty_us: 20_000 };
        assert_eq!(done(slewed), (Some(20_020), 5_000_000, true, 20_020, 80_000));
        let right = Decision::AlreadyRight { offset_us: -5_000, uncertainty_us: 20_000 };
        assert_eq!(done(right), (Some(25_000), 5_000_000, true, 25_000, 0));
        let refused = Decision::Refuse { by_us: 1, limit: Limit::Implausible };
        assert_eq!(done(refused), (None, 5_000_000, false, 16_000_000, 0));
    }
}
