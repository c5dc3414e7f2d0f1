//! `POST /upload`: the old devices' form, a second thin door to the same steps. Its answers are the prototype's words.

use axum::extract::{FromRequest, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use tide_photo::{CapturedAt, ClockQuality};

use super::put_photo::refuse_by_length;
use super::upload_form::UploadForm;
use crate::app::{App, now};
use crate::catalog::{OldDoor, Origin, Station};
use crate::ingest::{Description, ReceivedImage};
use crate::refusal::Refusal;
use crate::station_auth::UploadingStation;

/// Longest timestamp read, in bytes; the prototype's have at most 32.
const MAX_TIMESTAMP_BYTES: usize = 1_024;

/// What the prototype answers to a form that lacks a field.
const MISSING: &str = "Missing image or timestamp";

/// Stores a photo of an old device.
pub async fn upload(State(app): State<App>, station: Result<UploadingStation, Refusal>, request: Request) -> Response {
    let stored = match station {
        Ok(UploadingStation(station)) => store(&app, station, request).await,
        Err(refusal) => Err(refusal),
    };
    match stored {
        Ok(()) => (StatusCode::OK, "Uploaded").into_response(),
        Err(refusal) => {
            refusal.log();
            refusal.with_headers((refusal.status().0, refusal.message()).into_response())
        }
    }
}

async fn store(app: &App, station: Station, request: Request) -> Result<(), Refusal> {
    refuse_by_length(request.headers(), &app.ingest)?;
    app.ingest.check_room()?;
    let missing = || Refusal::Form(MISSING.to_owned());
    // A request that is no multipart form has neither field.
    let form = UploadForm::from_request(request, &()).await.map_err(|_| missing())?;
    let (image, timestamp) = read_form(app, &station, form).await?;
    let (image, timestamp) = image.zip(timestamp).ok_or_else(missing)?;
    let received_at = now();
    if app.ingest.held(&station, image.digest).await?.is_some() {
        return Ok(());
    }
    let claim = app.ingest.claim(&station, image.digest)?;
    app.ingest.accept(claim, station, image, describe(timestamp, received_at), received_at).await?;
    Ok(())
}

/// The two fields once each, in any order; others are passed over. The client's file name is never read.
async fn read_form(
    app: &App,
    station: &Station,
    mut form: UploadForm,
) -> Result<(Option<ReceivedImage>, Option<String>), Refusal> {
    let (mut image, mut timestamp) = (None, None);
    while let Some(field) = form.next_part().await? {
        match field.name() {
            Some("image") if image.is_some() => return Err(twice("image")),
            Some("timestamp") if timestamp.is_some() => return Err(twice("timestamp")),
            Some("image") => image = Some(field.receive_image(&app.ingest, station).await?),
            Some("timestamp") => {
                let text = field.read_limited(MAX_TIMESTAMP_BYTES).await?;
                timestamp = Some(String::from_utf8_lossy(&text).into_owned());
            }
            _ => field.pass_over().await?,
        }
    }
    Ok((image, timestamp))
}

fn twice(field: &str) -> Refusal {
    Refusal::Form(format!("the form has the field `{field}` twice; send each photo in a form of its own"))
}

/// The old device's clock is nobody's to vouch for, and its words may be no time at all: then the moment of arrival has to do.
/// The words are kept as they came: without an offset they may mean any zone.
fn describe(timestamp: String, received_at: CapturedAt) -> Description {
    let captured_at = CapturedAt::parse_lenient(&timestamp).unwrap_or(received_at);
    let origin = Origin::OldDoor(OldDoor { client_timestamp: Some(timestamp) });
    Description { captured_at, clock: ClockQuality::unsynchronised(), origin }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_are_kept_and_read_as_a_time_if_they_are_one() {
        let arrival: CapturedAt = "2026-01-01T00:00:00Z".parse().unwrap();
        let words = "2025-06-01T10:00:00+03:00";
        let told = describe(words.to_owned(), arrival);
        assert_eq!(told.captured_at.to_string(), "2025-06-01T07:00:00.000Z");
        assert_eq!(told.origin, Origin::OldDoor(OldDoor { client_timestamp: Some(words.to_owned()) }));
        let script = "<script>alert(1)</script>";
        let told = describe(script.to_owned(), arrival);
        assert_eq!(told.captured_at, arrival);
        assert_eq!(told.origin, Origin::OldDoor(OldDoor { client_timestamp: Some(script.to_owned()) }));
        assert_eq!(told.clock, ClockQuality::unsynchronised());
    }
}
