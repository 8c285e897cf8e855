//! Applications that behave badly when they are told to.
//!
//! Invariant: an application keeps its port for life, also while it refuses connections.

use std::convert::Infallible;
use std::net::SocketAddr;

use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::watch;

/// What an application speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Speaks {
    Http,
    /// It sends back what it is sent.
    Bytes,
}

/// How it treats its connections, those that are open already too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    Serves,
    /// Nobody listens.
    Refuses,
    /// A connection is reset as soon as something was sent.
    Resets,
    /// A connection is closed as soon as something was sent.
    Closes,
}

/// An application in this process.
pub(crate) struct Application {
    pub(crate) address: SocketAddr,
    wanted: watch::Sender<Manner>,
    kept: watch::Receiver<Manner>,
}

fn socket(address: SocketAddr) -> TcpSocket {
    let socket = TcpSocket::new_v4().expect("there are sockets");
    socket.set_reuseport(true).expect("it can be set");
    socket.bind(address).expect("the port is ours");
    socket
}

impl Application {
    pub(crate) fn start(name: &'static str, speaks: Speaks, runtime: &Handle) -> Application {
        let _entered = runtime.enter();
        // It never listens: what it is bound to stays ours.
        let keeper = socket(SocketAddr::from(([127, 0, 0, 1], 0)));
        let address = keeper.local_addr().expect("it has an address");
        let (wanted, told) = watch::channel(Manner::Serves);
        let (said, kept) = watch::channel(Manner::Refuses);
        runtime.spawn(async move {
            behave(name, speaks, address, told, said).await;
            drop(keeper);
        });
        let application = Application { address, wanted, kept };
        application.behaves(Manner::Serves, runtime);
        application
    }

    /// Has it behave so, and waits until it does.
    pub(crate) fn behaves(&self, manner: Manner, runtime: &Handle) {
        self.wanted.send_replace(manner);
        let mut kept = self.kept.clone();
        runtime.block_on(async move { kept.wait_for(|it| *it == manner).await.map(drop) }).expect("it is there");
    }
}

async fn behave(
    name: &'static str,
    speaks: Speaks,
    address: SocketAddr,
    mut told: watch::Receiver<Manner>,
    said: watch::Sender<Manner>,
) {
    loop {
        let manner = *told.borrow_and_update();
        let listener = (manner != Manner::Refuses).then(|| socket(address).listen(1024).expect("it listens"));
        said.send_replace(manner);
        loop {
            tokio::select! {
                stream = next(listener.as_ref()) => {
                    tokio::spawn(meet(name, speaks, manner, stream, told.clone()));
                }
                changed = told.changed() => match changed {
                    Ok(()) => break,
                    Err(_) => return,
                }
            }
        }
    }
}

async fn next(listener: Option<&TcpListener>) -> TcpStream {
    match listener {
        Some(listener) => listener.accept().await.expect("it has descriptors").0,
        None => std::future::pending().await,
    }
}

async fn meet(
    name: &'static str,
    speaks: Speaks,
    manner: Manner,
    mut stream: TcpStream,
    mut told: watch::Receiver<Manner>,
) {
    stream.set_nodelay(true).expect("it can be set");
    if manner != Manner::Serves {
        let _ = stream.read(&mut [0; 16]).await;
        if manner == Manner::Resets {
            stream.set_zero_linger().expect("it can be set");
        }
        return;
    }
    let serve = async {
        match speaks {
            Speaks::Http => {
                let service = service_fn(|request| answer(name, request));
                // How its clients leave is none of its business.
                drop(auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await);
            }
            Speaks::Bytes => {
                let mut bytes = [0; 64];
                while let Ok(read @ 1..) = stream.read(&mut bytes).await {
                    if stream.write_all(&bytes[..read]).await.is_err() {
                        break;
                    }
                }
            }
        }
    };
    tokio::select! {
        () = serve => {}
        _ = told.changed() => {}
    }
}

/// Says who it is, and by which round's rules the request came.
async fn answer(name: &'static str, request: Request<Incoming>) -> Result<Response<String>, Infallible> {
    let round = request.headers().get(super::ROUND).and_then(|it| it.to_str().ok()).unwrap_or("-").to_owned();
    Ok(Response::new(format!("{name} {round}")))
}
