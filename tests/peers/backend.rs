//! Applications behind both proxies: they do what a request tells them to, and remember what they got.
//!
//! `x-do: 503, 200` says what to do with the first try of a request, the second, and so on; the last one stands for all that
//! come after; `x-do-NAME` is for one application alone. A status is answered; `hang` is never answered; `reset` ends the connection. `x-answer: NAME=VALUE` is a header
//! of the answer.

use std::collections::BTreeMap;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use harness::{Message, read_message};

/// How long somebody waits for a request that is still on its way.
const PATIENCE: Duration = Duration::from_secs(10);

/// Marks a request, so that all of its tries are known to be of it.
pub(crate) const MARK: &str = "x-mark";

/// A request as an application got it.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) backend: &'static str,
    pub(crate) message: Message,
}

#[derive(Default)]
struct Record {
    seen: Mutex<BTreeMap<String, Vec<Seen>>>,
    changed: Condvar,
}

/// Applications by their names.
pub(crate) struct Backends {
    addresses: BTreeMap<&'static str, SocketAddr>,
    record: Arc<Record>,
    /// Holds the port at which nobody listens.
    _nobody: TcpStream,
}

impl Backends {
    /// One application for each name. At `dead` nobody listens.
    pub(crate) fn start(names: &[&'static str]) -> Backends {
        let record = Arc::new(Record::default());
        let mut addresses = BTreeMap::new();
        for name in names.iter().copied() {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            addresses.insert(name, listener.local_addr().unwrap());
            let record = record.clone();
            std::thread::spawn(move || {
                for stream in listener.incoming().map_while(Result::ok) {
                    let record = record.clone();
                    std::thread::spawn(move || serve(name, stream, &record));
                }
            });
        }
        // The near end of a connection has a port that nobody else gets and at which nobody listens.
        let nobody = TcpStream::connect(addresses.values().next().unwrap()).unwrap();
        addresses.insert("dead", nobody.local_addr().unwrap());
        Backends { addresses, record, _nobody: nobody }
    }

    pub(crate) fn address(&self, name: &str) -> SocketAddr {
        self.addresses[name]
    }

    /// What came of a request, once as many tries have come as are waited for.
    pub(crate) fn seen(&self, mark: &str, waited_for: usize) -> Vec<Seen> {
        let seen = self.record.seen.lock().unwrap();
        let few = |seen: &mut BTreeMap<String, Vec<Seen>>| seen.get(mark).map_or(0, Vec::len) < waited_for;
        let (mut seen, _) = self.record.changed.wait_timeout_while(seen, PATIENCE, few).unwrap();
        seen.remove(mark).unwrap_or_default()
    }
}

fn serve(name: &'static str, mut stream: TcpStream, record: &Record) {
    let mut rest = Vec::new();
    while let Ok(Some(message)) = read_message(&mut stream, &mut rest) {
        let mark = message.header(MARK).unwrap_or_default().to_owned();
        let own = message.header(&format!("x-do-{name}"));
        let orders = own.or(message.header("x-do")).unwrap_or("200").to_owned();
        let extra = message.header("x-answer").and_then(|it| it.split_once('=')).map(|(n, v)| format!("{n}: {v}\r\n"));
        let head = message.line.starts_with("HEAD ");
        let earlier = {
            let mut seen = record.seen.lock().unwrap();
            let seen = seen.entry(mark).or_default();
            seen.push(Seen { backend: name, message });
            seen.len() - 1
        };
        record.changed.notify_all();
        let orders: Vec<&str> = orders.split(',').map(str::trim).collect();
        let status = match orders[earlier.min(orders.len() - 1)] {
            "hang" => {
                // Until the proxy gives it up.
                let _ = read_message(&mut stream, &mut rest);
                return;
            }
            "reset" => {
                let _ = stream.shutdown(Shutdown::Both);
                return;
            }
            status => status,
        };
        let body = if head { "" } else { name };
        let answer = format!(
            "HTTP/1.1 {status} Said\r\nx-backend: {name}\r\n{}content-length: {}\r\n\r\n{body}",
            extra.unwrap_or_default(),
            name.len()
        );
        if std::io::Write::write_all(&mut stream, answer.as_bytes()).is_err() {
            return;
        }
    }
}
