//! What a request costs, beside Envoy in the same run: the same chain of two proxies each, with mTLS between them, a policy
//! at the server, metrics on and the access log off; one worker each, bodies of 1 KiB.
//!
//! All proxies share one processor, and everything else (load, application, reconciler) the other: so the rate is what the
//! proxies can do, and whoever loads them costs both the same.

mod application;
mod envoys;
mod load;
mod process;
mod tauts;

use std::time::Duration;

use self::envoys::Envoys;
use self::load::{Protocol, Target};
use self::process::{pin, ticks};
use self::tauts::{Moved, Tauts};
use crate::pairs::{Figure, Goal, median, say};

/// The processor of the proxies, and that of everything else.
const PROXIES: &str = "0";
const REST: &str = "1";

/// What one run under full load came to.
#[derive(Clone, Copy, Debug)]
struct Run {
    rate: f64,
    cpu_per_request: f64,
}

fn full_load(target: &Target, processes: &[u32], protocol: Protocol, time: Duration) -> Run {
    let before: f64 = processes.iter().map(|id| ticks(*id)).sum();
    let (rate, requests) = load::full(target, protocol, time);
    let used = processes.iter().map(|id| ticks(*id)).sum::<f64>() - before;
    Run { rate, cpu_per_request: used / requests }
}

pub(crate) fn run(quick: bool) -> Vec<Figure> {
    load::tools();
    pin(std::process::id(), REST);
    let (rounds, time) = if quick { (3, Duration::from_secs(2)) } else { (9, Duration::from_secs(5)) };
    let application = application::start();
    let tauts = Tauts::start(application);
    let envoys = Envoys::start(application);
    let processes = [tauts.processes(), envoys.processes()];
    processes.iter().flatten().for_each(|id| pin(*id, PROXIES));
    let mut figures = Vec::new();
    let mut figure = |metric, case: &str, reference: &str, pairs: &[(f64, f64)], goal| {
        figures.push(Figure { bench: "proxy", ..Figure::of_pairs(metric, case, reference, pairs, goal) });
    };
    for (metric, held, goal) in [
        ("memory idle, bytes", process::memory as fn(u32) -> f64, Goal::AtMost(0.25)),
        ("memory of its own, bytes", process::own_memory, Goal::Seen),
    ] {
        let memory = [&processes[0], &processes[1]].map(|ids| ids.iter().map(|id| held(*id)).sum::<f64>());
        figure(metric, "two proxies", "Envoy", &[(memory[0], memory[1])], goal);
    }
    let mut rate_of_envoy = f64::NAN;
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let targets = [tauts.target(protocol), envoys.target(protocol)];
        let one = |side: usize| full_load(&targets[side], &processes[side], protocol, time);
        targets.iter().for_each(load::try_once);
        let warm = [one(0), one(1)];
        say(&format!("{protocol:?}, warming up: {warm:?}"));
        let runs: Vec<[Run; 2]> = (0..rounds)
            .map(|round| {
                if round % 2 == 0 {
                    let ours = one(0);
                    [ours, one(1)]
                } else {
                    let theirs = one(1);
                    [one(0), theirs]
                }
            })
            .collect();
        let pairs = |of: fn(&Run) -> f64| runs.iter().map(|[a, b]| (of(a), of(b))).collect::<Vec<_>>();
        let (rates, costs) = (pairs(|run| run.rate), pairs(|run| run.cpu_per_request));
        if matches!(protocol, Protocol::Http1) {
            rate_of_envoy = median(rates.iter().map(|pair| pair.1));
        }
        let case = protocol.name();
        figure("requests per second", case, "Envoy", &rates, Goal::AtLeast(3.0));
        figure("CPU per request, seconds", case, "Envoy", &costs, Goal::AtMost(0.4));
    }
    // Half of what Envoy can do is a load that both carry with ease.
    let rate = rate_of_envoy / 2.0;
    let targets = [tauts.target(Protocol::Http1), envoys.target(Protocol::Http1)];
    let late = |side: usize| {
        let paced = load::paced(&targets[side], rate, time);
        assert!(paced.failed() == 0.0, "requests failed: {}", paced.failed());
        paced.p99(None)
    };
    let pairs = crate::pairs::interleaved(rounds, || late(0), || late(1));
    figure("p99 at equal load, seconds", "HTTP/1.1", "Envoy", &pairs, Goal::AtMost(0.5));

    let one = tauts.target(Protocol::Http1);
    let last = Target { path: "/route-999/".to_owned(), host: "many", ..one.clone() };
    let of = |target: &Target| full_load(target, &processes[0], Protocol::Http1, time).rate;
    let pairs = crate::pairs::interleaved(rounds, || of(&last), || of(&one));
    figure("rate, last of 1,000 routes", "HTTP/1.1", "one route", &pairs, Goal::AtLeast(0.9));

    drop(envoys);
    let moved: Vec<Moved> = (0..rounds).map(|round| tauts.moves_under_load(round, &one, rate)).collect();
    say(&format!("10,000 routes under load: {moved:?}"));
    let failed = moved.iter().map(|moved| moved.failed).sum();
    let late: Vec<_> = moved.iter().map(|moved| (moved.during, moved.before)).collect();
    figure("failed while 10,000 routes came", "HTTP/1.1", "none", &[(failed, 1.0)], Goal::AtMost(0.0));
    figure("p99 of that second, seconds", "HTTP/1.1", "before", &late, Goal::AtMost(1.5));
    let large = Envoys::with_routes(application, tauts::SERVICES, tauts::ROUTES);
    let (_tauts, client) = tauts.begun_anew();
    let large = large.processes()[0];
    let pairs = [(process::memory(client), process::memory(large))];
    figure("memory, bytes", "10,000 routes", "Envoy", &pairs, Goal::AtMost(0.25));
    let pairs = [(process::own_memory(client), process::own_memory(large))];
    figure("memory of its own, bytes", "10,000 routes", "Envoy", &pairs, Goal::Seen);
    figures
}
