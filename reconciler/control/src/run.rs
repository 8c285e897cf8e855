//! The shell around the reconciler: it waits for whatever happens, and has it carried out.
//!
//! Owns: the clock, the channels, and the order in which they are looked at. May not: decide anything.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use taut_delivery::Arrival;
use taut_delivery::folder::FolderError;
use tokio::sync::mpsc;
use tokio::task::{JoinError, spawn_blocking};
use tokio::time::{Instant, sleep_until};

use crate::act::Actor;
use crate::api;
use crate::control::{Control, Effect, Input, Now, Settings};
use crate::ledger::{Ledger, LedgerError};
use crate::offer::Offer;
use crate::wire::Asked;

/// Commands that wait to be looked at.
const ASKED_MAX: usize = 64;

/// How much is taken note of before everything is looked at once: with a large fleet, a look costs more than a note.
const BATCH_MAX: usize = 256;

/// The longest path of a state folder: the name of a Unix socket has at most 107 bytes (unix(7)), `/control.sock` too.
const PATH_BYTES_MAX: usize = 94;

/// What the operator decides. No defaults: whoever starts a reconciler knows them all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlConfig {
    /// How long a member may be silent and is still waited for. Members report five times in it.
    pub lease: Duration,
    /// How long a difference between what was activated on a member and what it says is left to be looked at before it
    /// is put right.
    pub heal_after: Duration,
    /// How long a member that is silent, or has left, is still named to others: time for it to come back, or to end
    /// its last requests.
    pub endpoint_grace: Duration,
    /// The SPIFFE id of the certificate authority of this mesh.
    pub authority: String,
}

/// Why the reconciler ends before it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The operator's matter; its text says what to do.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The operator's matter; its text says what to do.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The operator's matter: the system has a limit for the names of sockets.
    #[error(
        "the path of the state folder {} is too long for the socket in it: choose one of at most {PATH_BYTES_MAX} bytes",
        state.display()
    )]
    LongPath {
        /// The folder.
        state: PathBuf,
    },
    /// The machine's matter; starting again makes sense.
    #[error("serving operators failed: {0}")]
    Api(#[source] std::io::Error),
    /// Our matter: a fault of this program. Nothing is lost, and starting again makes sense.
    #[error("the reconciler failed: {0}")]
    Fault(#[from] JoinError),
}

/// Reconciles until `shutdown` completes: `offers` are what git has, `arrivals` is what members say, and operators come
/// through the socket in the ledger's folder. Members run on with what they have when this ends.
///
/// # Errors
/// If the ledger cannot be written, or the socket cannot be opened. What was written before stays.
pub async fn run(
    config: ControlConfig,
    ledger: Ledger,
    mut offers: mpsc::Receiver<Offer>,
    mut arrivals: mpsc::Receiver<Arrival>,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ControlError> {
    let state: PathBuf = ledger.state().to_owned();
    if PATH_BYTES_MAX < state.as_os_str().len() {
        return Err(ControlError::LongPath { state });
    }
    let listener = api::listen(&state)?;
    let (sender, mut asked) = mpsc::channel(ASKED_MAX);
    let serving = api::serve(listener, state, sender);
    tokio::pin!(serving, shutdown);

    let started = Instant::now();
    let now = || Now { at: started.elapsed(), clock: SystemTime::now() };
    let ControlConfig { lease, heal_after, endpoint_grace, authority } = config;
    let (ledger, remembered) = spawn_blocking(move || ledger.remember().map(|it| (ledger, it))).await??;
    let mut control = Control::new(now(), Settings { lease, heal_after, endpoint_grace, authority }, remembered);
    let mut actor = Actor::new(ledger);
    actor = look(&mut control, actor, &now).await?;
    loop {
        let wake = started + control.deadline(now());
        let input = tokio::select! {
            offer = next(&mut offers) => Some(Input::Offered(Box::new(offer))),
            arrival = next(&mut arrivals) => Some(arrived(&mut actor, arrival)),
            asked = next(&mut asked) => Some(command(&mut actor, asked)),
            () = sleep_until(wake) => None,
            served = &mut serving => return served.map_err(ControlError::Api),
            () = &mut shutdown => return Ok(()),
        };
        if let Some(input) = input {
            control.note(now(), input);
        }
        for _ in 0..BATCH_MAX {
            let input = if let Ok(arrival) = arrivals.try_recv() {
                arrived(&mut actor, arrival)
            } else if let Ok(asked) = asked.try_recv() {
                command(&mut actor, asked)
            } else {
                break;
            };
            control.note(now(), input);
        }
        for reply in actor.hung_up() {
            control.note(now(), Input::HungUp { reply });
        }
        actor = look(&mut control, actor, &now).await?;
    }
}

/// The next of these; never, if there will be none any more.
async fn next<T>(channel: &mut mpsc::Receiver<T>) -> T {
    match channel.recv().await {
        Some(it) => it,
        None => std::future::pending().await,
    }
}

fn arrived(actor: &mut Actor, arrival: Arrival) -> Input {
    match arrival {
        Arrival::Joined { connection, peer, join, outbox } => {
            actor.opened(connection, outbox);
            Input::Joined { connection, peer, join }
        }
        Arrival::Reported { connection, report } => Input::Reported { connection, report },
        Arrival::Left { connection } => Input::Left { connection },
        Arrival::Closed { connection } => {
            actor.closed(connection);
            Input::Closed { connection }
        }
    }
}

fn command(actor: &mut Actor, asked: Asked) -> Input {
    let Asked { command, reply } = asked;
    Input::Asked { reply: actor.asked(reply), command }
}

/// Looks, and has everything carried out that comes of it, until nothing more does.
async fn look(control: &mut Control, mut actor: Actor, now: &impl Fn() -> Now) -> Result<Actor, ControlError> {
    loop {
        let effects = control.look(now());
        let blocks =
            |effect: &Effect| !matches!(effect, Effect::Send { .. } | Effect::Close { .. } | Effect::Reply { .. });
        let inputs = if effects.iter().any(blocks) {
            let carrying = spawn_blocking(move || {
                let inputs = actor.carry_out(effects);
                inputs.map(|inputs| (actor, inputs))
            });
            let (back, inputs) = carrying.await??;
            actor = back;
            inputs
        } else {
            actor.carry_out(effects)?
        };
        if inputs.is_empty() {
            return Ok(actor);
        }
        for input in inputs {
            control.note(now(), input);
        }
    }
}

#[cfg(test)]
mod tests;
