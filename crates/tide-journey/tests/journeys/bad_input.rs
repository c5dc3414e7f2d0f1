//! What a station would never send.

use std::time::Duration;

use anyhow::ensure;
use libtest_mimic::Trial;
use reqwest::StatusCode;
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};
use tide_journey::TestServer;
use tide_journey::hand::{Hand, jpeg, manifest, refuse_bodies_of};
use tide_journey::needs::{Need, journey};
use tide_photo::Digest;

use crate::wait_for;

pub(crate) fn journeys() -> Vec<Trial> {
    vec![
        journey("bad_photos_are_refused_and_not_stored", Need::Nothing, bad_photos),
        journey("a_photo_is_stored_once_however_often_it_comes", Need::Nothing, repeats),
        journey("a_body_over_the_limit_is_refused_without_buffering_it", Need::Nothing, too_large),
        journey("logins_that_hang_up_do_not_pile_up", Need::Nothing, hung_up_logins),
        journey("pages_are_closed_to_strangers", Need::Nothing, strangers),
    ]
}

/// What it is, manifest, image, status, and the field to blame.
type Case<'a> = (&'a str, Value, &'a [u8], u16, Option<&'a str>);

fn bad_photos() -> anyhow::Result<()> {
    let server = TestServer::start()?;
    let hand = Hand::new(&server, &server.add_station_token("pier-3")?)?;
    server.add_station_token("pier-4")?;
    let jpeg = jpeg()?;
    let truncated = &jpeg[..jpeg.len() / 2];
    let polyglot = [jpeg.as_slice(), b"<script>alert(1)</script>"].concat();
    let with = |change: fn(&mut Value)| {
        let mut manifest = manifest("pier-3", &jpeg);
        change(&mut manifest);
        manifest
    };
    let png = b"\x89PNG\r\n\x1a\n0000000000";
    let true_manifest = |image: &[u8]| manifest("pier-3", image);
    let cases: [Case; 11] = [
        ("not a JPEG", true_manifest(png), png, 415, None),
        ("HTML", true_manifest(b"<html>"), b"<html>", 415, None),
        ("nothing", true_manifest(b""), b"", 415, None),
        ("half a JPEG", true_manifest(truncated), truncated, 415, None),
        ("a JPEG and more", true_manifest(&polyglot), &polyglot, 415, None),
        (
            "script as time",
            with(|json| json["captured_at"] = "<script>alert(1)</script>".into()),
            &jpeg,
            422,
            Some("captured_at"),
        ),
        ("a path as station", with(|json| json["station"] = "../../etc".into()), &jpeg, 422, Some("station")),
        ("an unknown clock", with(|json| json["clock"]["source"] = "sundial".into()), &jpeg, 422, Some("clock.source")),
        ("another size", with(|json| json["size_bytes"] = 7.into()), &jpeg, 422, Some("size_bytes")),
        ("no manifest", json!("hello"), &jpeg, 422, Some("manifest")),
        ("another station", with(|json| json["station"] = "pier-4".into()), &jpeg, 403, None),
    ];
    wait_for(async {
        for (what, manifest, image, status, field) in cases {
            let address = manifest["digest"].as_str().map_or_else(|| Digest::of(image).to_string(), str::to_owned);
            let answer = hand.put(&address, manifest.to_string(), image.to_vec()).await?;
            ensure!(answer.status == status, "{what}: {answer:?}");
            ensure!(answer.body["field"].as_str() == field, "{what}: {answer:?}");
            ensure!(answer.body["message"].as_str().is_some_and(|message| !message.is_empty()), "{what}: {answer:?}");
        }
        // The digest in the address and the manifest is not that of the bytes.
        let other = Digest::of(b"other bytes").to_string();
        let answer = hand.put(&other, with(|_| ()).to_string(), jpeg.clone()).await?;
        ensure!(answer.status == 422 && answer.body["field"] == "digest", "{answer:?}");
        let mut lying = manifest("pier-3", &jpeg);
        lying["digest"] = other.clone().into();
        let answer = hand.put(&other, lying.to_string(), jpeg.clone()).await?;
        ensure!(answer.status == StatusCode::CONFLICT, "{answer:?}");
        let answer = hand.put("no-digest", with(|_| ()).to_string(), jpeg.clone()).await?;
        ensure!(answer.status == 422 && answer.body["field"] == "sha256", "{answer:?}");
        let only_image = Form::new().part("image", Part::bytes(jpeg.clone()));
        let answer = hand.put_form(&Digest::of(&jpeg).to_string(), only_image).await?;
        ensure!(answer.status == StatusCode::BAD_REQUEST, "{answer:?}");
        let stranger = Hand::new(&server, "tide_unknown")?;
        let answer = stranger.put(&Digest::of(&jpeg).to_string(), with(|_| ()).to_string(), jpeg.clone()).await?;
        ensure!(answer.status == StatusCode::UNAUTHORIZED, "{answer:?}");
        Ok(())
    })?;
    server.expect_clean(0)
}

fn repeats() -> anyhow::Result<()> {
    let server = TestServer::start()?;
    let hand = Hand::new(&server, &server.add_station_token("pier-3")?)?;
    let other = Hand::new(&server, &server.add_station_token("pier-4")?)?;
    let jpeg = jpeg()?;
    let (digest, photo) = (Digest::of(&jpeg).to_string(), manifest("pier-3", &jpeg).to_string());
    wait_for(async {
        let first = hand.put(&digest, photo.clone(), jpeg.clone()).await?;
        ensure!(first.status == StatusCode::CREATED && first.body["holding"] == "stored", "{first:?}");
        let again = hand.put(&digest, photo.clone(), jpeg.clone()).await?;
        ensure!(again.status == StatusCode::OK && again.body["holding"] == "already_held", "{again:?}");
        ensure!(again.body["id"] == first.body["id"] && again.body["received_at"] == first.body["received_at"]);
        let changed = hand.put(&digest, photo.clone(), [jpeg.as_slice(), b"more"].concat()).await?;
        ensure!(changed.status == StatusCode::CONFLICT, "{changed:?}");
        let of_other = other.put(&digest, manifest("pier-4", &jpeg).to_string(), jpeg.clone()).await?;
        ensure!(of_other.status == StatusCode::CREATED, "another station's photo is another photo: {of_other:?}");
        Ok(())
    })?;
    server.expect_clean(2)
}

/// Far more than the limit of 1 MB that this server gets.
const BODY_MIB: usize = 100;

/// What bodies that are longer by [`BODY_MIB`] may cost more, in KiB: a fraction of one of them.
const GROWTH_KIB: u64 = 8 * 1_024;

fn too_large() -> anyhow::Result<()> {
    let server = TestServer::start_with(&[("TIDE_MAX_PHOTO_BYTES", "1000000")])?;
    let hand = Hand::new(&server, &server.add_station_token("pier-3")?)?;
    wait_for(async {
        // A little over the limit first, so that what every refusal needs is not counted.
        refuse_bodies_of(2, &hand).await?;
        let before_kib = server.peak_memory_kib()?;
        refuse_bodies_of(BODY_MIB, &hand).await?;
        let growth_kib = server.peak_memory_kib()?.saturating_sub(before_kib);
        ensure!(growth_kib < GROWTH_KIB, "the server grew by {growth_kib} KiB");
        Ok(())
    })?;
    server.expect_clean(0)
}

/// Memory that any number of logins may take, in KiB: two checks of 19 MiB each, and what waits for them.
const LOGINS_KIB: u64 = 96 * 1_024;

/// A client that hangs up must not leave its password check behind to pile up with others.
fn hung_up_logins() -> anyhow::Result<()> {
    let server = TestServer::start()?;
    wait_for(async {
        let before_kib = server.peak_memory_kib()?;
        let logins = (0..150).map(|_| async {
            let client = server.client()?;
            let request = client.post(format!("{}/login", server.url())).body("username=admin&password=wrong");
            let request = request.header("content-type", "application/x-www-form-urlencoded");
            // Long enough to be on its way, too short for an answer.
            let _ = request.timeout(Duration::from_millis(400)).send().await;
            anyhow::Ok(())
        });
        futures_util::future::try_join_all(logins).await?;
        let growth_kib = server.peak_memory_kib()?.saturating_sub(before_kib);
        ensure!(growth_kib < LOGINS_KIB, "the server grew by {growth_kib} KiB");
        let health = server.client()?.get(format!("{}/health", server.url())).send().await?;
        ensure!(health.status().is_success());
        Ok(())
    })
}

fn strangers() -> anyhow::Result<()> {
    let server = TestServer::start()?;
    wait_for(async {
        let client = server.client()?;
        for path in ["/gallery", "/photos", "/photo/1", "/thumbnails/1", "/uploads/x.jpg"] {
            let answer = client.get(format!("{}{path}", server.url())).send().await?;
            ensure!(answer.status() == StatusCode::UNAUTHORIZED, "{path}: {}", answer.status());
            let page = client.get(format!("{}{path}", server.url())).header("accept", "text/html").send().await?;
            ensure!(page.status() == StatusCode::SEE_OTHER, "{path}: {}", page.status());
        }
        let health = client.get(format!("{}/health", server.url())).send().await?;
        for (name, word) in [
            ("content-security-policy", "default-src 'none'"),
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
        ] {
            let value = health.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
            ensure!(value.contains(word), "{name}: {value}");
        }
        let health: Value = health.json().await?;
        ensure!(health["status"] == "healthy" && health["timestamp"].is_string());
        let login = server.log_in().await?;
        ensure!(login.get("/uploads/..%2F..%2Fcatalog%2Ftide.db").await?.status() == StatusCode::NOT_FOUND);
        ensure!(login.get("/gallery?before=99").await?.status() == StatusCode::NOT_FOUND);
        // A login from another site's page.
        let login = format!("{}/login", server.url());
        let foreign = client.post(login).header("sec-fetch-site", "cross-site").body("username=admin").send().await?;
        ensure!(foreign.status() == StatusCode::FORBIDDEN, "{}", foreign.status());
        Ok(())
    })
}
