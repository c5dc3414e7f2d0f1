//! `tide-provision disk` on loop devices. That needs root.

#[cfg(test)]
mod boots;
#[cfg(test)]
mod card;
mod config;
#[cfg(test)]
mod noise;

use std::process::{Command, ExitCode};

use libtest_mimic::{Arguments, Failed, Trial};

fn main() -> ExitCode {
    let tests: [(&str, fn()); 10] = [
        ("the_first_boot_makes_it_and_the_second_keeps_it", boots::the_first_boot_makes_it_and_the_second_keeps_it),
        (
            "a_cut_at_any_moment_of_the_first_boot_is_made_good",
            boots::a_cut_at_any_moment_of_the_first_boot_is_made_good,
        ),
        ("what_is_beyond_repair_is_set_aside_unchanged", boots::what_is_beyond_repair_is_set_aside_unchanged),
        ("without_a_spare_it_is_made_anew", boots::without_a_spare_it_is_made_anew),
        ("a_spoilt_superblock_alone_is_repaired", boots::a_spoilt_superblock_alone_is_repaired),
        ("small_damage_is_repaired_or_set_aside", boots::small_damage_is_repaired_or_set_aside),
        ("a_cut_repair_is_begun_again", boots::a_cut_repair_is_begun_again),
        ("what_is_mounted_is_left_alone", boots::what_is_mounted_is_left_alone),
        ("a_card_without_room_is_refused", boots::a_card_without_room_is_refused),
        ("the_smallest_has_room_for_photos", boots::the_smallest_has_room_for_photos),
    ];
    let is_met = is_met();
    let trials = tests.into_iter().map(|(name, test)| {
        let trial = Trial::test(name, move || match is_met {
            true => {
                test();
                Ok(())
            }
            false => Err(Failed::from("TIDE_TEST_ALL is set, but this is not root, or it has no loop devices")),
        });
        trial.with_ignored_flag(!is_met && !config::must_all_run())
    });
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit_code()
}

/// Whether loop devices can be had here.
fn is_met() -> bool {
    let is_root = rustix::process::geteuid().is_root();
    let answers = |program: &str| Command::new(program).arg("--version").output().is_ok();
    is_root && ["losetup", "sfdisk", "partx", "mkfs.ext4", "e2fsck"].into_iter().all(answers) && has_loops()
}

fn has_loops() -> bool {
    Command::new("losetup").arg("--find").output().is_ok_and(|output| output.status.success())
}
