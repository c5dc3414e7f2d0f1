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
    /// The hash of no password, checked when there is no such operator, so that the answer takes as long.
    decoy: String,
}

impl Passwords {
    /// Prepares the decoy.
    ///
    /// # Errors
    /// If the password hash cannot be made.
    pub fn new() -> anyhow::Result<Self> {
        let (permits, waiting) = (Arc::new(Semaphore::new(AT_ONCE)), Semaphore::new(WAITING));
        Ok(Self { permits, waiting, decoy: hash(&crate::secret::readable_password())? })
    }

    /// Whether `password` belongs to `stored`; without a stored hash it never does.
    ///
    /// # Errors
    /// If the check could not be made; [`io::ErrorKind::ResourceBusy`] if too many are waiting.
    pub async fn matches(&self, password: String, stored: Option<String>) -> io::Result<bool> {
        let _place = self.waiting.try_acquire().map_err(|_| io::ErrorKind::ResourceBusy)?;
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(io::Error::other)?;
        let known = stored.is_some();
        let hash = stored.unwrap_or_else(|| self.decoy.clone());
        let check = move || {
            // With the work, not with the request: a client that hangs up does not end the work.
            let _permit = permit;
            verify(&password, &hash)
        };
        let verified = tokio::task::spawn_blocking(check).await.map_err(io::Error::other)?;
        Ok(verified && known)
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
        let passwords = Passwords::new().unwrap();
        let stored = hash("correct horse").unwrap();
        assert!(stored.starts_with("$argon2id$"));
        assert!(passwords.matches("correct horse".to_owned(), Some(stored.clone())).await.unwrap());
        assert!(!passwords.matches("wrong horse".to_owned(), Some(stored)).await.unwrap());
        assert!(!passwords.matches("correct horse".to_owned(), None).await.unwrap());
        assert!(!passwords.matches("correct horse".to_owned(), Some("no hash".to_owned())).await.unwrap());
    }
}
