//! Who may log in, who may upload, and how both are taken back.

use std::io::Write;
use std::process::Stdio;

use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use reqwest::StatusCode;
use tide_journey::TestServer;
use tide_journey::hand::{Hand, jpeg, manifest};
use tide_journey::needs::{Need, journey};
use tide_journey::programs::{failure, output};
use tide_journey::server::PASSWORD;

use crate::wait_for;

pub(crate) fn journeys() -> Vec<Trial> {
    vec![
        journey("failed_logins_have_to_wait", Need::Nothing, failed_logins),
        journey("a_changed_password_ends_the_sessions", Need::Nothing, changed_password),
        journey("a_token_is_replaced_without_refusing_a_photo", Need::Nothing, replaced_token),
    ]
}

/// Runs an operator command with a password on standard input.
fn operator(server: &TestServer, arguments: &[&str], password: &str) -> anyhow::Result<bool> {
    let mut command = server.command()?;
    command.arg("operator").args(arguments).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn()?;
    // A command that refuses its arguments reads nothing.
    let _ = writeln!(child.stdin.take().context("the command has an input")?, "{password}");
    Ok(child.wait()?.success())
}

fn failed_logins() -> anyhow::Result<()> {
    let server = TestServer::start()?;
    wait_for(async {
        let client = server.client()?;
        let log_in = async |password: &str| {
            let request = client.post(format!("{}/login", server.url()));
            let request = request.header("content-type", "application/x-www-form-urlencoded");
            request.body(format!("username=admin&password={}", password.replace(' ', "+"))).send().await
        };
        for _ in 0..5 {
            ensure!(log_in("wrong").await?.status() == StatusCode::UNAUTHORIZED);
        }
        let refused = log_in(PASSWORD).await?;
        ensure!(refused.status() == StatusCode::TOO_MANY_REQUESTS, "the right password has to wait too");
        let seconds: u64 = refused.headers().get("retry-after").context("no Retry-After")?.to_str()?.parse()?;
        ensure!((1..=2).contains(&seconds), "{seconds} s");
        tokio::time::sleep(std::time::Duration::from_secs(seconds + 1)).await;
        ensure!(log_in(PASSWORD).await?.status() == StatusCode::SEE_OTHER);
        Ok(())
    })?;
    let audit = output(server.command()?.arg("audit"))?;
    ensure!(audit.lines().next().is_some_and(|line| line.contains("admin logged in from 127.0.0.1")), "{audit}");
    ensure!(audit.matches("admin was refused a login").count() == 5, "{audit}");
    Ok(())
}

fn changed_password() -> anyhow::Result<()> {
    let server = TestServer::start()?;
    ensure!(operator(&server, &["add", "maria", "--role", "viewer"], "a first password")?);
    ensure!(!operator(&server, &["add", "maria", "--role", "viewer"], "a first password")?, "the name is taken");
    ensure!(!operator(&server, &["add", "nikos", "--role", "viewer"], "short")?);
    ensure!(output(server.command()?.args(["operator", "list"]))? == "admin admin\nmaria viewer\n");
    wait_for(async {
        let session = server.log_in_as("maria", "a first password").await?;
        ensure!(session.get("/photos").await?.status().is_success());
        ensure!(operator(&server, &["password", "maria"], "a second password")?);
        ensure!(session.get("/photos").await?.status() == StatusCode::UNAUTHORIZED, "the session has ended");
        ensure!(server.log_in_as("maria", "a first password").await.is_err());
        let session = server.log_in_as("maria", "a second password").await?;
        output(server.command()?.args(["operator", "remove", "maria"]))?;
        ensure!(session.get("/photos").await?.status() == StatusCode::UNAUTHORIZED);
        ensure!(server.log_in_as("maria", "a second password").await.is_err());
        Ok(())
    })?;
    let said = failure(server.command()?.args(["operator", "remove", "maria"]))?;
    ensure!(said.contains("no operator named maria"), "{said}");
    Ok(())
}

fn replaced_token() -> anyhow::Result<()> {
    let server = TestServer::start()?;
    let first = server.add_station_token("pier-3")?;
    let second = output(server.command()?.args(["station", "token", "pier-3"]))?.trim().to_owned();
    let jpeg = jpeg()?;
    let digest = tide_photo::Digest::of(&jpeg).to_string();
    let put = async |token: &str| {
        let photo = manifest("pier-3", &jpeg).to_string();
        anyhow::Ok(Hand::new(&server, token)?.put(&digest, photo, jpeg.clone()).await?.status)
    };
    wait_for(async {
        ensure!(put(&first).await? == StatusCode::CREATED);
        ensure!(put(&second).await? == StatusCode::OK, "both are good");
        let third = output(server.command()?.args(["station", "token", "pier-3", "--only"]))?;
        ensure!(put(&first).await? == StatusCode::UNAUTHORIZED);
        ensure!(put(&second).await? == StatusCode::UNAUTHORIZED);
        ensure!(put(third.trim()).await? == StatusCode::OK);
        Ok(())
    })
}
