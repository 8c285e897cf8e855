//! The headers by which a trace goes on: B3, in one header and in several, and W3C's `traceparent`.
//!
//! Owns: reading and writing them. What a client sent stays as it is where nothing of it changes.
//! May not: allocate for each request that is not sampled.

use std::cell::RefCell;

use bytes::{BufMut as _, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::balance::Draws;

const B3: HeaderName = HeaderName::from_static("b3");
const B3_TRACE: HeaderName = HeaderName::from_static("x-b3-traceid");
const B3_SPAN: HeaderName = HeaderName::from_static("x-b3-spanid");
const B3_PARENT: HeaderName = HeaderName::from_static("x-b3-parentspanid");
const B3_SAMPLED: HeaderName = HeaderName::from_static("x-b3-sampled");
const B3_FLAGS: HeaderName = HeaderName::from_static("x-b3-flags");
const TRACE_PARENT: HeaderName = HeaderName::from_static("traceparent");

/// How much is set aside at once for headers of requests that are not sampled: some sixty of them.
const CHUNK: usize = 4_096;

/// Which headers are read and written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Forms {
    pub(crate) b3: bool,
    pub(crate) w3c: bool,
}

/// A span, as headers name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Context {
    pub(crate) trace: u128,
    pub(crate) span: u64,
    /// Whether the trace's id was written with 64 bits.
    pub(crate) short: bool,
}

/// What a request says of its trace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) context: Option<Context>,
    /// Whether it is sampled, if somebody has decided that.
    pub(crate) sampled: Option<bool>,
    /// Whether B3 stands in one header.
    single: bool,
}

/// A new trace's id.
pub(crate) fn new_trace(draws: &Draws) -> u128 {
    (u128::from(draws.draw()) << 64) | u128::from(new_span(draws))
}

/// A new span's id, which is not 0.
pub(crate) fn new_span(draws: &Draws) -> u64 {
    draws.draw().max(1)
}

/// What a request says of its trace. Where it says so in several ways, B3 counts first.
pub(crate) fn read(headers: &HeaderMap, forms: Forms) -> Found {
    let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    if forms.b3 {
        if let Some(found) = text(&B3).and_then(read_single) {
            return found;
        }
        let context = text(&B3_TRACE).zip(text(&B3_SPAN)).and_then(|(trace, span)| read_ids(trace, span));
        let sampled = match (text(&B3_FLAGS), text(&B3_SAMPLED)) {
            (Some("1"), _) => Some(true),
            (_, Some("1" | "true")) => Some(true),
            (_, Some(_)) => Some(false),
            _ => None,
        };
        if context.is_some() || sampled.is_some() {
            return Found { context, sampled, single: false };
        }
    }
    if forms.w3c
        && let Some(found) = text(&TRACE_PARENT).and_then(read_parent)
    {
        return found;
    }
    Found::default()
}

/// `{trace}-{span}-{sampled}-{parent}`; or the third alone.
fn read_single(text: &str) -> Option<Found> {
    let sampled = |text: &str| match text {
        "1" | "d" => Some(true),
        "0" => Some(false),
        _ => None,
    };
    if let Some(alone) = sampled(text) {
        return Some(Found { context: None, sampled: Some(alone), single: true });
    }
    let mut parts = text.split('-');
    let context = read_ids(parts.next()?, parts.next()?)?;
    Some(Found { context: Some(context), sampled: parts.next().and_then(sampled), single: true })
}

fn read_ids(trace: &str, span: &str) -> Option<Context> {
    let short = match trace.len() {
        16 => true,
        32 => false,
        _ => return None,
    };
    let (trace, span) = (digits(trace)?, digits(span).filter(|_| span.len() == 16)? as u64);
    (trace != 0 && span != 0).then_some(Context { trace, span, short })
}

fn digits(text: &str) -> Option<u128> {
    let hex = text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if hex { u128::from_str_radix(text, 16).ok() } else { None }
}

/// `00-{trace}-{span}-{flags}` (W3C Trace Context §3.2). Of a later version the beginning counts.
fn read_parent(text: &str) -> Option<Found> {
    let mut parts = text.split('-');
    let (number, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let version = digits(number).filter(|_| number.len() == 2)?;
    if version == 0xff || (version == 0 && parts.next().is_some()) || trace.len() != 32 || flags.len() != 2 {
        return None;
    }
    let context = read_ids(trace, span)?;
    Some(Found { context: Some(context), sampled: Some(digits(flags)? & 1 == 1), single: false })
}

/// Tells whoever gets the request of its span.
pub(crate) fn write(headers: &mut HeaderMap, forms: Forms, found: &Found, own: &Context, parent: Option<u64>) {
    let mut buffer = BytesMut::with_capacity(160);
    if forms.b3 {
        if found.single {
            trace_id(&mut buffer, own);
            dashed(&mut buffer, own.span);
            buffer.put_slice(b"-1");
            if let Some(parent) = parent {
                dashed(&mut buffer, parent);
            }
            insert(headers, B3, &mut buffer);
        }
        trace_id(&mut buffer, own);
        insert(headers, B3_TRACE, &mut buffer);
        hex(&mut buffer, u128::from(own.span), 16);
        insert(headers, B3_SPAN, &mut buffer);
        match parent {
            Some(parent) => {
                hex(&mut buffer, u128::from(parent), 16);
                insert(headers, B3_PARENT, &mut buffer);
            }
            None => drop(headers.remove(B3_PARENT)),
        }
        headers.insert(B3_SAMPLED, HeaderValue::from_static("1"));
    }
    if forms.w3c {
        write_parent(&mut buffer, own, b"-01");
        insert(headers, TRACE_PARENT, &mut buffer);
    }
}

/// Tells whoever gets the request that it is not sampled, unless it says so already.
pub(crate) fn write_unsampled(headers: &mut HeaderMap, forms: Forms, found: &Found, draws: &Draws) {
    if found.sampled == Some(false) && found.context.is_some() {
        return;
    }
    if forms.b3 {
        headers.insert(B3_SAMPLED, HeaderValue::from_static("0"));
    }
    if forms.w3c {
        thread_local! {
            static SPARE: RefCell<BytesMut> = RefCell::new(BytesMut::new());
        }
        let own =
            found.context.unwrap_or_else(|| Context { trace: new_trace(draws), span: new_span(draws), short: false });
        SPARE.with_borrow_mut(|spare| {
            if spare.capacity() < 64 {
                *spare = BytesMut::with_capacity(CHUNK);
            }
            write_parent(spare, &own, b"-00");
            insert(headers, TRACE_PARENT, spare);
        });
    }
}

fn write_parent(buffer: &mut BytesMut, own: &Context, flags: &[u8]) {
    buffer.put_slice(b"00-");
    hex(buffer, own.trace, 32);
    dashed(buffer, own.span);
    buffer.put_slice(flags);
}

fn trace_id(buffer: &mut BytesMut, own: &Context) {
    hex(buffer, own.trace, if own.short { 16 } else { 32 });
}

fn dashed(buffer: &mut BytesMut, span: u64) {
    buffer.put_u8(b'-');
    hex(buffer, u128::from(span), 16);
}

fn hex(buffer: &mut BytesMut, value: u128, digits: u32) {
    for digit in (0..digits).rev() {
        buffer.put_u8(b"0123456789abcdef"[(value >> (4 * digit)) as usize & 0xf]);
    }
}

/// What is in the buffer becomes the value.
fn insert(headers: &mut HeaderMap, name: HeaderName, buffer: &mut BytesMut) {
    let value = HeaderValue::from_maybe_shared(buffer.split().freeze()).expect("digits are a header's value");
    headers.insert(name, value);
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "463ac35c9f6413ad48485a3953bb6124";
    const W3C: Forms = Forms { b3: false, w3c: true };
    const B3_ALONE: Forms = Forms { b3: true, w3c: false };
    const BOTH: Forms = Forms { b3: true, w3c: true };

    /// Whether the trace's id is short, and the span's.
    type Ids = Option<(bool, u64)>;

    /// Headers, as a test writes them.
    type Pairs<'p> = &'p [(&'static str, &'p str)];

    fn headers(list: Pairs<'_>) -> HeaderMap {
        list.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    fn text(headers: &HeaderMap) -> String {
        let mut lines: Vec<String> =
            headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
        lines.sort();
        lines.join("; ")
    }

    #[test]
    #[rustfmt::skip] // a table is read by its columns
    fn traces_are_read_in_every_form() {
        let one = "463ac35c9f6413ad48485a3953bb6124-a2fb4a1d1a96d312-1-0020000000000001";
        let table: [(Forms, Pairs<'_>, Ids, Option<bool>); 21] = [
            (B3_ALONE, &[("b3", one)], Some((false, 0xa2fb_4a1d_1a96_d312)), Some(true)),
            (B3_ALONE, &[("b3", "0")], None, Some(false)),
            (B3_ALONE, &[("b3", "d")], None, Some(true)),
            (B3_ALONE, &[("b3", "48485a3953bb6124-a2fb4a1d1a96d312")], Some((true, 0xa2fb_4a1d_1a96_d312)), None),
            (B3_ALONE, &[("b3", "48485a3953bb612-a2fb4a1d1a96d312")], None, None),
            (B3_ALONE, &[("x-b3-traceid", TRACE), ("x-b3-spanid", "a2fb4a1d1a96d312")], Some((false, 0xa2fb_4a1d_1a96_d312)), None),
            (B3_ALONE, &[("x-b3-traceid", TRACE), ("x-b3-spanid", "a2fb4a1d1a96d312"), ("x-b3-sampled", "0")], Some((false, 0xa2fb_4a1d_1a96_d312)), Some(false)),
            (B3_ALONE, &[("x-b3-sampled", "true")], None, Some(true)),
            (B3_ALONE, &[("x-b3-flags", "1"), ("x-b3-sampled", "0")], None, Some(true)),
            (B3_ALONE, &[("x-b3-traceid", TRACE)], None, None),
            (B3_ALONE, &[("x-b3-traceid", "0000000000000000"), ("x-b3-spanid", "a2fb4a1d1a96d312")], None, None),
            (B3_ALONE, &[("traceparent", "00-463ac35c9f6413ad48485a3953bb6124-a2fb4a1d1a96d312-01")], None, None),
            (BOTH,     &[("traceparent", "00-463ac35c9f6413ad48485a3953bb6124-a2fb4a1d1a96d312-01")], Some((false, 0xa2fb_4a1d_1a96_d312)), Some(true)),
            (W3C,      &[("traceparent", "00-463ac35c9f6413ad48485a3953bb6124-a2fb4a1d1a96d312-00")], Some((false, 0xa2fb_4a1d_1a96_d312)), Some(false)),
            (W3C,      &[("traceparent", "cc-463ac35c9f6413ad48485a3953bb6124-a2fb4a1d1a96d312-03-what")], Some((false, 0xa2fb_4a1d_1a96_d312)), Some(true)),
            (W3C,      &[("traceparent", "00-463ac35c9f6413ad48485a3953bb6124-a2fb4a1d1a96d312-01-what")], None, None),
            (W3C,      &[("traceparent", "ff-463ac35c9f6413ad48485a3953bb6124-a2fb4a1d1a96d312-01")], None, None),
            (W3C,      &[("traceparent", "00-00000000000000000000000000000000-a2fb4a1d1a96d312-01")], None, None),
            (W3C,      &[("traceparent", "00-463ac35c9f6413ad48485a3953bb6124-0000000000000000-01")], None, None),
            (W3C,      &[("traceparent", "00-+63ac35c9f6413ad48485a3953bb6124-a2fb4a1d1a96d312-01")], None, None),
            (W3C,      &[("b3", one)], None, None),
        ];
        for (forms, list, context, sampled) in table {
            let found = read(&headers(list), forms);
            assert_eq!(found.context.map(|it| (it.short, it.span)), context, "{list:?}");
            assert_eq!(found.sampled, sampled, "{list:?}");
        }
    }

    #[test]
    #[rustfmt::skip] // a table is read by its columns
    fn traces_go_on_in_the_forms_that_they_came_in() {
        let own = Context { trace: 0x463a_c35c_9f64_13ad_4848_5a39_53bb_6124, span: 0xb, short: false };
        let table: [(Forms, Pairs<'_>, Option<u64>, &str); 4] = [
            (W3C,      &[("tracestate", "a=b")], None,
                "traceparent: 00-463ac35c9f6413ad48485a3953bb6124-000000000000000b-01; tracestate: a=b"),
            (B3_ALONE, &[("x-b3-parentspanid", "0000000000000001")], None,
                "x-b3-sampled: 1; x-b3-spanid: 000000000000000b; x-b3-traceid: 463ac35c9f6413ad48485a3953bb6124"),
            (B3_ALONE, &[("b3", "463ac35c9f6413ad48485a3953bb6124-000000000000000a-1")], Some(0xa),
                "b3: 463ac35c9f6413ad48485a3953bb6124-000000000000000b-1-000000000000000a; x-b3-parentspanid: 000000000000000a; \
                 x-b3-sampled: 1; x-b3-spanid: 000000000000000b; x-b3-traceid: 463ac35c9f6413ad48485a3953bb6124"),
            (BOTH,     &[], Some(0xa),
                "traceparent: 00-463ac35c9f6413ad48485a3953bb6124-000000000000000b-01; x-b3-parentspanid: 000000000000000a; \
                 x-b3-sampled: 1; x-b3-spanid: 000000000000000b; x-b3-traceid: 463ac35c9f6413ad48485a3953bb6124"),
        ];
        for (forms, list, parent, want) in table {
            let mut all = headers(list);
            let found = read(&all, forms);
            write(&mut all, forms, &found, &own, parent);
            assert_eq!(text(&all), want);
        }
    }

    #[test]
    fn whoever_is_not_sampled_is_told_so_and_keeps_what_it_sent() {
        let draws = Draws::new(1);
        let sent = [("traceparent", "00-463ac35c9f6413ad48485a3953bb6124-a2fb4a1d1a96d312-00"), ("tracestate", "a=b")];
        let mut all = headers(&sent);
        let found = read(&all, W3C);
        write_unsampled(&mut all, W3C, &found, &draws);
        assert_eq!(all, headers(&sent));
        let mut all = HeaderMap::new();
        write_unsampled(&mut all, B3_ALONE, &Found::default(), &draws);
        assert_eq!(text(&all), "x-b3-sampled: 0");
        for _ in 0..200 {
            let mut all = HeaderMap::new();
            write_unsampled(&mut all, W3C, &Found::default(), &draws);
            let found = read(&all, W3C);
            assert_eq!((found.context.is_some(), found.sampled), (true, Some(false)));
        }
    }
}
