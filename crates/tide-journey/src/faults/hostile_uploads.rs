//! F11: uploads that no station would send, and crowds that only want to be in the way.

mod crowd;
mod photos;
mod requests;

use anyhow::ensure;
use reqwest::StatusCode;
use reqwest::multipart::{Form, Part};

use self::crowd::Crowd;
use self::photos::Doors;
use self::requests::Target;
use super::{Fault, Plan, Seen, wait_for};
use crate::hand::{ENDLESS_JPEG, Hand, endless, jpeg, refuse_bodies_of};
use crate::needs::Need;
use crate::server::files_below;
use crate::{TestServer, Upload, raw};

pub(super) const FAULT: Fault = Fault {
    number: "F11",
    name: "hostile-uploads",
    need: Need::Nothing,
    about: "broken, lying, scripted and endless uploads are refused; stalled and trickling ones are in nobody's way",
    long_rounds: 700,
    short_rounds: 70,
    run,
};

/// Who uploads.
const STATION: &str = "pier-3";

/// Memory that longer bodies may cost, in KiB: nothing but what the allocator needs by chance, which is more in a debug build.
const GROWTH_KIB: u64 = if cfg!(debug_assertions) { 8 * 1_024 } else { 2 * 1_024 };

/// Memory that refusals may cost, in KiB: half of what one would need that keeps a body of the largest size.
const REFUSALS_KIB: u64 = 16 * 1_024;

/// `rounds` are the attackers of the crowd.
fn run(plan: Plan) -> anyhow::Result<Seen> {
    let is_long = plan.rounds >= FAULT.long_rounds;
    let probes = probe(plan, if is_long { usize::MAX } else { 100 })?;
    let memory = if is_long { send_endless_bodies(300, 50)? } else { send_endless_bodies(40, 10)? };
    let (stalled, trickling) = (plan.rounds * 2 / 7, plan.rounds * 5 / 7);
    let crowd = Crowd { stalled, trickling, allowed: plan.rounds * 3 / 4, photos: if is_long { 40 } else { 8 } };
    let limited = wait_for(crowd.besiege())?;
    let unlimited = wait_for(Crowd { allowed: 8_192, ..crowd }.besiege())?;
    Ok(Seen(format!("{probes}; {memory}; {limited}; {unlimited}")))
}

/// All that can be wrong with one upload.
fn probe(plan: Plan, cuts: usize) -> anyhow::Result<String> {
    let server = TestServer::start()?;
    let token = server.add_station_token(STATION)?;
    let jpeg = jpeg()?;
    let target = Target {
        port: server.port(),
        tls: raw::tls_config(&std::fs::read(server.certificate())?)?,
        station: STATION,
        token: token.clone(),
        jpeg: jpeg.clone(),
    };
    let hand = Hand::new(&server, &token)?;
    let doors = Doors { server: &server, hand, client: server.client()?, station: STATION, token, jpeg };
    let (seen, stored) = wait_for(async {
        let login = server.log_in().await?;
        let requests = target.send_wrong_requests().await?;
        let announced = target.announce_bodies_without_a_token().await?;
        let climbs = target.climb(login.cookie()).await?;
        let cuts = doors.cut_everywhere(cuts, plan.seed).await?;
        let others = doors.offer_what_is_no_photo(plan.seed).await?;
        ensure!(login.photos().await?.is_empty(), "something was stored");
        let polyglots = doors.offer_polyglots(&login).await?;
        let scripts = doors.write_scripts(&login).await?;
        let seen = format!(
            "{requests} malformed requests got one 4xx each and {announced} without a good token their 401 before the body; \
             {climbs} ways out of a folder led nowhere; a JPEG of {} bytes cut at {cuts} lengths and {others} other things \
             were refused through both doors; {polyglots} polyglots were served as image/jpeg with nosniff; script in every \
             text was refused, or shown as text ({scripts} photos)",
            doors.jpeg.len()
        );
        Ok((seen, polyglots + scripts))
    })?;
    server.expect_clean(stored as u64)?;
    let incoming = files_below(&server.data().join("photos/.incoming"))?;
    ensure!(incoming.is_empty(), "left behind: {incoming:?}");
    ensure!(!server.log().contains("panicked"), "the server panicked: {}", server.log());
    Ok(seen)
}

/// Bodies of `image` mebibytes, and texts of `text`, beside as many bytes of ordinary photos.
fn send_endless_bodies(image: usize, text: usize) -> anyhow::Result<String> {
    const ORDINARY_BYTES: usize = 2_000_000;
    let server = TestServer::start()?;
    let token = server.add_station_token(STATION)?;
    let client = server.client()?;
    let hand = Hand::new(&server, &token)?;
    let to_old_door = async |name: &'static str, part: Part| {
        let form = Form::new().part(name, part);
        let request = client.post(format!("{}/upload", server.url())).basic_auth("x", Some(&token));
        let status = request.multipart(form).send().await?.status();
        ensure!(status == StatusCode::PAYLOAD_TOO_LARGE, "an endless `{name}` at the old door: {status}");
        Ok(())
    };
    let refuse = async |image: usize, text: usize| {
        refuse_bodies_of(image, &hand).await?;
        to_old_door("image", Part::stream(endless(ENDLESS_JPEG, image)).file_name("x.jpg")).await?;
        to_old_door("timestamp", Part::stream(endless(b"2026", text))).await?;
        to_old_door("unknown", Part::stream(endless(b"", image))).await
    };
    wait_for(async {
        let photos = u32::try_from(image * 1_024 * 1_024 / ORDINARY_BYTES + 1)?;
        for number in 1..=photos {
            let photo = Upload::made_up(STATION, number, ORDINARY_BYTES)?;
            let status = photo.request(&client, &server.url(), &token).send().await?.status();
            ensure!(status == StatusCode::CREATED, "an ordinary photo: {status}");
        }
        let ordinary_kib = server.peak_memory_kib()?;
        // A little over the limit of 32 MiB, so that what every refusal needs is not counted below.
        refuse(33, 1).await?;
        let before_kib = server.peak_memory_kib()?;
        let growth_kib = before_kib.saturating_sub(ordinary_kib);
        ensure!(
            growth_kib < REFUSALS_KIB,
            "the server grew by {growth_kib} KiB because of bodies that are a little too long"
        );
        refuse(image, text).await?;
        let growth_kib = server.peak_memory_kib()?.saturating_sub(before_kib);
        ensure!(growth_kib < GROWTH_KIB, "the server grew by {growth_kib} KiB because of long bodies");
        server.expect_clean(u64::from(photos))?;
        Ok(format!(
            "bodies of {image} MiB and texts of up to {text} MiB were refused with 413, and the server, at {before_kib} KiB \
             after {photos} ordinary photos and bodies of 33 MiB, grew by {growth_kib} KiB"
        ))
    })
}
