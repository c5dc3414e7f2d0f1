//! `GET /health`: does the server do its work?

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;

use crate::app::{App, now};

/// The prototype's answer.
#[derive(Serialize)]
pub struct Health {
    status: &'static str,
    timestamp: String,
}

/// 200 and `healthy` while the catalog answers, 503 and `unhealthy` otherwise.
pub async fn health(State(app): State<App>) -> (StatusCode, Json<Health>) {
    let timestamp = now().to_string();
    match app.catalog.answers().await {
        Ok(()) => (StatusCode::OK, Json(Health { status: "healthy", timestamp })),
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "the catalog does not answer");
            (StatusCode::SERVICE_UNAVAILABLE, Json(Health { status: "unhealthy", timestamp }))
        }
    }
}
