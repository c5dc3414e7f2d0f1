//! `/api/v1/uploads`: photos that come over several connections, by tus 1.0 (<https://tus.io/protocols/resumable-upload>) with the
//! extensions creation, checksum, expiration and termination. The last byte leads to the same steps as every other way in.

use std::time::SystemTime;

use axum::body::{Body, BodyDataStream, HttpBody};
use axum::extract::{Path, State};
use axum::http::header::{CONTENT_LENGTH, LOCATION};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{AppendHeaders, IntoResponse, Response};
use futures_util::StreamExt;
use tide_photo::jpeg::JpegError;
use tide_photo::{Receipt, wire};
use tokio::time::timeout_at;

use super::put_photo::check_station;
use super::tus_headers::{self as headers, TusRequest};
use crate::app::{App, now};
use crate::catalog::Station;
use crate::ingest::{Arrived, Checksum, IngestError, Pace, Stretch};
use crate::refusal::Refusal;
use crate::station_auth::TokenStation;
use crate::uploads::{About, Found, LIFETIME, Turn, Upload, UploadId, metadata};

pub use super::tus_headers::{RESUMABLE, VERSION};

/// What the server can do, for anybody who asks.
pub async fn options(State(app): State<App>) -> Response {
    let facts = AppendHeaders([
        (headers::VERSIONS, HeaderValue::from_static(VERSION)),
        (headers::EXTENSION, HeaderValue::from_static("creation,checksum,expiration,termination")),
        (headers::MAX_SIZE, headers::bytes(app.ingest.max_photo_bytes())),
        (headers::CHECKSUM_ALGORITHM, HeaderValue::from_static("sha1,sha256")),
    ]);
    (StatusCode::NO_CONTENT, facts).into_response()
}

/// Begins an upload. The photo's manifest comes with it, and is judged now.
///
/// # Errors
/// See [`Refusal`].
pub async fn create(
    State(app): State<App>,
    TokenStation(station): TokenStation,
    _: TusRequest,
    request: HeaderMap,
) -> Result<Response, Refusal> {
    let length_bytes = headers::bytes_in(&request, &headers::LENGTH)?;
    let limit_bytes = app.ingest.max_photo_bytes();
    if length_bytes > limit_bytes {
        return Err(IngestError::TooLarge { limit_bytes }.into());
    }
    app.ingest.check_room()?;
    let metadata = headers::text_in(&request, &headers::METADATA).unwrap_or_default();
    let manifest = metadata::manifest_in(metadata)?;
    check_station(&manifest.station, &station)?;
    if manifest.size_bytes != length_bytes {
        return Err(Refusal::field("size_bytes", format!("Upload-Length is {length_bytes}")));
    }
    if length_bytes == 0 {
        return Err(IngestError::Jpeg(JpegError::NotAJpeg).into());
    }
    let id = UploadId::new(rand::random(), manifest.digest);
    let about = About { length_bytes, metadata: metadata.to_owned() };
    app.uploads.create(&station.name, id, about).await.map_err(IngestError::from)?;
    let address = HeaderValue::try_from(format!("{}/{id}", wire::UPLOADS_PATH)).map_err(std::io::Error::other);
    let address = [(LOCATION, address.map_err(IngestError::from)?), expires(SystemTime::now() + LIFETIME)];
    Ok((StatusCode::CREATED, AppendHeaders(address)).into_response())
}

/// How far an upload has come. A finished one is known by its photo.
///
/// # Errors
/// See [`Refusal`].
pub async fn offset(
    State(app): State<App>,
    TokenStation(station): TokenStation,
    _: TusRequest,
    Path(id): Path<String>,
) -> Result<Response, Refusal> {
    let upload = match find(&app, &station, &id).await? {
        Standing::Unfinished(upload) => upload,
        Standing::Finished { size_bytes } => {
            let bytes = headers::bytes(size_bytes);
            return Ok(AppendHeaders([(headers::OFFSET, bytes.clone()), (headers::LENGTH, bytes)]).into_response());
        }
    };
    let metadata = HeaderValue::try_from(&upload.about.metadata).map_err(std::io::Error::other);
    let facts = AppendHeaders([
        (headers::OFFSET, headers::bytes(upload.offset_bytes)),
        (headers::LENGTH, headers::bytes(upload.about.length_bytes)),
        (headers::METADATA, metadata.map_err(IngestError::from)?),
        expires(upload.expires_at),
    ]);
    Ok(facts.into_response())
}

/// Takes in further bytes. An empty request at the end of an upload finishes it, should that have failed before.
///
/// # Errors
/// See [`Refusal`]. What came before an interruption is kept.
pub async fn append(
    State(app): State<App>,
    TokenStation(station): TokenStation,
    _: TusRequest,
    Path(id): Path<String>,
    request: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    headers::check_kind(&request)?;
    let said = headers::bytes_in(&request, &headers::OFFSET)?;
    let checksum = headers::checksum_in(&request)?;
    app.ingest.check_room()?;
    let upload = match find(&app, &station, &id).await? {
        Standing::Unfinished(upload) => upload,
        Standing::Finished { size_bytes: here } if said == here && body.is_end_stream() => {
            return Ok(standing_at(here, None));
        }
        Standing::Finished { size_bytes: here } => return Err(Refusal::OtherOffset { here, said }),
    };
    if upload.offset_bytes != said {
        return Err(Refusal::OtherOffset { here: upload.offset_bytes, said });
    }
    if length_of(&request).is_some_and(|length| said.saturating_add(length) > upload.about.length_bytes) {
        return Err(Refusal::BeyondLength { length_bytes: upload.about.length_bytes });
    }
    // To the end even if the client hangs up: what has come is written, and a photo that is whole gets its row.
    let work = tokio::spawn(take_in(app, station, *upload, checksum, body));
    work.await.map_err(|error| IngestError::from(std::io::Error::other(error)))?
}

/// Ends an upload before it is finished.
///
/// # Errors
/// See [`Refusal`].
pub async fn end(
    State(app): State<App>,
    TokenStation(station): TokenStation,
    _: TusRequest,
    Path(id): Path<String>,
) -> Result<StatusCode, Refusal> {
    if let Standing::Unfinished(upload) = find(&app, &station, &id).await? {
        app.uploads.remove(*upload).await.map_err(IngestError::from)?;
    }
    Ok(StatusCode::NO_CONTENT)
}

/// For clients that cannot say PATCH or DELETE.
///
/// # Errors
/// See [`Refusal`].
pub async fn overridden(
    app: State<App>,
    station: TokenStation,
    version: TusRequest,
    id: Path<String>,
    request: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    const METHOD: HeaderName = HeaderName::from_static("x-http-method-override");
    match headers::text_in(&request, &METHOD) {
        Some("PATCH") => append(app, station, version, id, request, body).await,
        Some("DELETE") => end(app, station, version, id).await.map(IntoResponse::into_response),
        Some("HEAD") => offset(app, station, version, id).await,
        _ => Err(Refusal::Form("POST to an upload needs X-HTTP-Method-Override: PATCH, DELETE or HEAD".to_owned())),
    }
}

/// Where an upload stands.
enum Standing {
    Unfinished(Box<Upload>),
    /// Its photo is held.
    Finished {
        size_bytes: u64,
    },
}

async fn find(app: &App, station: &Station, id: &str) -> Result<Standing, Refusal> {
    let id: UploadId = id.parse().map_err(|_| Refusal::NoUpload)?;
    match app.uploads.find(&station.name, id, SystemTime::now()).await.map_err(IngestError::from)? {
        Found::Upload(upload) => Ok(Standing::Unfinished(upload)),
        Found::InUse => Err(Refusal::UploadInUse),
        Found::Nothing => {
            let receipt = app.ingest.held(station, id.digest).await?.ok_or(Refusal::NoUpload)?;
            let record = app.catalog.photo(receipt.id).await?.ok_or(Refusal::NoUpload)?;
            Ok(Standing::Finished { size_bytes: record.photo.size_bytes })
        }
    }
}

async fn take_in(
    app: App,
    station: Station,
    mut upload: Upload,
    checksum: Option<Checksum>,
    body: Body,
) -> Result<Response, Refusal> {
    let length_bytes = upload.about.length_bytes;
    let arrived = if upload.offset_bytes < length_bytes {
        let file = app.uploads.go_on(&upload).await.map_err(IngestError::from)?;
        let stretch = app.ingest.receive_stretch(&station, file, upload.offset_bytes, length_bytes, checksum);
        Some(receive(stretch, body.into_data_stream(), &mut upload.turn, length_bytes).await?)
    } else {
        None
    };
    match &arrived {
        Some(arrived) if arrived.offset_bytes < length_bytes => {
            Ok(standing_at(arrived.offset_bytes, Some(SystemTime::now() + LIFETIME)))
        }
        _ => {
            let Receipt { .. } = app.uploads.finish(&app.ingest, &station, upload, arrived, now()).await?;
            Ok(standing_at(length_bytes, None))
        }
    }
}

/// All bytes of a request. If they stop coming, or a newer request comes, those that are here are kept.
async fn receive(
    mut stretch: Stretch,
    mut body: BodyDataStream,
    turn: &mut Turn,
    length_bytes: u64,
) -> Result<Arrived, Refusal> {
    let mut pace = Pace::begin();
    let refusal = loop {
        let piece = tokio::select! {
            piece = timeout_at(pace.deadline(), body.next()) => piece,
            () = turn.called_off() => break IngestError::Superseded.into(),
        };
        let bytes = match piece {
            Ok(Some(Ok(bytes))) => bytes,
            Ok(Some(Err(_))) => break IngestError::CutOff.into(),
            Ok(None) => return Ok(stretch.finish().await?),
            Err(_) => break IngestError::TooSlow.into(),
        };
        pace.came(bytes.len());
        if !stretch.has_room_for(bytes.len() as u64) {
            break Refusal::BeyondLength { length_bytes };
        }
        if let Err(error) = stretch.push(&bytes).await {
            break error.into();
        }
    };
    stretch.break_off().await?;
    Err(refusal)
}

fn standing_at(offset_bytes: u64, expires_at: Option<SystemTime>) -> Response {
    let facts = [(headers::OFFSET, headers::bytes(offset_bytes))].into_iter().chain(expires_at.map(expires));
    (StatusCode::NO_CONTENT, facts.collect::<HeaderMap>()).into_response()
}

fn expires(moment: SystemTime) -> (HeaderName, HeaderValue) {
    (headers::EXPIRES, headers::http_date(moment))
}

fn length_of(request: &HeaderMap) -> Option<u64> {
    headers::text_in(request, &CONTENT_LENGTH)?.parse().ok()
}
