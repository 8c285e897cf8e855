//! What must be true of any bytes that this crate reads of others: one function for each kind of reader, which panics where it
//! is not. `tests/fuzz` and `tests/compatibility` drive them; no product is built with them.

use std::io;
use std::pin::{Pin, pin};
use std::task::{Context as Polling, Poll, Waker};

use bytes::{Bytes, BytesMut};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use taut_snapshot::object::{TokenKeys, TokenRule, TokenSet};
use tokio::io::{AsyncRead, ReadBuf};

use crate::accept::sniff::{Seen, sniff};
use crate::consult::grpc;
use crate::headers::{Host, upgrade};
use crate::telemetry::names::Labels;
use crate::telemetry::peer::Acquaintance;
use crate::token::{Keys, Tokens};
use crate::trace::context::{self, Context, Forms};
use crate::trace::otlp;

/// Gives a few bytes at a time, and is never behind.
struct Pieces<'b> {
    rest: &'b [u8],
    step: usize,
}

impl AsyncRead for Pieces<'_> {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Polling<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let count = self.step.min(self.rest.len()).min(buf.remaining());
        let (piece, rest) = self.rest.split_at(count);
        buf.put_slice(piece);
        self.rest = rest;
        Poll::Ready(Ok(()))
    }
}

/// What a connection begins with is found out alike in whatever pieces it comes, and nothing of it is lost.
///
/// # Panics
/// If it is not.
pub fn beginnings(bytes: &[u8]) {
    let Some((step, rest)) = bytes.split_first() else { return };
    let seen = |step: usize| {
        let mut ahead = BytesMut::new();
        let mut pieces = Pieces { rest, step };
        let sniffed = match pin!(sniff(&mut pieces, &mut ahead)).poll(&mut Polling::from_waker(Waker::noop())) {
            Poll::Ready(sniffed) => sniffed.ok(),
            Poll::Pending => panic!("it waits for what is there"),
        };
        assert_eq!(ahead, rest[..rest.len() - pieces.rest.len()], "what was read is kept");
        sniffed.map(|Seen { speech, hello }| (speech, hello))
    };
    assert_eq!(seen(usize::from(*step % 16) + 1), seen(rest.len().max(1)), "it depends on the pieces");
}

/// `name: value` in each line.
fn parts(bytes: &[u8]) -> Option<Parts> {
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let uri = std::str::from_utf8(lines.next()?).ok()?.parse::<http::Uri>().ok()?;
    let (mut parts, ()) = Request::new(()).into_parts();
    parts.uri = uri;
    for line in lines {
        let at = line.iter().position(|byte| *byte == b':')?;
        let name = HeaderName::from_bytes(&line[..at]).ok()?;
        parts.headers.append(name, HeaderValue::from_bytes(line[at + 1..].trim_ascii()).ok()?);
    }
    Some(parts)
}

/// A trace goes on in every form that it came in: what is written is what is read again. No header of others stops a reader.
///
/// # Panics
/// If it does not.
pub fn headers(bytes: &[u8]) {
    let Some(parts) = parts(bytes) else { return };
    let own = Context { trace: 7, span: 9, short: false };
    for (b3, w3c) in [(true, false), (false, true), (true, true)] {
        let forms = Forms { b3, w3c };
        let found = context::read(&parts.headers, forms);
        let mut written = parts.headers.clone();
        context::write(&mut written, forms, &found, &own, found.context.map(|context| context.span));
        let again = context::read(&written, forms);
        assert_eq!((again.context, again.sampled), (Some(own), Some(true)), "{found:?}");
    }
    let labels = Labels::default();
    for value in parts.headers.values() {
        Acquaintance::default().recognize(value, &labels);
    }
    let _ = (upgrade(&parts.headers), Host::of(&parts.uri, &parts.headers).is_some());
}

/// Nobody is believed by a token that nobody signed, wherever it stands; and what is no set of keys replaces none.
///
/// # Panics
/// If somebody is.
pub fn tokens(bytes: &[u8]) {
    let keys = Keys::default();
    let _ = keys.replace(bytes);
    let Some(mut parts) = parts(bytes) else { return };
    let rule = TokenRule {
        issuer: "".into(),
        audiences: vec![],
        // The key of RFC 8037's first example.
        keys: TokenKeys::Inline(
            r#"{"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#
                .into(),
        ),
        headers: vec![("authorization".into(), "Bearer ".into()), ("x-token".into(), "".into())],
        params: vec!["token".into()],
        cookies: vec!["token".into()],
        payload_header: "x-payload".into(),
        claim_headers: vec![("x-claim".into(), "a.b".into())],
        forward: false,
        timeout_ms: 1,
        spaced: vec!["scope".into()],
        required: false,
    };
    let tokens = Tokens::new(&TokenSet { rules: vec![rule] }, None).expect("its keys are some");
    assert!(!matches!(tokens.check(&mut parts), Ok(Some(_))), "nobody has signed it");
    assert!(!parts.headers.contains_key("x-claim") && !parts.headers.contains_key("x-payload"), "nobody has said it");
}

/// No answer of a service that the proxy asks stops it.
///
/// # Panics
/// If one does.
pub fn answers(bytes: &[u8]) {
    let _ = otlp::refused(bytes);
    let ok = HeaderMap::from_iter([(HeaderName::from_static("grpc-status"), HeaderValue::from_static("0"))]);
    for body in [Bytes::copy_from_slice(bytes), Bytes::from([&[0; 5], bytes].concat())] {
        let _ = grpc::said(&Response::new(body), Some(&ok));
    }
}
