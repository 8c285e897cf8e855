//! What a client speaks, from the first bytes that it sends (semantics.md §2.2).
//!
//! Owns: telling TLS, HTTP/2, HTTP/1 and everything else apart; keeping the bytes that were looked at for whoever reads next.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

/// What every HTTP/2 connection begins with (RFC 9113 §3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Methods whose names tell HTTP/1 from other protocols that are text.
const METHODS: &[&[u8]] =
    &[b"GET ", b"POST ", b"PUT ", b"HEAD ", b"DELETE ", b"PATCH ", b"OPTIONS ", b"TRACE ", b"CONNECT "];

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

/// Reads until it is known what the client speaks. At the end of the stream, what was read is `Other`.
///
/// # Errors
/// If reading fails, or the client closes without a byte.
pub(crate) async fn sniff<S: AsyncRead + Unpin>(mut stream: S) -> io::Result<(Speech, Rewound<S>)> {
    let mut seen = BytesMut::with_capacity(1024);
    loop {
        let read = stream.read_buf(&mut seen).await?;
        let speech = match (recognize(&seen), read) {
            (Some(speech), _) => speech,
            (None, 0) if seen.is_empty() => return Err(io::ErrorKind::UnexpectedEof.into()),
            (None, 0) => Speech::Other,
            (None, _) => continue,
        };
        return Ok((speech, Rewound { ahead: seen.freeze(), stream }));
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
        let table: [(&[u8], Option<Speech>); 14] = [
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
            let (mut client, server) = tokio::io::duplex(chunk);
            let writer = tokio::spawn({
                let text = text.clone();
                async move { tokio::io::AsyncWriteExt::write_all(&mut client, &text).await.unwrap() }
            });
            let (speech, mut stream) = sniff(server).await.unwrap();
            let mut read = Vec::new();
            stream.read_to_end(&mut read).await.unwrap();
            writer.await.unwrap();
            assert_eq!((speech, read), (Speech::Http2, text), "in chunks of {chunk}");
        }
    }
}
