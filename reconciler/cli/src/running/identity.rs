//! How a process comes to its identity: from its folder, or with a join token the first time.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use taut_ca::{JoinToken, KeepFresh, join, keep_fresh};
use taut_identity::{Credentials, LiveIdentity, store};
use tokio::sync::watch;

use crate::args::IdentityArgs;
use crate::failure::Failure;
use crate::running::asked;

/// The pause before an authority that cannot be reached is asked again.
const AGAIN: Duration = Duration::from_millis(200);

/// The identity of a process, which is kept fresh from now on. `state` is the folder of the process.
pub(crate) async fn obtain(
    args: &IdentityArgs,
    state: &Path,
    shutdown: &watch::Receiver<bool>,
) -> Result<LiveIdentity, Failure> {
    let folder = state.join("identity");
    let stored = store::load(&folder)?;
    let usable = stored.filter(|credentials| SystemTime::now() < credentials.not_after());
    let credentials = match usable {
        Some(credentials) => credentials,
        None => first_contact(args, &folder, shutdown).await?,
    };
    tracing::info!(id = %credentials.id(), serial = credentials.serial(), "identity");
    let identity = LiveIdentity::new(credentials);
    let (address, lifetime) = (args.ca.clone(), args.certificate_lifetime);
    let (kept, shutdown) = (identity.clone(), shutdown.clone());
    tokio::spawn(async move {
        let address = address.wait().await;
        keep_fresh(KeepFresh { address, folder, lifetime }, kept, shutdown).await;
    });
    Ok(identity)
}

async fn first_contact(
    args: &IdentityArgs,
    folder: &Path,
    shutdown: &watch::Receiver<bool>,
) -> Result<Credentials, Failure> {
    let token = token(args)?;
    loop {
        let address = tokio::select! {
            address = args.ca.wait() => address,
            () = asked(shutdown.clone()) => return Err(Failure("stopped before the certificate authority could be found".into())),
        };
        match join(&address, &token, args.certificate_lifetime).await {
            Ok(credentials) => {
                store::save(folder, &credentials)?;
                return Ok(credentials);
            }
            Err(error) if error.is_worth_a_retry() => tracing::warn!("{error}; trying again"),
            Err(error) => return Err(error.into()),
        }
        tokio::select! {
            () = tokio::time::sleep(AGAIN) => {}
            () = asked(shutdown.clone()) => return Err(Failure("stopped before it had an identity".into())),
        }
    }
}

fn token(args: &IdentityArgs) -> Result<JoinToken, Failure> {
    let text = match (&args.join_token, &args.join_token_file) {
        (Some(token), _) => token.clone(),
        (None, Some(file)) => read(file)?,
        (None, None) => {
            return Err(Failure(
                "this process has no identity yet: make a join token with `taut ca token`, and pass it with `--join-token-file`".into(),
            ));
        }
    };
    text.trim().parse().map_err(|bad| Failure(format!("the join token cannot be used: {bad}")))
}

fn read(file: &PathBuf) -> Result<String, Failure> {
    std::fs::read_to_string(file).map_err(|error| Failure(format!("{} could not be read: {error}", file.display())))
}
