//! Stations say how they are, and operators read it.

use anyhow::ensure;
use libtest_mimic::Trial;
use serde_json::{Value, json};
use tide_journey::TestServer;
use tide_journey::hand::{Hand, jpeg, manifest};
use tide_journey::needs::{Need, journey};
use tide_journey::tus::{TusAnswer, TusHand};
use tide_photo::{Digest, wire};

use crate::wait_for;

pub(crate) fn journeys() -> Vec<Trial> {
    vec![
        journey("operators_see_how_every_station_is", Need::Nothing, seen),
        journey("a_time_that_was_found_later_is_told_with_what_the_clock_had_said", Need::Nothing, repaired),
    ]
}

fn status(station: &str, trouble: &str) -> Value {
    json!({
        "version": 1, "station": station, "at": "2026-05-31T18:00:00Z", "clock": {"source": "gps", "uncertainty_ms": 3},
        "boot_id": "b", "monotonic_us": 90_000_000_000_u64, "software": "0.1.0",
        "spool": {"waiting": 12, "in_memory": 0, "parked": 0, "dropped": 0, "incomplete": 0, "delivered": 7,
                  "oldest_at": "2026-05-31T17:00:00Z"},
        "shots": {"taken": 19, "missed": 0}, "camera": {"kind": "usb", "failures_in_a_row": 1, "trouble": trouble},
        "throttling": ["under-voltage now"], "disk": null,
    })
}

async fn send(hand: &TusHand, body: String) -> anyhow::Result<TusAnswer> {
    hand.send("POST", wire::STATUS_PATH, &[("content-type", "application/json")], body.into_bytes()).await
}

fn seen() -> anyhow::Result<()> {
    let server = TestServer::start()?;
    let hand = TusHand::new(&server, &server.add_station_token("pier-3")?)?;
    server.add_station_token("quay")?;
    wait_for(async {
        let login = server.log_in().await?;
        let page = login.get("/stations").await?.error_for_status()?.text().await?;
        ensure!(page.matches("No status yet").count() == 2, "{page}");

        let answer = send(&hand, status("pier-3", "<script>alert(1)</script>").to_string()).await?;
        ensure!(answer.status == 200 && answer.body["received_at"].is_string(), "{answer:?}");
        for (body, refused, word) in [
            (status("quay", "").to_string(), 403, "other_station"),
            (json!({"version": 1}).to_string(), 422, "bad_status"),
            (status("pier-3", &"x".repeat(600)).to_string(), 422, "bad_status"),
            (" ".repeat(20_000), 413, "too_large"),
        ] {
            let answer = send(&hand, body).await?;
            ensure!(answer.status == refused && answer.body["error"] == word, "{answer:?}");
        }
        let stranger = TusHand::new(&server, "tide_unknown")?;
        ensure!(send(&stranger, " ".repeat(20_000)).await?.status == 401);

        let page = login.get("/stations").await?.error_for_status()?.text().await?;
        ensure!(page.matches("No status yet").count() == 1, "{page}");
        ensure!(!page.contains("<script") && page.contains("&#60;script&#62;alert"), "{page}");
        for words in ["12 photos, the oldest 1 h old", "under-voltage now", "gps ± 3 ms", "just now", "Needs a look"] {
            ensure!(page.contains(words), "{words}: {page}");
        }
        let gallery = login.get("/gallery").await?.text().await?;
        ensure!(gallery.contains("href=\"/stations\""), "{gallery}");
        let answer = server.client()?.get(format!("{}/stations", server.url())).send().await?;
        ensure!(answer.status() == 401, "{answer:?}");
        Ok(())
    })
}

fn repaired() -> anyhow::Result<()> {
    let server = TestServer::start()?;
    let hand = Hand::new(&server, &server.add_station_token("pier-3")?)?;
    let jpeg = jpeg()?;
    let mut photo = manifest("pier-3", &jpeg);
    photo["repaired"] = json!({"clock_said": "2000-01-01T00:01:40Z"});
    wait_for(async {
        let answer = hand.put(&Digest::of(&jpeg).to_string(), photo.to_string(), jpeg).await?;
        ensure!(answer.status == 201, "{answer:?}");
        let login = server.log_in().await?;
        let listed = login.photos().await?;
        ensure!(listed[0]["clock_said"] == "2000-01-01T00:01:40.000Z", "{listed:?}");
        let page = login.get(&format!("/photo/{}", answer.body["id"])).await?.text().await?;
        ensure!(page.contains("Found later") && page.contains("2000-01-01T00:01:40.000Z"), "{page}");
        Ok(())
    })
}
