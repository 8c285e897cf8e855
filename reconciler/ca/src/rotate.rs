//! The shell around `taut_identity::rotation`: it waits, asks, and swaps. There is no other state here.

use std::fmt::Display;
use std::future::Future;
use std::time::{Duration, SystemTime};

use taut_identity::rotation::{Input, Output, Rotation};
use taut_identity::{Credentials, LiveIdentity};
use tokio::sync::watch;
use tokio::time::sleep;

/// The longest sleep: timers stand still while a machine is suspended, and the certificate's clock does not.
const SLEEP_MAX: Duration = Duration::from_secs(60);

/// Keeps an identity fresh for ever, with new credentials from `renew`.
pub(crate) async fn rotate<F, E>(identity: &LiveIdentity, mut renew: impl FnMut() -> F)
where
    F: Future<Output = Result<Credentials, E>>,
    E: Display,
{
    let mut rotation = Rotation::new(identity.current().validity(), draw());
    loop {
        let now = SystemTime::now();
        let mut outputs = rotation.handle(now, Input::Tick);
        if outputs.is_empty() {
            let wait = rotation.wake().map_or(SLEEP_MAX, |wake| wake.duration_since(now).unwrap_or_default());
            sleep(wait.min(SLEEP_MAX)).await;
        }
        while let Some(Output::Renew) = outputs.pop() {
            let input = match renew().await {
                Ok(credentials) => {
                    let validity = credentials.validity();
                    identity.swap(credentials);
                    Input::Renewed { validity, draw: draw() }
                }
                Err(error) => {
                    let current = identity.current();
                    let left = current.validity().left(SystemTime::now()).as_secs();
                    tracing::warn!(
                        "cannot renew the certificate of `{}`, valid for {left} seconds more: {error}",
                        current.id()
                    );
                    Input::Failed { draw: draw() }
                }
            };
            outputs.extend(rotation.handle(SystemTime::now(), input));
        }
    }
}

/// Waits until it is time to stop: the value is true, or there is nobody left who could say so.
pub(crate) async fn stopped(mut shutdown: watch::Receiver<bool>) {
    // An error says that the sender is gone.
    let _ = shutdown.wait_for(|stop| *stop).await;
}

/// Runs what reads and writes files where it holds nobody up.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.expect("the work does not panic, and nobody aborts it")
}

fn draw() -> u32 {
    let mut bytes = [0; 4];
    aws_lc_rs::rand::fill(&mut bytes).expect("the system has randomness, or TLS would not work either");
    u32::from_ne_bytes(bytes)
}
