//! What the demo shows: a line that moves on a terminal, plain lines elsewhere, and a table at the end.

use std::time::{Duration, Instant};

use comfy_table::{ContentArrangement, Table, presets};
use indicatif::{ProgressBar, ProgressStyle};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::load::{Counted, Tally};
use crate::failure::Failure;
use crate::output::Output;

/// How often the moving line is drawn.
const TICK: Duration = Duration::from_millis(100);

/// What fits on most screens, and in most logs.
const WIDTH: u16 = 118;

/// A step that held.
struct Held {
    letter: char,
    title: &'static str,
    evidence: String,
    took: Duration,
}

/// The screen.
pub(super) struct Screen<'o> {
    output: &'o mut Output,
    began: Instant,
    bar: Option<ProgressBar>,
    counting: Option<JoinHandle<()>>,
    held: Vec<Held>,
    step: Option<(char, &'static str, Instant)>,
}

impl<'o> Screen<'o> {
    pub(super) fn new(output: &'o mut Output) -> Screen<'o> {
        let bar = output.is_terminal().then(|| {
            let bar = ProgressBar::new_spinner();
            bar.set_style(
                ProgressStyle::with_template("{spinner} {msg}  {prefix:.dim}").expect("a constant that is a template"),
            );
            bar.enable_steady_tick(TICK);
            bar
        });
        Screen { output, began: Instant::now(), bar, counting: None, held: Vec::new(), step: None }
    }

    /// A line that stays.
    pub(super) fn say(&mut self, text: &str) {
        match &self.bar {
            Some(bar) => bar.println(text),
            None => self.output.line(text),
        }
    }

    /// What is done now.
    pub(super) fn doing(&mut self, text: &str) {
        match &self.bar {
            Some(bar) => bar.set_message(text.to_owned()),
            None => self.output.line(&format!("    {text}")),
        }
    }

    /// Shows the requests as they are counted, where a line can move.
    pub(super) fn count(&mut self, mut counted: watch::Receiver<Counted>) {
        let Some(bar) = self.bar.clone() else { return };
        self.counting = Some(tokio::spawn(async move {
            while counted.changed().await.is_ok() {
                let all = counted.borrow_and_update().all.clone();
                bar.set_prefix(format!("{} requests, {} failed", all.requests(), all.failed));
                tokio::time::sleep(TICK).await;
            }
        }));
    }

    /// A step begins.
    pub(super) fn step(&mut self, letter: char, title: &'static str) {
        self.say(&format!("\n({letter}) {title}"));
        self.step = Some((letter, title, Instant::now()));
    }

    /// It held.
    pub(super) fn held(&mut self, evidence: String) {
        let Some((letter, title, began)) = self.step.take() else { return };
        let took = began.elapsed();
        self.say(&format!("    held, in {:.1} s: {evidence}", took.as_secs_f64()));
        self.held.push(Held { letter, title, evidence, took });
    }

    /// The table, and what came of all requests.
    pub(super) fn summary(&mut self, all: &Tally) {
        self.finish();
        let mut table = Table::new();
        table.load_style(presets::UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Dynamic);
        table.set_width(WIDTH).set_header(["", "step", "held", "seen", "seconds"]);
        for held in &self.held {
            let seconds = format!("{:.1}", held.took.as_secs_f64());
            table.add_row([
                held.letter.to_string(),
                held.title.to_owned(),
                "yes".to_owned(),
                held.evidence.clone(),
                seconds,
            ]);
        }
        self.output.line(&format!("\n{table}"));
        self.output.line(&format!(
            "{} requests, {} failed, the slowest took {} ms; {:.0} s in all",
            all.requests(),
            all.failed,
            all.slowest.as_millis(),
            self.began.elapsed().as_secs_f64()
        ));
    }

    /// A step did not hold.
    pub(super) fn failed(&mut self, failure: &Failure, logs: &str) {
        self.finish();
        if !logs.is_empty() {
            self.output.note(logs);
        }
        match self.step {
            Some((letter, title, _)) => {
                self.output.note(&format!("taut: step ({letter}), {title}, did not hold: {failure}"))
            }
            None => self.output.failure(failure),
        }
    }

    /// Everything runs on.
    pub(super) fn keep(&mut self, commands: &str) {
        self.output.line(&format!("\nEverything runs until Ctrl-C. In another terminal:\n\n{commands}"));
    }

    fn finish(&mut self) {
        if let Some(counting) = self.counting.take() {
            counting.abort();
        }
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
