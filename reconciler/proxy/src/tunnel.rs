//! Bytes both ways: upgraded connections (WebSocket), and ports that do not carry HTTP.

use std::sync::Arc;

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::copy_bidirectional;

use crate::drain::Drain;
use crate::exchange::Exchange;
use crate::pool::Lease;

/// Joins the two sides of an upgraded connection, until one has ended and the other was told. The exchange lasts as long.
pub(crate) fn join(
    drain: Arc<Drain>,
    client_side: OnUpgrade,
    endpoint_side: OnUpgrade,
    mut exchange: Box<Exchange>,
    lease: Lease,
) {
    tokio::spawn(async move {
        let _lease = lease;
        let both = async {
            let (client, endpoint) = tokio::try_join!(client_side, endpoint_side).ok()?;
            copy_bidirectional(&mut TokioIo::new(client), &mut TokioIo::new(endpoint)).await.ok()
        };
        // What has been upgraded cannot be told to close: it is cut when the proxy's time is over.
        if let Some(Some((_received, sent))) = drain.run(both).await {
            exchange.record.bytes_sent = sent;
        }
    });
}
