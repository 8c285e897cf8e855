//! `taut status`, `wait`, `history`, `drift`, `plan`, `rollback`, `hold`, `resume`: questions to the reconciler, and orders.

mod human;
mod json;

use std::future::Future;
use std::process::ExitCode;
use std::time::SystemTime;

use taut_control::{ApiError, Client, Done, Order, Outcome, Target};

use crate::args;
use crate::args::{Format, Reach};
use crate::failure::Failure;
use crate::output::{Output, problems};

/// Asks the reconciler whose state folder this is.
fn asked<A, F>(reach: &Reach, question: impl FnOnce(Client) -> F) -> Result<A, Failure>
where
    F: Future<Output = Result<A, ApiError>>,
{
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async { Ok(question(Client::connect(&reach.state).await?).await?) })
}

pub(crate) fn status(args: &args::Ask, output: &mut Output) -> Result<ExitCode, Failure> {
    let status = asked(&args.reach, async |mut client| client.status().await)?;
    match args.reach.format {
        Format::Json => output.line(&json::status(&status).to_string()),
        Format::Human => output.print(&human::status(&status, SystemTime::now())),
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn wait(args: &args::Wait, output: &mut Output) -> Result<ExitCode, Failure> {
    let target = match (&args.commit, &args.snapshot) {
        (Some(commit), _) => Target::Commit(commit.clone()),
        (None, Some(snapshot)) => Target::Snapshot(snapshot.clone()),
        (None, None) => Target::Current,
    };
    let waited = asked(&args.reach, async |mut client| client.wait(target, args.timeout, |_| ()).await)?;
    match args.reach.format {
        Format::Json => output.line(&json::waited(&waited).to_string()),
        Format::Human => output.line(&waited.said),
    }
    Ok(ExitCode::from(match waited.outcome {
        Outcome::Done => 0,
        Outcome::Refused => 1,
        Outcome::Timeout => 2,
    }))
}

pub(crate) fn history(args: &args::History, output: &mut Output) -> Result<ExitCode, Failure> {
    let mut records = asked(&args.reach, async |mut client| client.history(args.limit).await)?;
    records.reverse(); // what happened last is read first where a terminal stops scrolling
    match args.reach.format {
        Format::Json => output.line(&json::history(&records).to_string()),
        Format::Human => output.print(&human::history(&records)),
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn drift(args: &args::Ask, output: &mut Output) -> Result<ExitCode, Failure> {
    let drifts = asked(&args.reach, async |mut client| client.drift().await)?;
    match args.reach.format {
        Format::Json => output.line(&json::drift(&drifts).to_string()),
        Format::Human => output.print(&human::drift(&drifts, SystemTime::now())),
    }
    Ok(problems(!drifts.is_empty()))
}

pub(crate) fn plan(args: &args::Ask, output: &mut Output) -> Result<ExitCode, Failure> {
    let plan = asked(&args.reach, async |mut client| client.plan().await)?;
    match args.reach.format {
        Format::Json => output.line(&json::plan(&plan).to_string()),
        Format::Human => output.print(&plan),
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn rollback(args: &args::Rollback, output: &mut Output) -> Result<ExitCode, Failure> {
    let (reach, order) = (&args.order.reach, order(&args.order));
    let done = asked(reach, async |mut client| client.rollback(args.to.clone(), &order).await)?;
    Ok(carried_out(reach, &done, output))
}

pub(crate) fn hold(args: &args::Order, output: &mut Output) -> Result<ExitCode, Failure> {
    let done = asked(&args.reach, async |mut client| client.hold(&order(args)).await)?;
    Ok(carried_out(&args.reach, &done, output))
}

pub(crate) fn resume(args: &args::Order, output: &mut Output) -> Result<ExitCode, Failure> {
    let done = asked(&args.reach, async |mut client| client.resume(&order(args)).await)?;
    Ok(carried_out(&args.reach, &done, output))
}

/// Whoever is logged in gives the order.
fn order(args: &args::Order) -> Order {
    let who = ["SUDO_USER", "USER", "LOGNAME"].iter().find_map(|name| std::env::var(name).ok());
    Order { who: who.unwrap_or_else(|| "somebody".to_owned()), why: args.reason.clone() }
}

fn carried_out(reach: &Reach, done: &Done, output: &mut Output) -> ExitCode {
    match reach.format {
        Format::Json => output.line(&json::done(done).to_string()),
        Format::Human => output.line(&done.said),
    }
    ExitCode::SUCCESS
}
