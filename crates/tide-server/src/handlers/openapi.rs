//! `GET /api/v1/openapi.json`: the description of the interface, for programs.

use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};

const DOCUMENT: &str = include_str!("../../assets/openapi.json");

/// The document. It holds nothing that only operators may see.
pub async fn document() -> Response {
    ([(CONTENT_TYPE, "application/json")], DOCUMENT).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_is_json_and_knows_the_stations_way_in() {
        let document: serde_json::Value = serde_json::from_str(DOCUMENT).unwrap();
        assert!(document["paths"][tide_photo::wire::PHOTO_ROUTE]["put"].is_object());
    }
}
