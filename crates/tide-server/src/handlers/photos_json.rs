//! `GET /photos`: the prototype's list of photos, newest first.
//!
//! Without a limit it is a stream of all rows, read some hundred at a time; with `?limit=` and `?before=ID` it is one page.

use std::collections::VecDeque;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{Query, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde::{Deserialize, Serialize};

use super::{LoggedIn, PageError};
use crate::app::App;
use crate::catalog::{Catalog, CatalogError, Origin, Page, PhotoFilter, PhotoRecord, Turn};

/// Rows in one page at most.
const PAGE_PHOTOS: u32 = 1_000;

/// Rows read at a time for the stream: some hundreds of kilobytes of memory.
const CHUNK_PHOTOS: u32 = 250;

/// Which rows.
#[derive(Deserialize)]
pub struct Selection {
    before: Option<i64>,
    limit: Option<u32>,
}

/// The prototype's three fields, then ours.
#[derive(Serialize)]
struct PhotoJson<'a> {
    id: i64,
    filename: &'a str,
    timestamp: String,
    station: &'a str,
    clock_source: &'static str,
    uncertainty_ms: Option<u32>,
    /// What the station's clock had said, if the time was found later.
    clock_said: Option<String>,
    received_at: String,
    digest: String,
    size_bytes: u64,
    width: u32,
    height: u32,
}

impl<'a> From<&'a PhotoRecord> for PhotoJson<'a> {
    fn from(record: &'a PhotoRecord) -> Self {
        let photo = &record.photo;
        Self {
            id: record.id,
            filename: &photo.file_name,
            timestamp: photo.captured_at.to_string(),
            station: photo.station.name.as_str(),
            clock_source: photo.clock.source().as_str(),
            uncertainty_ms: photo.clock.uncertainty_ms(),
            clock_said: clock_said(&photo.origin),
            received_at: photo.received_at.to_string(),
            digest: photo.digest.to_string(),
            size_bytes: photo.size_bytes,
            width: photo.dimensions.width,
            height: photo.dimensions.height,
        }
    }
}

fn clock_said(origin: &Origin) -> Option<String> {
    match origin {
        Origin::Manifest { repaired, .. } => repaired.map(|repair| repair.clock_said.to_string()),
        Origin::OldDoor(_) | Origin::Imported(_) => None,
    }
}

/// All photos, or one page of them.
///
/// # Errors
/// See [`PageError`].
pub async fn photos(
    State(app): State<App>,
    LoggedIn(_): LoggedIn,
    Query(selection): Query<Selection>,
) -> Result<Response, PageError> {
    let turn = selection.before.map_or(Turn::Newest, Turn::OlderThan);
    let is_page = selection.limit.is_some() || selection.before.is_some();
    let limit = if is_page { selection.limit.unwrap_or(PAGE_PHOTOS).clamp(1, PAGE_PHOTOS) } else { CHUNK_PHOTOS };
    let page = app.catalog.photo_page(PhotoFilter::default(), turn, limit).await?.ok_or(PageError::NotFound)?;
    if is_page {
        return Ok(Json(page.photos.iter().map(PhotoJson::from).collect::<Vec<_>>()).into_response());
    }
    let body = Body::from_stream(stream::unfold(Listing::new(app.catalog, page), Listing::next));
    Ok(([(CONTENT_TYPE, "application/json")], body).into_response())
}

/// The whole list on its way out, one page in memory.
struct Listing {
    catalog: Catalog,
    page: VecDeque<PhotoRecord>,
    last_id: Option<i64>,
    has_older: bool,
    stage: Stage,
}

#[derive(PartialEq, Eq)]
enum Stage {
    Open,
    Rows,
    Done,
}

impl Listing {
    fn new(catalog: Catalog, first: Page) -> Self {
        Self { catalog, page: first.photos.into(), last_id: None, has_older: first.has_older, stage: Stage::Open }
    }

    /// The next piece of JSON. A catalog that fails half way breaks the connection, so that nobody takes a part for the whole.
    async fn next(mut self) -> Option<(Result<Bytes, CatalogError>, Self)> {
        if self.stage == Stage::Done {
            return None;
        }
        let mut json = Vec::new();
        if self.stage == Stage::Open {
            json.push(b'[');
            self.stage = Stage::Rows;
        }
        if self.page.is_empty()
            && self.has_older
            && let Err(error) = self.read_page().await
        {
            self.stage = Stage::Done;
            return Some((Err(error), self));
        }
        for record in std::mem::take(&mut self.page) {
            if self.last_id.is_some() {
                json.push(b',');
            }
            self.last_id = Some(record.id);
            // Numbers and text always have a JSON form.
            serde_json::to_writer(&mut json, &PhotoJson::from(&record)).unwrap_or_default();
        }
        if !self.has_older {
            json.push(b']');
            self.stage = Stage::Done;
        }
        Some((Ok(json.into()), self))
    }

    async fn read_page(&mut self) -> Result<(), CatalogError> {
        let turn = self.last_id.map_or(Turn::Newest, Turn::OlderThan);
        // The photo to go on from can only be missing if it was deleted meanwhile: then the list ends here.
        let page = self.catalog.photo_page(PhotoFilter::default(), turn, CHUNK_PHOTOS).await?;
        (self.page, self.has_older) = page.map(|page| (page.photos.into(), page.has_older)).unwrap_or_default();
        Ok(())
    }
}
