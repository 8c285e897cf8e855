//! A connection to one of several addresses, which race (RFC 8305), so that one that does not answer costs little.
//!
//! For what the proxy itself asks of a name, and for an endpoint that has addresses of both families. Addresses of one family
//! are endpoints of their own, and balanced.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::dns::Dns;

/// How long an address has before the next one is tried beside it (RFC 8305 §5).
const STAGGER: Duration = Duration::from_millis(250);

/// Connects to the first address of a name that answers.
///
/// # Errors
/// If the name has no address, or none answers: with what the last one said.
pub(crate) async fn connect(dns: &Dns, host: &str, port: u16) -> io::Result<TcpStream> {
    let (addresses, _) = dns.addresses(&dns.name(&host.into())).await;
    // The newer family goes first, where there are both (RFC 6724 §2.1).
    let newest = addresses.iter().rev().map(|ip| SocketAddr::new(*ip, port));
    race(&newest.collect::<Vec<_>>()).await
}

/// Connects to the first address that answers; each has a while before the next is tried beside it.
///
/// # Errors
/// If there is none, or none answers: with what the last one said.
pub(crate) async fn race(addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    let mut left = in_turn(addresses).into_iter();
    let mut trying = JoinSet::new();
    let mut failed = io::Error::from(io::ErrorKind::NotFound);
    loop {
        if let Some(next) = left.next() {
            trying.spawn(TcpStream::connect(next));
        }
        tokio::select! {
            ended = trying.join_next() => match ended {
                Some(Ok(Ok(stream))) => return Ok(stream),
                Some(Ok(Err(error))) => failed = error,
                Some(Err(_)) => {}
                None => return Err(failed),
            },
            () = sleep(STAGGER), if !left.as_slice().is_empty() => {}
        }
    }
}

/// Both families in turn, beginning with that of the first (RFC 8305 §4).
fn in_turn(addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    let first = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (ones, others): (Vec<_>, Vec<_>) = addresses.iter().copied().partition(|address| address.is_ipv6() == first);
    let (mut ones, mut others) = (ones.into_iter(), others.into_iter());
    let pairs =
        std::iter::from_fn(|| Some([ones.next(), others.next()]).filter(|pair| pair.iter().any(Option::is_some)));
    pairs.flatten().flatten().collect()
}

#[cfg(test)]
mod tests {
    use tokio::net::{TcpListener, TcpSocket};
    use tokio::time::timeout;

    use super::*;

    /// Where connections neither come about nor fail: nobody accepts, and no more may wait.
    async fn silent() -> (TcpListener, Vec<TcpStream>) {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(1).unwrap();
        let (address, mut waiting) = (listener.local_addr().unwrap(), Vec::new());
        while let Ok(stream) = timeout(STAGGER, TcpStream::connect(address)).await {
            waiting.push(stream.unwrap());
        }
        (listener, waiting)
    }

    #[tokio::test]
    async fn one_that_does_not_answer_costs_little_and_one_that_refuses_nothing() {
        let (dead, _waiting) = silent().await;
        let alive = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let alive = alive.local_addr().map(|it| (it, alive)).unwrap();
        let refusing = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let dead = dead.local_addr().unwrap();
        for before in [vec![], vec![dead], vec![refusing], vec![dead, refusing, dead]] {
            let all = [before.as_slice(), &[alive.0]].concat();
            let connected = timeout(Duration::from_secs(10), race(&all)).await.expect("it does not wait").unwrap();
            assert_eq!(connected.peer_addr().unwrap(), alive.0, "{before:?}");
        }
        assert_eq!(race(&[refusing, refusing]).await.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
        assert_eq!(race(&[]).await.unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn families_take_turns() {
        let [a, b, c] = ["[::1]:1", "[::2]:1", "[::3]:1"].map(|text| text.parse::<SocketAddr>().unwrap());
        let [x, y] = ["1.1.1.1:1", "2.2.2.2:1"].map(|text| text.parse::<SocketAddr>().unwrap());
        for (given, wanted) in [
            (vec![a, b, c, x], vec![a, x, b, c]),
            (vec![x, y, a], vec![x, a, y]),
            (vec![x, y], vec![x, y]),
            (vec![], vec![]),
        ] {
            assert_eq!(in_turn(&given), wanted, "{given:?}");
        }
    }
}
