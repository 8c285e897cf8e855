//! `taut explain`: what becomes of a request, and why; or what a rule finds.

mod code;

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use taut_compile::explain::{
    Answer, Bytes, Declared, Direction, Lead, ProxyOf, Question, Security, Tls, declared, explain,
};
use taut_snapshot::Text;

use crate::args::{Explain, Format};
use crate::commands::check::{options, with_files};
use crate::failure::Failure;
use crate::output::{Output, problems};
use crate::paths;
use crate::report::explain as report;

pub(crate) fn run(args: &Explain, output: &mut Output) -> Result<ExitCode, Failure> {
    let bare = args.request.is_empty() && args.requests.is_none();
    let looks_like_a_code = args.path_or_code.starts_with("taut::") || !Path::new(&args.path_or_code).exists();
    if bare && (looks_like_a_code || !code::rules_of(&args.path_or_code).is_empty()) {
        return code::run(args, output);
    }
    let sources = paths::read(std::slice::from_ref(&args.path_or_code), &args.files)?;
    let options = with_files(options(&args.mesh), &args.files);
    if let Some(file) = &args.requests {
        let shown = file.display();
        let text = fs::read_to_string(file).map_err(|error| Failure(format!("{shown} could not be read: {error}")))?;
        let mut questions = Vec::new();
        for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let question = report::question(line);
            questions.push(question.map_err(|bad| Failure(format!("{shown}:{}: no question: {bad}", at + 1)))?);
        }
        let answers = explain(&sources.set, &options, &questions);
        for answer in &answers {
            match args.format {
                Format::Json => output.line(&report::json(answer).to_string()),
                Format::Human => output.line(&report::human(answer)),
            }
        }
        return Ok(problems(answers.iter().any(|answer| answer.fault.is_some())));
    }
    let wanted = args.from.as_deref().and_then(|from| from.split_once('/'));
    let (Some((namespace, name)), Some(url)) = (wanted, args.request.last()) else {
        return Err(Failure(USAGE.into()));
    };
    let method = if args.request.len() == 2 { args.request[0].as_str() } else { "GET" };
    let workloads = declared(&sources.set, &options);
    let Some(client) = workloads.iter().find(|it| it.namespace == namespace && it.name == name) else {
        let names: Vec<String> = workloads.iter().map(|it| format!("{}/{}", it.namespace, it.name)).collect();
        return Err(Failure(format!("there is no workload `{namespace}/{name}`; there are: {}", names.join(", "))));
    };
    let question = asked(
        method,
        url,
        args,
        ProxyOf {
            gateway: client.gateway,
            namespace: client.namespace.clone(),
            labels: client.labels.clone(),
            addresses: Vec::new(),
        },
    )?;
    let answers = explain(&sources.set, &options, std::slice::from_ref(&question));
    let mut failed = false;
    for answer in &answers {
        failed |= answer.fault.is_some();
        show(answer, args.format, output);
        if let Some(server) = behind(answer, &workloads).filter(|_| question.direction == Direction::Outbound) {
            let question = arriving(&question, answer, client, &server);
            for answer in explain(&sources.set, &options, &[question]) {
                failed |= answer.fault.is_some();
                if args.format == Format::Human {
                    output.line(&format!("at {}/{}", server.workload.namespace, server.workload.name));
                }
                show(&answer, args.format, output);
            }
        }
    }
    Ok(problems(failed))
}

const USAGE: &str = "say what to explain: a file of requests with `--requests FILE`, or one request, as in \
                     `taut explain mesh --from shop/frontend GET http://orders.shop/api`";

fn show(answer: &Answer, format: Format, output: &mut Output) {
    match format {
        Format::Json => output.line(&report::json(answer).to_string()),
        Format::Human => output.print(&report::human(answer)),
    }
}

/// The question that a URL stands for.
fn asked(method: &str, url: &str, args: &Explain, proxy: ProxyOf) -> Result<Question, Failure> {
    let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
    let (authority, path) = rest.find(['/', '?']).map_or((rest, "/"), |at| rest.split_at(at));
    let path = if path.starts_with('?') { format!("/{path}") } else { path.to_owned() };
    let usual = if scheme == "https" { 443 } else { 80 };
    let port = match authority.rsplit_once(':') {
        Some((_, port)) if !authority.ends_with(']') => {
            port.parse().map_err(|_| Failure(format!("`{port}` is no port, in {url}")))?
        }
        _ => usual,
    };
    let mut headers = Vec::new();
    for header in &args.headers {
        let Some((name, value)) = header.split_once(':') else {
            return Err(Failure(format!("`{header}` is no header; write `-H 'name: value'`")));
        };
        headers.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
    }
    let gateway = proxy.gateway;
    let host = authority.rsplit_once(':').filter(|_| !authority.ends_with(']')).map_or(authority, |(host, _)| host);
    Ok(Question {
        proxy,
        direction: if gateway { Direction::Gateway } else { Direction::Outbound },
        address: host.parse().unwrap_or_else(|_| [0, 0, 0, 0].into()),
        source: None,
        port,
        bytes: Bytes::Http,
        tls: if scheme == "https" { Tls::Tls } else { Tls::Plaintext },
        server_name: (scheme == "https").then(|| host.into()),
        alpn: None,
        peer: None,
        method: method.into(),
        host: authority.into(),
        path: path.into(),
        headers,
        jwt: None,
    })
}

/// A workload that a request ends at, and the port of it.
struct Server<'w> {
    workload: &'w Declared,
    port: u16,
}

/// A workload behind the first cluster of an answer.
fn behind<'w>(answer: &Answer, workloads: &'w [Declared]) -> Option<Server<'w>> {
    let mut parts = answer.cluster.as_deref()?.splitn(4, '|');
    let (direction, port, subset, host) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let port: u16 = port.parse().ok().filter(|_| direction == "outbound")?;
    workloads.iter().find_map(|workload| {
        let leads = |it: &&Lead| {
            it.host == host && it.port == port && (subset.is_empty() || it.subsets.iter().any(|own| own == subset))
        };
        workload.behind.iter().find(leads).map(|it| Server { workload, port: it.target })
    })
}

/// The same request where it arrives.
fn arriving(question: &Question, answer: &Answer, client: &Declared, server: &Server<'_>) -> Question {
    let mtls = answer.tls == Some(Security::Mtls);
    Question {
        proxy: ProxyOf {
            gateway: false,
            namespace: server.workload.namespace.clone(),
            labels: server.workload.labels.clone(),
            addresses: Vec::new(),
        },
        direction: Direction::Inbound,
        port: server.port,
        tls: if mtls { Tls::Mesh } else { question.tls },
        server_name: None,
        peer: mtls.then(|| Text::new(&client.identity)),
        ..question.clone()
    }
}
