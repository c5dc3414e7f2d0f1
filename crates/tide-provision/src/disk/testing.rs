//! The one card that is no card.

use std::collections::VecDeque;

use anyhow::bail;

use super::card::{Card, Contents, FileForPeople, MADE_ANEW, Trial};
use super::layout::{self, Partition, Step, Table};
use super::programs::Ended;

const MIB: u64 = 1_024 * 1_024;

/// Remembers what is done to it, and answers as it is told.
pub(super) struct FakeCard {
    /// What it is divided into.
    pub(super) table: Table,
    /// What was done to it.
    pub(super) calls: Vec<String>,
    /// What e2fsck answers; once they are used up, that all is well.
    pub(super) checks: VecDeque<Ended>,
    /// Whether it can be mounted; once they are used up, it can.
    pub(super) mounts: VecDeque<bool>,
    /// Whether something else uses its partitions.
    pub(super) in_use: bool,
    /// After so many calls the power goes.
    pub(super) calls_until_cut: Option<usize>,
    says_made_anew: bool,
}

/// e2fsck ended with this code.
pub(super) fn code(code: i32) -> Ended {
    Ended::WithCode { code, output: String::new(), said: String::new() }
}

/// The data partition of [`FakeCard::with_data`].
pub(super) fn data() -> Partition {
    let Step::Make(partition) = layout::next(&system(), &[].into()) else { panic!("there is no room") };
    partition
}

fn system() -> Table {
    let partition = |number, start_bytes, size_bytes| Partition { number, start_bytes, size_bytes };
    let partitions = vec![partition(1, 4 * MIB, 256 * MIB), partition(2, 260 * MIB, 440 * MIB)];
    Table { disk_bytes: 7_800 * MIB, sector_bytes: 512, partitions }
}

impl FakeCard {
    /// As it was flashed.
    pub(super) fn fresh() -> Self {
        Self {
            table: system(),
            calls: Vec::new(),
            checks: VecDeque::new(),
            mounts: VecDeque::new(),
            in_use: false,
            calls_until_cut: None,
            says_made_anew: false,
        }
    }

    /// After its first boot.
    pub(super) fn with_data() -> Self {
        let mut card = Self::fresh();
        card.table.partitions.push(data());
        card
    }

    /// Takes the spare away.
    pub(super) fn fill(&mut self) {
        self.table.disk_bytes -= self.table.room_bytes();
    }

    fn call(&mut self, verb: &str, partition: Partition) -> anyhow::Result<()> {
        if self.calls_until_cut == Some(self.calls.len()) {
            bail!("the power is cut");
        }
        self.calls.push(format!("{verb} {}", partition.number));
        Ok(())
    }

    fn answer(&mut self, verb: &str, partition: Partition) -> Ended {
        match self.call(verb, partition) {
            Ok(()) => self.checks.pop_front().unwrap_or_else(|| code(0)),
            Err(error) => Ended::Unfinished(error.to_string()),
        }
    }
}

impl Card for FakeCard {
    fn table(&mut self) -> anyhow::Result<Table> {
        Ok(self.table.clone())
    }

    fn attach(&mut self, partition: Partition) -> anyhow::Result<()> {
        self.call("attach", partition)
    }

    fn is_in_use(&mut self, _partition: Partition) -> anyhow::Result<bool> {
        Ok(self.in_use)
    }

    fn make(&mut self, partition: Partition, file: Option<&FileForPeople>) -> anyhow::Result<()> {
        self.call("make", partition)?;
        self.says_made_anew = file == Some(&MADE_ANEW);
        Ok(())
    }

    fn enter(&mut self, partition: Partition) -> anyhow::Result<()> {
        self.call("enter", partition)?;
        self.table.partitions.push(partition);
        Ok(())
    }

    fn check(&mut self, partition: Partition) -> Ended {
        self.answer("check", partition)
    }

    fn repair(&mut self, partition: Partition) -> Ended {
        self.answer("repair", partition)
    }

    fn trial(&mut self, partition: Partition) -> Trial {
        match self.call("trial", partition) {
            Ok(()) if self.mounts.pop_front().unwrap_or(true) => {
                Trial::Works(Contents { lost_and_found: 0, says_made_anew: self.says_made_anew })
            }
            Ok(()) => Trial::Fails("it does not".to_owned()),
            Err(error) => Trial::Fails(error.to_string()),
        }
    }
}
