//! Every address of the server, grouped by who calls it.

use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::HeaderValue;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderName, REFERRER_POLICY, STRICT_TRANSPORT_SECURITY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::middleware::from_fn;
use axum::response::Redirect;
use axum::routing::{get, head, post, put};
use tide_photo::status::MAX_STATUS_BYTES;
use tide_photo::wire;
use tower_http::csrf::CsrfLayer;
use tower_http::set_header::SetResponseHeaderLayer;
use tower_http::timeout::RequestBodyTimeoutLayer;
use tower_http::trace::TraceLayer;

use crate::app::App;
use crate::handlers::{
    PageError, assets, gallery, health, images, legacy_upload, login, openapi, photo_page, photos_json, put_photo,
    receipt, stations, status, tus,
};
use crate::ingest::request_body;

/// Nothing but this server's own files, no script, no frame.
const CONTENT_POLICY: &str = "default-src 'none'; img-src 'self'; style-src 'self'; form-action 'self'; \
                              base-uri 'none'; frame-ancestors 'none'";

/// Silence allowed within a person's form, and within a station's status.
const FORM_TIMEOUT: Duration = Duration::from_secs(15);

/// Bytes of a person's form at most.
const FORM_BYTES: usize = 16 * 1_024;

/// Headers of every answer.
const HEADERS: [(HeaderName, &str); 5] = [
    (CONTENT_SECURITY_POLICY, CONTENT_POLICY),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (X_FRAME_OPTIONS, "DENY"),
    (REFERRER_POLICY, "same-origin"),
    // For all answers that do not say otherwise: pages show what only operators may see.
    (CACHE_CONTROL, "no-store"),
];

/// The routes table.
pub fn router(app: App, hsts_days: u32) -> Router {
    // The photo itself is limited while it is read; this bounds everything around it, part headers too.
    let upload_bytes = usize::try_from(app.ingest.max_photo_bytes().saturating_add(put_photo::FORM_BYTES));
    let stations = Router::new()
        .route(wire::PHOTO_ROUTE, put(put_photo::put_photo))
        .route(wire::RECEIPT_ROUTE, get(receipt::receipt))
        .route("/upload", post(legacy_upload::upload))
        .merge(uploads())
        .layer(DefaultBodyLimit::max(upload_bytes.unwrap_or(usize::MAX)))
        .layer(from_fn(request_body::tame));

    let statuses = Router::new()
        .route(wire::STATUS_PATH, post(status::status))
        .layer(DefaultBodyLimit::max(MAX_STATUS_BYTES))
        .layer(RequestBodyTimeoutLayer::new(FORM_TIMEOUT))
        .layer(from_fn(request_body::tame));

    let people = Router::new()
        .route("/", get(async || Redirect::to("/gallery")))
        .route("/login", get(login::form).post(login::log_in))
        .route("/logout", get(login::log_out).post(login::log_out))
        .route("/gallery", get(gallery::gallery))
        .route("/stations", get(stations::stations))
        .route("/photo/{id}", get(photo_page::photo_page))
        .route("/photos", get(photos_json::photos))
        .route("/uploads/{filename}", get(images::photo))
        .route("/thumbnails/{id}", get(images::thumbnail))
        .route("/assets/{version}/{name}", get(assets::asset))
        .layer(DefaultBodyLimit::max(FORM_BYTES))
        .layer(RequestBodyTimeoutLayer::new(FORM_TIMEOUT))
        .layer(CsrfLayer::new());

    let probes =
        Router::new().route("/health", get(health::health)).route("/api/v1/openapi.json", get(openapi::document));

    let router =
        stations.merge(statuses).merge(people).merge(probes).fallback(async || PageError::NotFound).with_state(app);
    let headers = HEADERS.map(|(name, value)| (name, HeaderValue::from_static(value)));
    headers
        .into_iter()
        .chain(hsts(hsts_days))
        .fold(router, |router, (name, value)| router.layer(SetResponseHeaderLayer::if_not_present(name, value)))
        // Every request, for who asks with TIDE_LOG=tower_http=debug. What fails is logged where it is handled.
        .layer(TraceLayer::new_for_http().on_failure(()))
}

/// The routes of tus 1.0.
fn uploads() -> Router<App> {
    let version = SetResponseHeaderLayer::if_not_present(tus::RESUMABLE, HeaderValue::from_static(tus::VERSION));
    Router::new()
        .route(wire::UPLOADS_PATH, post(tus::create).options(tus::options))
        .route(
            &format!("{}/{{id}}", wire::UPLOADS_PATH),
            head(tus::offset).patch(tus::append).delete(tus::end).options(tus::options).post(tus::overridden),
        )
        .layer(version)
}

/// Strict-Transport-Security (RFC 6797), if the settings ask for it.
fn hsts(days: u32) -> Option<(HeaderName, HeaderValue)> {
    let value = format!("max-age={}", u64::from(days) * 24 * 60 * 60);
    HeaderValue::from_str(&value).ok().filter(|_| days > 0).map(|value| (STRICT_TRANSPORT_SECURITY, value))
}
