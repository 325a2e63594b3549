//! A client's media over UDP: the RTSP server sends to us, we send to the client, so that faults reach datagrams too.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

use tokio::{net::UdpSocket, sync::watch};

use super::{fault::Faults, wear::Wear, wire};

/// Pairs of neighbouring ports tried before giving up.
const ATTEMPTS: usize = 50;
const LARGEST: usize = 65_536;

/// Two sockets, RTP on an even port and RTCP on the next, as clients expect (RFC 3550, §11).
#[derive(Debug)]
pub(super) struct Datagrams {
    rtp: UdpSocket,
    rtcp: UdpSocket,
    ports: (u16, u16),
    client: IpAddr,
    client_ports: (u16, u16),
}

impl Datagrams {
    /// For a SETUP that asks for UDP; `None` for one that does not.
    pub(super) async fn open(setup: &str, local: IpAddr, client: IpAddr) -> io::Result<Option<Self>> {
        let asked = wire::header(setup, "Transport").and_then(|transport| port_pair(transport, "client_port"));
        let Some(client_ports) = asked else { return Ok(None) };
        // The server sends from loopback, the client listens where it came from: one socket for both.
        let local = if local.is_loopback() { local } else { Ipv4Addr::UNSPECIFIED.into() };
        for _ in 0..ATTEMPTS {
            let rtp = UdpSocket::bind((local, 0)).await?;
            let port = rtp.local_addr()?.port();
            if port % 2 == 1 {
                continue;
            }
            if let Ok(rtcp) = UdpSocket::bind((local, port + 1)).await {
                return Ok(Some(Self { rtp, rtcp, ports: (port, port + 1), client, client_ports }));
            }
        }
        Err(io::Error::new(io::ErrorKind::AddrInUse, "no pair of free UDP ports"))
    }

    /// The client's SETUP as the server shall see it.
    pub(super) fn to_server(&self, setup: &str) -> String {
        rewrite(setup, |name, _| (name == "client_port").then(|| pair(self.ports)))
    }

    /// The server's answer as the client shall see it.
    pub(super) fn to_client(&self, answer: &str, local: IpAddr) -> String {
        rewrite(answer, |name, _| match name {
            "client_port" => Some(pair(self.client_ports)),
            "server_port" => Some(pair(self.ports)),
            "source" => Some(local.to_string()),
            _ => None,
        })
    }

    /// Passes datagrams on, both ways, until dropped. `answer` is the server's, and names its ports.
    pub(super) async fn relay(self, answer: String, faults: watch::Receiver<Faults>, mut wear: Wear) -> io::Result<()> {
        let Some(server_ports) = wire::header(&answer, "Transport").and_then(|t| port_pair(t, "server_port")) else {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the server names no ports"));
        };
        let server = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let (mut first, mut second) = (vec![0; LARGEST], vec![0; LARGEST]);
        loop {
            let (socket, client, server, packet, from, control) = tokio::select! {
                received = self.rtp.recv_from(&mut first) => {
                    let (length, from) = received?;
                    (&self.rtp, self.client_ports.0, server(server_ports.0), &first[..length], from, false)
                }
                received = self.rtcp.recv_from(&mut second) => {
                    let (length, from) = received?;
                    (&self.rtcp, self.client_ports.1, server(server_ports.1), &second[..length], from, true)
                }
            };
            // A datagram that cannot be sent is lost, as datagrams are.
            let _: io::Result<usize> = if from == server {
                let worn = {
                    let faults = faults.borrow();
                    let packet = packet.to_vec();
                    if faults.stall {
                        None
                    } else if control {
                        wear.rtcp(packet, &faults)
                    } else {
                        wear.rtp(packet, &faults)
                    }
                };
                match worn {
                    Some(packet) => socket.send_to(&packet, (self.client, client)).await,
                    None => Ok(0),
                }
            } else {
                socket.send_to(packet, server).await
            };
        }
    }
}

fn pair((first, second): (u16, u16)) -> String {
    format!("{first}-{second}")
}

/// `name=1000-1001` in a Transport header.
fn port_pair(transport: &str, name: &str) -> Option<(u16, u16)> {
    transport.split([';', ',']).find_map(|parameter| {
        let (key, value) = parameter.trim().split_once('=')?;
        let (first, second) = value.split_once('-')?;
        (key == name).then_some((first.parse().ok()?, second.parse().ok()?))
    })
}

/// Changes parameters of the Transport header.
fn rewrite(head: &str, change: impl Fn(&str, &str) -> Option<String>) -> String {
    let parameter = |text: &str| match text.split_once('=') {
        Some((name, value)) => change(name.trim(), value).map_or_else(|| text.to_owned(), |value| format!("{name}={value}")),
        None => text.to_owned(),
    };
    head.split_inclusive("\r\n")
        .map(|line| match line.split_once(':') {
            Some((name, value)) if name.eq_ignore_ascii_case("Transport") => {
                let value: Vec<_> = value.trim().split(';').map(parameter).collect();
                format!("{name}: {}\r\n", value.join(";"))
            }
            _ => line.to_owned(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETUP: &str = "SETUP rtsp://h/a RTSP/1.0\r\nCSeq: 3\r\nTransport: RTP/AVP/UDP;unicast;client_port=6000-6001\r\n\r\n";

    #[tokio::test]
    async fn ports_are_exchanged_on_the_way() {
        let local = IpAddr::from(Ipv4Addr::LOCALHOST);
        let client = IpAddr::from([127, 0, 0, 9]);
        let datagrams = Datagrams::open(SETUP, local, client).await.unwrap().unwrap();
        let (first, second) = datagrams.ports;
        assert!(first % 2 == 0 && second == first + 1);
        assert_eq!(datagrams.to_server(SETUP), SETUP.replace("6000-6001", &format!("{first}-{second}")));
        let answer = "RTSP/1.0 200 OK\r\nTransport: RTP/AVP;source=127.0.0.1;client_port=1-2;server_port=8-9;ssrc=0A\r\n\r\n";
        let expected = format!(
            "RTSP/1.0 200 OK\r\nTransport: RTP/AVP;source=127.0.0.1;client_port=6000-6001;server_port={first}-{second};ssrc=0A\r\n\r\n"
        );
        assert_eq!(datagrams.to_client(answer, local), expected);
    }

    #[tokio::test]
    async fn an_interleaved_setup_has_no_datagrams() {
        let setup = "SETUP rtsp://h/a RTSP/1.0\r\nTransport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n\r\n";
        let local = IpAddr::from(Ipv4Addr::LOCALHOST);
        assert!(Datagrams::open(setup, local, local).await.unwrap().is_none());
    }
}
