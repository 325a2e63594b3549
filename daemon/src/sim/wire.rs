//! RTSP on a byte stream (RFC 2326): text messages, and media interleaved as `$`, channel, length, packet (§10.12).

use std::io;

use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt};

/// Longest head or body taken. Descriptions are a few kilobytes.
const MAX_TEXT: usize = 64 * 1024;

/// What follows next on the connection.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Item {
    /// A request or a response: the head with its blank line, then the body.
    Text { head: String, body: Vec<u8> },
    /// A packet. Even channels carry RTP, odd ones RTCP.
    Media { channel: u8, packet: Vec<u8> },
}

/// Reads the next item; `None` at the end of the stream.
pub(super) async fn read(stream: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Option<Item>> {
    match stream.fill_buf().await?.first() {
        None => Ok(None),
        Some(b'$') => {
            stream.consume(1);
            let channel = stream.read_u8().await?;
            let mut packet = vec![0; usize::from(stream.read_u16().await?)];
            stream.read_exact(&mut packet).await?;
            Ok(Some(Item::Media { channel, packet }))
        }
        Some(_) => read_text(stream).await.map(Some),
    }
}

/// Whether these bytes begin with a whole packet.
pub(super) fn is_whole_packet(bytes: &[u8]) -> bool {
    matches!(bytes, [b'$', _, high, low, rest @ ..] if rest.len() >= usize::from(u16::from_be_bytes([*high, *low])))
}

async fn read_text(stream: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Item> {
    let mut head = Vec::new();
    loop {
        let from = head.len();
        let line = (&mut *stream).take((MAX_TEXT - from) as u64).read_until(b'\n', &mut head).await?;
        if line == 0 {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "an RTSP message without an end"));
        }
        let blank = head[from..].iter().all(u8::is_ascii_whitespace);
        // Blank lines before a message are legal (RFC 7826, §20.1), and skipped.
        match (blank, from) {
            (true, 0) => head.clear(),
            (true, _) => break,
            _ => {}
        }
    }
    let head = String::from_utf8(head).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "an RTSP message not in UTF-8"))?;
    let length = header(&head, "Content-Length").map_or(Ok(0), str::parse::<usize>);
    let length = length.ok().filter(|n| *n <= MAX_TEXT).ok_or(io::ErrorKind::InvalidData)?;
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    Ok(Item::Text { head, body })
}

impl Item {
    /// The item as it goes over the wire. A packet longer than 65,535 bytes cannot come from [`read`]; it is cut.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        match self {
            Self::Text { head, body } => [head.into_bytes(), body].concat(),
            Self::Media { channel, mut packet } => {
                packet.truncate(usize::from(u16::MAX));
                let [high, low] = (packet.len() as u16).to_be_bytes();
                packet.splice(0..0, [b'$', channel, high, low]);
                packet
            }
        }
    }
}

/// A header's value; names compare without case.
pub(super) fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().skip(1).find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.trim().eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

/// The first segment of the path that a request is about: `rtsp://host:1/street/stream=0` is about `street`.
/// `None` for `*` and the like.
pub(super) fn subject(head: &str) -> Option<&str> {
    let target = head.lines().next()?.split_ascii_whitespace().nth(1)?;
    let (_, rest) = target.split_once("://")?;
    let (_, path) = rest.split_once('/')?;
    path.split(['/', '?']).next()
}

/// An answer that ends the request.
pub(super) fn answer(request: &str, status: &str, more: &str) -> Vec<u8> {
    let sequence = header(request, "CSeq").unwrap_or("0");
    format!("RTSP/1.0 {status}\r\nCSeq: {sequence}\r\nServer: egret sim\r\n{more}\r\n").into_bytes()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    async fn all(bytes: &[u8]) -> io::Result<Vec<Item>> {
        let mut stream = tokio::io::BufReader::with_capacity(7, bytes);
        let mut items = Vec::new();
        while let Some(item) = read(&mut stream).await? {
            items.push(item);
        }
        Ok(items)
    }

    #[tokio::test]
    async fn text_and_media_alternate() {
        let bytes = b"\r\nPLAY rtsp://h/a RTSP/1.0\r\ncseq: 3\r\nContent-length: 2\r\n\r\nhi$\x01\x00\x03abc$\x00\x00\x00";
        let items = all(bytes).await.unwrap();
        assert_eq!(
            items,
            [
                Item::Text {
                    head: "PLAY rtsp://h/a RTSP/1.0\r\ncseq: 3\r\nContent-length: 2\r\n\r\n".into(),
                    body: b"hi".into()
                },
                Item::Media { channel: 1, packet: b"abc".into() },
                Item::Media { channel: 0, packet: vec![] },
            ]
        );
        let back: Vec<u8> = items.into_iter().flat_map(Item::into_bytes).collect();
        assert_eq!(back, bytes[2..]);
    }

    #[tokio::test]
    async fn rubbish_is_an_error_and_not_endless() {
        for bad in [
            &b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n"[..],
            b"A b c\r\nContent-Length: 99999999\r\n\r\n",
            b"\xff\xfe x\r\n\r\n",
            b"$\x00\x00",
        ] {
            assert!(all(bad).await.is_err(), "{bad:?}");
        }
        assert!(all(&vec![b'a'; 1 << 20]).await.is_err());
    }

    #[test]
    fn the_subject_is_the_first_segment() {
        assert_eq!(subject("SETUP rtsp://127.0.0.1:5/street/stream=0 RTSP/1.0\r\n\r\n"), Some("street"));
        assert_eq!(subject("DESCRIBE rtsp://127.0.0.1:5/street?x=1 RTSP/1.0\r\n\r\n"), Some("street"));
        assert_eq!(subject("OPTIONS * RTSP/1.0\r\n\r\n"), None);
    }

    proptest! {
        #[test]
        fn any_bytes_end_in_items_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            // Either is right; that it returns at all is what is asserted.
            let _ = runtime.block_on(all(&bytes));
        }
    }
}
