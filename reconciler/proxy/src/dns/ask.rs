//! One question to the name servers, over UDP, and over TCP where the answer does not fit.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use super::message::{Family, Said, answer, question};
use super::settings::Settings;

/// Answers over UDP have 512 bytes, since no EDNS is spoken; some servers send more all the same.
const UDP_MAX: usize = 4_096;

/// Asks the servers for one family of a name's addresses until one can say.
///
/// # Errors
/// If none can: what the last one said, or that it said nothing.
pub(super) async fn ask(settings: &Settings, name: &str, family: Family) -> Result<Said, String> {
    // Neither the id nor the port can be foreseen by whoever would like to answer instead (RFC 5452).
    let mut random = [0; 3];
    aws_lc_rs::rand::fill(&mut random).map_err(|_| "the system has no random numbers")?;
    let asked = question(name, family, u16::from_be_bytes([random[0], random[1]])).ok_or("it is no name of DNS")?;
    let count = settings.servers.len();
    let first = if settings.rotate { usize::from(random[2]) } else { 0 };
    let mut why = String::new();
    for turn in 0..settings.attempts * count {
        let server = settings.servers[(first + turn) % count];
        why = match timeout(settings.patience, exchange(server, settings.tcp, &asked, family)).await {
            Ok(Ok(Said::Failed(said))) => format!("{server}: {said}"),
            Ok(Ok(said)) => return Ok(said),
            Ok(Err(error)) => format!("{server}: {error}"),
            Err(_) => format!("{server} does not answer"),
        };
    }
    Err(why)
}

async fn exchange(server: SocketAddr, tcp: bool, asked: &[u8], family: Family) -> io::Result<Said> {
    if !tcp {
        let any: SocketAddr =
            if server.is_ipv4() { (Ipv4Addr::UNSPECIFIED, 0).into() } else { (Ipv6Addr::UNSPECIFIED, 0).into() };
        let socket = UdpSocket::bind(any).await?;
        socket.connect(server).await?;
        socket.send(asked).await?;
        let mut bytes = [0; UDP_MAX];
        loop {
            let length = socket.recv(&mut bytes).await?;
            // What is no answer is somebody's guess: the right one may still come.
            match answer(asked, family, &bytes[..length]) {
                None => {}
                Some(Said::More) => break,
                Some(said) => return Ok(said),
            }
        }
    }
    let mut stream = TcpStream::connect(server).await?;
    let length = u16::try_from(asked.len()).map_err(io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes(), asked].concat()).await?;
    let mut bytes = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut bytes).await?;
    match answer(asked, family, &bytes) {
        Some(Said::More) | None => Ok(Said::Failed("its answer is none".to_owned())),
        Some(said) => Ok(said),
    }
}
