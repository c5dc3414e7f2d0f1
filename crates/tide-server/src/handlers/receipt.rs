//! `GET /api/v1/photos/{sha256}/receipt`: a station asks whether the server holds its photo.

use axum::Json;
use axum::extract::{Path, State};
use tide_photo::{Digest, Receipt};

use crate::app::App;
use crate::refusal::Refusal;
use crate::station_auth::TokenStation;

/// The receipt of the station's photo with that digest.
///
/// # Errors
/// [`Refusal::NotHeld`] if there is none; see also [`Refusal`].
pub async fn receipt(
    State(app): State<App>,
    TokenStation(station): TokenStation,
    Path(sha256): Path<String>,
) -> Result<Json<Receipt>, Refusal> {
    let digest: Digest = sha256.parse().map_err(|error| Refusal::field("sha256", format!("{error}")))?;
    app.ingest.held(&station, digest).await?.map(Json).ok_or(Refusal::NotHeld)
}
