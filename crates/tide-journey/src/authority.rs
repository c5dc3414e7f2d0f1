//! A private authority and its certificates, as an operator may bring them.

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};

/// Who signs certificates.
pub struct Authority {
    /// What clients trust, PEM.
    pub certificate_pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key.
pub struct Pair {
    /// The certificate, PEM.
    pub certificate_pem: String,
    /// The same as it is shown in a handshake.
    pub certificate_der: Vec<u8>,
    /// The key, PEM.
    pub key_pem: String,
}

impl Authority {
    /// A new one.
    ///
    /// # Errors
    /// If its certificate cannot be made.
    pub fn new(name: &str) -> anyhow::Result<Self> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate()?;
        let certificate_pem = params.self_signed(&key)?.pem();
        Ok(Self { certificate_pem, issuer: Issuer::new(params, key) })
    }

    /// A certificate for a host that is good for as long as these tests may live.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn pair_for(&self, host: &str) -> anyhow::Result<Pair> {
        self.issue(host, 2090)
    }

    /// A certificate for a host that ended in 2021.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn expired_pair_for(&self, host: &str) -> anyhow::Result<Pair> {
        self.issue(host, 2021)
    }

    fn issue(&self, host: &str, last_year: i32) -> anyhow::Result<Pair> {
        let mut params = CertificateParams::new(vec![host.to_owned()])?;
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(last_year, 1, 1);
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(Pair {
            certificate_pem: certificate.pem(),
            certificate_der: certificate.der().to_vec(),
            key_pem: key.serialize_pem(),
        })
    }
}
