//! `tide-server healthcheck`

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, ensure};
use reqwest::Client;

use crate::config::Settings;

/// How long the server may take to answer; a container's engine waits for ten seconds.
const PATIENCE: Duration = Duration::from_secs(8);

/// Asks the server on this machine how it is. For a container's engine, which takes an error for ill.
///
/// # Errors
/// If it does not answer, or takes in no photos.
pub async fn healthcheck(settings: &Settings) -> anyhow::Result<()> {
    // The first to ask decides; reqwest brings no cryptography of its own.
    drop(rustls::crypto::ring::default_provider().install_default());
    // The certificate has the name under which others reach this server, and nothing secret is said here.
    let client = Client::builder().tls_danger_accept_invalid_certs(true).no_proxy().timeout(PATIENCE).build()?;
    let url = url(settings);
    let answer = client.get(&url).send().await.with_context(|| {
        format!("no server answers at {url}; its log says why (`docker compose logs`, or the journal of its service)")
    })?;
    ensure!(
        answer.status().is_success(),
        "the server takes in no photos; its log says why, and most often its disk is full ({url} answered {})",
        answer.status()
    );
    println!("healthy");
    Ok(())
}

fn url(settings: &Settings) -> String {
    let scheme = if settings.plain_http { "http" } else { "https" };
    format!("{scheme}://{}/health", reachable(settings.listen))
}

/// Whoever listens everywhere is reached on the loopback, too.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(listen: &str, plain_http: bool, expected: &str) {
        let settings = Settings { listen: listen.parse().unwrap(), plain_http, ..Settings::default() };
        assert_eq!(url(&settings), expected);
    }

    #[test]
    fn a_server_that_listens_everywhere_is_asked_on_the_loopback() {
        check("0.0.0.0:5000", false, "https://127.0.0.1:5000/health");
        check("[::]:5000", false, "https://[::1]:5000/health");
        check("192.0.2.7:8443", true, "http://192.0.2.7:8443/health");
    }
}
