//! `PUT /api/v1/photos/{sha256}`: a station offers a photo with its manifest.

use axum::Json;
use axum::extract::multipart::MultipartRejection;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::http::StatusCode;
use axum::http::header::CONTENT_LENGTH;
use tide_photo::manifest::MAX_MANIFEST_BYTES;
use tide_photo::wire::{IMAGE_PART, MANIFEST_PART};
use tide_photo::{Digest, Hasher, Holding, Manifest, Receipt, StationName};

use super::upload_form::{Part, UploadForm};
use crate::app::{App, now};
use crate::catalog::Station;
use crate::ingest::{Ingest, IngestError};
use crate::refusal::Refusal;
use crate::station_auth::TokenStation;

/// Bytes of a request that are not the photo: the manifest and the multipart form's own lines.
pub const FORM_BYTES: u64 = MAX_MANIFEST_BYTES as u64 + 4 * 1_024;

/// Stores a photo once; the answer is its receipt, 201 if it is new and 200 if it was held already.
///
/// # Errors
/// See [`Refusal`].
pub async fn put_photo(
    State(app): State<App>,
    TokenStation(station): TokenStation,
    Path(sha256): Path<String>,
    headers: HeaderMap,
    form: Result<UploadForm, MultipartRejection>,
) -> Result<(StatusCode, Json<Receipt>), Refusal> {
    refuse_by_length(&headers, &app.ingest)?;
    app.ingest.check_room()?;
    let digest: Digest = sha256.parse().map_err(|error| Refusal::field("sha256", format!("{error}")))?;
    let mut form = form.map_err(|rejection| Refusal::Form(rejection.body_text()))?;
    let manifest = read_manifest(&mut form).await?;
    check_manifest(&manifest, &station, digest)?;
    let image = part_named(&mut form, IMAGE_PART).await?;
    if let Some(receipt) = app.ingest.held(&station, digest).await? {
        let found = digest_of(image, app.ingest.max_photo_bytes()).await?;
        expect_end(&mut form).await?;
        check_digest(digest, found)?;
        return Ok((StatusCode::OK, Json(receipt)));
    }
    let image = image.receive_image(&app.ingest, &station).await?;
    expect_end(&mut form).await?;
    check_digest(digest, image.digest)?;
    if image.size_bytes != manifest.size_bytes {
        return Err(Refusal::field("size_bytes", format!("the image has {} bytes", image.size_bytes)));
    }
    // Only now: a connection that died without a word must not keep the photo's next try out.
    let claim = app.ingest.claim(&station, digest)?;
    let receipt = app.ingest.accept(claim, station, image, manifest.into(), now()).await?;
    let status = if receipt.holding == Holding::Stored { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(receipt)))
}

/// A request that says itself that it is too long is refused before its body is read.
pub(super) fn refuse_by_length(headers: &HeaderMap, ingest: &Ingest) -> Result<(), Refusal> {
    let length = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > ingest.max_photo_bytes().saturating_add(FORM_BYTES)) {
        return Err(IngestError::TooLarge { limit_bytes: ingest.max_photo_bytes() }.into());
    }
    Ok(())
}

async fn read_manifest(form: &mut UploadForm) -> Result<Manifest, Refusal> {
    let part = part_named(form, MANIFEST_PART).await?;
    let json = part.read_limited(MAX_MANIFEST_BYTES).await?;
    Ok(Manifest::from_json(&json)?)
}

/// The parts have a fixed order, so that the manifest can be judged before the photo is read.
async fn part_named<'a>(form: &'a mut UploadForm, name: &str) -> Result<Part<'a>, Refusal> {
    let field = form.next_part().await?;
    field.filter(|field| field.name() == Some(name)).ok_or_else(|| {
        Refusal::Form(format!(
            "the form has two parts: first `{MANIFEST_PART}`, then `{IMAGE_PART}`; `{name}` is missing"
        ))
    })
}

/// Behind the photo comes nothing: of two photos in one form, nobody could say which the receipt is for.
async fn expect_end(form: &mut UploadForm) -> Result<(), Refusal> {
    match form.next_part().await? {
        None => Ok(()),
        Some(_) => Err(Refusal::Form(format!("the form ends with `{IMAGE_PART}`; something follows it"))),
    }
}

fn check_manifest(manifest: &Manifest, station: &Station, digest: Digest) -> Result<(), Refusal> {
    check_station(&manifest.station, station)?;
    if manifest.digest != digest {
        return Err(Refusal::field("digest", "the manifest's digest is not the one in the address"));
    }
    Ok(())
}

/// Whoever holds a station's token speaks for that station alone.
pub(super) fn check_station(said: &StationName, station: &Station) -> Result<(), Refusal> {
    if *said != station.name {
        return Err(Refusal::OtherStation { token: station.name.clone(), said: said.clone() });
    }
    Ok(())
}

pub(super) fn check_digest(expected: Digest, found: Digest) -> Result<(), Refusal> {
    if found == expected { Ok(()) } else { Err(IngestError::OtherBytes { expected, found }.into()) }
}

/// A repeat is read without being written: only its digest counts.
async fn digest_of(mut image: Part<'_>, limit_bytes: u64) -> Result<Digest, Refusal> {
    let mut hasher = Hasher::default();
    let mut size_bytes = 0;
    while let Some(bytes) = image.next_bytes().await? {
        size_bytes += bytes.len() as u64;
        if size_bytes > limit_bytes {
            return Err(IngestError::TooLarge { limit_bytes }.into());
        }
        hasher.update(&bytes);
    }
    Ok(hasher.finish())
}
