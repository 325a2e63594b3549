//! Why a broker refuses or ends a connection: the reason codes of MQTT 5 (§2.4) and 3.1.1 (§3.2.2.3), and what to do about them.

use bytes::{Buf, BytesMut};
use rumqttc::{mqttbytes::v4, v5::mqttbytes::v5::ConnectReturnCode};

use super::{
    counters::Failure,
    packet::{LinkError, MAX_INCOMING, Spoken, Turn},
};

const USE_ANOTHER_SERVER: u8 = 0x9c;
const SERVER_MOVED: u8 = 0x9d;
const RETAIN_NOT_SUPPORTED: u8 = 0x9a;
const UNSUPPORTED_VERSION: u8 = 0x84;
/// First byte of DISCONNECT.
const DISCONNECT: u8 = 0xe0;
/// Properties of DISCONNECT (§3.14.2.2).
const SESSION_EXPIRY: u8 = 0x11;
const SERVER_REFERENCE: u8 = 0x1c;
const REASON_STRING: u8 = 0x1f;
const USER_PROPERTY: u8 = 0x26;
/// Most characters of what a broker says that are repeated.
const MOST_SAID: usize = 200;

/// What a code means, in the standard's words where there is nothing to be done about it here.
pub fn meaning(code: u8) -> &'static str {
    match code {
        0x00 => "normal disconnection",
        // These five are of 3.1.1.
        1 => "this broker does not speak MQTT 3.1.1",
        2 => "the client identifier is not valid there: set client_id",
        3 => "server unavailable",
        4 => "wrong user name or password",
        5 => "not authorized",
        0x80 => "unspecified error",
        0x81 => "malformed packet",
        0x82 => "protocol error",
        0x83 => "a reason of the broker's own",
        UNSUPPORTED_VERSION => "this broker does not speak this version of MQTT",
        0x85 => "the client identifier is not valid there: set client_id",
        0x86 => "wrong user name or password",
        0x87 => "not authorized: the broker's rules do not let this user do that",
        0x88 => "server unavailable",
        0x89 => "server busy",
        0x8a => "banned by the broker",
        0x8b => "the server is shutting down",
        0x8c => "bad authentication method",
        0x8d => "keep-alive timeout: the broker heard nothing from us",
        0x8e => "another client has the same client identifier: give each device a client_id of its own",
        0x8f => "topic filter invalid",
        0x90 => "topic name invalid there: it has too many levels, or the broker\'s rules do not know it",
        0x91 => "packet identifier in use",
        0x93 => "receive maximum exceeded",
        0x94 => "topic alias invalid",
        0x95 => "packet too large",
        0x96 => "message rate too high: set max_bytes_per_second, or publish fewer frames",
        0x97 => "quota exceeded: the broker takes no more of this client for now",
        0x98 => "administrative action",
        0x99 => "payload format invalid",
        0x9a => "the broker does not retain messages",
        0x9b => "the broker does not know this quality of service",
        USE_ANOTHER_SERVER => "use another server",
        SERVER_MOVED => "server moved",
        0x9f => "connection rate exceeded",
        0xa0 => "maximum connect time",
        _ => "a reason that the standard does not know",
    }
}

/// The broker did not let us in. `elsewhere`: its server reference.
pub(super) fn refused(code: u8, said: &str, elsewhere: Option<String>) -> LinkError {
    let failure = match code {
        0x86 | 0x87 | 0x8a | 0x8c => Failure::AuthFailed,
        _ => Failure::Refused,
    };
    let mut error = LinkError::new(failure, told("the broker refused", code, said));
    error.turn = match code {
        UNSUPPORTED_VERSION => Some(Turn::OlderVersion),
        _ => turn(code, elsewhere),
    };
    error.code = Some((Spoken::Connack, code));
    error
}

fn turn(code: u8, elsewhere: Option<String>) -> Option<Turn> {
    if code == RETAIN_NOT_SUPPORTED {
        return Some(Turn::NothingRetained);
    }
    let servers = elsewhere.filter(|_| matches!(code, USE_ANOTHER_SERVER | SERVER_MOVED))?;
    Some(Turn::Elsewhere { servers, for_good: code == SERVER_MOVED })
}

/// The same by a broker of 3.1.1.
pub(super) fn refused_by_old(code: v4::ConnectReturnCode) -> LinkError {
    use v4::ConnectReturnCode as Code;
    let (failure, number) = match code {
        Code::BadUserNamePassword => (Failure::AuthFailed, 4),
        Code::NotAuthorized => (Failure::AuthFailed, 5),
        Code::RefusedProtocolVersion => (Failure::Refused, 1),
        Code::BadClientId => (Failure::Refused, 2),
        _ => (Failure::Refused, 3),
    };
    let mut error = LinkError::new(failure, told("the broker refused", number, ""));
    error.code = Some((Spoken::Connack, number));
    error
}

/// What the broker says is somebody else's text: short, and one line.
fn told(what: &str, code: u8, said: &str) -> String {
    let said: String = said.chars().take(MOST_SAID).map(|c| if c.is_control() { ' ' } else { c }).collect();
    let said = if said.is_empty() { said } else { format!(" \"{said}\"") };
    format!("{what}: {} (0x{code:02x}){said}", meaning(code))
}

/// Whether a DISCONNECT comes.
pub(super) fn is_disconnect(input: &BytesMut) -> bool {
    input.first() == Some(&DISCONNECT)
}

/// Reads a DISCONNECT of MQTT 5 (§3.14); `None`: it is not whole yet.
pub(super) fn disconnect(input: &BytesMut) -> Option<LinkError> {
    let malformed = || Some(LinkError::new(Failure::Protocol, "what came is no DISCONNECT"));
    let mut bytes = &input[1..];
    let length = match number(&mut bytes) {
        Ok(length) => length,
        Err(whole) => return if whole { malformed() } else { None },
    };
    if length > MAX_INCOMING {
        return malformed();
    }
    if bytes.len() < length {
        return None;
    }
    let mut body = &bytes[..length];
    // What is left out is 0.
    let code = if body.has_remaining() { body.get_u8() } else { 0 };
    let Some((said, elsewhere)) = properties(body) else { return malformed() };
    let failure = match code {
        0x87 | 0x8a => Failure::AuthFailed,
        0x8d => Failure::Timeout,
        0x90 | 0x93..=0x9b => Failure::Refused,
        0x81 | 0x82 => Failure::Protocol,
        _ => Failure::Closed,
    };
    let mut error = LinkError::new(failure, told("the broker disconnected", code, &said));
    error.turn = turn(code, elsewhere);
    error.code = Some((Spoken::Disconnect, code));
    Some(error)
}

/// Reason string and server reference.
fn properties(mut body: &[u8]) -> Option<(String, Option<String>)> {
    let (mut said, mut elsewhere) = (String::new(), None);
    if !body.has_remaining() {
        return Some((said, elsewhere));
    }
    let length = number(&mut body).ok()?;
    let mut body = body.get(..length)?;
    while body.has_remaining() {
        match body.get_u8() {
            SESSION_EXPIRY => body = body.get(4..)?,
            REASON_STRING => said = text(&mut body)?,
            SERVER_REFERENCE => elsewhere = Some(text(&mut body)?),
            USER_PROPERTY => drop((text(&mut body)?, text(&mut body)?)),
            _ => return None,
        }
    }
    Some((said, elsewhere))
}

fn text(body: &mut &[u8]) -> Option<String> {
    let length = usize::from(u16::from_be_bytes(body.get(..2)?.try_into().ok()?));
    let text = str::from_utf8(body.get(2..2 + length)?).ok()?.to_owned();
    *body = &body[2 + length..];
    Some(text)
}

/// A variable byte integer (§1.5.5). An error says whether all of it was there.
fn number(bytes: &mut &[u8]) -> Result<usize, bool> {
    let mut value = 0;
    for shift in [0, 7, 14, 21] {
        if !bytes.has_remaining() {
            return Err(false);
        }
        let byte = bytes.get_u8();
        value |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(true)
}

/// The number of a code that the codec has names for.
pub(super) fn of_connack(code: ConnectReturnCode) -> u8 {
    use ConnectReturnCode as Code;
    match code {
        Code::Success => 0,
        Code::RefusedProtocolVersion | Code::UnsupportedProtocolVersion => UNSUPPORTED_VERSION,
        Code::BadClientId | Code::ClientIdentifierNotValid => 0x85,
        Code::ServiceUnavailable | Code::ServerUnavailable => 0x88,
        Code::UnspecifiedError => 0x80,
        Code::MalformedPacket => 0x81,
        Code::ProtocolError => 0x82,
        Code::ImplementationSpecificError => 0x83,
        Code::BadUserNamePassword => 0x86,
        Code::NotAuthorized => 0x87,
        Code::ServerBusy => 0x89,
        Code::Banned => 0x8a,
        Code::BadAuthenticationMethod => 0x8c,
        Code::TopicNameInvalid => 0x90,
        Code::PacketTooLarge => 0x95,
        Code::QuotaExceeded => 0x97,
        Code::PayloadFormatInvalid => 0x99,
        Code::RetainNotSupported => RETAIN_NOT_SUPPORTED,
        Code::QoSNotSupported => 0x9b,
        Code::UseAnotherServer => USE_ANOTHER_SERVER,
        Code::ServerMoved => SERVER_MOVED,
        Code::ConnectionRateExceeded => 0x9f,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(bytes: &[u8]) -> Option<LinkError> {
        disconnect(&BytesMut::from(bytes))
    }

    /// With these properties.
    fn packet(code: u8, properties: &[u8]) -> Vec<u8> {
        let length = properties.len() as u8;
        [&[DISCONNECT, length + 2, code, length], properties].concat()
    }

    #[test]
    fn reasons_are_told_with_what_the_broker_says() {
        let taken = read(&[DISCONNECT, 1, 0x8e]).expect("whole");
        assert!(taken.detail.contains("client_id of its own (0x8e)"), "{taken}");
        assert_eq!(taken.code, Some((Spoken::Disconnect, 0x8e)));
        let said = read(&packet(0x97, b"\x1f\x00\x05a\nb c\x26\x00\x01k\x00\x01v")).expect("whole");
        assert!(said.failure == Failure::Refused && said.detail.ends_with("(0x97) \"a b c\""), "{said}");
        assert_eq!(read(&[DISCONNECT, 0]).expect("whole").code, Some((Spoken::Disconnect, 0)));
    }

    #[test]
    fn redirects_name_their_servers() {
        let reference = b"\x1c\x00\x06b:1884";
        for (code, for_good) in [(USE_ANOTHER_SERVER, false), (SERVER_MOVED, true)] {
            let servers = "b:1884".to_owned();
            assert_eq!(read(&packet(code, reference)).expect("whole").turn, Some(Turn::Elsewhere { servers, for_good }));
            assert_eq!(read(&packet(code, b"")).expect("whole").turn, None, "nowhere to go");
        }
        assert_eq!(read(&packet(0x8b, reference)).expect("whole").turn, None, "no redirect");
    }

    #[test]
    fn what_is_not_whole_is_waited_for_and_what_is_wrong_is_not() {
        let whole = packet(0x9c, b"\x1c\x00\x01b");
        for end in 1..whole.len() {
            assert!(read(&whole[..end]).is_none(), "{end}");
        }
        for bad in [
            &[DISCONNECT, 0xff, 0xff, 0xff, 0xff][..],
            &[DISCONNECT, 0xff, 0xff, 0xff, 0x7f],
            &packet(0, b"\x1c\x00\x09b"),
            &packet(0, b"\x02"),
        ] {
            assert_eq!(read(bad).expect("wrong").failure, Failure::Protocol, "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn anything_may_come(mut bytes in prop::collection::vec(any::<u8>(), 1..100)) {
            bytes[0] = DISCONNECT;
            let _answered_or_not = read(&bytes);
        }
    }
}
