//! Clients that ask all the time, and keep what failed.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, timeout};

/// How often each client asks.
const PACE: Duration = Duration::from_millis(100);

/// Longer than any time that the mesh gives a request.
const PATIENCE: Duration = Duration::from_secs(15);

/// How much a connection of bytes carries before the next one is made.
const EXCHANGES: usize = 8;

/// What a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Speaks {
    Http1,
    Http2,
    Bytes,
}

/// One who asks.
#[derive(Clone, Debug)]
pub(crate) struct Asker {
    pub(crate) frontend: &'static str,
    pub(crate) service: &'static str,
    pub(crate) speaks: Speaks,
    /// Where its proxy listens for what it asks.
    pub(crate) through: watch::Receiver<SocketAddr>,
}

/// A request that was not answered as it should have been.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) frontend: &'static str,
    pub(crate) service: &'static str,
    pub(crate) began: SystemTime,
    pub(crate) ended: SystemTime,
    /// Its path, which no other request has; of bytes, the client's own address.
    pub(crate) key: String,
    pub(crate) why: String,
    /// Whether it was answered by two snapshots at once: no fault explains that.
    pub(crate) mixed: bool,
}

/// What came of everything that was asked.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) answered: u64,
    pub(crate) failures: Vec<Failure>,
}

/// All who ask.
pub(crate) struct Load {
    pub(crate) tally: Arc<Mutex<Tally>>,
    stop: watch::Sender<bool>,
    asking: Vec<JoinHandle<()>>,
}

enum Why {
    Failed(String),
    Mixed(String),
}

impl Load {
    pub(crate) fn start(askers: Vec<Asker>, runtime: &Handle) -> Load {
        let tally = Arc::new(Mutex::new(Tally::default()));
        let (stop, stopped) = watch::channel(false);
        let ask = |(number, asker): (usize, Asker)| {
            let (tally, stopped) = (tally.clone(), stopped.clone());
            runtime.spawn(async move {
                match asker.speaks {
                    Speaks::Bytes => ask_bytes(&asker, &tally, &stopped).await,
                    _ => ask_http(number, &asker, &tally, &stopped).await,
                }
            })
        };
        let asking = askers.into_iter().enumerate().map(ask).collect();
        Load { tally, stop, asking }
    }

    /// Ends when everything that was asked is over.
    pub(crate) fn stop(self, runtime: &Handle) -> Tally {
        self.stop.send_replace(true);
        for asking in self.asking {
            runtime.block_on(asking).expect("a client does not panic");
        }
        std::mem::take(&mut self.tally.lock().expect("nobody panics with it"))
    }
}

fn count(tally: &Mutex<Tally>, asker: &Asker, key: &str, began: SystemTime, ended: Result<(), Why>) {
    let mut tally = tally.lock().expect("nobody panics with it");
    let (why, mixed) = match ended {
        Ok(()) => return tally.answered += 1,
        Err(Why::Failed(why)) => (why, false),
        Err(Why::Mixed(why)) => (why, true),
    };
    let Asker { frontend, service, .. } = *asker;
    tally.failures.push(Failure {
        frontend,
        service,
        began,
        ended: SystemTime::now(),
        key: key.to_owned(),
        why,
        mixed,
    });
}

/// A connection of HTTP.
enum Wire {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

type Ask = Request<Full<Bytes>>;

impl Wire {
    async fn connect(asker: &Asker) -> Result<Wire, String> {
        let through = *asker.through.borrow();
        let stream = TcpStream::connect(through).await.map_err(|error| words(&error))?;
        stream.set_nodelay(true).map_err(|error| words(&error))?;
        let io = TokioIo::new(stream);
        if asker.speaks == Speaks::Http2 {
            let (sender, connection) =
                http2::handshake(TokioExecutor::new(), io).await.map_err(|error| words(&error))?;
            tokio::spawn(connection);
            return Ok(Wire::Http2(sender));
        }
        let (sender, connection) = http1::handshake(io).await.map_err(|error| words(&error))?;
        tokio::spawn(connection);
        Ok(Wire::Http1(sender))
    }

    /// Sends a request; gives it back if nothing of it was sent.
    async fn send(&mut self, ask: Ask) -> Result<Response<Incoming>, (String, Option<Ask>)> {
        let ready = match self {
            Wire::Http1(sender) => sender.ready().await,
            Wire::Http2(sender) => sender.ready().await,
        };
        if let Err(error) = ready {
            return Err((words(&error), Some(ask)));
        }
        let sent = match self {
            Wire::Http1(sender) => sender.try_send_request(ask).await,
            Wire::Http2(sender) => sender.try_send_request(ask).await,
        };
        sent.map_err(|mut error| (words(error.error()), error.take_message()))
    }
}

/// Asks over the connection that there is, or over a new one if nothing was sent over that.
async fn send(wire: &mut Option<Wire>, asker: &Asker, mut ask: Ask) -> Result<Response<Incoming>, String> {
    if let Some(open) = wire {
        match open.send(ask).await {
            Ok(response) => return Ok(response),
            Err((_, Some(unsent))) => ask = unsent,
            Err((why, None)) => {
                *wire = None;
                return Err(why);
            }
        }
    }
    *wire = None;
    let open = wire.insert(Wire::connect(asker).await?);
    let sent = open.send(ask).await;
    if sent.is_err() {
        *wire = None;
    }
    sent.map_err(|(why, _)| why)
}

async fn ask_http(number: usize, asker: &Asker, tally: &Mutex<Tally>, stopped: &watch::Receiver<bool>) {
    let mut wire = None;
    let mut pace = interval(PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for count_of in 0_usize.. {
        pace.tick().await;
        if *stopped.borrow() {
            return;
        }
        let (began, path) = (SystemTime::now(), format!("/{number}/{count_of}"));
        // Every fifth changes something, so that nobody may send it twice of his own accord.
        let (method, body) = if count_of % 5 == 4 { (Method::POST, "a change") } else { (Method::GET, "") };
        let host = format!("{}:8080", asker.service);
        let ask = match asker.speaks {
            Speaks::Http2 => Request::builder().uri(format!("http://{host}{path}")),
            _ => Request::builder().uri(&path).header("host", host),
        };
        let ask = ask.method(method).body(Full::new(Bytes::from(body))).expect("it is a request");
        let exchange = async {
            let failed = |error: &dyn std::error::Error| Why::Failed(words(error));
            let response = send(&mut wire, asker, ask).await.map_err(Why::Failed)?;
            let status = response.status();
            let round =
                response.headers().get(super::ROUND).map(|it| String::from_utf8_lossy(it.as_bytes()).into_owned());
            let body = response.into_body().collect().await.map_err(|error| failed(&error))?.to_bytes();
            let body = String::from_utf8_lossy(&body).into_owned();
            if status != StatusCode::OK {
                return Err(Why::Failed(format!("{status}: {body}")));
            }
            // The application was told by a rule's request headers, the client by the same rule's response headers.
            let told = body.split_once(' ').map(|(_, round)| round.to_owned());
            if round.is_some() && told == round {
                return Ok(());
            }
            Err(Why::Mixed(format!("the application was told round {told:?}, and the client {round:?}")))
        };
        let ended = timeout(PATIENCE, exchange).await;
        let ended = ended.unwrap_or_else(|_| Err(Why::Failed(format!("no answer in {PATIENCE:?}"))));
        count(tally, asker, &path, began, ended);
    }
}

async fn ask_bytes(asker: &Asker, tally: &Mutex<Tally>, stopped: &watch::Receiver<bool>) {
    let mut pace = interval(PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !*stopped.borrow() {
        pace.tick().await;
        let (mut began, through) = (SystemTime::now(), *asker.through.borrow());
        let mut stream = match timeout(PATIENCE, TcpStream::connect(through)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => {
                count(tally, asker, "-", began, Err(Why::Failed(error.to_string())));
                continue;
            }
            Err(_) => {
                count(tally, asker, "-", began, Err(Why::Failed(format!("no connection in {PATIENCE:?}"))));
                continue;
            }
        };
        let key = stream.local_addr().map(|it| it.to_string()).unwrap_or_default();
        for number in 0..EXCHANGES {
            if *stopped.borrow() {
                break;
            }
            if 0 < number {
                pace.tick().await;
            }
            let ended = match timeout(PATIENCE, exchange(&mut stream, number)).await {
                Ok(Ok(())) => Ok(()),
                Ok(Err(error)) => Err(Why::Failed(error.to_string())),
                Err(_) => Err(Why::Failed(format!("no answer in {PATIENCE:?}"))),
            };
            let failed = ended.is_err();
            count(tally, asker, &key, began, ended);
            // The connection may be cut from here on, long before the next exchange finds out.
            began = SystemTime::now();
            if failed {
                break;
            }
        }
    }
}

async fn exchange(stream: &mut TcpStream, number: usize) -> std::io::Result<()> {
    let sent = (number as u64).to_be_bytes();
    stream.write_all(&sent).await?;
    let mut got = [0; 8];
    stream.read_exact(&mut got).await?;
    if got == sent { Ok(()) } else { Err(std::io::Error::other(format!("{got:?} came back for {sent:?}"))) }
}

/// An error with what caused it: the outermost alone says little.
fn words(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text += &format!(": {inner}");
        cause = inner.source();
    }
    text
}
