//! `tide-server init`: one command puts a server on a machine that has Docker, whatever its system.
//!
//! A container cannot see the address of its host, nor start its neighbours. So this prints a script for the host's own shell,
//! with the compose file in it: whoever has the image has all that it takes.

use clap::Args;

/// The compose file, for those who have no checkout.
const COMPOSE: &str = include_str!("../../../../../docker-compose.yml");

const SHELL: &str = include_str!("deploy.sh");

const POWERSHELL: &str = include_str!("deploy.ps1");

/// Where releases of this version are.
const IMAGE: &str = concat!("ghcr.io/tide-recorder/tide-server:", env!("CARGO_PKG_VERSION"));

/// What to print.
#[derive(Args)]
pub struct InitOptions {
    /// For the PowerShell of Windows, instead of the shell of Linux and macOS.
    #[arg(long)]
    powershell: bool,
    /// The image that is put there, if it is not the one of this version's release.
    #[arg(long, default_value = IMAGE)]
    image: String,
}

/// Prints the script.
pub fn init(options: &InitOptions) {
    print!("{}", script(options));
}

fn script(options: &InitOptions) -> String {
    let script = if options.powershell { POWERSHELL } else { SHELL };
    script.replace("@IMAGE@", &options.image).replace("@COMPOSE@", compose().trim_end())
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
        script(&InitOptions { powershell, image: "example.org/tide:1".to_owned() })
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
