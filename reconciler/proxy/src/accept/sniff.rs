//! What a client speaks, from the first bytes that it sends (semantics.md §2.2).
//!
//! Owns: telling TLS, HTTP/2, HTTP/1 and everything else apart; keeping the bytes that were looked at for whoever reads next.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use rustls::server::Acceptor;
use taut_snapshot::decide::Hello;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

/// What every HTTP/2 connection begins with (RFC 9113 §3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The longest first message of TLS, as Envoy's inspector has it.
const HELLO_BYTES_MAX: usize = 64 << 10;

/// Methods whose names tell HTTP/1 from other protocols that are text: those that Envoy's parser knows.
#[rustfmt::skip]
const METHODS: &[&[u8]] = &[
    b"GET ", b"POST ", b"PUT ", b"HEAD ", b"DELETE ", b"PATCH ", b"OPTIONS ", b"TRACE ", b"CONNECT ", b"ACL ", b"BIND ",
    b"CHECKOUT ", b"COPY ", b"LINK ", b"LOCK ", b"M-SEARCH ", b"MERGE ", b"MKACTIVITY ", b"MKCALENDAR ", b"MKCOL ", b"MOVE ",
    b"NOTIFY ", b"PROPFIND ", b"PROPPATCH ", b"PURGE ", b"REBIND ", b"REPORT ", b"SEARCH ", b"SOURCE ", b"SUBSCRIBE ",
    b"UNBIND ", b"UNLINK ", b"UNLOCK ", b"UNSUBSCRIBE ",
];

/// What a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Speech {
    Tls,
    Http2,
    Http1,
    /// None of these.
    Other,
}

/// What these first bytes are; none if more are needed.
fn recognize(bytes: &[u8]) -> Option<Speech> {
    let begins = |whole: &[u8]| whole.starts_with(bytes) || bytes.starts_with(whole);
    match bytes.first()? {
        // A handshake record; no method begins so.
        0x16 => Some(Speech::Tls),
        _ if bytes.starts_with(PREFACE) => Some(Speech::Http2),
        _ if begins(PREFACE) => None,
        _ if METHODS.iter().any(|method| bytes.starts_with(method)) => Some(Speech::Http1),
        _ if METHODS.iter().any(|method| begins(method)) => None,
        _ => Some(Speech::Other),
    }
}

/// What the first bytes of a connection tell.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// None if nothing was looked at, or if too little came in time.
    pub(crate) speech: Option<Speech>,
    /// How TLS begins, if it does.
    pub(crate) hello: Option<ClientHello>,
}

/// What the beginning of TLS says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ClientHello {
    pub(crate) server_name: Option<Arc<str>>,
    /// The application protocols that the client offers, the one that it likes best first.
    pub(crate) offers: Vec<Box<str>>,
}

impl Seen {
    /// The same, as decisions are made of it.
    pub(crate) fn hello(&self, mesh: bool) -> Option<Hello<'_>> {
        self.hello.as_ref().map(|hello| Hello {
            server_name: hello.server_name.as_deref(),
            protocol: hello.offers.first().map(AsRef::as_ref),
            mesh,
        })
    }

    /// Whether it is HTTP, as far as can be seen.
    pub(crate) fn is_http(&self) -> bool {
        matches!(self.speech, Some(Speech::Http1 | Speech::Http2))
    }

    pub(crate) fn is_http2(&self) -> bool {
        self.speech == Some(Speech::Http2)
    }
}

/// Reads until it is known what the client speaks, and of TLS all of its first message. At the end of the stream, what was
/// read is `Other`. What was read is in `ahead`, however this ends.
///
/// # Errors
/// If reading fails, or the client closes without a byte.
pub(crate) async fn sniff<S: AsyncRead + Unpin>(stream: &mut S, ahead: &mut BytesMut) -> io::Result<Seen> {
    // Each byte is read once, in however many pieces they come.
    let mut hello = HelloReader::default();
    loop {
        let read = stream.read_buf(ahead).await?;
        let speech = match (recognize(ahead), read) {
            (Some(Speech::Tls), 0) => Speech::Other,
            (Some(Speech::Tls), _) => match hello.read(ahead) {
                Beginning::Hello(hello) => return Ok(Seen { speech: Some(Speech::Tls), hello: Some(hello) }),
                Beginning::More => continue,
                Beginning::Other => Speech::Other,
            },
            (Some(speech), _) => speech,
            (None, 0) if ahead.is_empty() => return Err(io::ErrorKind::UnexpectedEof.into()),
            (None, 0) => Speech::Other,
            (None, _) => continue,
        };
        return Ok(Seen { speech: Some(speech), hello: None });
    }
}

/// What bytes that may begin TLS are.
enum Beginning {
    Hello(ClientHello),
    More,
    /// They are no TLS after all.
    Other,
}

/// Reads the first message of TLS.
#[derive(Default)]
struct HelloReader {
    acceptor: Acceptor,
    /// How many bytes of the connection it was given.
    given: usize,
}

impl HelloReader {
    /// What the connection begins with, of which these bytes have come.
    fn read(&mut self, bytes: &[u8]) -> Beginning {
        let mut rest = &bytes[self.given..];
        self.given = bytes.len();
        while !rest.is_empty() {
            match self.acceptor.read_tls(&mut rest) {
                Ok(0) | Err(_) => return Beginning::Other,
                Ok(_) => {}
            }
            match self.acceptor.accept() {
                Ok(Some(accepted)) => {
                    let hello = accepted.client_hello();
                    let offers = hello.alpn().into_iter().flatten();
                    return Beginning::Hello(ClientHello {
                        server_name: hello.server_name().map(Arc::from),
                        offers: offers.map(|it| String::from_utf8_lossy(it).into()).collect(),
                    });
                }
                Ok(None) => {}
                Err(_) => return Beginning::Other,
            }
        }
        if bytes.len() < HELLO_BYTES_MAX { Beginning::More } else { Beginning::Other }
    }
}

/// A stream that begins with bytes that were read from it already.
#[derive(Debug)]
pub(crate) struct Rewound<S> {
    ahead: Bytes,
    stream: S,
}

impl<S> Rewound<S> {
    /// A stream from which nothing was read.
    pub(crate) fn fresh(stream: S) -> Rewound<S> {
        Rewound { ahead: Bytes::new(), stream }
    }

    /// A stream from which this was read.
    pub(crate) fn new(ahead: Bytes, stream: S) -> Rewound<S> {
        Rewound { ahead, stream }
    }

    /// The same over another stream.
    pub(crate) fn map<T>(self, wrap: impl FnOnce(S) -> T) -> Rewound<T> {
        Rewound { ahead: self.ahead, stream: wrap(self.stream) }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Rewound<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.ahead.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buf);
        }
        let count = self.ahead.len().min(buf.remaining());
        buf.put_slice(&self.ahead[..count]);
        self.ahead.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Rewound<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(ready!(Pin::new(&mut self.stream).poll_shutdown(cx)))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[rustfmt::skip]
    fn protocols_are_told_apart_by_their_first_bytes() {
        let table: [(&[u8], Option<Speech>); 16] = [
            (b"",                       None),
            (b"\x16",                   Some(Speech::Tls)),
            (b"P",                      None),
            (b"PR",                     None),
            (b"PRI * HTTP/2.0\r\n\r\n", None),
            (PREFACE,                   Some(Speech::Http2)),
            (b"PRI * HTTP/1.1\r\n",     Some(Speech::Other)),
            (b"PO",                     None),
            (b"POST /",                 Some(Speech::Http1)),
            (b"GET /",                  Some(Speech::Http1)),
            (b"GETX",                   Some(Speech::Other)),
            (b"OPTIONS * HTTP/1.1",     Some(Speech::Http1)),
            (b"PROPF",                  None),
            (b"PURGE / HTTP/1.1",       Some(Speech::Http1)),
            (b"*1\r\n$4\r\nPING",       Some(Speech::Other)),
            (b"\x00",                   Some(Speech::Other)),
        ];
        for (bytes, want) in table {
            assert_eq!(recognize(bytes), want, "{:?}", String::from_utf8_lossy(bytes));
        }
    }

    #[tokio::test]
    async fn what_was_looked_at_is_read_again() {
        for chunk in [1, 3, 100] {
            let text = [PREFACE, b"and the rest"].concat();
            let (mut client, mut server) = tokio::io::duplex(chunk);
            let writer = tokio::spawn({
                let text = text.clone();
                async move { tokio::io::AsyncWriteExt::write_all(&mut client, &text).await.unwrap() }
            });
            let mut ahead = BytesMut::new();
            let speech = sniff(&mut server, &mut ahead).await.unwrap().speech;
            let mut stream = Rewound::new(ahead.freeze(), server);
            let mut read = Vec::new();
            stream.read_to_end(&mut read).await.unwrap();
            writer.await.unwrap();
            assert_eq!((speech, read), (Some(Speech::Http2), text), "in chunks of {chunk}");
        }
    }

    #[tokio::test]
    async fn the_beginning_of_tls_says_whom_the_client_wants() {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let roots = rustls::RootCertStore::empty();
        let mut config = builder.unwrap().with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![b"istio".to_vec(), b"h2".to_vec()];
        let mut client = rustls::ClientConnection::new(Arc::new(config), "db.example".try_into().unwrap()).unwrap();
        let mut hello = Vec::new();
        client.write_tls(&mut hello).unwrap();
        let want = ClientHello { server_name: Some("db.example".into()), offers: vec!["istio".into(), "h2".into()] };
        for chunk in [1, 7, 10_000] {
            let (mut client, mut server) = tokio::io::duplex(chunk);
            let hello = hello.clone();
            tokio::spawn(async move { tokio::io::AsyncWriteExt::write_all(&mut client, &hello).await.unwrap() });
            let mut ahead = BytesMut::new();
            let seen = sniff(&mut server, &mut ahead).await.unwrap();
            assert_eq!((seen.speech, seen.hello.as_ref()), (Some(Speech::Tls), Some(&want)), "in chunks of {chunk}");
        }
        for other in [b"\x16\x03\x01\x00\x05hello there".as_slice(), b"\x16 is no record", b"\x16"] {
            let seen = sniff(&mut &*other, &mut BytesMut::new()).await.unwrap();
            assert_eq!((seen.speech, seen.hello), (Some(Speech::Other), None));
        }
    }
}
