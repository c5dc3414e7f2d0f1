//! Operators' passwords: argon2id with the crate's parameters (19 MiB, 2 passes: OWASP's recommendation), a few at a time.

use std::io;
use std::sync::Arc;

use argon2::Argon2;
use argon2::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use tokio::sync::Semaphore;

/// Checks at the same time: each takes 19 MiB and a core for some tens of milliseconds.
const AT_ONCE: usize = 2;

/// Logins that may wait for their check; who comes later is asked to try again.
const WAITING: usize = 32;

/// Checks passwords against their hashes.
pub struct Passwords {
    permits: Arc<Semaphore>,
    waiting: Semaphore,
}

/// The hash of no password, with the parameters of every other: checked when there is no such operator, so that the answer takes
/// as long.
const DECOY: &str = "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5J3Mgc2FsdA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

impl Passwords {
    /// Checks no password yet.
    pub fn new() -> Self {
        Self { permits: Arc::new(Semaphore::new(AT_ONCE)), waiting: Semaphore::new(WAITING) }
    }

    /// Whether `password` belongs to `stored`; without a stored hash it never does.
    ///
    /// # Errors
    /// If the check could not be made; [`io::ErrorKind::ResourceBusy`] if too many are waiting.
    pub async fn matches(&self, password: String, stored: Option<String>) -> io::Result<bool> {
        let _place = self.waiting.try_acquire().map_err(|_| io::ErrorKind::ResourceBusy)?;
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(io::Error::other)?;
        let known = stored.is_some();
        let hash = stored.unwrap_or_else(|| DECOY.to_owned());
        let check = move || {
            // With the work, not with the request: a client that hangs up does not end the work.
            let _permit = permit;
            verify(&password, &hash)
        };
        let verified = tokio::task::spawn_blocking(check).await.map_err(io::Error::other)?;
        Ok(verified && known)
    }
}

impl Default for Passwords {
    fn default() -> Self {
        Self::new()
    }
}

/// The hash to store, in PHC string form with its salt and parameters.
///
/// # Errors
/// If there are no random numbers for the salt.
pub fn hash(password: &str) -> anyhow::Result<String> {
    let hash = Argon2::default().hash_password(password.as_bytes());
    Ok(hash.map_err(|error| anyhow::anyhow!("failed to hash a password: {error}"))?.to_string())
}

fn verify(password: &str, hash: &str) -> bool {
    PasswordHash::new(hash).is_ok_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_right_password_of_a_known_operator_matches() {
        let passwords = Passwords::new();
        let stored = hash("correct horse").unwrap();
        assert!(stored.starts_with("$argon2id$"));
        assert!(passwords.matches("correct horse".to_owned(), Some(stored.clone())).await.unwrap());
        assert!(!passwords.matches("wrong horse".to_owned(), Some(stored)).await.unwrap());
        assert!(!passwords.matches("correct horse".to_owned(), None).await.unwrap());
        let parameters = |hash: &str| PasswordHash::new(hash).unwrap().params.to_string();
        assert_eq!(parameters(DECOY), parameters(&super::hash("x").unwrap()), "the decoy takes as long");
        assert!(!passwords.matches("correct horse".to_owned(), Some("no hash".to_owned())).await.unwrap());
    }
}
