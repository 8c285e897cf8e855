//! `taut ca`: the certificate authority, and the tokens with which others join.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::json;
use taut_ca::{Issuer, SYSTEM_NAMESPACE, TokenState, create_token, list_tokens, serve};
use taut_delivery::{CertificateReport, MemberConfig, MemberKind, Refused, Runner, Told, follow};
use taut_identity::{LiveIdentity, SpiffeId};
use taut_snapshot::format::codec::Link;
use taut_snapshot::object::{Authority, Root};
use taut_snapshot::{Digest, EndpointSet, Objects};
use tokio::runtime::Builder;
use tokio::sync::watch;

use crate::args::{CaServe, CaToken, CaTokens, Format};
use crate::failure::Failure;
use crate::output::Output;
use crate::running::{self, address, streams::ToReconciler};

/// How long a token is good for if nothing is said: long enough to carry it to the machine that joins.
pub(crate) const TOKEN_LIFETIME: Duration = Duration::from_secs(15 * 60);

pub(crate) fn run(args: CaServe, output: &mut Output) -> Result<ExitCode, Failure> {
    // Opened before anything else, so that a second authority on one folder is refused at once.
    let issuer = Issuer::open(&args.state, &args.trust_domain, SystemTime::now())?;
    let until_stdin_closes = args.until_stdin_closes;
    running::serve(&mut Builder::new_multi_thread(), until_stdin_closes, |shutdown| {
        authority(args, issuer, output, shutdown)
    })?;
    Ok(ExitCode::SUCCESS)
}

async fn authority(
    args: CaServe,
    issuer: Issuer,
    output: &mut Output,
    shutdown: watch::Receiver<bool>,
) -> Result<(), Failure> {
    let identity = LiveIdentity::new(issuer.own_credentials(SystemTime::now())?);
    let listener = address::listen(args.listen).await?;
    let bound = listener.local_addr()?;
    address::publish(&args.state, bound)?;
    output.line(&format!("the certificate authority of {} listens on {bound}", args.trust_domain));
    let serving = serve(listener, identity.clone(), issuer.clone(), shutdown.clone());
    let Some(reconciler) = args.reconciler else { return Ok(serving.await?) };
    let (_, endpoint) = watch::channel(None);
    let member = MemberConfig {
        name: args.name,
        kind: MemberKind::Authority,
        state: args.state.join("snapshots"),
        endpoint,
        told: watch::Sender::new(Told::Nobody),
    };
    let connect = ToReconciler::new(reconciler, &identity)?;
    let following = follow(member, Arc::new(InFleet { issuer, identity }), connect, shutdown);
    let (served, followed) = tokio::join!(serving, following);
    served?;
    Ok(followed?)
}

/// The authority as a member of the fleet: what it is given says who may have a certificate.
struct InFleet {
    issuer: Issuer,
    identity: LiveIdentity,
}

impl Runner for InFleet {
    type Prepared = Authority;

    fn prepare(&self, snapshot: Digest, objects: &Objects) -> Result<Authority, Refused> {
        let root: Root = objects.read(Link::to(snapshot)).map_err(|bad| refused(snapshot, &bad))?;
        let authority = objects.read(root.authority).map_err(|bad| refused(root.authority.digest, &bad))?;
        self.issuer.can_serve(&authority).map_err(|refusal| refused(root.authority.digest, &refusal))?;
        Ok(authority)
    }

    fn activate(&self, authority: Authority, _: Digest, _: u64) {
        self.issuer.set_authority(Some(authority));
    }

    fn endpoints(&self, _: &EndpointSet) {}

    fn certificate(&self) -> Option<CertificateReport> {
        Some(certificate(&self.identity))
    }
}

fn refused(object: Digest, why: &dyn std::fmt::Display) -> Refused {
    Refused { object: Some(object), why: why.to_string() }
}

/// What a process reports of its own certificate.
pub(crate) fn certificate(identity: &LiveIdentity) -> CertificateReport {
    let current = identity.current();
    CertificateReport {
        id: current.id().as_str().to_owned(),
        serial: current.serial().to_owned(),
        not_after: current.not_after(),
    }
}

pub(crate) fn token(args: &CaToken, output: &mut Output) -> Result<ExitCode, Failure> {
    let (namespace, account) = match args.identity.split_once('/') {
        Some(parts) => parts,
        None => (SYSTEM_NAMESPACE, args.identity.as_str()),
    };
    let id = SpiffeId::workload(&args.trust_domain, namespace, account)?;
    let token = create_token(&args.state, &id, args.lifetime.unwrap_or(TOKEN_LIFETIME), SystemTime::now())?;
    match args.format {
        Format::Json => output.line(&json!({"token": token.to_text(), "id": id.as_str()}).to_string()),
        Format::Human => output.line(&token.to_text()),
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn tokens(args: &CaTokens, output: &mut Output) -> Result<ExitCode, Failure> {
    let now = SystemTime::now();
    for entry in list_tokens(&args.state, now)? {
        let state = match entry.state(now) {
            TokenState::Waiting => "waiting",
            TokenState::Used => "used",
            TokenState::Expired => "expired",
        };
        output.line(&format!("{}  {state:<8} {}", entry.name.short(), entry.id));
    }
    Ok(ExitCode::SUCCESS)
}
