//! What clients meet: a listener per camera in front of its RTSP server. It hands everything through, and does on the way what
//! the camera's faults ask for.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Condvar, Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncWriteExt, BufReader, BufWriter},
    net::{
        TcpListener, TcpSocket, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{Mutex as AsyncMutex, watch},
    task::JoinSet,
};

use super::{
    fault::Faults,
    wear::{Habits, Wear},
    wire::{self, Item},
};

const BACKLOG: u32 = 128;
/// Opening or closing a port takes no longer.
const SWITCHING: Duration = Duration::from_secs(5);
const CHALLENGE: &str = "WWW-Authenticate: Digest realm=\"egret sim\", nonce=\"0\"\r\n";

/// One camera as its clients see it.
#[derive(Debug)]
pub(super) struct Front {
    name: String,
    habits: Habits,
    address: SocketAddr,
    server: SocketAddr,
    /// Bound and never listening: keeps the port ours while the camera is away, and lets the kernel refuse.
    _hold: TcpSocket,
    faults: watch::Sender<Faults>,
    open: (Mutex<bool>, Condvar),
}

impl Front {
    /// Takes the port (0: any free one) in front of the server on the loopback port `server`. Must be called within a runtime.
    pub(super) fn bind(name: &str, habits: Habits, address: SocketAddr, server: u16) -> io::Result<(Arc<Self>, TcpListener)> {
        let hold = socket(address)?;
        let address = hold.local_addr()?;
        let front = Self {
            name: name.into(),
            habits,
            address,
            server: (Ipv4Addr::LOCALHOST, server).into(),
            _hold: hold,
            faults: watch::Sender::default(),
            open: (Mutex::new(true), Condvar::new()),
        };
        let listener = socket(address)?.listen(BACKLOG)?;
        Ok((Arc::new(front), listener))
    }

    /// Where clients connect.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes the faults, and returns when the port is as they want it. `false`: it did not become so.
    pub(super) fn change(&self, change: impl FnOnce(&mut Faults)) -> bool {
        self.faults.send_modify(change);
        let wanted = !self.faults.borrow().away;
        let deadline = Instant::now() + SWITCHING;
        let mut open = self.open.0.lock().unwrap_or_else(PoisonError::into_inner);
        while *open != wanted {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            open = self.open.1.wait_timeout(open, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    fn set_open(&self, open: bool) {
        *self.open.0.lock().unwrap_or_else(PoisonError::into_inner) = open;
        self.open.1.notify_all();
    }

    /// Serves until dropped.
    pub(super) async fn run(self: Arc<Self>, mut listener: TcpListener) {
        let mut faults = self.faults.subscribe();
        // Dropped with this future, and every connection with it.
        let mut clients = JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((client, _)) => { clients.spawn(self.clone().serve(client)); }
                    Err(error) => tracing::warn!(camera = self.name, %error, "cannot accept a client"),
                },
                Some(_) = clients.join_next() => {}
                Ok(()) = until(&mut faults, |f| f.away) => {
                    drop(listener);
                    self.set_open(false);
                    if until(&mut faults, |f| !f.away).await.is_err() {
                        return;
                    }
                    listener = match socket(self.address).and_then(|s| s.listen(BACKLOG)) {
                        Ok(listener) => listener,
                        Err(error) => {
                            tracing::error!(camera = self.name, %error, "the port is gone");
                            return;
                        }
                    };
                    self.set_open(true);
                }
            }
        }
    }

    async fn serve(self: Arc<Self>, client: TcpStream) {
        let mut faults = self.faults.subscribe();
        let born = faults.borrow().clone();
        // Ends of connections are everyday business; the clients tell.
        let _: io::Result<()> = tokio::select! {
            result = self.relay(client, &born) => result,
            result = until(&mut faults, |f| f.drops != born.drops) => result,
        };
    }

    async fn relay(&self, client: TcpStream, born: &Faults) -> io::Result<()> {
        let server = TcpStream::connect(self.server).await?;
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        let to_client = AsyncMutex::new(BufWriter::new(to_client));
        tokio::select! {
            result = self.requests(from_client, to_server, &to_client) => result,
            result = self.replies(from_server, &to_client, Wear::new(self.habits, born)) => result,
        }
    }

    /// Client to server.
    async fn requests(&self, from: OwnedReadHalf, mut to: OwnedWriteHalf, back: &ToClient) -> io::Result<()> {
        let mut from = BufReader::new(from);
        let mut faults = self.faults.subscribe();
        while let Some(item) = wire::read(&mut from).await? {
            let refused = {
                until(&mut faults, |f| !f.stall).await?;
                let faults = self.faults.borrow();
                self.refusal(&item, &faults)
            };
            match refused {
                Some(answer) => {
                    let mut back = back.lock().await;
                    back.write_all(&answer).await?;
                    back.flush().await?;
                }
                None => to.write_all(&item.into_bytes()).await?,
            }
        }
        Ok(())
    }

    /// What the server need not see.
    fn refusal(&self, item: &Item, faults: &Faults) -> Option<Vec<u8>> {
        let Item::Text { head, .. } = item else { return None };
        if faults.not_found || wire::subject(head).is_some_and(|subject| subject != self.name) {
            return Some(wire::answer(head, "404 Not Found", ""));
        }
        faults.refuse.then(|| wire::answer(head, "401 Unauthorized", CHALLENGE))
    }

    /// Server to client.
    async fn replies(&self, from: OwnedReadHalf, to: &ToClient, mut wear: Wear) -> io::Result<()> {
        let mut from = BufReader::with_capacity(64 * 1024, from);
        let mut faults = self.faults.subscribe();
        while let Some(item) = wire::read(&mut from).await? {
            let item = {
                until(&mut faults, |f| !f.stall).await?;
                let faults = self.faults.borrow();
                match item {
                    Item::Media { channel, packet } if channel % 2 == 0 => {
                        wear.rtp(packet, &faults).map(|packet| Item::Media { channel, packet })
                    }
                    Item::Media { channel, packet } => wear.rtcp(packet, &faults).map(|packet| Item::Media { channel, packet }),
                    text @ Item::Text { .. } => Some(text),
                }
            };
            let mut to = to.lock().await;
            if let Some(item) = item {
                to.write_all(&item.into_bytes()).await?;
            }
            // One write for all packets of a picture that are here already.
            if !wire::is_whole_packet(from.buffer()) {
                to.flush().await?;
            }
        }
        Ok(())
    }
}

type ToClient = AsyncMutex<BufWriter<OwnedWriteHalf>>;

/// Waits until the faults are like that; an error when the camera is gone.
async fn until(faults: &mut watch::Receiver<Faults>, like: impl FnMut(&Faults) -> bool) -> io::Result<()> {
    faults.wait_for(like).await.map(drop).map_err(io::Error::other)
}

fn socket(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // The held socket and the listener share the port.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}
