//! `GET /health`: does the server do its work?

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;

use crate::app::{App, now};
use crate::ingest::IngestError;

/// The prototype's answer.
#[derive(Serialize)]
pub struct Health {
    status: &'static str,
    timestamp: String,
}

/// 200 and `healthy` while photos can be taken in, 503 and `unhealthy` otherwise.
pub async fn health(State(app): State<App>) -> (StatusCode, Json<Health>) {
    let timestamp = now().to_string();
    let able = match app.ingest.check_room() {
        Ok(()) => app.catalog.answers().await.map_err(IngestError::from),
        Err(error) => Err(error),
    };
    match able {
        Ok(()) => (StatusCode::OK, Json(Health { status: "healthy", timestamp })),
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "no photo can be taken in");
            (StatusCode::SERVICE_UNAVAILABLE, Json(Health { status: "unhealthy", timestamp }))
        }
    }
}
