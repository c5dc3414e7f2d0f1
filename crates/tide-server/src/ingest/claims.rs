//! Which photos are being taken in at this moment.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tide_photo::Digest;

type Key = (i64, Digest);

/// The photos that requests have reserved, by station and digest.
#[derive(Default)]
pub struct Claims(Mutex<HashSet<Key>>);

/// A reserved photo; dropping it frees the photo, however the request ended.
pub struct Claim {
    claims: Arc<Claims>,
    key: Key,
}

impl Claims {
    /// Reserves a photo; `None` if it is reserved.
    pub fn claim(claims: &Arc<Self>, station_id: i64, digest: Digest) -> Option<Claim> {
        let key = (station_id, digest);
        claims.lock().insert(key).then(|| Claim { claims: Arc::clone(claims), key })
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<Key>> {
        // A set of keys cannot be left half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.claims.lock().remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_photo_is_reserved_once_until_let_go() {
        let claims = Arc::new(Claims::default());
        let digest = Digest::of(b"abc");
        let first = Claims::claim(&claims, 1, digest);
        assert!(first.is_some());
        assert!(Claims::claim(&claims, 1, digest).is_none());
        assert!(Claims::claim(&claims, 2, digest).is_some(), "another station's photo is another photo");
        drop(first);
        assert!(Claims::claim(&claims, 1, digest).is_some());
    }
}
