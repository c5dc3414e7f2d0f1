//! `/login` and `/logout`.

use askama::Template;
use axum::Form;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::http::header::RETRY_AFTER;
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum_extra::extract::CookieJar;
use axum_extra::extract::cookie::{Cookie, SameSite};
use serde::Deserialize;

use super::{LoggedIn, PageError};
use crate::app::{App, now};
use crate::catalog::Operator;
use crate::client_address::ClientAddress;
use crate::login::{self, Verdict};
use crate::secret::{Secret, SecretHash};

/// Name of the session's cookie. The prefix makes browsers refuse it without `Secure`, with a domain, or with another path.
pub const SESSION_COOKIE: &str = "__Host-tide";

/// Life of a session in days.
const SESSION_DAYS: i64 = 14;

/// Where to go after logging in.
#[derive(Deserialize)]
pub struct Next {
    #[serde(default)]
    next: String,
}

/// The prototype's form fields.
#[derive(Deserialize)]
pub struct Credentials {
    username: String,
    password: String,
}

#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage<'a> {
    operator: Option<Operator>,
    username: &'a str,
    next: &'a str,
    problem: &'a str,
}

/// Shows the form, or goes on if somebody is logged in.
///
/// # Errors
/// See [`PageError`].
pub async fn form(Query(Next { next }): Query<Next>, operator: Option<LoggedIn>) -> Result<Response, PageError> {
    if operator.is_some() {
        return Ok(Redirect::to(own_path(&next)).into_response());
    }
    Ok(Html(page("", &next, "").render()?).into_response())
}

/// Checks the password and opens a session.
///
/// # Errors
/// See [`PageError`].
pub async fn log_in(
    State(app): State<App>,
    ClientAddress(address): ClientAddress,
    Query(Next { next }): Query<Next>,
    jar: CookieJar,
    Form(Credentials { username, password }): Form<Credentials>,
) -> Result<Response, PageError> {
    let now = now();
    match login::judge(&app, &username, password, address, now).await? {
        Verdict::In(operator) => {
            let secret = Secret::random();
            app.catalog.open_session(&secret.hash(), &operator, now, session_end(now)).await?;
            Ok((jar.add(session_cookie(&secret)), Redirect::to(own_path(&next))).into_response())
        }
        Verdict::Refused => {
            let html = page(&username, &next, "Wrong user name or password. Try again.").render()?;
            Ok((StatusCode::UNAUTHORIZED, Html(html)).into_response())
        }
        Verdict::Wait(wait) => {
            let seconds = wait.as_secs().max(1);
            let problem = format!("Too many failed logins. Try again in {seconds} seconds.");
            let html = page(&username, &next, &problem).render()?;
            Ok((StatusCode::TOO_MANY_REQUESTS, [(RETRY_AFTER, seconds.to_string())], Html(html)).into_response())
        }
    }
}

/// Ends the session, in the catalog and in the browser.
///
/// # Errors
/// See [`PageError`].
pub async fn log_out(State(app): State<App>, jar: CookieJar) -> Result<Response, PageError> {
    if let Some(cookie) = jar.get(SESSION_COOKIE) {
        app.catalog.close_session(&SecretHash::of(cookie.value())).await?;
    }
    let mut removal = Cookie::build((SESSION_COOKIE, "")).path("/").secure(true).build();
    removal.make_removal();
    Ok((jar.add(removal), Redirect::to("/login")).into_response())
}

fn page<'a>(username: &'a str, next: &'a str, problem: &'a str) -> LoginPage<'a> {
    LoginPage { operator: None, username, next: own_path(next), problem }
}

fn session_cookie(secret: &Secret) -> Cookie<'static> {
    Cookie::build((SESSION_COOKIE, secret.reveal().to_owned()))
        .path("/")
        .secure(true)
        .http_only(true)
        .same_site(SameSite::Lax)
        .max_age(time::Duration::days(SESSION_DAYS))
        .build()
}

fn session_end(now: tide_photo::CapturedAt) -> tide_photo::CapturedAt {
    let end_us = now.as_micros() + SESSION_DAYS * 24 * 60 * 60 * 1_000_000;
    tide_photo::CapturedAt::from_micros(end_us).unwrap_or(now)
}

/// Only paths of this server are gone to: a link must not lead a freshly logged-in operator to a copy of this page.
fn own_path(next: &str) -> &str {
    let is_plain = next.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    let is_own = next.starts_with('/') && !next.starts_with("//") && is_plain;
    if is_own { next } else { "/gallery" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_leads_only_to_our_own_pages() {
        assert_eq!(own_path("/photo/7?x=1"), "/photo/7?x=1");
        for foreign in
            ["", "//evil.example", "https://evil.example", "/\\evil.example", "gallery", "/\t/evil.example", "/\u{1}"]
        {
            assert_eq!(own_path(foreign), "/gallery", "{foreign}");
        }
    }

    #[test]
    fn the_cookie_stays_on_this_host_and_out_of_scripts() {
        let cookie = session_cookie(&Secret::random()).to_string();
        for word in ["__Host-tide=", "HttpOnly", "Secure", "SameSite=Lax", "Path=/", "Max-Age=1209600"] {
            assert!(cookie.contains(word), "{word} in {cookie}");
        }
        assert!(!cookie.contains("Domain"));
    }
}
