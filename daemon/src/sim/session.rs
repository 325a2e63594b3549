//! One client's connection: requests go to the RTSP server, answers and media come back, and faults happen on the way.

use std::{
    collections::HashMap,
    io,
    net::IpAddr,
    sync::{Mutex, PoisonError},
};

use tokio::{
    io::{AsyncWriteExt, BufReader, BufWriter},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{Mutex as AsyncMutex, watch},
    task::JoinSet,
};

use super::{
    datagrams::Datagrams,
    fault::Faults,
    proxy::until,
    wear::{Habits, Wear},
    wire::{self, Item},
};

const CHALLENGE: &str = "WWW-Authenticate: Digest realm=\"egret sim\", nonce=\"0\"\r\n";
/// SETUPs without an answer at most.
const PENDING: usize = 16;

/// A connection and what became of it.
pub(super) struct Session<'a> {
    name: &'a str,
    habits: Habits,
    faults: watch::Receiver<Faults>,
    /// Faults when it began.
    born: Faults,
    local: IpAddr,
    client: IpAddr,
    to_client: AsyncMutex<BufWriter<OwnedWriteHalf>>,
    /// SETUPs for UDP that the server has not answered yet, by sequence number.
    setups: Mutex<HashMap<String, Datagrams>>,
}

/// Serves a client until either side ends.
pub(super) async fn run(
    name: &str,
    habits: Habits,
    faults: watch::Receiver<Faults>,
    client: TcpStream,
    server: TcpStream,
) -> io::Result<()> {
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (local, peer) = (client.local_addr()?.ip(), client.peer_addr()?.ip());
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let born = faults.borrow().clone();
    let session = Session {
        name,
        habits,
        faults,
        born,
        local,
        client: peer,
        to_client: AsyncMutex::new(BufWriter::new(to_client)),
        setups: Mutex::default(),
    };
    tokio::select! {
        result = session.requests(from_client, to_server) => result,
        result = session.replies(from_server) => result,
    }
}

impl Session<'_> {
    /// Client to server.
    async fn requests(&self, from: OwnedReadHalf, mut to: OwnedWriteHalf) -> io::Result<()> {
        let mut from = BufReader::new(from);
        let mut faults = self.faults.clone();
        while let Some(item) = wire::read(&mut from).await? {
            until(&mut faults, |f| !f.stall).await?;
            if let Some(answer) = self.refusal(&item) {
                let mut to_client = self.to_client.lock().await;
                to_client.write_all(&answer).await?;
                to_client.flush().await?;
                continue;
            }
            let item = match item {
                Item::Text { head, body } if head.starts_with("SETUP ") => Item::Text { head: self.setup(head).await?, body },
                other => other,
            };
            to.write_all(&item.into_bytes()).await?;
        }
        Ok(())
    }

    /// What the server need not see.
    fn refusal(&self, item: &Item) -> Option<Vec<u8>> {
        let Item::Text { head, .. } = item else { return None };
        let faults = self.faults.borrow();
        if faults.not_found || wire::subject(head).is_some_and(|subject| subject != self.name) {
            return Some(wire::answer(head, "404 Not Found", ""));
        }
        faults.refuse.then(|| wire::answer(head, "401 Unauthorized", CHALLENGE))
    }

    /// A SETUP for UDP sends the media past us first.
    async fn setup(&self, head: String) -> io::Result<String> {
        let Some(datagrams) = Datagrams::open(&head, self.local, self.client).await? else { return Ok(head) };
        let rewritten = datagrams.to_server(&head);
        let mut setups = self.setups.lock().unwrap_or_else(PoisonError::into_inner);
        if setups.len() < PENDING {
            setups.insert(wire::header(&head, "CSeq").unwrap_or_default().into(), datagrams);
        }
        Ok(rewritten)
    }

    /// Server to client.
    async fn replies(&self, from: OwnedReadHalf) -> io::Result<()> {
        let mut from = BufReader::with_capacity(64 * 1024, from);
        let mut faults = self.faults.clone();
        let mut wear = Wear::new(self.habits, &self.born);
        // Dropped with this connection.
        let mut relays = JoinSet::new();
        while let Some(item) = wire::read(&mut from).await? {
            until(&mut faults, |f| !f.stall).await?;
            let item = match item {
                Item::Media { channel, packet } => {
                    let faults = self.faults.borrow();
                    // Even channels are RTP.
                    let packet = if channel % 2 == 0 { wear.rtp(packet, &faults) } else { wear.rtcp(packet, &faults) };
                    packet.map(|packet| Item::Media { channel, packet })
                }
                Item::Text { head, body } => Some(Item::Text { head: self.answered(head, &mut relays), body }),
            };
            let mut to = self.to_client.lock().await;
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

    /// The answer to a SETUP for UDP starts the relay.
    fn answered(&self, head: String, relays: &mut JoinSet<io::Result<()>>) -> String {
        let sequence = wire::header(&head, "CSeq").unwrap_or_default();
        let Some(datagrams) = self.setups.lock().unwrap_or_else(PoisonError::into_inner).remove(sequence) else { return head };
        if wire::header(&head, "Transport").is_none() {
            return head;
        }
        let rewritten = datagrams.to_client(&head, self.local);
        relays.spawn(datagrams.relay(head, self.faults.clone(), Wear::new(self.habits, &self.born)));
        rewritten
    }
}
