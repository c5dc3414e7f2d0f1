//! The server's container, tried as its users have it: put there by one command, delivered to by a real station, looked at with a
//! real browser, taken down and up again, with a full disk, with a prototype's photos. Run it by `cargo xtask container`, which
//! builds the images.

mod claims;
mod life;
mod looking;
mod takeover;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;

/// Tries the server's container.
#[derive(Parser)]
struct Arguments {
    /// The image for this machine.
    image: String,
    /// The image for the other architecture, which QEMU runs.
    #[arg(long)]
    foreign: Option<String>,
    /// The image with ffmpeg.
    #[arg(long)]
    film: Option<String>,
    /// Put the server there by PowerShell (`pwsh`), too.
    #[arg(long)]
    powershell: bool,
    /// Folder for a picture of the gallery.
    #[arg(long)]
    pictures: Option<PathBuf>,
}

fn main() -> ExitCode {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let arguments = Arguments::parse();
    let image = arguments.image.as_str();
    let mut failures = 0;
    let mut step = |name: &str, outcome: &mut dyn FnMut() -> anyhow::Result<String>| {
        println!("{name} ...");
        let began = Instant::now();
        let outcome = outcome();
        let seconds = began.elapsed().as_secs_f64();
        match outcome {
            Ok(seen) => println!("{name} passed in {seconds:.0} s: {seen}"),
            Err(error) => {
                failures += 1;
                println!("{name} FAILED after {seconds:.0} s: {error:?}");
            }
        }
    };
    step("image", &mut || claims::image(image));
    step("life", &mut || life::run(image, arguments.pictures.as_deref()));
    if arguments.powershell {
        step("powershell", &mut || life::by_powershell(image));
    }
    step("full-disk", &mut || life::full_disk(image));
    step("prototype", &mut || takeover::run(image));
    if let Some(film) = &arguments.film {
        step("film", &mut || claims::film(film));
    }
    if let Some(foreign) = &arguments.foreign {
        step("foreign image", &mut || claims::image(foreign));
        step("foreign", &mut || life::foreign(foreign));
    }
    if failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
