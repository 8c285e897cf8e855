//! The applications of the shop. They know each other by service name, and nothing of the mesh.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::call::{Ask, Connections, connections, get};
use crate::failure::Failure;

/// What an application does with a request.
#[derive(Clone, Copy, Debug)]
pub(super) enum Duty {
    /// Asks orders and the catalog, and answers what orders said.
    Frontend,
    /// Has the customer charged, and answers its version.
    Orders(&'static str),
    /// Answers a word.
    Word(&'static str),
}

/// An application that runs within the demo's process.
pub(super) struct Application {
    /// Where it listens.
    pub(super) address: SocketAddr,
    /// Where it reaches other services: its sidecar, which starts after it.
    pub(super) sidecar: Arc<OnceLock<SocketAddr>>,
    serving: JoinHandle<()>,
}

impl Drop for Application {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

struct Shared {
    duty: Duty,
    sidecar: Arc<OnceLock<SocketAddr>>,
    connections: Connections,
}

impl Application {
    pub(super) async fn start(duty: Duty) -> Result<Application, Failure> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let (address, sidecar) = (listener.local_addr()?, Arc::new(OnceLock::new()));
        let shared = Arc::new(Shared { duty, sidecar: sidecar.clone(), connections: connections() });
        Ok(Application { address, sidecar, serving: tokio::spawn(serve(listener, shared)) })
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        let _ = stream.set_nodelay(true);
        let shared = shared.clone();
        tokio::spawn(async move {
            let service = service_fn(|request| answer(shared.clone(), request));
            // A connection that its client ends is none of our business.
            let _ = auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(shared: Arc<Shared>, request: Request<Incoming>) -> Result<Response<String>, Infallible> {
    let canary = request.headers().contains_key("x-canary");
    let (status, body) = match shared.duty {
        Duty::Word(word) => (StatusCode::OK, word.to_owned()),
        Duty::Orders(version) => {
            match call(&shared, Ask { host: "payments:8080", path: "/charge", canary: false }).await {
                Ok(_) => (StatusCode::OK, version.to_owned()),
                Err(why) => (StatusCode::BAD_GATEWAY, why),
            }
        }
        Duty::Frontend => {
            let orders = call(&shared, Ask { host: "orders:8080", path: "/", canary });
            let catalog = call(&shared, Ask { host: "catalog:8080", path: "/", canary: false });
            match tokio::try_join!(orders, catalog) {
                Ok((orders, _)) => (StatusCode::OK, orders),
                Err(why) => (StatusCode::BAD_GATEWAY, why),
            }
        }
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    Ok(response)
}

/// Asks another service, through the sidecar.
async fn call(shared: &Shared, ask: Ask<'_>) -> Result<String, String> {
    let sidecar = shared.sidecar.get().ok_or("the sidecar has not started")?;
    match get(&shared.connections, *sidecar, ask).await {
        Ok((StatusCode::OK, body)) => Ok(body),
        Ok((status, body)) => Err(format!("{} answered {status}: {body}", ask.host)),
        Err(why) => Err(format!("{}: {why}", ask.host)),
    }
}
