//! `POST /api/v1/status`: a station says how it is.

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::StatusCode;
use serde::Serialize;
use tide_photo::CapturedAt;
use tide_photo::manifest::ManifestError;
use tide_photo::status::{MAX_SENTENCE, STATUS_VERSION, StationStatus};

use super::put_photo::check_station;
use crate::app::{App, now};
use crate::ingest::IngestError;
use crate::refusal::Refusal;
use crate::station_auth::TokenStation;

/// Longest word in a status, in characters: a kernel's boot id is the longest of them.
const MAX_WORD: usize = 64;

/// Most sentences about supply and heat; the firmware of a Pi knows eight.
const MAX_THROTTLING: usize = 16;

/// A hundred years in microseconds. What is reckoned with it stays within 64 bits.
const LONGEST_BOOT_US: u64 = 100 * 31_557_600 * 1_000_000;

/// That the status has come.
#[derive(Serialize)]
pub struct Taken {
    received_at: CapturedAt,
}

/// Keeps a station's status in the place of the one before.
///
/// # Errors
/// See [`Refusal`].
pub async fn status(
    State(app): State<App>,
    TokenStation(station): TokenStation,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Taken>, Refusal> {
    let json = body.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Refusal::FormTooLarge,
        _ => IngestError::CutOff.into(),
    })?;
    let status = read(&json).map_err(Refusal::Status)?;
    check_station(&status.station, &station)?;
    let received_at = now();
    app.catalog.record_status(&station, &status, received_at).await?;
    let found = app.catalog.find_times(&station, &status).await?;
    if found > 0 {
        tracing::info!(station = %station.name, photos = found, "photos whose time was not known have it now");
    }
    Ok(Json(Taken { received_at }))
}

fn read(json: &[u8]) -> Result<StationStatus, ManifestError> {
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let status: StationStatus = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let path = error.path().to_string();
        let field = if path == "." { "status".to_owned() } else { path };
        ManifestError { field, reason: error.into_inner().to_string() }
    })?;
    deserializer.end().map_err(|error| wrong("status", error.to_string()))?;
    check(&status)?;
    Ok(status)
}

/// Pages show these texts: they are as long as they need to be, and no longer.
fn check(status: &StationStatus) -> Result<(), ManifestError> {
    if status.version != STATUS_VERSION {
        let reason = format!("this server reads version {STATUS_VERSION}, not {}; update the server", status.version);
        return Err(wrong("version", reason));
    }
    let words = [("boot_id", &status.boot_id), ("software", &status.software), ("camera.kind", &status.camera.kind)];
    let troubles = [
        ("spool.trouble", status.spool.trouble.as_ref()),
        ("camera.trouble", status.camera.trouble.as_ref()),
        ("last_error.what", status.last_error.as_ref().map(|mishap| &mishap.what)),
    ];
    let sentences = troubles.into_iter().filter_map(|(field, text)| text.map(|text| (field, text)));
    let throttling = status.throttling.iter().map(|text| ("throttling", text));
    let limited = words.into_iter().map(|(field, text)| (field, text, MAX_WORD));
    let limited = limited.chain(sentences.chain(throttling).map(|(field, text)| (field, text, MAX_SENTENCE)));
    if status.monotonic_us > LONGEST_BOOT_US {
        return Err(wrong("monotonic_us", "no station has been switched on for a hundred years"));
    }
    for (field, text, limit) in limited {
        if text.chars().count() > limit {
            return Err(wrong(field, format!("a text has at most {limit} characters here")));
        }
    }
    if status.throttling.len() > MAX_THROTTLING {
        return Err(wrong("throttling", format!("there are at most {MAX_THROTTLING} words")));
    }
    Ok(())
}

fn wrong(field: &str, reason: impl Into<String>) -> ManifestError {
    ManifestError { field: field.to_owned(), reason: reason.into() }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// The field that a status is refused for after `change`.
    fn refused_for(change: impl FnOnce(&mut Value)) -> String {
        let mut status = json!({
            "version": 1, "station": "pier-3", "at": "2026-05-31T18:00:00Z", "clock": {"source": "unsynchronised"},
            "boot_id": "b", "monotonic_us": 60_000_000, "software": "0.1.0",
            "spool": {"waiting": 0, "in_memory": 0, "parked": 0, "dropped": 0, "incomplete": 0, "delivered": 0},
            "shots": {"taken": 0, "missed": 0}, "camera": {"kind": "usb", "failures_in_a_row": 0},
        });
        change(&mut status);
        read(status.to_string().as_bytes()).map_or_else(|error| error.field, |_| "nothing".to_owned())
    }

    #[test]
    fn the_field_to_blame_is_named() {
        assert_eq!(refused_for(|_| ()), "nothing");
        assert_eq!(refused_for(|json| json["a_later_versions_field"] = true.into()), "nothing");
        assert_eq!(refused_for(|json| json["version"] = 2.into()), "version");
        assert_eq!(refused_for(|json| json["station"] = "../etc".into()), "station");
        assert_eq!(refused_for(|json| json["spool"]["waiting"] = (-1).into()), "spool.waiting");
        assert_eq!(refused_for(|json| json["boot_id"] = "x".repeat(65).into()), "boot_id");
        let long = "x".repeat(501);
        assert_eq!(refused_for(|json| json["camera"]["trouble"] = long.clone().into()), "camera.trouble");
        assert_eq!(refused_for(|json| json["throttling"] = vec!["x"; 17].into()), "throttling");
        let mishap = json!({"at": "2026-05-31T18:00:00Z", "what": long});
        assert_eq!(refused_for(|json| json["last_error"] = mishap), "last_error.what");
        assert_eq!(refused_for(|json| *json = "hello".into()), "status");
    }
}
