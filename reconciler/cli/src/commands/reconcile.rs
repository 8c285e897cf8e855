//! `taut reconcile`: every commit of a branch is compiled and offered to control, which moves the fleet.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use taut_ca::{OWN_ACCOUNT, SYSTEM_NAMESPACE};
use taut_compile::{Memo, Options};
use taut_control::{Broken, Compiled, ControlConfig, Ledger, Offer};
use taut_identity::SpiffeId;
use taut_intake::{Arrival, IntakeConfig, IntakeError, Origin, Transport, follow};
use taut_source::{Problem, Severity, SourceSet};
use tokio::runtime::Builder;
use tokio::sync::{mpsc, watch};

use crate::args::Reconcile;
use crate::commands::check;
use crate::failure::Failure;
use crate::output::Output;
use crate::running::{self, address, identity, streams};

/// The problems of a commit that are written into the ledger. The rest is what `taut check` is for.
const LINES_MAX: usize = 20;

/// How many leases long a member that is silent is still named to others: time to restart it.
const ENDPOINT_GRACE_LEASES: u32 = 3;

/// Arrivals that wait to be looked at. Beyond it, members' connections wait.
const ARRIVALS_MAX: usize = 1024;

pub(crate) fn run(args: Reconcile, output: &mut Output) -> Result<ExitCode, Failure> {
    // Opened before anything else, so that a second reconciler on one folder is refused at once.
    let ledger = Ledger::open(&args.state)?;
    let until_stdin_closes = args.until_stdin_closes;
    running::serve(&mut Builder::new_multi_thread(), until_stdin_closes, |shutdown| {
        reconcile(args, ledger, output, shutdown)
    })?;
    Ok(ExitCode::SUCCESS)
}

async fn reconcile(
    args: Reconcile,
    ledger: Ledger,
    output: &mut Output,
    shutdown: watch::Receiver<bool>,
) -> Result<(), Failure> {
    let new = ledger.is_new();
    let intake = IntakeConfig {
        origin: origin(&args.repo, &args.state),
        branch: args.branch.clone(),
        folder: args.path.clone(),
        poll: args.poll,
    };
    let (arrivals, commits) = mpsc::channel(1);
    let following = followed(intake, arrivals, new, shutdown.clone());
    let options = Options { mesh_config: args.mesh_config.clone(), ..check::options(&args.mesh) };
    let (offer, offers) = mpsc::channel(1);
    let offering = offered(args.repo.clone(), options, commits, offer);
    let controlling = control(args, ledger, offers, output, shutdown);
    let (mut following, mut offering) = (std::pin::pin!(following), std::pin::pin!(offering));
    let mut controlling = std::pin::pin!(controlling);
    let mut offered = false;
    loop {
        // Whichever ends first ends the others, except that the last commit is still carried out.
        tokio::select! {
            ended = &mut controlling => return ended,
            ended = &mut following, if !offered => {
                ended?;
                offered = true;
            }
            () = &mut offering, if !offered => offered = true,
        }
    }
}

/// A folder on this machine is read where it is; anything else is mirrored.
fn origin(repo: &str, state: &Path) -> Origin {
    let path = PathBuf::from(repo);
    let address = repo.contains("://") || Transport::for_url(repo) == Transport::Program;
    if address && !path.exists() {
        return Origin::Remote {
            url: repo.to_owned(),
            mirror: state.join("mirror"),
            transport: Transport::for_url(repo),
        };
    }
    Origin::Local(path)
}

/// Follows the branch. If nothing was ever seen, the first failure is told to whoever started this; a reconciler that has
/// a fleet to keep goes on without git, which may be what is down.
async fn followed(
    intake: IntakeConfig,
    arrivals: mpsc::Sender<Arrival>,
    new: bool,
    mut shutdown: watch::Receiver<bool>,
) -> Result<(), IntakeError> {
    loop {
        match follow(intake.clone(), arrivals.clone(), shutdown.clone()).await {
            Err(error) if !new => tracing::warn!("git cannot be followed, so that nothing new comes: {error}"),
            ended => return ended,
        }
        tokio::select! {
            () = tokio::time::sleep(intake.poll.max(Duration::from_secs(1))) => {}
            _ = shutdown.wait_for(|stop| *stop) => return Ok(()),
        }
    }
}

/// Compiles commits as they come.
async fn offered(
    repository: String,
    options: Options,
    mut commits: mpsc::Receiver<Arrival>,
    offers: mpsc::Sender<Offer>,
) {
    let mut memo = Memo::new(options.clone());
    while let Some(arrival) = commits.recv().await {
        let (commit, sources) = match arrival {
            Arrival::Commit(commit, sources) => (commit, sources),
            Arrival::Failed(error) => {
                tracing::warn!("{error}");
                continue;
            }
        };
        tracing::info!(commit = commit.id, "{}", commit.summary);
        let commit =
            taut_control::Commit { rev: commit.id, summary: commit.summary, author: commit.author, time: commit.time };
        let repository = repository.clone();
        let compiling = tokio::task::spawn_blocking(move || {
            let offer = offer(commit, &repository, &sources, &mut memo);
            (memo, offer)
        });
        match compiling.await {
            Ok((used, offer)) => {
                memo = used;
                if offers.send(offer).await.is_err() {
                    return;
                }
            }
            Err(crashed) => {
                memo = Memo::new(options.clone());
                tracing::error!("the compiler crashed, and the fleet stays as it is: {crashed}");
            }
        }
    }
}

fn offer(commit: taut_control::Commit, repository: &str, sources: &SourceSet, memo: &mut Memo) -> Offer {
    let mut compiled = memo.compile(sources).clone();
    compiled.source_map.repository = repository.into();
    compiled.source_map.commit = commit.rev.as_str().into();
    let compiled = match compiled.snapshot {
        Some(snapshot) => Ok(Compiled { snapshot, endpoints: compiled.endpoints, source_map: compiled.source_map }),
        None => {
            let errors = || compiled.problems.iter().filter(|problem| problem.severity == Severity::Error);
            let lines = errors().take(LINES_MAX).map(|problem| line(problem, sources)).collect();
            Err(Broken { count: errors().count(), lines })
        }
    };
    Offer { commit, compiled }
}

/// `file:line:column: code: message`.
fn line(problem: &Problem, sources: &SourceSet) -> String {
    let (file, at) = (sources.file(problem.at.file), sources.position(problem.at.file, problem.at.span.start));
    format!("{}:{}:{}: {}: {}", file.name, at.line, at.column, problem.code, problem.message)
}

/// Everything that meets members and operators.
async fn control(
    args: Reconcile,
    ledger: Ledger,
    offers: mpsc::Receiver<Offer>,
    output: &mut Output,
    shutdown: watch::Receiver<bool>,
) -> Result<(), Failure> {
    let identity = identity::obtain(&args.identity, &args.state, &shutdown).await?;
    let listener = address::listen(args.listen).await?;
    let bound = listener.local_addr()?;
    address::publish(&args.state, bound)?;
    output.line(&format!("following {}; members find the reconciler on {bound}", args.repo));
    let trust_domain = identity.current().id().trust_domain().to_owned();
    let authority = SpiffeId::workload(&trust_domain, SYSTEM_NAMESPACE, OWN_ACCOUNT)?;
    let config = ControlConfig {
        lease: args.lease,
        heal_after: args.heal_after,
        endpoint_grace: args.lease * ENDPOINT_GRACE_LEASES,
        authority: authority.as_str().to_owned(),
    };
    let (arrivals, arrived) = mpsc::channel(ARRIVALS_MAX);
    let delivering =
        taut_delivery::serve(streams::members(listener, &identity), arrivals, running::asked(shutdown.clone()));
    let controlling = taut_control::run(config, ledger, offers, arrived, running::asked(shutdown));
    let mut delivering = std::pin::pin!(delivering);
    tokio::select! {
        ended = controlling => Ok(ended?),
        ended = &mut delivering => Ok(ended?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_read_where_it_is_and_addresses_are_mirrored() {
        let state = Path::new("/state");
        assert!(matches!(origin("no/such/folder", state), Origin::Local(_)));
        assert!(matches!(origin(".", state), Origin::Local(_)));
        for address in ["https://example.com/mesh.git", "git@example.com:mesh.git", "file:///srv/mesh.git"] {
            assert!(matches!(origin(address, state), Origin::Remote { .. }), "{address}");
        }
    }
}
