//! What all pages share: who is looking, and what is shown when a page cannot be.

use askama::Template;
use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use axum::http::header::ACCEPT;
use axum::http::request::Parts;
use axum::http::{StatusCode, Uri};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum_extra::extract::CookieJar;

use super::login::SESSION_COOKIE;
use crate::app::{App, now};
use crate::catalog::{CatalogError, Operator};
use crate::login::LoginError;
use crate::secret::SecretHash;

/// The operator whose session came with the request; without one, people are sent to the login page and programs get 401.
pub struct LoggedIn(pub Operator);

impl FromRequestParts<App> for LoggedIn {
    type Rejection = PageError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, PageError> {
        let operator = <Self as OptionalFromRequestParts<App>>::from_request_parts(parts, app).await?;
        operator.ok_or_else(|| PageError::NotLoggedIn { wanted: parts.uri.clone(), is_person: wants_html(parts) })
    }
}

impl OptionalFromRequestParts<App> for LoggedIn {
    type Rejection = PageError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Option<Self>, PageError> {
        let jar = CookieJar::from_headers(&parts.headers);
        let Some(cookie) = jar.get(SESSION_COOKIE) else { return Ok(None) };
        let operator = app.catalog.session_operator(&SecretHash::of(cookie.value()), now()).await?;
        Ok(operator.map(Self))
    }
}

/// Why a page is not shown.
#[derive(Debug, thiserror::Error)]
pub enum PageError {
    /// Nobody is logged in.
    #[error("log in first")]
    NotLoggedIn {
        /// Where to go afterwards.
        wanted: Uri,
        /// Whether a browser asks.
        is_person: bool,
    },
    /// There is no such thing.
    #[error("There is nothing here. The photo or page may have had another address.")]
    NotFound,
    /// The address's query has a value that means nothing.
    #[error("This address is not one of ours: {0}.")]
    Query(&'static str),
    /// The catalog does not answer.
    #[error("The server cannot look into its catalog at the moment. Try again in a few seconds.")]
    Catalog(#[from] CatalogError),
    /// A login cannot be judged.
    #[error("The server cannot check passwords at the moment. Try again in a few seconds.")]
    Login(#[from] LoginError),
    /// A file cannot be read.
    #[error("The server cannot read this file at the moment. Try again in a few seconds.")]
    Disk(#[from] std::io::Error),
    /// A page cannot be written.
    #[error("The server cannot show this page.")]
    Template(#[from] askama::Error),
}

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage {
    operator: Option<Operator>,
    title: &'static str,
    message: String,
}

impl IntoResponse for PageError {
    fn into_response(self) -> Response {
        let (status, title) = match &self {
            Self::NotLoggedIn { wanted, is_person: true } => return to_login(wanted),
            Self::NotLoggedIn { .. } => {
                return (StatusCode::UNAUTHORIZED, "log in first: POST username and password to /login")
                    .into_response();
            }
            Self::NotFound => (StatusCode::NOT_FOUND, "Not found"),
            Self::Query(_) => (StatusCode::BAD_REQUEST, "Not understood"),
            Self::Catalog(_) | Self::Disk(_) | Self::Login(_) => (StatusCode::SERVICE_UNAVAILABLE, "Not available"),
            Self::Template(_) => (StatusCode::INTERNAL_SERVER_ERROR, "Something broke"),
        };
        if status.is_server_error() {
            tracing::error!(error = &self as &dyn std::error::Error, "failed to show a page");
        }
        let page = ErrorPage { operator: None, title, message: self.to_string() };
        match page.render() {
            Ok(html) => (status, Html(html)).into_response(),
            Err(_) => (status, self.to_string()).into_response(),
        }
    }
}

fn to_login(wanted: &Uri) -> Response {
    let wanted = wanted.path_and_query().map_or("/", |path| path.as_str());
    let mut query = String::new();
    for byte in wanted.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'_' | b'.' => query.push(char::from(byte)),
            other => query.push_str(&format!("%{other:02X}")),
        }
    }
    Redirect::to(&format!("/login?next={query}")).into_response()
}

fn wants_html(parts: &Parts) -> bool {
    parts.headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()).is_some_and(|accept| accept.contains("text/html"))
}
