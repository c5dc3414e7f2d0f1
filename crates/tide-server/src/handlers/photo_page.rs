//! `GET /photo/{id}`: one photo, large, with everything known about it.

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Html;
use tide_photo::ClockSource;

use super::{LoggedIn, PageError};
use crate::app::App;
use crate::catalog::{Operator, Origin, PhotoFilter, PhotoRecord, Turn};

#[derive(Template)]
#[template(path = "photo.html")]
struct PhotoPage {
    operator: Option<Operator>,
    record: PhotoRecord,
    older: Option<i64>,
    newer: Option<i64>,
}

/// Shows one photo, with the way to the same station's next and previous one.
///
/// # Errors
/// See [`PageError`].
pub async fn photo_page(
    State(app): State<App>,
    LoggedIn(operator): LoggedIn,
    Path(id): Path<i64>,
) -> Result<Html<String>, PageError> {
    let record = app.catalog.photo(id).await?.ok_or(PageError::NotFound)?;
    let filter = PhotoFilter { station_id: Some(record.photo.station.id) };
    let neighbour = async |turn| -> Result<Option<i64>, PageError> {
        let page = app.catalog.photo_page(filter, turn, 1).await?;
        Ok(page.and_then(|page| page.photos.first().map(|record| record.id)))
    };
    let (older, newer) = (neighbour(Turn::OlderThan(id)).await?, neighbour(Turn::NewerThan(id)).await?);
    Ok(Html(PhotoPage { operator: Some(operator), record, older, newer }.render()?))
}

/// 185 kB rather than 184,512 bytes.
fn readable_bytes(&bytes: &u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} bytes"),
        1_000..1_000_000 => format!("{} kB", bytes.div_ceil(1_000)),
        _ => format!("{}.{} MB", bytes / 1_000_000, bytes % 1_000_000 / 100_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_readable() {
        assert_eq!([999, 184_512, 2_345_678].each_ref().map(readable_bytes), ["999 bytes", "185 kB", "2.3 MB"]);
    }
}
