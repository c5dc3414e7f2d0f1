//! Bytes to a server and back, as no client library would send them.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// How long the server may take for an answer; longer than it allows any client to be silent.
const PATIENCE: Duration = Duration::from_secs(40);

/// Boundary of the forms that are made here.
pub const BOUNDARY: &str = "b0undary";

/// A connection to a server over TLS.
pub struct RawConnection {
    stream: TlsStream<TcpStream>,
    /// What came behind the last answer that was read.
    behind: Vec<u8>,
}

/// An answer, as it came.
#[derive(Debug)]
pub struct RawAnswer {
    /// Its status.
    pub status: u16,
    /// Its headers, under names in lower case.
    pub headers: BTreeMap<String, String>,
    /// What followed.
    pub body: Vec<u8>,
}

/// How to speak TLS to a server that shows a certificate of this authority, or this very one.
///
/// # Errors
/// If it is no certificate.
pub fn tls_config(trusted_pem: &[u8]) -> anyhow::Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(trusted_pem)?)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()))
}

/// A connection from an address of loopback to a port of it, without TLS.
///
/// # Errors
/// If nobody listens there.
pub async fn connect_from(address: Ipv4Addr, port: u16) -> anyhow::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from((address, 0)))?;
    Ok(socket.connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await?)
}

impl RawConnection {
    /// Connects from an address of loopback.
    ///
    /// # Errors
    /// If there is no server, or none that is trusted.
    pub async fn open_from(address: Ipv4Addr, port: u16, tls: Arc<ClientConfig>) -> anyhow::Result<Self> {
        let stream = connect_from(address, port).await?;
        stream.set_nodelay(true)?;
        let connecting = TlsConnector::from(tls).connect(ServerName::try_from("localhost")?, stream);
        let stream = timeout(PATIENCE, connecting).await.context("the server does not shake hands")??;
        Ok(Self { stream, behind: Vec::new() })
    }

    /// Connects.
    ///
    /// # Errors
    /// If there is no server, or none that is trusted.
    pub async fn open(port: u16, tls: Arc<ClientConfig>) -> anyhow::Result<Self> {
        Self::open_from(Ipv4Addr::LOCALHOST, port, tls).await
    }

    /// The certificate that the server showed, DER.
    pub fn certificate(&self) -> Option<&[u8]> {
        let (_, session) = self.stream.get_ref();
        Some(session.peer_certificates()?.first()?.as_ref())
    }

    /// Sends bytes.
    ///
    /// # Errors
    /// If the server has hung up.
    pub async fn send(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        self.stream.write_all(bytes).await?;
        Ok(self.stream.flush().await?)
    }

    /// Says that nothing more will come, and goes on listening.
    ///
    /// # Errors
    /// If the server has hung up.
    pub async fn end(&mut self) -> anyhow::Result<()> {
        Ok(self.stream.shutdown().await?)
    }

    /// The next answer; `None` if the server hung up instead.
    ///
    /// # Errors
    /// If it is none, or does not come.
    pub async fn answer(&mut self) -> anyhow::Result<Option<RawAnswer>> {
        loop {
            if let Some((answer, length)) = RawAnswer::at_beginning_of(&self.behind)? {
                self.behind.drain(..length);
                return Ok(Some(answer));
            }
            let mut piece = vec![0; 16 * 1_024];
            let read = timeout(PATIENCE, self.stream.read(&mut piece)).await.context("the server does not answer")?;
            match read {
                // A server that hangs up without a farewell has hung up.
                Ok(0) | Err(_) if self.behind.is_empty() => return Ok(None),
                Ok(0) | Err(_) => bail!("half an answer: {}", String::from_utf8_lossy(&self.behind)),
                Ok(length) => self.behind.extend_from_slice(&piece[..length]),
            }
        }
    }

    /// All answers until the server hangs up.
    ///
    /// # Errors
    /// If it does not.
    pub async fn answers(mut self) -> anyhow::Result<Vec<RawAnswer>> {
        let mut answers = Vec::new();
        while let Some(answer) = self.answer().await? {
            answers.push(answer);
            ensure!(answers.len() < 100, "the server answers and answers");
        }
        Ok(answers)
    }
}

impl RawAnswer {
    /// The answer with which these bytes begin and its length, once all of it is there.
    fn at_beginning_of(bytes: &[u8]) -> anyhow::Result<Option<(Self, usize)>> {
        let Some(head_length) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
        let head = std::str::from_utf8(&bytes[..head_length])?;
        let mut lines = head.split("\r\n");
        let first = lines.next().unwrap_or_default();
        let status = first.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.with_context(|| format!("no answer begins with {first:?}"))?;
        let headers: BTreeMap<String, String> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        // Every answer of the upload doors has its length; lists that have none are not asked for here.
        let body_length: usize = headers.get("content-length").map_or(Ok(0), |length| length.parse())?;
        let whole = head_length + 4 + body_length;
        let Some(body) = bytes.get(head_length + 4..whole) else { return Ok(None) };
        let body = body.to_vec();
        Ok(Some((Self { status, headers, body }, whole)))
    }

    /// A header's value, empty if there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// What followed the headers, as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// A multipart form of such parts: header lines, and what they are about.
pub fn form(parts: &[(&str, &[u8])]) -> Vec<u8> {
    let mut form = Vec::new();
    for (header, content) in parts {
        form.extend(format!("--{BOUNDARY}\r\n{header}\r\n\r\n").into_bytes());
        form.extend_from_slice(content);
        form.extend(b"\r\n");
    }
    form.extend(format!("--{BOUNDARY}--\r\n").into_bytes());
    form
}

/// The header line of a part.
pub fn part(name: &str) -> String {
    format!("Content-Disposition: form-data; name=\"{name}\"")
}
