//! The short form of each fault test.

use libtest_mimic::Trial;
use tide_journey::faults::{FAULTS, Fault, Plan};
use tide_journey::needs::journey;

/// Decides the random choices of every run alike: what fails here fails again.
const SEED: u64 = 20_261_122;

pub(crate) fn journeys() -> Vec<Trial> {
    FAULTS.iter().map(short_form).collect()
}

fn short_form(fault: &'static Fault) -> Trial {
    journey(&format!("fault_{}_{}", fault.number, fault.name), fault.need, || {
        let seen = (fault.run)(Plan { rounds: fault.short_rounds, seed: SEED })?;
        println!("{} {}: {seen}", fault.number, fault.name);
        Ok(())
    })
}
