//! The card image boots in QEMU as the machine of a station, delivers to a real server on this machine, and is treated as a pier
//! treats it. Run it by `cargo xtask boot`, which has the image built.

mod bench;
mod camera_unplugged;
mod cuts;
mod data_beyond_repair;
mod first_boot;
mod gps_unplugged;
mod hung;
mod login;
mod offline;
mod raspi3b;
mod standing;
mod station;
mod wrong_settings;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Parser;
use tide_journey::appliance::Image;
use tide_journey::faults;

use crate::bench::{Bench, Plan};

/// Boots the card image in QEMU, and does to it what a pier does.
#[derive(Parser)]
struct Arguments {
    /// Scenarios by name, in this order; `short` stands for those that CI has time for; all of them if none is named. `list` lists
    /// them.
    scenarios: Vec<String>,
    /// Folder that `cargo xtask image --flavour debian` has filled.
    #[arg(long)]
    image: Option<PathBuf>,
    /// To make the same random choices as an earlier run.
    #[arg(long)]
    seed: Option<u64>,
    /// How often the power is cut; 20 by default, 2 in `short`.
    #[arg(long)]
    cuts: Option<u32>,
    /// How long the station has no network, in seconds; an hour by default, two minutes in `short`.
    #[arg(long)]
    offline_s: Option<u64>,
    /// Longest time from power-on of a fresh card to its first photo by GPS in the server's list, in seconds. The emulated processor
    /// has to share the real one with whatever else runs.
    #[arg(long, default_value_t = 120)]
    first_photo_s: u64,
    /// Folder for cards and consoles, which stay there.
    #[arg(long)]
    keep: Option<PathBuf>,
}

/// What is done, and what must hold.
struct Scenario {
    name: &'static str,
    about: &'static str,
    /// Whether CI has time for it.
    is_short: bool,
    /// The text says what was seen, with figures.
    run: fn(&mut Bench) -> anyhow::Result<String>,
}

/// In an order in which one card goes from one to the next: a boot costs a minute.
const SCENARIOS: [Scenario; 12] = [
    Scenario {
        name: "first-boot",
        about: "a fresh card and an RTC of 2000: the clock is set from GPS, and a photo by it is in the server's list",
        is_short: true,
        run: first_boot::run,
    },
    Scenario {
        name: "camera-unplugged",
        about: "the camera is gone for a while: photos go on by themselves",
        is_short: false,
        run: camera_unplugged::run,
    },
    Scenario {
        name: "offline",
        about: "no network for a while: all photos arrive",
        is_short: false,
        run: offline::run,
    },
    Scenario {
        name: "gps-unplugged",
        about: "no receiver after a reboot: photos go on by the RTC and say so, until it is plugged in",
        is_short: false,
        run: gps_unplugged::run,
    },
    Scenario {
        name: "login",
        about: "a key and a Wi-Fi network put into tide.toml later: the next boot takes them up, and nobody else comes in",
        is_short: false,
        run: login::run,
    },
    Scenario {
        name: "hung-recorder",
        about: "a recorder that hangs is restarted",
        is_short: false,
        run: hung::recorder,
    },
    Scenario {
        name: "hung-kernel",
        about: "a kernel that hangs is reset by the hardware watchdog",
        is_short: false,
        run: hung::kernel,
    },
    Scenario {
        name: "data-beyond-repair",
        about: "the data partition is noise: it is left as it is, and the station goes on in the spare room",
        is_short: false,
        run: data_beyond_repair::run,
    },
    Scenario {
        name: "cuts",
        about: "the power goes at random: every photo that has a receipt is on the server once, every photo in the spool is whole",
        is_short: true,
        run: cuts::run,
    },
    Scenario {
        name: "lost-writes",
        about: "the power goes, and with it what the card had not made sure of: the same must hold",
        is_short: false,
        run: cuts::run_with_lost_writes,
    },
    Scenario {
        name: "wrong-settings",
        about: "a wrong tide.toml: tide-status.txt says what to do, and no photo is taken under any name",
        is_short: true,
        run: wrong_settings::run,
    },
    Scenario {
        name: "raspi3b",
        about: "a Raspberry Pi 3: it is known as one, its pin is switched, and its DS3231 is read and written",
        is_short: true,
        run: raspi3b::run,
    },
];

/// In the form for CI.
const SHORT_CUTS: u32 = 2;

const LONG_CUTS: u32 = 20;

const SHORT_OFFLINE_S: u64 = 120;

const LONG_OFFLINE_S: u64 = 3_600;

fn main() -> ExitCode {
    let _ = rustls::crypto::ring::default_provider().install_default();
    faults::exit_code(run(&Arguments::parse()))
}

/// The number of scenarios in which something did not hold.
fn run(arguments: &Arguments) -> anyhow::Result<usize> {
    if arguments.scenarios.iter().any(|name| name == "list") {
        for scenario in &SCENARIOS {
            println!("{:<20} {}", scenario.name, scenario.about);
        }
        return Ok(0);
    }
    let is_short = arguments.scenarios.iter().any(|name| name == "short");
    let chosen = chosen(&arguments.scenarios, is_short)?;
    let folder = arguments.image.as_deref().context("--image names the folder of the image")?;
    let plan = Plan {
        seed: arguments.seed.map_or_else(faults::seed_of_now, Ok)?,
        cuts: arguments.cuts.unwrap_or(if is_short { SHORT_CUTS } else { LONG_CUTS }),
        offline: Duration::from_secs(arguments.offline_s.unwrap_or(if is_short {
            SHORT_OFFLINE_S
        } else {
            LONG_OFFLINE_S
        })),
        first_photo: Duration::from_secs(arguments.first_photo_s),
    };
    let mut bench = Bench::new(Image::in_folder(folder)?, plan, arguments.keep.as_deref())?;
    println!("seed {}", plan.seed);
    let mut harmful = 0;
    for scenario in chosen {
        println!("{}: {}", scenario.name, scenario.about);
        let began = Instant::now();
        let outcome = (scenario.run)(&mut bench);
        let seconds = began.elapsed().as_secs_f64();
        match outcome {
            Ok(seen) => println!("{} passed in {seconds:.0} s: {seen}", scenario.name),
            Err(error) => {
                harmful += 1;
                println!("{} FAILED after {seconds:.0} s: {error:?}\n{}", scenario.name, bench.last_words());
                // What came of it is no ground for the next one.
                bench.put_away();
            }
        }
    }
    Ok(harmful)
}

fn chosen(names: &[String], is_short: bool) -> anyhow::Result<Vec<&'static Scenario>> {
    let mut chosen: Vec<_> =
        SCENARIOS.iter().filter(|scenario| if is_short { scenario.is_short } else { names.is_empty() }).collect();
    for name in names.iter().filter(|name| *name != "short") {
        match SCENARIOS.iter().find(|scenario| scenario.name == name) {
            Some(scenario) => chosen.push(scenario),
            None => bail!("there is no scenario `{name}`; `tide-boot list` lists them"),
        }
    }
    Ok(chosen)
}
