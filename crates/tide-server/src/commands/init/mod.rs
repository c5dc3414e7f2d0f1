//! `tide-server init`: one command puts a server on a machine that has Docker, whatever its system.
//!
//! A container cannot see the address of its host, nor start its neighbours. So this prints a script for the host's own shell,
//! with the compose file in it: whoever has the image has all that it takes.

use clap::Args;

/// The compose file, for those who have no checkout.
const COMPOSE: &str = include_str!("../../../../../docker-compose.yml");

const SHELL: &str = include_str!("deploy.sh");

const POWERSHELL: &str = include_str!("deploy.ps1");

/// Where releases of this version are: what is put there by a program outside of a released container.
const IMAGE: &str = concat!("ghcr.io/tide-recorder/tide-server:", env!("CARGO_PKG_VERSION"));

/// What to print.
#[derive(Args)]
pub struct InitOptions {
    /// For the PowerShell of Windows, instead of the shell of Linux and macOS.
    #[arg(long)]
    powershell: bool,
    /// The image that is put there, if it is not this one.
    #[arg(long)]
    image: Option<String>,
}

/// Prints the script. `released` is the image that this runs in.
pub fn init(options: &InitOptions, released: Option<&str>) {
    print!("{}", script(options, released));
}

fn script(options: &InitOptions, released: Option<&str>) -> String {
    let script = if options.powershell { POWERSHELL } else { SHELL };
    script
        .replace("@IMAGE@", options.image.as_deref().or(released).unwrap_or(IMAGE))
        .replace("@COMPOSE@", compose().trim_end())
}

/// The compose file without its `build:`, for which there has to be a checkout.
fn compose() -> String {
    let mut lines = String::new();
    let mut is_build = false;
    for line in COMPOSE.lines() {
        let depth = line.len() - line.trim_start().len();
        is_build = line == "    build:" || (is_build && depth > 4);
        if !is_build {
            lines.push_str(line);
            lines.push('\n');
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(powershell: bool) -> String {
        script(
            &InitOptions { powershell, image: Some("example.org/tide:1".to_owned()) },
            Some("example.org/tide:2-film"),
        )
    }

    #[test]
    fn the_image_is_the_one_asked_for_or_the_one_that_this_is() {
        for powershell in [false, true] {
            let named = |released| script(&InitOptions { powershell, image: None }, released);
            assert!(named(Some("example.org/tide:2-film")).contains("'example.org/tide:2-film'"));
            assert!(named(None).contains(&format!("'{IMAGE}'")));
            assert!(of(powershell).contains("'example.org/tide:1'"));
        }
    }

    #[test]
    fn both_scripts_hold_the_compose_file_and_the_image() {
        for script in [of(false), of(true)] {
            assert!(script.contains("cap_drop: [ALL]") && script.contains("image: ${TIDE_IMAGE:-"), "{script}");
            assert!(script.contains("= 'example.org/tide:1'") || script.contains("image='example.org/tide:1'"));
            for left in ["@IMAGE@", "@COMPOSE@", "    build:", "context: ."] {
                assert!(!script.contains(left), "{left} is left in\n{script}");
            }
        }
    }

    #[test]
    fn the_compose_file_ends_no_quotation_of_a_script() {
        assert!(COMPOSE.lines().all(|line| line != "END OF THE COMPOSE FILE" && !line.starts_with("'@")));
    }

    #[test]
    fn the_compose_file_names_this_version() {
        let minor = env!("CARGO_PKG_VERSION").rsplit_once('.').unwrap().0;
        assert!(COMPOSE.contains(&format!("ghcr.io/tide-recorder/tide-server:{minor}}}")));
    }

    #[test]
    fn the_shells_own_check_finds_no_mistake() {
        let checked = std::process::Command::new("sh").args(["-n", "-c", &of(false)]).output().unwrap();
        assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    }
}
