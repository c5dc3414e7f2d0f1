//! How many connections there may be, in all and from one address: a client that opens thousands and says nothing must not keep
//! the others out.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use axum_server::accept::Accept;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// Files that the server itself has open: the catalog's connections, logs, folders being synced.
const OWN_FILES: usize = 128;

/// The most connections at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// From all addresses together.
    pub in_all: usize,
    /// From one address. Stations behind one router share theirs.
    pub per_address: usize,
}

impl Limits {
    /// These limits, or what the system's limit of open files leaves room for; that limit is first raised as far as it may be.
    pub fn within_open_files(in_all: usize, per_address: usize) -> Self {
        let limit = getrlimit(Resource::Nofile);
        // Without success the lower limit stays, and is reckoned with.
        let raised = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }).is_ok();
        let files = if raised { limit.maximum } else { limit.current };
        // A connection may open the photo that it asks for.
        let room = files
            .map_or(usize::MAX, |files| usize::try_from(files).unwrap_or(usize::MAX).saturating_sub(OWN_FILES) / 2);
        let in_all = in_all.min(room.max(1));
        Self { in_all, per_address: per_address.min(in_all) }
    }
}

/// Lets connections in while there is room, and closes the others at once.
#[derive(Clone)]
pub struct Doorkeeper {
    limits: Limits,
    open: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// A connection that counts until it is dropped.
pub struct Counted {
    stream: TcpStream,
    _place: Place,
}

/// One connection's place among the allowed ones.
#[derive(Debug)]
struct Place {
    open: Arc<Mutex<HashMap<IpAddr, usize>>>,
    address: IpAddr,
}

impl Doorkeeper {
    /// Counts from zero.
    pub fn new(limits: Limits) -> Self {
        Self { limits, open: Arc::default() }
    }

    fn admit(&self, address: IpAddr) -> Option<Place> {
        let mut open = lock(&self.open);
        let in_all: usize = open.values().sum();
        let from_there = open.get(&address).copied().unwrap_or_default();
        if in_all >= self.limits.in_all || from_there >= self.limits.per_address {
            return None;
        }
        open.insert(address, from_there + 1);
        Some(Place { open: Arc::clone(&self.open), address })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = lock(&self.open);
        if let Some(count) = open.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.address);
            }
        }
    }
}

fn lock(open: &Mutex<HashMap<IpAddr, usize>>) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
    // Counts cannot be left half changed.
    open.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<S> Accept<TcpStream, S> for Doorkeeper {
    type Stream = Counted;
    type Service = S;
    type Future = std::future::Ready<io::Result<(Counted, S)>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        let admitted = || {
            let address = stream.peer_addr()?.ip();
            // Receipts are small: each goes out at once rather than waiting for more.
            stream.set_nodelay(true)?;
            let Some(place) = self.admit(address) else {
                tracing::warn!(%address, "too many connections; this one is closed");
                return Err(io::ErrorKind::ConnectionRefused.into());
            };
            Ok(place)
        };
        std::future::ready(admitted().map(|place| (Counted { stream, _place: place }, service)))
    }
}

impl AsyncRead for Counted {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl AsyncWrite for Counted {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_in_all_and_by_address_and_given_back() {
        let doorkeeper = Doorkeeper::new(Limits { in_all: 3, per_address: 2 });
        let [one, two, three] = [1, 2, 3].map(|last| IpAddr::from([192, 0, 2, last]));
        let first = doorkeeper.admit(one).unwrap();
        let second = doorkeeper.admit(one).unwrap();
        assert!(doorkeeper.admit(one).is_none(), "a third from one address");
        let third = doorkeeper.admit(two).unwrap();
        assert!(doorkeeper.admit(three).is_none(), "a fourth in all");
        drop((first, third));
        assert!(doorkeeper.admit(three).is_some() && doorkeeper.admit(one).is_some());
        drop(second);
        assert!(lock(&doorkeeper.open).is_empty(), "no address is remembered for ever");
    }
}
