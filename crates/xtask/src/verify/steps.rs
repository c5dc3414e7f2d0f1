//! The steps, in their order: what costs nothing comes first, so that a slip is known in seconds.

use std::process::Command;

use anyhow::{Result, bail};

use super::{Session, arrows, clean_tree, dependencies, invariants, packages, testing, top_level, workflows};
use crate::boot;
use crate::debian::is_debian;
use crate::process::{cargo, run, without_foreign_variables};

/// One promise about the tree, and how it is checked.
pub(super) struct Step {
    /// What a person types.
    pub(super) name: &'static str,
    /// What holds once it has passed.
    pub(super) promise: &'static str,
    /// The check.
    pub(super) run: fn(&mut Session) -> Result<()>,
}

/// Every step.
pub(super) const STEPS: &[Step] = &[
    Step { name: "packages", promise: "the programs that tests drive are installed", run: packages::check },
    Step { name: "format", promise: "the code is formatted", run: format },
    Step { name: "top-level", promise: "the top of the tree holds only what belongs there", run: top_level::check },
    Step { name: "invariants", promise: "what must never be in the sources is not there", run: invariants::check },
    Step {
        name: "workflows",
        promise: "workflows and shell scripts have nothing for their linters",
        run: workflows::check,
    },
    Step { name: "arrows", promise: "our crates depend on each other only downwards", run: arrows::check },
    Step { name: "lints", promise: "clippy has nothing to say", run: lints },
    Step { name: "docs", promise: "the documentation builds, and its links lead somewhere", run: docs },
    Step { name: "tests", promise: "every crate does what its tests say", run: testing::run_tests },
    Step { name: "journeys", promise: "the real programs work together", run: testing::run_journeys },
    Step { name: "demo", promise: "the demo delivers its day of photos and leaves nothing running", run: demo },
    Step { name: "layers", promise: "rpi-image-gen takes the card's layers, and refuses what is wrong", run: layers },
    Step { name: "card", promise: "the card image is made of its layers", run: boot },
    Step { name: "deb", promise: "the package for systems that run already is made", run: deb },
    Step {
        name: "dependencies",
        promise: "foreign crates are licensed, wanted, and from crates.io",
        run: dependencies::check,
    },
    Step { name: "clean-tree", promise: "all this has left nothing behind", run: clean_tree::check },
];

/// With the program as the workspace's build has left it: the one that runs these steps may have been replaced by now.
fn demo(session: &mut Session) -> Result<()> {
    testing::build_programs()?;
    let mut command = Command::new(session.workspace.target.join("debug/xtask"));
    run(without_foreign_variables(&mut command).args(["demo", "--once"]))
}

/// The tool is not in the tree and on no registry, so this is for those who have it, and for releases.
fn layers(session: &mut Session) -> Result<()> {
    let Some(tool) = &session.config.rpi_image_gen else {
        println!("    not asked: RPI_IMAGE_GEN names no checkout of rpi-image-gen");
        return Ok(());
    };
    run(Command::new(session.workspace.root.join("image/check.sh")).env("RPI_IMAGE_GEN", tool))
}

fn boot(session: &mut Session) -> Result<()> {
    if is_debian() && !session.config.test_boot {
        boot::build_in(&session.config, &session.workspace)?;
        println!("    built, and not booted: TIDE_TEST_BOOT=1 asks for that, and takes ten minutes more");
        return Ok(());
    }
    if is_debian() {
        // How long the first photo takes is told, and judged by `cargo xtask boot`, which has the machine to itself.
        let options = ["short", "--first-photo-s", "600"].map(str::to_owned);
        return boot::run_in(&session.config, &session.workspace, &options);
    }
    if session.config.test_all {
        bail!("TIDE_TEST_ALL=1 demands every test, and a card image is built on Debian only");
    }
    println!("    no card was booted: its image is built on Debian only");
    Ok(())
}

fn deb(session: &mut Session) -> Result<()> {
    if is_debian() {
        crate::deb::run_in(&session.config, &session.workspace, session.config.test_boot)?;
        if !session.config.test_boot {
            println!("    made, and not installed: TIDE_TEST_BOOT=1 asks for that");
        }
        return Ok(());
    }
    if session.config.test_all {
        bail!("TIDE_TEST_ALL=1 demands every test, and packages are made on Debian only");
    }
    println!("    no package was made: that is done on Debian only");
    Ok(())
}

fn format(_: &mut Session) -> Result<()> {
    run(&mut cargo(&["fmt", "--all", "--check"]))
}

fn lints(_: &mut Session) -> Result<()> {
    run(&mut cargo(&["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"]))
}

fn docs(_: &mut Session) -> Result<()> {
    let mut command = cargo(&["doc", "--workspace", "--no-deps", "--document-private-items", "--locked"]);
    run(command.env("RUSTDOCFLAGS", "-D warnings"))
}
