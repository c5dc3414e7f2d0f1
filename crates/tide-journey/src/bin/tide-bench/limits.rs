//! What the server takes when nothing happens, and when too much does.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use bytes::Bytes;
use futures_util::future::join_all;
use futures_util::stream;
use reqwest::multipart::{Form, Part};
use reqwest::{Body, Client, StatusCode};
use tide_journey::{TestServer, Upload};
use tide_photo::wire;
use tokio::runtime::Runtime;

use crate::{Kept, mib};

/// How long a server is left alone before its idle memory is read.
const IDLE: Duration = Duration::from_secs(3);

/// Clients that come at the same moment.
const BURST: u32 = 300;

/// Prints what was seen.
pub(crate) fn measure(runtime: &Runtime, kept: &mut Kept) -> anyhow::Result<()> {
    println!("\nLimits");
    idle(kept)?;
    kept.servers.push(runtime.block_on(bodies_over_the_limit())?);
    kept.servers.push(runtime.block_on(burst())?);
    Ok(())
}

fn idle(kept: &mut Kept) -> anyhow::Result<()> {
    let mut server = TestServer::start()?;
    std::thread::sleep(IDLE);
    let first = mib(server.memory_kib()?);
    server.stop()?;
    server.restart()?;
    std::thread::sleep(IDLE);
    println!("idle: {first:.1} MiB after the first start, {:.1} MiB after the second", mib(server.memory_kib()?));
    server.stop()?;
    kept.servers.push(server);
    Ok(())
}

async fn bodies_over_the_limit() -> anyhow::Result<TestServer> {
    let mut server = TestServer::start()?;
    let token = server.add_station_token("bench")?;
    let (client, url) = (server.client()?, server.url());
    // Two megabytes at a time first: what an ordinary photo takes is not growth.
    for number in 0..20 {
        let photo = Upload::made_up("bench", number, 2_000_000)?;
        ensure!(photo.request(&client, &url, &token).send().await?.status() == StatusCode::CREATED);
    }
    for (what, megabytes, as_text) in [("300 MB photo", 300, false), ("50 MB text field", 50, true)] {
        let before = server.peak_memory_kib()?;
        let answer = send_too_much(&client, &url, &token, megabytes, as_text).await?;
        let growth = mib(server.peak_memory_kib()?.saturating_sub(before));
        println!("{what}: {answer}, peak memory grew by {growth:.2} MiB");
    }
    server.stop()?;
    Ok(server)
}

/// Sends a body whose length is not said beforehand, so that only its bytes can tell.
async fn send_too_much(
    client: &Client,
    url: &str,
    token: &str,
    megabytes: usize,
    as_text: bool,
) -> anyhow::Result<StatusCode> {
    let photo = Upload::made_up("bench", 1_000, 1_000_000)?;
    let pieces = std::iter::repeat_n(Bytes::from(comment()), megabytes * 1_000_000 / 65_000);
    let start = std::iter::once(Bytes::from_static(&[0xFF, 0xD8]));
    let body = Body::wrap_stream(stream::iter(start.chain(pieces).map(Ok::<_, std::io::Error>)));
    let (manifest, image) = if as_text {
        (Part::stream(body), Part::bytes(photo.image.to_vec()))
    } else {
        (Part::text(photo.manifest.clone()), Part::stream(body))
    };
    let form = Form::new().part(wire::MANIFEST_PART, manifest).part(wire::IMAGE_PART, image);
    let request = client.put(format!("{url}{}", wire::photo_path(&photo.digest))).bearer_auth(token);
    let answer = request.multipart(form).send().await.context("the server hung up without an answer")?;
    Ok(answer.status())
}

/// A JPEG comment of 65,000 bytes: as many as one likes may stand in front of a picture.
fn comment() -> Vec<u8> {
    let mut comment = vec![0xFF, 0xFE, 0xFD, 0xE6];
    comment.resize(65_000, b' ');
    comment
}

async fn burst() -> anyhow::Result<TestServer> {
    let mut server = TestServer::start()?;
    let token = server.add_station_token("bench")?;
    let began = Instant::now();
    let uploads = (0..BURST).map(|number| {
        let (client, url, token) = (server.client(), server.url(), token.clone());
        tokio::spawn(async move {
            let photo = Upload::made_up("bench", number, 200_000)?;
            let answer = photo.request(&client?, &url, &token).send().await?;
            anyhow::Ok(answer.status().as_u16())
        })
    });
    let mut answers: BTreeMap<String, u32> = BTreeMap::new();
    for upload in join_all(uploads).await {
        let answer = upload?.map_or_else(|_| "no answer".to_owned(), |status| status.to_string());
        *answers.entry(answer).or_default() += 1;
    }
    let seconds = began.elapsed().as_secs_f64();
    let peak = mib(server.peak_memory_kib()?);
    println!("burst of {BURST} clients: {answers:?} in {seconds:.2} s, peak memory {peak:.1} MiB");
    server.stop()?;
    Ok(server)
}
