//! `GET /gallery`: the photos as thumbnails, a page at a time, newest first.

use askama::Template;
use axum::extract::{Query, State};
use axum::response::Html;
use serde::Deserialize;
use tide_photo::StationName;

use super::{LoggedIn, PageError};
use crate::app::App;
use crate::catalog::{Operator, Page, PhotoFilter, PhotoRecord, Station, Turn};

/// Thumbnails on one page: fills any screen, and is quick over a mobile link.
const PAGE_PHOTOS: u32 = 60;

/// Which page.
#[derive(Deserialize)]
pub struct Selection {
    #[serde(default)]
    station: String,
    before: Option<i64>,
    after: Option<i64>,
}

#[derive(Template)]
#[template(path = "gallery.html")]
struct GalleryPage {
    operator: Option<Operator>,
    stations: Vec<Station>,
    selected: Option<StationName>,
    days: Vec<Day>,
    newer: Option<String>,
    older: Option<String>,
    is_first: bool,
}

/// The photos of one UTC day on this page.
struct Day {
    date: String,
    title: String,
    photos: Vec<PhotoRecord>,
}

/// Shows one page.
///
/// # Errors
/// See [`PageError`].
pub async fn gallery(
    State(app): State<App>,
    LoggedIn(operator): LoggedIn,
    Query(selection): Query<Selection>,
) -> Result<Html<String>, PageError> {
    let turn = match (selection.before, selection.after) {
        (None, None) => Turn::Newest,
        (Some(id), None) => Turn::OlderThan(id),
        (None, Some(id)) => Turn::NewerThan(id),
        (Some(_), Some(_)) => return Err(PageError::Query("a page lies before or after a photo, not both")),
    };
    let stations = app.catalog.stations().await?;
    let selected = find_station(&stations, &selection.station)?;
    let filter = PhotoFilter { station_id: selected.map(|station| station.id) };
    let page = app.catalog.photo_page(filter, turn, PAGE_PHOTOS).await?.ok_or(PageError::NotFound)?;
    let selected = selected.map(|station| station.name.clone());
    let is_first = turn == Turn::Newest;
    Ok(Html(GalleryPage::new(operator, stations, selected, page, is_first).render()?))
}

fn find_station<'a>(stations: &'a [Station], name: &str) -> Result<Option<&'a Station>, PageError> {
    if name.is_empty() {
        return Ok(None);
    }
    stations.iter().find(|station| station.name.as_str() == name).map(Some).ok_or(PageError::NotFound)
}

impl GalleryPage {
    fn new(
        operator: Operator,
        stations: Vec<Station>,
        selected: Option<StationName>,
        page: Page,
        is_first: bool,
    ) -> Self {
        let link = |turn: &str, record: Option<&PhotoRecord>| {
            let station = selected.as_ref().map(|name| format!("station={name}&")).unwrap_or_default();
            record.map(|record| format!("/gallery?{station}{turn}={}", record.id))
        };
        Self {
            newer: link("after", page.photos.first().filter(|_| page.has_newer)),
            older: link("before", page.photos.last().filter(|_| page.has_older)),
            operator: Some(operator),
            days: by_day(page.photos),
            stations,
            selected,
            is_first,
        }
    }
}

fn by_day(photos: Vec<PhotoRecord>) -> Vec<Day> {
    let mut days: Vec<Day> = Vec::new();
    for record in photos {
        let date = record.photo.captured_at.format_utc("%Y-%m-%d");
        match days.last_mut().filter(|day| day.date == date) {
            Some(day) => day.photos.push(record),
            None => {
                let title = record.photo.captured_at.format_utc("%A, %-d %B %Y");
                days.push(Day { date, title, photos: vec![record] });
            }
        }
    }
    days
}
