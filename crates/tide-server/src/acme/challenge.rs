//! How the server proves that a name is its own (TLS-ALPN-01, RFC 8737): to a client that speaks only `acme-tls/1` it shows a
//! certificate with the digest of a text that only the account's key could make.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context;
use rcgen::{CertificateParams, CustomExtension, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::ServerConfig;
use rustls::crypto::ring::sign::any_ecdsa_type;
use rustls::pki_types::PrivateKeyDer;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

/// The protocol that an authority asks for, and nobody else.
const PROTOCOL: &[u8] = b"acme-tls/1";

/// The challenge that is under way, if one is. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Challenges(Arc<Mutex<Option<Presented>>>);

#[derive(Debug)]
struct Presented {
    name: String,
    certificate: Arc<CertifiedKey>,
}

/// Ends the presentation when it is dropped.
#[must_use]
pub(super) struct Presentation<'a>(&'a Challenges);

impl Challenges {
    /// Has this configuration answer the authority; all others get the certificate that they got.
    pub fn answer_in(&self, config: &mut ServerConfig) {
        let ordinary = Arc::clone(&config.cert_resolver);
        config.cert_resolver = Arc::new(Resolver { challenges: self.clone(), ordinary });
        // Last: whoever speaks HTTP too is no authority.
        config.alpn_protocols.push(PROTOCOL.to_vec());
    }

    /// Answers for a name with this digest.
    ///
    /// # Errors
    /// If no certificate can be made.
    pub(super) fn present(&self, name: &str, digest: &[u8; 32]) -> anyhow::Result<Presentation<'_>> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut params = CertificateParams::new([name.to_owned()])?;
        params.custom_extensions.push(CustomExtension::new_acme_identifier(digest));
        let chain = vec![params.self_signed(&key)?.der().clone()];
        let key = PrivateKeyDer::try_from(key.serialize_der()).map_err(anyhow::Error::msg)?;
        let key = any_ecdsa_type(&key).context("failed to use the key of a challenge")?;
        // Not read again: its extension is one that rustls refuses.
        let certificate = CertifiedKey::new(chain, key);
        *self.lock() = Some(Presented { name: name.to_owned(), certificate: Arc::new(certificate) });
        Ok(Presentation(self))
    }

    fn certificate_for(&self, name: Option<&str>) -> Option<Arc<CertifiedKey>> {
        let presented = self.lock();
        let presented = presented.as_ref().filter(|presented| name == Some(&presented.name))?;
        Some(Arc::clone(&presented.certificate))
    }

    fn lock(&self) -> MutexGuard<'_, Option<Presented>> {
        // One value is put in whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Presentation<'_> {
    fn drop(&mut self) {
        *self.0.lock() = None;
    }
}

#[derive(Debug)]
struct Resolver {
    challenges: Challenges,
    ordinary: Arc<dyn ResolvesServerCert>,
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let is_authority = hello.alpn().is_some_and(|protocols| protocols.eq([PROTOCOL]));
        if is_authority { self.challenges.certificate_for(hello.server_name()) } else { self.ordinary.resolve(hello) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_is_answered_for_its_name_while_it_is_presented() {
        let challenges = Challenges::default();
        assert!(challenges.certificate_for(Some("tide.example.org")).is_none());
        let presentation = challenges.present("tide.example.org", &[7; 32]).unwrap();
        let certificate = challenges.certificate_for(Some("tide.example.org")).unwrap();
        let (_, certificate) = x509_parser::parse_x509_certificate(&certificate.cert[0]).unwrap();
        // id-pe-acmeIdentifier, RFC 8737, 6.1
        let is_proof = |extension: &&x509_parser::extensions::X509Extension<'_>| {
            extension.oid.to_id_string() == "1.3.6.1.5.5.7.1.31"
        };
        let proof = certificate.extensions().iter().find(is_proof).unwrap();
        assert!(proof.critical && proof.value.ends_with(&[7; 32]));
        for other in [Some("other.example.org"), None] {
            assert!(challenges.certificate_for(other).is_none(), "{other:?}");
        }
        drop(presentation);
        assert!(challenges.certificate_for(Some("tide.example.org")).is_none());
    }
}
