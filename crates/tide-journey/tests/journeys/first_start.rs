//! The first start, and the settings that stop a start.

use std::fs;

use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use tempfile::TempDir;
use tide_journey::needs::{Need, journey};
use tide_journey::programs::{failure, program};
use tide_journey::{TestServer, TestStation};

use crate::wait_for;

pub(crate) fn journeys() -> Vec<Trial> {
    vec![
        journey("first_start_prints_a_password_once", Need::Nothing, password_once),
        journey("first_start_takes_the_password_of_a_docker_secret", Need::Nothing, docker_secret),
        journey("settings_that_cannot_be_used_stop_the_start", Need::Nothing, bad_settings),
        journey("a_mistyped_folder_is_no_empty_server", Need::Nothing, mistyped_folder),
        journey("a_station_has_one_recorder", Need::Nothing, one_recorder),
    ]
}

fn password_once() -> anyhow::Result<()> {
    let mut server = TestServer::start_with(&[])?;
    let printed = server.stdout();
    let line = printed.lines().find_map(|line| line.trim().strip_prefix("password"));
    let password = line.context("a password is printed")?.trim().to_owned();
    ensure!(!server.log().contains(&password), "and never logged");
    wait_for(server.log_in_as("admin", &password))?;
    for default in ["adminpass", "admin", ""] {
        ensure!(wait_for(server.log_in_as("admin", default)).is_err(), "{default:?} logs in");
    }
    server.stop()?;
    server.restart()?;
    ensure!(server.stdout() == printed, "a second start prints none");
    wait_for(server.log_in_as("admin", &password))?;
    Ok(())
}

fn docker_secret() -> anyhow::Result<()> {
    let folder = TempDir::new()?;
    let secret = folder.path().join("pass");
    // As PowerShell writes it.
    fs::write(&secret, "\u{feff}from a secret\r\n")?;
    let secret = secret.display().to_string();
    let server = TestServer::start_with(&[("ADMIN_USER", "maria"), ("ADMIN_PASS_FILE", &secret)])?;
    wait_for(server.log_in_as("maria", "from a secret"))?;
    ensure!(!server.stdout().contains("password"));
    Ok(())
}

fn bad_settings() -> anyhow::Result<()> {
    let folder = TempDir::new()?;
    for (name, subcommand, text, words) in [
        ("tide-server", "serve", "listen = \"127.0.0.1:1\"\nmax_foto_bytes = 3", ["line 2", "max_foto_bytes"]),
        ("tide-server", "serve", "listen = \"everywhere\"", ["line 1", "listen"]),
        ("tide-recorder", "run", "station = \"pier-3\"\n\n[camera]\nkid = \"replay\"", ["line 4", "kid"]),
        ("tide-recorder", "run", "station = \"Pier 3\"", ["line 1", "station name"]),
        ("tide-recorder", "run", "station = \"pier-3\"", ["missing", "server"]),
    ] {
        let file = folder.path().join("settings.toml");
        fs::write(&file, text)?;
        let said = failure(program(name)?.arg(subcommand).env("TIDE_CONFIG", &file))?;
        ensure!(words.iter().all(|word| said.contains(word)), "{name} with {text:?} said: {said}");
    }
    let said = failure(program("tide-server")?.env("TIDE_LISTN", "127.0.0.1:1"))?;
    ensure!(said.contains("TIDE_LISTN"), "{said}");
    Ok(())
}

fn mistyped_folder() -> anyhow::Result<()> {
    let folder = TempDir::new()?;
    let mistyped = folder.path().join("mistyped");
    for command in [["check"].as_slice(), &["audit"], &["operator", "list"], &["station", "list"]] {
        let said = failure(program("tide-server")?.args(command).env("TIDE_DATA_DIR", &mistyped))?;
        ensure!(said.contains("no data of a tide-server") && !mistyped.exists(), "{command:?} said: {said}");
    }
    Ok(())
}

fn one_recorder() -> anyhow::Result<()> {
    let server = TestServer::start()?;
    let mut station = TestStation::new(&server.add_station("pier-3")?)?;
    station.shoot(&[])?;
    station.run()?;
    station.until_delivered()?;
    let said = failure(station.command()?.arg("shoot"))?;
    ensure!(said.contains("another tide-recorder"), "{said}");
    station.stop()?;
    station.shoot(&[])?;
    Ok(())
}
