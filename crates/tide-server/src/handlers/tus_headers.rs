//! The headers of tus 1.0, read and written.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::extract::FromRequestParts;
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tide_photo::CapturedAt;

use crate::app::App;
use crate::ingest::Checksum;
use crate::refusal::Refusal;

/// The one version that is spoken.
pub const VERSION: &str = "1.0.0";

/// Which version a request or an answer is in.
pub const RESUMABLE: HeaderName = HeaderName::from_static("tus-resumable");

/// Which versions the server speaks.
pub(super) const VERSIONS: HeaderName = HeaderName::from_static("tus-version");
pub(super) const EXTENSION: HeaderName = HeaderName::from_static("tus-extension");
pub(super) const MAX_SIZE: HeaderName = HeaderName::from_static("tus-max-size");
pub(super) const CHECKSUM_ALGORITHM: HeaderName = HeaderName::from_static("tus-checksum-algorithm");
pub(super) const OFFSET: HeaderName = HeaderName::from_static("upload-offset");
pub(super) const LENGTH: HeaderName = HeaderName::from_static("upload-length");
pub(super) const METADATA: HeaderName = HeaderName::from_static("upload-metadata");
pub(super) const EXPIRES: HeaderName = HeaderName::from_static("upload-expires");
const CHECKSUM: HeaderName = HeaderName::from_static("upload-checksum");

/// The only kind of body that an upload takes.
const BYTES: &str = "application/offset+octet-stream";

/// A request in the version that is spoken here.
pub struct TusRequest;

impl FromRequestParts<App> for TusRequest {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Refusal> {
        match parts.headers.get(RESUMABLE) {
            Some(version) if version == VERSION => Ok(Self),
            _ => Err(Refusal::OtherTusVersion),
        }
    }
}

/// A header that counts bytes.
pub(super) fn bytes_in(headers: &HeaderMap, name: &HeaderName) -> Result<u64, Refusal> {
    let digits = text_in(headers, name).filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let number = digits.and_then(|digits| digits.parse().ok());
    number.ok_or_else(|| Refusal::Form(format!("the header {name} is a number of bytes, and this request needs it")))
}

/// A header of visible ASCII.
pub(super) fn text_in<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

pub(super) fn check_kind(headers: &HeaderMap) -> Result<(), Refusal> {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    if kind == Some(BYTES) { Ok(()) } else { Err(Refusal::OtherContentType) }
}

/// What the request says of its bytes, if it does.
pub(super) fn checksum_in(headers: &HeaderMap) -> Result<Option<Checksum>, Refusal> {
    if !headers.contains_key(CHECKSUM) {
        return Ok(None);
    }
    let words = text_in(headers, &CHECKSUM).and_then(|text| text.split_once(' '));
    let checksum = words.and_then(|(algorithm, sum)| Checksum::named(algorithm, STANDARD.decode(sum.trim()).ok()?));
    let refusal = || Refusal::Form("Upload-Checksum is `sha1` or `sha256`, a space, and the sum in Base64".to_owned());
    checksum.map(Some).ok_or_else(refusal)
}

/// A number of bytes, for an answer.
pub(super) fn bytes(number: u64) -> HeaderValue {
    number.into()
}

/// A moment in the form of RFC 9110, section 5.6.7.
pub(super) fn http_date(moment: SystemTime) -> HeaderValue {
    let since_1970 = moment.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let micros = i64::try_from(since_1970.as_micros()).ok().and_then(CapturedAt::from_micros);
    let text = micros.unwrap_or(CapturedAt::EPOCH).format_utc("%a, %d %b %Y %H:%M:%S GMT");
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("0"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_http() {
        // The example of RFC 9110.
        let moment = UNIX_EPOCH + Duration::from_secs(784_111_777);
        assert_eq!(http_date(moment), "Sun, 06 Nov 1994 08:49:37 GMT");
    }

    #[test]
    fn only_digits_are_a_number_of_bytes() {
        let read = |text: &'static str| {
            let headers = HeaderMap::from_iter([(OFFSET, HeaderValue::from_static(text))]);
            bytes_in(&headers, &OFFSET).ok()
        };
        assert_eq!(read("70"), Some(70));
        for bad in ["", "-1", "+1", "1.0", "99999999999999999999999"] {
            assert_eq!(read(bad), None, "{bad}");
        }
        assert!(bytes_in(&HeaderMap::new(), &OFFSET).is_err());
    }

    #[test]
    fn two_algorithms_are_known() {
        let read = |text: &'static str| {
            let headers = HeaderMap::from_iter([(CHECKSUM, HeaderValue::from_static(text))]);
            checksum_in(&headers).map(|checksum| checksum.is_some()).ok()
        };
        assert!(checksum_in(&HeaderMap::new()).is_ok_and(|none| none.is_none()));
        assert_eq!(read("sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0="), Some(true));
        assert_eq!(read("sha256 uU0nuZNNPgilLlLX2n2r+sSE7+N6U4DukIj3rOLvzek="), Some(true));
        for bad in ["", "sha1", "md5 XrY7u+Ae7tCTyyK7j1rNww==", "sha1 !", "SHA1 Kq5sNclPz7QV2+lfQIuc6R7oRu0="] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
