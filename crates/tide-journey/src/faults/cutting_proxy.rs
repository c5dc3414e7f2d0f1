//! A link that breaks: passes connections on to a server, and cuts one after a given number of bytes in either direction.

use std::collections::VecDeque;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::bail;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// One direction of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    ToServer,
    ToClient,
}

/// Where a connection breaks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cut {
    pub(super) direction: Direction,
    /// Bytes that still pass in that direction.
    pub(super) after_bytes: u64,
}

/// Bytes that a connection carried.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Traffic {
    pub(super) to_server: u64,
    pub(super) to_client: u64,
}

/// A link that breaks where it is told to.
pub(super) struct CuttingProxy {
    port: u16,
    state: Arc<Mutex<State>>,
    sent_to_server: Arc<AtomicU64>,
    listening: JoinHandle<()>,
}

#[derive(Default)]
struct State {
    next: VecDeque<Cut>,
    cuts_to_server: u32,
    cuts_to_client: u32,
    last_whole: Traffic,
}

impl CuttingProxy {
    /// Listens on a free port of loopback, for a server's port.
    pub(super) async fn start(server_port: u16) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr()?.port();
        let state = Arc::<Mutex<State>>::default();
        let sent_to_server = Arc::<AtomicU64>::default();
        let listening = tokio::spawn(listen(listener, server_port, Arc::clone(&state), Arc::clone(&sent_to_server)));
        Ok(Self { port, state, sent_to_server, listening })
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// The next connection breaks there, and no other.
    pub(super) fn cut_next(&self, cut: Cut) {
        lock(&self.state).next = [cut].into();
    }

    /// The following connections break, each at one of these places.
    pub(super) fn cut_following(&self, cuts: impl IntoIterator<Item = Cut>) {
        lock(&self.state).next.extend(cuts);
    }

    /// Bytes passed on to the server so far, over all connections.
    pub(super) fn sent_to_server(&self) -> u64 {
        self.sent_to_server.load(Ordering::Relaxed)
    }

    /// Cuts made so far, to the server and to the client.
    pub(super) fn cuts(&self) -> (u32, u32) {
        let state = lock(&self.state);
        (state.cuts_to_server, state.cuts_to_client)
    }

    /// What the last connection carried that was not cut; waits until there is one.
    pub(super) async fn last_whole(&self) -> anyhow::Result<Traffic> {
        for _ in 0..1_000 {
            let traffic = lock(&self.state).last_whole;
            if traffic.to_server > 0 {
                return Ok(traffic);
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        bail!("a connection through the proxy does not end")
    }
}

impl Drop for CuttingProxy {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    // Counts cannot be left half changed.
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn listen(listener: TcpListener, server_port: u16, state: Arc<Mutex<State>>, sent: Arc<AtomicU64>) {
    while let Ok((client, _)) = listener.accept().await {
        let cut = lock(&state).next.pop_front();
        let (state, sent) = (Arc::clone(&state), Arc::clone(&sent));
        tokio::spawn(async move {
            // Without a server the client sees a connection that ends at once.
            if let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, server_port)).await {
                let _ = pass(client, server, cut, &state, &sent).await;
            }
        });
    }
}

/// Passes one connection on; both halves break together.
async fn pass(
    client: TcpStream,
    server: TcpStream,
    cut: Option<Cut>,
    state: &Mutex<State>,
    sent: &AtomicU64,
) -> anyhow::Result<()> {
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let limit = |direction| cut.filter(|cut| cut.direction == direction).map_or(u64::MAX, |cut| cut.after_bytes);
    let (mut carried, uncounted) = (Traffic::default(), AtomicU64::default());
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let ends = tokio::try_join!(
        copy(from_client, to_server, limit(Direction::ToServer), &mut carried.to_server, sent),
        copy(from_server, to_client, limit(Direction::ToClient), &mut carried.to_client, &uncounted),
    );
    let mut state = lock(state);
    match (ends, cut) {
        (Err(Broken::Cut), Some(Cut { direction: Direction::ToServer, .. })) => state.cuts_to_server += 1,
        (Err(Broken::Cut), _) => state.cuts_to_client += 1,
        // An end that hangs up while the other still says farewell has had all that it wanted.
        (Ok(_) | Err(Broken::ByAnEnd), _) => state.last_whole = carried,
    }
    Ok(())
}

/// Why a connection ended before both ends had said farewell.
enum Broken {
    Cut,
    ByAnEnd,
}

/// Copies to the end of `from`, or until `passed` has come to the limit.
async fn copy(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    limit: u64,
    passed: &mut u64,
    total: &AtomicU64,
) -> Result<(), Broken> {
    let mut piece = vec![0; 16 * 1_024];
    loop {
        let length = from.read(&mut piece).await.map_err(|_| Broken::ByAnEnd)?;
        if length == 0 {
            return to.shutdown().await.map_err(|_| Broken::ByAnEnd);
        }
        let left = usize::try_from(limit - *passed).unwrap_or(usize::MAX);
        let through = piece.get(..length.min(left)).unwrap_or_default();
        to.write_all(through).await.map_err(|_| Broken::ByAnEnd)?;
        *passed += through.len() as u64;
        total.fetch_add(through.len() as u64, Ordering::Relaxed);
        if *passed >= limit {
            return Err(Broken::Cut);
        }
    }
}
