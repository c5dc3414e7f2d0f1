//! Who sends this photo? One secret token per station, as bearer token or as the password of HTTP Basic.
//!
//! Only headers are looked at, so a request without a token is refused before its body is read.

use axum::extract::FromRequestParts;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::app::App;
use crate::catalog::Station;
use crate::refusal::Refusal;
use crate::secret::SecretHash;

/// The station whose token came with the request.
pub struct TokenStation(pub Station);

/// The station of the token, or the one for old devices if there is no token and the settings allow that.
pub struct UploadingStation(pub Station);

impl FromRequestParts<App> for TokenStation {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Refusal> {
        let token = presented_token(parts).ok_or(Refusal::NoToken)?;
        let station = app.catalog.station_with_token(&SecretHash::of(&token)).await?;
        station.map(Self).ok_or(Refusal::NoToken)
    }
}

impl FromRequestParts<App> for UploadingStation {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Refusal> {
        match &app.anonymous_station {
            // Only a request without any token is anonymous; a wrong token is a mistake to be told.
            Some(station) if !parts.headers.contains_key(AUTHORIZATION) => Ok(Self(station.clone())),
            _ => TokenStation::from_request_parts(parts, app).await.map(|station| Self(station.0)),
        }
    }
}

fn presented_token(parts: &Parts) -> Option<String> {
    let header = parts.headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, credentials) = header.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(credentials.trim().to_owned());
    }
    if scheme.eq_ignore_ascii_case("basic") {
        let decoded = String::from_utf8(STANDARD.decode(credentials.trim()).ok()?).ok()?;
        return decoded.split_once(':').map(|(_, password)| password.to_owned());
    }
    None
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    fn token_in(header: &str) -> Option<String> {
        let (parts, ()) = Request::builder().header(AUTHORIZATION, header).body(()).unwrap().into_parts();
        presented_token(&parts)
    }

    #[test]
    fn a_token_comes_as_bearer_or_as_basic_password() {
        assert_eq!(token_in("Bearer secret").as_deref(), Some("secret"));
        assert_eq!(token_in("bearer secret").as_deref(), Some("secret"));
        // `pier-3:se:cret` and `:secret`.
        assert_eq!(token_in("Basic cGllci0zOnNlOmNyZXQ=").as_deref(), Some("se:cret"));
        assert_eq!(token_in("basic OnNlY3JldA==").as_deref(), Some("secret"));
        for nothing in ["", "Bearer", "secret", "Basic secret", "Basic /w==", "Digest secret"] {
            assert_eq!(token_in(nothing), None, "{nothing}");
        }
    }
}
