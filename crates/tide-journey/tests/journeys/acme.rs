//! A certificate from an ACME authority: asked for, kept, renewed under load, and done without.

use std::path::Path;

use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use reqwest::{Client, StatusCode};
use tide_journey::needs::{Need, journey};
use tide_journey::programs::{output, until};
use tide_journey::server::{PASSWORD, free_port};
use tide_journey::{Pebble, TestServer, TestStation, Upload};

use crate::wait_for;

pub(crate) fn journeys() -> Vec<Trial> {
    vec![
        journey("acme_obtains_a_certificate_and_a_restart_keeps_it", Need::Pebble, obtained),
        journey("acme_renews_while_clients_upload", Need::Pebble, renewed),
        journey("acme_keeps_the_certificate_before_while_a_renewal_fails", Need::Pebble, not_renewed),
        journey("acme_leaves_the_self_made_certificate_while_the_authority_is_away", Need::Nothing, away),
    ]
}

/// Ninety days, as public authorities give.
const LONG_S: u32 = 90 * 24 * 60 * 60;

/// Renewed after 12 seconds, over after 18.
const SHORT_S: u32 = 18;

/// Bytes of a photo.
const PHOTO_BYTES: usize = 20_000;

/// What the log says for each certificate.
const OBTAINED: &str = "obtained a certificate for localhost";

/// A server that has its certificate from an authority which gives it this long a life.
fn certified(life_s: u32) -> anyhow::Result<(Pebble, TestServer)> {
    let port = free_port()?;
    let pebble = wait_for(Pebble::start(port, life_s))?;
    let server = start(port, &pebble.directory(), &pebble.roots_file())?;
    until_obtained(&server, 1).with_context(|| format!("server: {}", server.log()))?;
    Ok((pebble, server))
}

fn start(port: u16, directory: &str, roots: &Path) -> anyhow::Result<TestServer> {
    TestServer::start_on(
        port,
        &[
            ("ADMIN_PASS", PASSWORD),
            ("TIDE_PUBLIC_NAME", "localhost"),
            ("TIDE_ACME_DIRECTORY", directory),
            ("TIDE_ACME_CONTACT", "mailto:tide@example.org"),
            ("TIDE_ACME_ROOT", &roots.display().to_string()),
        ],
    )
}

fn until_obtained(server: &TestServer, times: usize) -> anyhow::Result<()> {
    until("the server has its certificate", || Ok(server.log().matches(OBTAINED).count() >= times))
}

async fn expect_login_page(client: &Client, server: &TestServer) -> anyhow::Result<()> {
    let answer = client.get(format!("{}/login", server.url())).send().await?;
    ensure!(answer.status() == StatusCode::OK, "{}", answer.status());
    Ok(())
}

fn obtained() -> anyhow::Result<()> {
    let (pebble, mut server) = certified(LONG_S)?;
    ensure!(server.log().contains("serving with a self-made certificate until"), "{}", server.log());
    wait_for(expect_login_page(&pebble.client()?, &server))?;
    // One, or more where Pebble has turned down a good nonce, as it does now and then.
    let orders = pebble.orders()?;

    server.stop()?;
    server.restart()?;
    wait_for(expect_login_page(&pebble.client()?, &server))?;
    ensure!(orders > 0 && pebble.orders()? == orders, "the restart asked again: {}", pebble.log()?);
    ensure!(server.log().matches("self-made").count() == 1, "{}", server.log());

    // Stations trust the private authority that the settings name, or one that their system knows.
    let settings = server.add_station("pier-3")?;
    ensure!(settings.contains("url = \"https://localhost\"\n"), "an authority looks at port 443, as stations do");
    deliver(TestStation::new(&settings)?, &server)?;
    let mut without_roots = server.command()?;
    let settings = output(without_roots.env_remove("TIDE_ACME_ROOT").args(["station", "token", "pier-3", "--config"]))?;
    ensure!(settings.contains("certificate = \"public\"\n"), "{settings}");
    let public = TestStation::new(&settings)?;
    deliver(public.with("SSL_CERT_FILE", pebble.issuing_root_file().display().to_string()), &server)?;
    server.expect_clean(2)
}

fn deliver(station: TestStation, server: &TestServer) -> anyhow::Result<()> {
    let mut station = station.with("TIDE_SERVER_URL", server.url());
    station.shoot(&[])?;
    station.run()?;
    station.until_delivered()?;
    station.stop()
}

fn renewed() -> anyhow::Result<()> {
    let (pebble, server) = certified(SHORT_S)?;
    let token = server.add_station_token("pier-3")?;
    let client = pebble.client()?;
    let mut photos = 0;
    wait_for(async {
        while server.log().matches(OBTAINED).count() < 2 {
            photos += 1;
            let upload = Upload::made_up("pier-3", photos, PHOTO_BYTES)?;
            let answer = upload.request(&client, &server.url(), &token).send().await;
            let status = answer.with_context(|| format!("upload {photos}; server: {}", server.log()))?.status();
            ensure!(status == StatusCode::CREATED, "upload {photos}: {status}");
        }
        expect_login_page(&client, &server).await
    })?;
    ensure!(pebble.orders()? >= 2, "{}", pebble.log()?);
    println!("acme: {photos} uploads on as many connections during a renewal, none failed");
    server.expect_clean(photos.into())
}

fn not_renewed() -> anyhow::Result<()> {
    let (mut pebble, server) = certified(SHORT_S)?;
    pebble.kill()?;
    until("the renewal fails", || Ok(server.log().contains("the certificate before stays, tried again at")))?;
    wait_for(expect_login_page(&pebble.client()?, &server))
}

fn away() -> anyhow::Result<()> {
    let root = tempfile::NamedTempFile::new()?;
    std::fs::write(root.path(), rcgen::generate_simple_self_signed(["localhost".to_owned()])?.cert.pem())?;
    let directory = format!("https://localhost:{}/dir", free_port()?);
    let mut server = start(free_port()?, &directory, root.path())?;
    until("the log says so", || Ok(server.log().contains("the self-made certificate stays, tried again at")))?;
    wait_for(expect_login_page(&server.client()?, &server))?;
    server.stop()?;
    server.restart()?;
    wait_for(expect_login_page(&server.client()?, &server))?;
    ensure!(server.log().matches("failed to obtain").count() == 1, "a restart has to wait too: {}", server.log());
    Ok(())
}
