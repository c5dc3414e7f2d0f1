//! The system's view of the way to the server: a route, and a connection that is closed again at once.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use tokio::net::{TcpStream, UdpSocket, lookup_host};
use tokio::time::timeout;

use super::watch::Way;

/// How long a connection may take that is only tried. TCP repeats its first packet after 1, 3 and 7 s.
const TRY: Duration = Duration::from_secs(10);

/// Addresses for documentation (RFC 5737, RFC 3849), which nobody has: a route to them is a route to the world.
const ANYWHERE: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1))];

/// The way to one host and port.
#[derive(Debug)]
pub(super) struct SystemWay {
    host: String,
    port: u16,
    /// Where its name led last: without a network no name can be looked up.
    known: Mutex<Option<SocketAddr>>,
    began: Instant,
}

impl SystemWay {
    /// To a host, by name or address.
    pub(super) fn new(host: &str, port: u16) -> Self {
        let host = host.trim_matches(['[', ']']).to_owned();
        let known = host.parse().ok().map(|address: IpAddr| SocketAddr::new(address, port));
        Self { host, port, known: Mutex::new(known), began: Instant::now() }
    }

    async fn connects(&self) -> bool {
        let Ok(addresses) = lookup_host((self.host.as_str(), self.port)).await else { return false };
        for address in addresses {
            self.known.lock().unwrap_or_else(PoisonError::into_inner).replace(address);
            if TcpStream::connect(address).await.is_ok() {
                return true;
            }
        }
        false
    }
}

impl Way for SystemWay {
    async fn has_route(&self) -> bool {
        let known = *self.known.lock().unwrap_or_else(PoisonError::into_inner);
        match known {
            Some(server) => leads_to(server).await,
            None => {
                let [four, six] = ANYWHERE.map(|address| SocketAddr::new(address, self.port));
                leads_to(four).await || leads_to(six).await
            }
        }
    }

    async fn takes_a_connection(&self) -> bool {
        timeout(TRY, self.connects()).await.unwrap_or(false)
    }

    fn clock_offset_s(&self) -> i64 {
        let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let seconds = |time: Duration| i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
        seconds(since_1970) - seconds(self.began.elapsed())
    }
}

/// Whether the system knows how to send to an address. Nothing is sent.
async fn leads_to(address: SocketAddr) -> bool {
    let any: IpAddr = if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    match UdpSocket::bind((any, 0)).await {
        Ok(socket) => socket.connect(address).await.is_ok(),
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_port_on_which_somebody_listens_takes_a_connection() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        for host in ["127.0.0.1", "localhost"] {
            assert!(SystemWay::new(host, port).takes_a_connection().await, "{host}");
        }
        drop(listener);
        assert!(!SystemWay::new("127.0.0.1", port).takes_a_connection().await);
    }

    #[tokio::test]
    async fn a_route_is_there_or_not() {
        assert!(SystemWay::new("127.0.0.1", 5_000).has_route().await);
        // No program may send to everybody without asking for that, so the system has no way for it.
        assert!(!SystemWay::new("255.255.255.255", 5_000).has_route().await);
    }
}
