//! The command line.
//!
//! Groups of options that several commands take have plain comments: docs would become those of the commands.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};

use crate::commands::proxy::{GatewayBind, InboundBind, OutboundBind};
use crate::running::address::Address;

/// The whole command line.
#[derive(Debug, Parser)]
#[command(
    name = "taut",
    version,
    about = "GitOps for the service mesh: a git push moves live traffic, all of it or none of it",
    disable_help_subcommand = true,
    propagate_version = true
)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
#[command(defer = true)] // a sidecar holds no memory for what other commands take
pub(crate) enum Command {
    /// Say what is wrong with a mesh
    Check(Check),
    /// Compile a mesh into a snapshot
    Compile(Compile),
    /// Say what becomes of a request, and why; or what a rule finds, with a mesh that breaks it and one that does not
    Explain(Explain),
    /// Show what is in a snapshot
    Inspect(Inspect),
    /// List every rule that `check` knows
    Rules(Rules),
    /// Follow a git repository, and move the fleet to every good commit
    Reconcile(Box<Reconcile>),
    /// Run the certificate authority, or make join tokens
    #[command(subcommand)]
    Ca(Ca),
    /// Run a sidecar or a gateway
    Proxy(Box<Proxy>),
    /// Take down the rules of `taut proxy --capture` after a crash
    Uncapture,
    /// Show what the fleet runs
    Status(Ask),
    /// Wait until every live member runs a commit or snapshot
    Wait(Wait),
    /// Show what happened: commits, activations, refusals, holds
    History(History),
    /// Show what differs between git, what was activated, and what members run
    Drift(Ask),
    /// Show what will happen next, and what it waits for
    Plan(Ask),
    /// Take the fleet back to what ran before, and keep it there
    Rollback(Rollback),
    /// Keep the fleet where it is, whatever git says
    Hold(Order),
    /// Follow git again after a rollback or hold
    Resume(Order),
    /// Show what Taut does: a mesh on this machine, under load, through eight steps
    Demo(Demo),
    /// Print completions for a shell
    Completions(Completions),
    /// Write the manual pages into a folder
    Man(Man),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// Istio's default text
    Text,
    /// Istio's default JSON
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    Human,
    /// For programs
    Json,
}

/// How `check` writes what it found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum CheckFormat {
    /// For people
    Human,
    /// For programs
    Json,
    /// For code hosts and editors: SARIF 2.1.0
    Sarif,
    /// For continuous integration: JUnit's XML
    Junit,
    /// For GitHub: annotations on the change
    Github,
    /// For GitLab: a code quality report
    Gitlab,
    /// For a merge request: a summary
    Markdown,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum FailOn {
    Info,
    Warning,
    Error,
}

// What every command that reads a mesh takes.
#[derive(Debug, ClapArgs)]
pub(crate) struct MeshArgs {
    /// The namespace of objects that name none; may be empty
    #[arg(long, value_name = "NS", default_value = "default", env = "TAUT_DEFAULT_NAMESPACE")]
    pub(crate) default_namespace: String,
    /// Go on without what the data plane does not carry of this kind, with a warning; may be repeated
    #[arg(long, value_name = "KIND", value_parser = unsupported_kind)]
    pub(crate) allow_unsupported: Vec<String>,
    /// Which reader reads YAML: the fast one, or the reference that it is held to
    #[arg(long, value_enum, default_value = "fast", hide = true)]
    pub(crate) reader: Reader,
}

fn unsupported_kind(kind: &str) -> Result<String, String> {
    if taut_compile::may_be_allowed(kind) {
        Ok(kind.to_owned())
    } else {
        Err(format!("the data plane carries {kind}: only its fields are reported, one by one"))
    }
}

// What holds for a whole mesh, in files of their own.
#[derive(Debug, ClapArgs)]
pub(crate) struct MeshFiles {
    /// A file with MeshConfig
    #[arg(long, value_name = "FILE", env = "TAUT_MESH_CONFIG")]
    pub(crate) mesh_config: Option<PathBuf>,
    /// A file with MeshNetworks
    #[arg(long, value_name = "FILE", env = "TAUT_MESH_NETWORKS")]
    pub(crate) mesh_networks: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Reader {
    Fast,
    Reference,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Check {
    /// Files, folders, `-` for standard input, or REPO@REV[:FOLDER]
    #[arg(required = true, value_name = "PATH")]
    pub(crate) paths: Vec<String>,
    #[command(flatten)]
    pub(crate) mesh: MeshArgs,
    #[command(flatten)]
    pub(crate) files: MeshFiles,
    /// How to write the result
    #[arg(long, value_enum, default_value = "human")]
    pub(crate) format: CheckFormat,
    /// The least severity that makes the exit status 1
    #[arg(long, value_enum, default_value = "error", value_name = "SEVERITY")]
    pub(crate) fail_on: FailOn,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Compile {
    /// Files, folders, `-` for standard input, or REPO@REV[:FOLDER]
    #[arg(required = true, value_name = "PATH")]
    pub(crate) paths: Vec<String>,
    /// The file to write; its source map goes beside it, as FILE.map
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: PathBuf,
    #[command(flatten)]
    pub(crate) mesh: MeshArgs,
    #[command(flatten)]
    pub(crate) files: MeshFiles,
    /// How to write the result
    #[arg(long, value_enum, default_value = "human")]
    pub(crate) format: Format,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Explain {
    /// A file, a folder, `-` for standard input, or REPO@REV[:FOLDER]; or the code of a rule, Taut's own or Istio's
    #[arg(value_name = "PATH|CODE")]
    pub(crate) path_or_code: String,
    /// The request: a method, GET if there is none, and a URL
    #[arg(value_name = "REQUEST", num_args = 0..=2, conflicts_with = "requests")]
    pub(crate) request: Vec<String>,
    /// The workload that sends it, or the gateway that it comes to
    #[arg(long, value_name = "NS/NAME", conflicts_with = "requests")]
    pub(crate) from: Option<String>,
    /// A header of it
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE", conflicts_with = "requests")]
    pub(crate) headers: Vec<String>,
    /// A file with one request a line, as JSON; one answer a line comes back
    #[arg(long, value_name = "FILE")]
    pub(crate) requests: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) mesh: MeshArgs,
    #[command(flatten)]
    pub(crate) files: MeshFiles,
    /// How to write the result
    #[arg(long, value_enum, default_value = "human")]
    pub(crate) format: Format,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Inspect {
    /// A file that `compile` wrote
    pub(crate) file: PathBuf,
    /// Show the view of one workload only
    #[arg(long, value_name = "NS/NAME")]
    pub(crate) workload: Option<String>,
    /// How to write the result
    #[arg(long, value_enum, default_value = "human")]
    pub(crate) format: Format,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Rules {
    /// How to write the result
    #[arg(long, value_enum, default_value = "human")]
    pub(crate) format: Format,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Completions {
    /// The shell
    pub(crate) shell: clap_complete::Shell,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Man {
    /// The folder
    pub(crate) folder: PathBuf,
}

/// A length of time, as `10s`, `500ms` or `1h`.
fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|error| format!("{error}: write 10s, 500ms or 1h"))
}

fn nameserver(text: &str) -> Result<SocketAddr, String> {
    let alone = || text.parse().map(|ip: IpAddr| SocketAddr::new(ip, 53));
    text.parse().or_else(|_| alone()).map_err(|_| format!("`{text}` is no address: write IP or IP:PORT"))
}

/// Where the reconciler of this machine keeps its state, and its control socket.
const RECONCILER_STATE: &str = "taut-reconciler";

// How the commands that ask the reconciler find it.
#[derive(Debug, ClapArgs)]
pub(crate) struct Reach {
    /// The reconciler's state folder, where its control socket is
    #[arg(long, value_name = "DIR", default_value = RECONCILER_STATE, env = "TAUT_STATE")]
    pub(crate) state: PathBuf,
    /// How to write the result
    #[arg(long, value_enum, default_value = "human")]
    pub(crate) format: Format,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Ask {
    #[command(flatten)]
    pub(crate) reach: Reach,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Wait {
    /// The commit, by the start of its id; what is desired now if nothing is named
    #[arg(long, value_name = "REV", conflicts_with = "snapshot")]
    pub(crate) commit: Option<String>,
    /// The snapshot, by the start of its id
    #[arg(long, value_name = "ID")]
    pub(crate) snapshot: Option<String>,
    /// The longest time to wait
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = duration)]
    pub(crate) timeout: Duration,
    #[command(flatten)]
    pub(crate) reach: Reach,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct History {
    /// The most records to show, newest last
    #[arg(long, short = 'n', value_name = "N", default_value = "30")]
    pub(crate) limit: usize,
    #[command(flatten)]
    pub(crate) reach: Reach,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Order {
    /// Why, for the history
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(crate) reason: String,
    #[command(flatten)]
    pub(crate) reach: Reach,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Rollback {
    /// A snapshot or commit that was active, by the start of its id; what ran before if nothing is named
    #[arg(long, value_name = "ID|REV")]
    pub(crate) to: Option<String>,
    #[command(flatten)]
    pub(crate) order: Order,
}

// How a process comes to its identity.
#[derive(Debug, ClapArgs)]
pub(crate) struct IdentityArgs {
    /// The certificate authority: HOST:PORT, or @FILE that holds it
    #[arg(long, value_name = "ADDRESS", env = "TAUT_CA")]
    pub(crate) ca: Address,
    /// The join token, for the first start
    #[arg(long, value_name = "TOKEN", env = "TAUT_JOIN_TOKEN", hide_env_values = true)]
    pub(crate) join_token: Option<String>,
    /// A file with the join token
    #[arg(long, value_name = "FILE", conflicts_with = "join_token")]
    pub(crate) join_token_file: Option<PathBuf>,
    /// How long certificates are to be valid; the authority's default if nothing is said
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) certificate_lifetime: Option<Duration>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Reconcile {
    /// The repository: a folder, or an address that git understands
    #[arg(long, value_name = "PATH|URL", env = "TAUT_REPO")]
    pub(crate) repo: String,
    /// The branch; the checked-out one of a folder, `main` of a remote
    #[arg(long, value_name = "NAME", env = "TAUT_BRANCH")]
    pub(crate) branch: Option<String>,
    /// The folder of the mesh in the repository; all of it if none is named
    #[arg(long, value_name = "FOLDER", env = "TAUT_PATH")]
    pub(crate) path: Option<String>,
    /// The file with MeshConfig, as it is called in the repository
    #[arg(long, value_name = "FILE", env = "TAUT_MESH_CONFIG")]
    pub(crate) mesh_config: Option<String>,
    /// How often to look at the repository, whatever else is seen
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration, env = "TAUT_POLL")]
    pub(crate) poll: Duration,
    /// Where it keeps its state
    #[arg(long, value_name = "DIR", default_value = RECONCILER_STATE, env = "TAUT_STATE")]
    pub(crate) state: PathBuf,
    /// Where members find it
    #[arg(long, value_name = "IP:PORT", default_value = "0.0.0.0:15012", env = "TAUT_LISTEN")]
    pub(crate) listen: SocketAddr,
    /// How long a member that drifted is left alone before it is brought back
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = duration)]
    pub(crate) heal_after: Duration,
    /// How long a member may be silent before nobody waits for it
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration)]
    pub(crate) lease: Duration,
    #[command(flatten)]
    pub(crate) identity: IdentityArgs,
    #[command(flatten)]
    pub(crate) mesh: MeshArgs,
    /// Stop when standard input closes
    #[arg(long, hide = true)]
    pub(crate) until_stdin_closes: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Ca {
    /// Run the certificate authority
    Serve(CaServe),
    /// Make a join token, which one process can use once
    Token(CaToken),
    /// List the join tokens
    Tokens(CaTokens),
}

/// Where the authority of this machine keeps its keys.
const CA_STATE: &str = "taut-ca";

#[derive(Debug, ClapArgs)]
pub(crate) struct CaServe {
    /// Where it keeps its keys and tokens
    #[arg(long, value_name = "DIR", default_value = CA_STATE, env = "TAUT_CA_STATE")]
    pub(crate) state: PathBuf,
    /// Where others find it
    #[arg(long, value_name = "IP:PORT", default_value = "0.0.0.0:15013", env = "TAUT_CA_LISTEN")]
    pub(crate) listen: SocketAddr,
    /// The first part of every identity
    #[arg(long, value_name = "NAME", default_value = "cluster.local", env = "TAUT_TRUST_DOMAIN")]
    pub(crate) trust_domain: String,
    /// The reconciler whose fleet it is a member of: HOST:PORT, or @FILE that holds it
    #[arg(long, value_name = "ADDRESS", env = "TAUT_RECONCILER")]
    pub(crate) reconciler: Option<Address>,
    /// Its name in the fleet
    #[arg(long, value_name = "NAME", default_value = "ca")]
    pub(crate) name: String,
    /// Stop when standard input closes
    #[arg(long, hide = true)]
    pub(crate) until_stdin_closes: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct CaToken {
    /// Whose it is: NAMESPACE/SERVICE-ACCOUNT, or `reconciler`
    pub(crate) identity: String,
    /// The authority's state folder
    #[arg(long, value_name = "DIR", default_value = CA_STATE, env = "TAUT_CA_STATE")]
    pub(crate) state: PathBuf,
    /// How long it can be used; 15 minutes if nothing is said
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) lifetime: Option<Duration>,
    /// The first part of every identity
    #[arg(long, value_name = "NAME", default_value = "cluster.local", env = "TAUT_TRUST_DOMAIN")]
    pub(crate) trust_domain: String,
    /// How to write the result
    #[arg(long, value_enum, default_value = "human")]
    pub(crate) format: Format,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct CaTokens {
    /// The authority's state folder
    #[arg(long, value_name = "DIR", default_value = CA_STATE, env = "TAUT_CA_STATE")]
    pub(crate) state: PathBuf,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Proxy {
    /// The workload whose view it runs, NAMESPACE/NAME
    #[arg(long, value_name = "NS/NAME", env = "TAUT_WORKLOAD")]
    pub(crate) workload: String,
    /// Its name in the fleet, one for each process; NAMESPACE.NAME if nothing is said
    #[arg(long, env = "TAUT_NAME")]
    pub(crate) name: Option<String>,
    /// Where it keeps its identity and the last snapshot
    #[arg(long, value_name = "DIR", default_value = "taut-proxy", env = "TAUT_STATE")]
    pub(crate) state: PathBuf,
    /// The reconciler: HOST:PORT, or @FILE that holds it
    #[arg(long, value_name = "ADDRESS", env = "TAUT_RECONCILER")]
    pub(crate) reconciler: Address,
    #[command(flatten)]
    pub(crate) identity: IdentityArgs,
    /// A port of the workload: where the proxy listens for it, and where the application does
    #[arg(long, value_name = "PORT=LISTEN,APPLICATION")]
    pub(crate) inbound: Vec<InboundBind>,
    /// What the application asks of others, and where: a port of services, or `ADDRESS:PORT`; `any` takes the port from the
    /// Host header, `captured` takes what the kernel redirects (iptables REDIRECT)
    #[arg(long, value_name = "PORT=LISTEN")]
    pub(crate) outbound: Vec<OutboundBind>,
    #[command(flatten)]
    pub(crate) capture: CaptureArgs,
    /// A port of a gateway: where the proxy listens for it
    #[arg(long, value_name = "PORT=LISTEN")]
    pub(crate) gateway: Vec<GatewayBind>,
    /// Where it is, `REGION/ZONE/SUBZONE`; as the label `istio-locality` of its workload says if it is left out
    #[arg(long, value_name = "PLACE", env = "TAUT_LOCALITY")]
    pub(crate) locality: Option<String>,
    /// The address that others reach it by
    #[arg(long, value_name = "IP", env = "TAUT_ADVERTISE")]
    pub(crate) advertise: Option<IpAddr>,
    /// Where metrics and health are served; an address of this machine
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:15000")]
    pub(crate) admin: SocketAddr,
    /// Threads that serve requests; one for each processor if nothing is said
    #[arg(long, value_name = "N", env = "TAUT_WORKERS")]
    pub(crate) workers: Option<NonZeroUsize>,
    /// How long it accepts connections at least after it said that it is leaving; then until others know, 10 s at most
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) drain_notice: Option<Duration>,
    /// How long requests under way may take after that
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) drain_deadline: Option<Duration>,
    /// How many proxies in front of a gateway are trusted to say where requests come from
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    pub(crate) trusted_proxies: usize,
    /// A name server for services that are names, instead of those of `/etc/resolv.conf`; its port is 53 if none is named
    #[arg(long, value_name = "IP", value_parser = nameserver, env = "TAUT_NAMESERVER", value_delimiter = ',')]
    pub(crate) nameserver: Vec<SocketAddr>,
    /// Write a line for every request to a file, or to standard output with `-`
    #[arg(long, value_name = "FILE")]
    pub(crate) access_log: Option<PathBuf>,
    /// How a line is written
    #[arg(long, value_enum, default_value = "text", requires = "access_log")]
    pub(crate) access_log_format: LogFormat,
    /// End each line with the snapshot and the rule that decided the request
    #[arg(long, requires = "access_log")]
    pub(crate) access_log_provenance: bool,
    /// How to write where it listens
    #[arg(long, value_enum, default_value = "human")]
    pub(crate) format: Format,
    /// Stop when standard input closes
    #[arg(long, hide = true)]
    pub(crate) until_stdin_closes: bool,
}

// Capture, by the names of Istio's own tool.
#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct CaptureArgs {
    /// Let the kernel send all connections of this network namespace through the proxy, both ways, until it ends
    #[arg(long)]
    pub(crate) capture: bool,
    /// Where captured connections to others come in
    #[arg(long, value_name = "PORT", default_value_t = 15001, requires = "capture")]
    pub(crate) outbound_capture_port: u16,
    /// Where captured connections of others come in
    #[arg(long, value_name = "PORT", default_value_t = 15006, requires = "capture")]
    pub(crate) inbound_capture_port: u16,
    /// The group that the proxy runs in: what runs in it is left alone
    #[arg(long, value_name = "GID", default_value_t = 1337, requires = "capture")]
    pub(crate) proxy_gid: u32,
    /// Users whose connections are left alone
    #[arg(long, value_name = "UIDS", value_delimiter = ',', requires = "capture")]
    pub(crate) exclude_uids: Vec<u32>,
    /// Ports of this workload that others reach without the proxy, such as 22
    #[arg(long, value_name = "PORTS", value_delimiter = ',', requires = "capture")]
    pub(crate) exclude_inbound_ports: Vec<u16>,
    /// Ports of others that are reached without the proxy
    #[arg(long, value_name = "PORTS", value_delimiter = ',', requires = "capture")]
    pub(crate) exclude_outbound_ports: Vec<u16>,
    /// Addresses of others that are reached without the proxy
    #[arg(long, value_name = "CIDRS", value_delimiter = ',', requires = "capture")]
    pub(crate) exclude_outbound_cidrs: Vec<taut_proxy::capture::Cidr>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Demo {
    /// Leave everything running, and print commands to try
    #[arg(long)]
    pub(crate) keep: bool,
}
