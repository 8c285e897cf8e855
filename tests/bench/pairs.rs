//! Pairs of timings, their ratios, and how they are written.

use std::io::Write as _;
use std::process::ExitCode;

use serde_json::json;

/// A goal for a ratio or an absolute figure.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Goal {
    AtMost(f64),
    AtLeast(f64),
    /// None: the figure is for people to see.
    Seen,
}

impl Goal {
    fn holds(self, ratio: f64) -> bool {
        match self {
            Goal::AtMost(most) => ratio <= most,
            Goal::AtLeast(least) => least <= ratio,
            Goal::Seen => true,
        }
    }

    fn text(self) -> String {
        match self {
            Goal::AtMost(most) => format!("<= {most}"),
            Goal::AtLeast(least) => format!(">= {least}"),
            Goal::Seen => "-".to_owned(),
        }
    }
}

/// One figure.
#[derive(Clone, Debug)]
pub(crate) struct Figure {
    pub(crate) bench: &'static str,
    pub(crate) metric: &'static str,
    pub(crate) case: String,
    /// Ours and theirs, in the metric's own unit.
    pub(crate) ours: f64,
    pub(crate) reference: String,
    pub(crate) theirs: f64,
    /// Ours divided by theirs: the median over the pairs.
    pub(crate) ratio: f64,
    pub(crate) goal: Goal,
    pub(crate) rounds: usize,
    /// The distance between the quartiles of the ratios, divided by their median.
    pub(crate) spread: f64,
}

/// Runs two things in turn, A B B A A B ..., and gives the seconds of each, pair by pair.
pub(crate) fn interleaved(
    rounds: usize,
    mut ours: impl FnMut() -> f64,
    mut theirs: impl FnMut() -> f64,
) -> Vec<(f64, f64)> {
    let pair = |round: usize| {
        if round.is_multiple_of(2) {
            let a = ours();
            (a, theirs())
        } else {
            let b = theirs();
            (ours(), b)
        }
    };
    (0..rounds).map(pair).collect()
}

pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    quantile(values, 0.5)
}

fn quantile(values: impl IntoIterator<Item = f64>, at: f64) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let place = at * (values.len().saturating_sub(1)) as f64;
    values.get(place.round() as usize).copied().unwrap_or(f64::NAN)
}

impl Figure {
    /// A figure from pairs of seconds.
    pub(crate) fn of_pairs(
        metric: &'static str,
        case: &str,
        reference: &str,
        pairs: &[(f64, f64)],
        goal: Goal,
    ) -> Figure {
        let ratios = || pairs.iter().map(|(ours, theirs)| ours / theirs);
        Figure {
            bench: "compile",
            metric,
            case: case.to_owned(),
            ours: median(pairs.iter().map(|pair| pair.0)),
            reference: reference.to_owned(),
            theirs: median(pairs.iter().map(|pair| pair.1)),
            ratio: median(ratios()),
            goal,
            rounds: pairs.len(),
            spread: (quantile(ratios(), 0.75) - quantile(ratios(), 0.25)) / median(ratios()),
        }
    }

    fn json(&self) -> serde_json::Value {
        json!({
            "bench": self.bench, "metric": self.metric, "case": self.case, "ours": round(self.ours), "reference": self.reference,
            "theirs": round(self.theirs), "ratio": round(self.ratio), "goal": self.goal.text(),
            "ok": self.goal.holds(self.ratio), "rounds": self.rounds, "spread": round(self.spread),
        })
    }
}

/// Four significant digits: more would say something that was not measured.
fn round(value: f64) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return value;
    }
    let scale = 10_f64.powi(3 - value.abs().log10().floor() as i32);
    (value * scale).round() / scale
}

/// Writes a line to standard output.
pub(crate) fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// All figures, as lines of JSON and as a table.
pub(crate) fn report(figures: &[Figure]) -> ExitCode {
    for figure in figures {
        say(&figure.json().to_string());
    }
    say("");
    say(&format!(
        "{:<34} {:<16} {:<28} {:>10} {:>10} {:>8}  {:<8} {}",
        "metric", "case", "beside", "ours", "theirs", "ratio", "goal", "ok"
    ));
    for figure in figures {
        let ok = if figure.goal.holds(figure.ratio) { "yes" } else { "NO" };
        let (ours, theirs, ratio) = (round(figure.ours), round(figure.theirs), round(figure.ratio));
        say(&format!(
            "{:<34} {:<16} {:<28} {ours:>10} {theirs:>10} {ratio:>8}  {:<8} {ok}",
            figure.metric,
            figure.case,
            figure.reference,
            figure.goal.text()
        ));
    }
    ExitCode::from(u8::from(!figures.iter().all(|figure| figure.goal.holds(figure.ratio))))
}
