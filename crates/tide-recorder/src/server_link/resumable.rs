//! Uploads that go on where they were cut off: tus 1.0 (<https://tus.io/protocols/resumable-upload>).
//!
//! The receipt is asked for first, because what was cut off may have been the answer. Then the upload is created, or the server
//! asked how far it has come; the rest is sent; and the receipt is fetched. Every step may be repeated. A server that does not
//! know tus gets the photo in one request.

use std::collections::VecDeque;
use std::sync::{Arc, MutexGuard, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName, LOCATION};
use reqwest::{Method, RequestBuilder, StatusCode};
use tide_photo::Digest;
use tide_photo::wire::{self, MANIFEST_METADATA};

use super::answer::{Answer, Failure, answer};
use super::{Offer, Photo, ServerLink, patience};

/// The header and the version of tus, of every request.
const TUS: (HeaderName, &str) = (HeaderName::from_static("tus-resumable"), "1.0.0");
const LENGTH: HeaderName = HeaderName::from_static("upload-length");
const METADATA: HeaderName = HeaderName::from_static("upload-metadata");
const OFFSET: HeaderName = HeaderName::from_static("upload-offset");

/// The only kind of body that an upload takes.
const BYTES: &str = "application/offset+octet-stream";

/// A photo of at most so many bytes is simply sent again after a cut: what a resumed upload may send twice, too.
const WORTH_RESUMING_BYTES: usize = 64 * 1_024;

/// Photos that are remembered at the same time. More are on their way only if the link cuts one after the other off; the
/// earliest of them then begins anew.
const REMEMBERED: usize = 32;

/// Times that station and server may disagree about an upload within one offer.
const TRIES: usize = 3;

/// The server's word for a photo whose bytes are not those of its digest.
const OTHER_BYTES: &str = "other_bytes";

/// What is known of photos that have not arrived whole.
#[derive(Debug, Default)]
pub(super) struct Begun(VecDeque<(Digest, Mark)>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Mark {
    /// It was cut off in a request that cannot be resumed.
    CutOff,
    /// It has an upload on the server.
    At {
        path: String,
        /// The manifest that the upload was created with: the server keeps that one.
        manifest: Digest,
    },
}

impl Begun {
    fn mark(&self, digest: &Digest) -> Option<&Mark> {
        self.0.iter().find(|(begun, _)| begun == digest).map(|(_, mark)| mark)
    }

    fn remember(&mut self, digest: Digest, mark: Mark) {
        self.forget(&digest);
        self.0.push_back((digest, mark));
        if self.0.len() > REMEMBERED {
            self.0.pop_front();
        }
    }

    fn forget(&mut self, digest: &Digest) {
        self.0.retain(|(begun, _)| begun != digest);
    }
}

/// What one step of an upload led to.
enum Step<T> {
    /// On with the next one.
    On(T),
    /// The server knows no such upload; a new one may do.
    Gone,
    /// There is no more to do.
    End(Offer),
}

/// An upload on the server.
struct Standing {
    path: String,
    offset_bytes: usize,
}

impl ServerLink {
    /// Whether a photo goes in an upload that can be resumed.
    pub(super) fn is_to_be_resumable(&self, photo: &Photo) -> bool {
        photo.jpeg.len() as u64 > self.resume_above_bytes || self.begun().mark(&photo.manifest.digest).is_some()
    }

    /// Draws the lesson from an offer for the next one of the same photo.
    pub(super) fn note(&self, photo: &Photo, offer: &Offer) {
        let digest = photo.manifest.digest;
        let mut begun = self.begun();
        match offer {
            Offer::Held(_) | Offer::Refused { .. } => begun.forget(&digest),
            Offer::CutOff { .. } if photo.jpeg.len() > WORTH_RESUMING_BYTES && begun.mark(&digest).is_none() => {
                begun.remember(digest, Mark::CutOff);
            }
            _ => (),
        }
    }

    /// Sends what the server does not have yet.
    pub(super) async fn send_resumably(&self, photo: &Photo) -> Result<Offer, Failure> {
        match self.ask_for_receipt(photo).await? {
            Step::End(offer) => return Ok(offer),
            Step::On(()) | Step::Gone => (),
        }
        for _ in 0..TRIES {
            let standing = match self.stand(photo).await? {
                Step::On(standing) => standing,
                Step::Gone => return self.put(photo).await,
                Step::End(offer) => return Ok(offer),
            };
            match self.append(photo, &standing).await? {
                Step::On(()) => (),
                Step::Gone => self.begun().forget(&photo.manifest.digest),
                Step::End(offer) => return Ok(offer),
            }
        }
        let reason = "the server and this station do not agree how far an upload has come".to_owned();
        Ok(Offer::Later { reason, after: None })
    }

    async fn ask_for_receipt(&self, photo: &Photo) -> Result<Step<()>, Failure> {
        let answer = brief(self.request(Method::GET, &wire::receipt_path(&photo.manifest.digest))).await?;
        Ok(if is_gone(answer.status) { Step::Gone } else { Step::End(answer.judge()) })
    }

    /// The upload that was begun, or a new one; `Gone` if the server knows no uploads. One that was begun before the manifest was
    /// amended is left to expire.
    async fn stand(&self, photo: &Photo) -> Result<Step<Standing>, Failure> {
        let begun = self.begun().mark(&photo.manifest.digest).cloned();
        if let Some(Mark::At { path, manifest }) = begun
            && manifest == Digest::of(&photo.manifest.to_json())
        {
            match self.ask_for_offset(photo, path).await? {
                Step::Gone => self.begun().forget(&photo.manifest.digest),
                step => return Ok(step),
            }
        }
        self.create(photo).await
    }

    async fn ask_for_offset(&self, photo: &Photo, path: String) -> Result<Step<Standing>, Failure> {
        let answer = brief(self.tus(Method::HEAD, &path)).await?;
        if is_gone(answer.status) {
            return Ok(Step::Gone);
        }
        let offset_bytes = answer.number(&OFFSET).and_then(|offset| usize::try_from(offset).ok());
        Ok(match offset_bytes.filter(|_| answer.status.is_success()) {
            Some(offset_bytes) if offset_bytes <= photo.jpeg.len() => Step::On(Standing { path, offset_bytes }),
            Some(_) => Step::Gone,
            None => Step::End(answer.judge()),
        })
    }

    async fn create(&self, photo: &Photo) -> Result<Step<Standing>, Failure> {
        let manifest = photo.manifest.to_json();
        let request = self
            .tus(Method::POST, wire::UPLOADS_PATH)
            .header(LENGTH, photo.jpeg.len())
            .header(METADATA, format!("{MANIFEST_METADATA} {}", STANDARD.encode(&manifest)));
        let answer = brief(request).await?;
        // Before it has been created nothing is gone: the server does not know how.
        if is_gone(answer.status) || answer.status == StatusCode::METHOD_NOT_ALLOWED {
            return Ok(Step::Gone);
        }
        let path = answer.text(&LOCATION).filter(|_| answer.status == StatusCode::CREATED);
        let Some(path) = path.and_then(|location| self.path_on_server(location)) else {
            return Ok(Step::End(answer.judge()));
        };
        let mark = Mark::At { path: path.clone(), manifest: Digest::of(&manifest) };
        self.begun().remember(photo.manifest.digest, mark);
        Ok(Step::On(Standing { path, offset_bytes: 0 }))
    }

    /// Sends the rest of a photo; at its end, fetches the receipt.
    async fn append(&self, photo: &Photo, standing: &Standing) -> Result<Step<()>, Failure> {
        let rest = photo.jpeg.slice(standing.offset_bytes..);
        let size_bytes = rest.len();
        let (body, left) = patience::in_pieces(rest, Arc::clone(&self.limit));
        let request = self
            .tus(Method::PATCH, &standing.path)
            .header(CONTENT_TYPE, BYTES)
            .header(CONTENT_LENGTH, size_bytes)
            .header(OFFSET, standing.offset_bytes)
            .body(body);
        let answer = patience::keep(answer(request), left, size_bytes).await??;
        if is_gone(answer.status) {
            return Ok(Step::Gone);
        }
        if answer.status.is_success() {
            // Less than all may have been taken; the server is asked where the upload stands.
            let is_whole = answer.number(&OFFSET) == Some(photo.jpeg.len() as u64);
            return if is_whole { self.ask_for_receipt(photo).await } else { Ok(Step::On(())) };
        }
        Ok(if is_other_offset(&answer) { Step::On(()) } else { Step::End(answer.judge()) })
    }

    fn tus(&self, method: Method, path: &str) -> RequestBuilder {
        let (version, number) = TUS;
        self.request(method, path).header(version, number)
    }

    /// Only the path counts: the token goes to no other host, whatever the answer says.
    fn path_on_server(&self, location: &str) -> Option<String> {
        self.base.join(location).ok().map(|url| url.path().to_owned())
    }

    fn begun(&self) -> MutexGuard<'_, Begun> {
        // A list of marks cannot be left half changed.
        self.begun.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn brief(request: RequestBuilder) -> Result<Answer, Failure> {
    Ok(patience::keep_brief(answer(request)).await??)
}

fn is_gone(status: StatusCode) -> bool {
    status == StatusCode::NOT_FOUND || status == StatusCode::GONE
}

fn is_other_offset(answer: &Answer) -> bool {
    answer.status == StatusCode::CONFLICT && answer.refusal().is_none_or(|refusal| refusal.error != OTHER_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn photos_that_are_cut_off_one_after_the_other_take_no_more_memory() {
        let mut begun = Begun::default();
        for number in 0..1_000_u32 {
            begun.remember(Digest::of(&number.to_le_bytes()), Mark::CutOff);
        }
        assert_eq!(begun.0.len(), REMEMBERED);
        assert!(begun.mark(&Digest::of(&999_u32.to_le_bytes())).is_some());
    }
}
