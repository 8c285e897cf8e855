//! `taut proxy`: a sidecar or a gateway.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::Path;
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::{Value, json};
use taut_delivery::stand_back;
use taut_proxy::capture::{put_up, take_down};
use taut_proxy::{
    AccessLog, Addresses, Bind, DrainConfig, Following, Patience, ProxyConfig, Refresh, Role, run as run_proxy,
};
use tokio::runtime::Builder;
use tokio::sync::watch;

use crate::args::{Format, LogFormat, Proxy};
use crate::commands::capture;
use crate::failure::Failure;
use crate::output::Output;
use crate::running::{self, identity, streams::ToReconciler};

/// `PORT=LISTEN,APPLICATION`: the workload's port, where the proxy listens for it, where the application does.
#[derive(Clone, Debug)]
pub(crate) struct InboundBind(Bind);

/// `PORT=LISTEN`, `ADDRESS:PORT=LISTEN`, `any=LISTEN` or `captured=LISTEN`: what the application asks for, and where.
#[derive(Clone, Debug)]
pub(crate) struct OutboundBind(Bind);

/// `PORT=LISTEN`: a port of the gateway, and where the proxy listens for it.
#[derive(Clone, Debug)]
pub(crate) struct GatewayBind(Bind);

fn socket(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| format!("`{text}` is no address: write IP:PORT"))
}

fn port(text: &str) -> Result<u16, String> {
    text.parse().map_err(|_| format!("`{text}` is no port"))
}

impl FromStr for InboundBind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('=').and_then(|(number, rest)| Some((number, rest.split_once(',')?)));
        let (number, (listen, application)) = parts.ok_or("write PORT=LISTEN,APPLICATION")?;
        let role = Role::Inbound { port: port(number)?, application: socket(application)? };
        Ok(InboundBind(Bind { role, address: socket(listen)? }))
    }
}

impl FromStr for OutboundBind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (number, listen) =
            text.split_once('=').ok_or("write PORT=LISTEN or ADDRESS:PORT=LISTEN, or any=LISTEN or captured=LISTEN")?;
        let role = match number {
            "any" => Role::OutboundAny,
            "captured" => Role::OutboundCaptured,
            address if address.contains(':') => Role::OutboundTo { address: socket(address)? },
            number => Role::Outbound { port: port(number)? },
        };
        Ok(OutboundBind(Bind { role, address: socket(listen)? }))
    }
}

impl FromStr for GatewayBind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (number, listen) = text.split_once('=').ok_or("write PORT=LISTEN")?;
        Ok(GatewayBind(Bind { role: Role::Gateway { port: port(number)? }, address: socket(listen)? }))
    }
}

pub(crate) fn run(args: Proxy, output: &mut Output) -> Result<ExitCode, Failure> {
    capture::join_group(&args.capture)?;
    let until_stdin_closes = args.until_stdin_closes;
    // Requests have threads of their own (`--workers`): one for all else is enough, however many processors there are.
    running::serve(&mut Builder::new_current_thread(), until_stdin_closes, |shutdown| proxy(args, output, shutdown))?;
    Ok(ExitCode::SUCCESS)
}

async fn proxy(args: Proxy, output: &mut Output, shutdown: watch::Receiver<bool>) -> Result<(), Failure> {
    allow_all_descriptors();
    let identity = identity::obtain(&args.identity, &args.state, &shutdown).await?;
    let binds = args.inbound.into_iter().map(|it| it.0);
    let binds = binds.chain(args.outbound.into_iter().map(|it| it.0)).chain(args.gateway.into_iter().map(|it| it.0));
    let binds = binds.chain(capture::binds(&args.capture));
    let captured = capture::wanted(&args.capture);
    let config = ProxyConfig {
        name: args.name.unwrap_or_else(|| args.workload.replace('/', ".")),
        workload: args.workload,
        binds: binds.collect(),
        admin: args.admin,
        advertise: args.advertise,
        workers: args.workers.or_else(|| std::thread::available_parallelism().ok()).unwrap_or(NonZeroUsize::MIN),
        drain: DrainConfig {
            notice: args.drain_notice.unwrap_or(Duration::from_millis(500)),
            deadline: args.drain_deadline.unwrap_or(Duration::from_secs(30)),
        },
        trusted_proxies: args.trusted_proxies,
        locality: args.locality,
        access_log: args
            .access_log
            .as_deref()
            .map(|path| access_log(path, args.access_log_format, args.access_log_provenance))
            .transpose()?,
        patience: Patience::USUAL,
        refresh: Refresh::USUAL,
        nameservers: args.nameserver,
    };
    let connect = ToReconciler::new(args.reconciler, &identity)?;
    let following = Following { state: args.state.join("snapshots"), connect };
    let format = args.format;
    // Who cannot capture what it was asked to stops at once.
    let (stop, stopping) = watch::channel(false);
    let asked = tokio::spawn({
        let stop = stop.clone();
        async move {
            running::asked(shutdown).await;
            stop.send_replace(true);
        }
    });
    let mut failed = None;
    let ready = |addresses: &Addresses| {
        // The workers have begun. This thread receives snapshots, and answers whoever looks: requests go first.
        stand_back();
        // Not before it listens, or connections of the meantime would go nowhere.
        failed = captured.as_ref().and_then(|captured| put_up(captured).err());
        match failed {
            Some(_) => drop(stop.send_replace(true)),
            None => output.line(&said(addresses, format)),
        }
    };
    let ran = run_proxy(config, identity, following, stopping, ready).await;
    asked.abort();
    if let Some(failed) = failed {
        return Err(failed.into());
    }
    // Whatever ended it: nobody is left to take what is captured.
    let undone = captured.map_or(Ok(()), |_| take_down());
    ran?;
    Ok(undone?)
}

/// Takes as many descriptors as the system allows: what a process begins with is for programs that know no more than 1024.
fn allow_all_descriptors() {
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }) {
        tracing::debug!(%error, "the limit of descriptors stays as it is");
    }
}

fn access_log(path: &Path, format: LogFormat, provenance: bool) -> Result<AccessLog, Failure> {
    let format = match format {
        LogFormat::Text => taut_proxy::LogFormat::Text,
        LogFormat::Json => taut_proxy::LogFormat::Json,
    };
    if path == Path::new("-") {
        return Ok(AccessLog { to: Box::new(std::io::stdout()), format, provenance });
    }
    let opened = std::fs::OpenOptions::new().create(true).append(true).open(path);
    let file = opened.map_err(|error| Failure(format!("{} could not be opened: {error}", path.display())))?;
    Ok(AccessLog { to: Box::new(file), format, provenance })
}

/// Where it listens, in one line: whoever starts it with port 0 learns the port from it.
fn said(addresses: &Addresses, format: Format) -> String {
    let words = |bind: &Bind| match bind.role {
        Role::Inbound { port, .. } => ("inbound", json!(port)),
        Role::InboundCaptured => ("inbound", json!("captured")),
        Role::Outbound { port } => ("outbound", json!(port)),
        Role::OutboundAny => ("outbound", json!(null)),
        Role::OutboundTo { address } => ("outbound", json!(address.to_string())),
        Role::OutboundCaptured => ("outbound", json!("captured")),
        Role::Gateway { port } => ("gateway", json!(port)),
    };
    match format {
        Format::Json => {
            let binds = addresses.binds.iter().map(|bind| {
                let (role, port) = words(bind);
                json!({"role": role, "port": port, "address": bind.address.to_string()})
            });
            json!({"admin": addresses.admin.to_string(), "binds": binds.collect::<Vec<_>>()}).to_string()
        }
        Format::Human => {
            let binds = addresses.binds.iter().map(|bind| {
                let (role, port) = words(bind);
                let port = match port {
                    Value::Null => "any".to_owned(),
                    Value::String(text) => text,
                    port => port.to_string(),
                };
                format!("{role} {port} on {}", bind.address)
            });
            format!("listening: {}; admin on {}", binds.collect::<Vec<_>>().join(", "), addresses.admin)
        }
    }
}
