//! What clients meet: a listener per camera in front of its RTSP server. It hands everything through, and does on the way what
//! the camera's faults ask for.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Condvar, Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    sync::watch,
    task::JoinSet,
};

use super::{fault::Faults, session, wear::Habits};

const BACKLOG: u32 = 128;
/// Opening or closing a port takes no longer.
const SWITCHING: Duration = Duration::from_secs(5);

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
        let drops = faults.borrow().drops;
        // Ends of connections are everyday business; the clients tell.
        let _: io::Result<()> = tokio::select! {
            result = self.relay(client) => result,
            result = until(&mut faults, |f| f.drops != drops) => result,
        };
    }

    async fn relay(&self, client: TcpStream) -> io::Result<()> {
        let server = TcpStream::connect(self.server).await?;
        session::run(&self.name, self.habits, self.faults.subscribe(), client, server).await
    }
}

/// Waits until the faults are like that; an error when the camera is gone.
pub(super) async fn until(faults: &mut watch::Receiver<Faults>, like: impl FnMut(&Faults) -> bool) -> io::Result<()> {
    faults.wait_for(like).await.map(drop).map_err(io::Error::other)
}

fn socket(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // The held socket and the listener share the port.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}
