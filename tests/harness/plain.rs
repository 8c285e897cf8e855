//! HTTP/1.1 by hand: requests as the bytes that a test writes, answers as the bytes that came.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Whoever does not answer within this is stuck, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// The longest heading that is read.
const HEADING_MAX: usize = 1 << 20;

/// What came: a first line, headers with lowercase names in the order in which they came, and all of the body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The first line.
    pub line: String,
    /// Names and values. Bytes beyond ASCII are read as Latin-1.
    pub headers: Vec<(String, String)>,
    /// The body, without its framing.
    pub body: String,
}

impl Message {
    /// The first value of a header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(one, _)| one == name).map(|(_, value)| value.as_str())
    }

    /// The status, if it is an answer.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        self.line.split(' ').nth(1)?.parse().ok()
    }
}

/// Every byte as the character of the same number.
fn latin1(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

/// Sends bytes over a connection of their own, and reads one answer.
///
/// # Errors
/// If the other side cannot be reached, or goes away before it has answered.
pub fn exchange(address: SocketAddr, request: &[u8]) -> io::Result<Message> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    exchange_over(&mut stream, request)
}

/// Sends bytes over a connection, and reads one answer.
///
/// # Errors
/// If the other side goes away before it has answered.
pub fn exchange_over(stream: &mut (impl Read + Write), request: &[u8]) -> io::Result<Message> {
    stream.write_all(request)?;
    let bodiless = request.windows(5).any(|five| five == b"HEAD ");
    message(stream, &mut Vec::new(), bodiless)?.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}

/// Gets a page, and gives its body.
///
/// # Errors
/// As [`exchange`].
pub fn page(address: SocketAddr, path: &str) -> io::Result<String> {
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    Ok(exchange(address, request.as_bytes())?.body)
}

/// Reads one message of a connection; none if it ended before one began. `rest` holds what was read beyond the last one.
///
/// # Errors
/// If it ends, or is no message.
pub fn read_message(stream: &mut impl Read, rest: &mut Vec<u8>) -> io::Result<Option<Message>> {
    message(stream, rest, false)
}

fn message(stream: &mut impl Read, rest: &mut Vec<u8>, bodiless: bool) -> io::Result<Option<Message>> {
    let bad = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    let end = loop {
        if let Some(end) = rest.windows(4).position(|four| four == b"\r\n\r\n") {
            break end;
        }
        if HEADING_MAX < rest.len() {
            return Err(bad("a heading without an end"));
        }
        if more(stream, rest)? == 0 {
            return if rest.is_empty() { Ok(None) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
        }
    };
    let heading = latin1(&rest[..end]);
    rest.drain(..end + 4);
    let mut lines = heading.split("\r\n");
    let line = lines.next().unwrap_or_default().to_owned();
    let headers: Vec<(String, String)> = lines
        .map(|line| line.split_once(':').ok_or_else(|| bad(line)))
        .map(|pair| pair.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned())))
        .collect::<io::Result<_>>()?;
    let mut message = Message { line, headers, body: String::new() };
    if !bodiless {
        message.body = latin1(&body(stream, rest, &message)?);
    }
    Ok(Some(message))
}

fn more(stream: &mut impl Read, rest: &mut Vec<u8>) -> io::Result<usize> {
    let mut buffer = [0; 16_384];
    let read = stream.read(&mut buffer)?;
    rest.extend_from_slice(&buffer[..read]);
    Ok(read)
}

/// The next bytes, as many as these.
fn take(stream: &mut impl Read, rest: &mut Vec<u8>, count: usize) -> io::Result<Vec<u8>> {
    while rest.len() < count {
        if more(stream, rest)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(rest.drain(..count).collect())
}

fn body(stream: &mut impl Read, rest: &mut Vec<u8>, message: &Message) -> io::Result<Vec<u8>> {
    if message.header("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
        let mut body = Vec::new();
        loop {
            let size = loop {
                if let Some(end) = rest.windows(2).position(|two| two == b"\r\n") {
                    let line = latin1(&rest.drain(..end + 2).collect::<Vec<u8>>());
                    break usize::from_str_radix(line.trim(), 16).map_err(io::Error::other)?;
                }
                if more(stream, rest)? == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            };
            body.extend(take(stream, rest, size)?);
            take(stream, rest, 2)?;
            if size == 0 {
                return Ok(body);
            }
        }
    }
    match message.header("content-length") {
        Some(length) => take(stream, rest, length.parse().map_err(io::Error::other)?),
        None if message.line.starts_with("HTTP/") && !matches!(message.status(), Some(100..=199 | 204 | 304)) => {
            while more(stream, rest)? != 0 {}
            Ok(std::mem::take(rest))
        }
        None => Ok(Vec::new()),
    }
}
