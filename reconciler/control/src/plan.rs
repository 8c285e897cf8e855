//! What to do next, given where the fleet is to go and what is known of it.
//!
//! Owns: the barrier, catching up, putting right what drifted, and the words for all of it. Pure: the same desire and
//! the same fleet at the same time give the same plan.
//! Invariant: a plan leaves no choice to whoever carries it out. A step that changes where the fleet is to go stands
//! alone, since everything else follows from it; every step that is not taken says what it waits for.

use std::fmt;
use std::time::Duration;

use taut_delivery::{Refused, Running};

use crate::desired::{Desired, Head};
use crate::observed::{Observed, Presence, Seen};

/// What to do next, and what to wait for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Where the fleet is to go, in words.
    pub goal: String,
    /// What to do, in this order.
    pub steps: Vec<Step>,
    /// What is not done yet.
    pub waits: Vec<Wait>,
}

/// Something to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Give numbers above this one: a member has it from a reconciler whose ledger is lost.
    Renumber {
        /// The number.
        above: u64,
        /// The member.
        member: String,
    },
    /// Give the candidate up: this member cannot run it.
    Reject {
        /// The candidate.
        candidate: Running,
        /// The member.
        member: String,
        /// Why.
        refused: Refused,
    },
    /// Make the candidate the active one: all who count have it.
    Pass {
        /// The candidate.
        candidate: Running,
    },
    /// Have a member make ready.
    Stage {
        /// The member.
        member: String,
        /// For this.
        wanted: Running,
    },
    /// Have a member run what is active.
    Activate {
        /// The member.
        member: String,
        /// This.
        wanted: Running,
    },
    /// Have a member forget what it has staged.
    Retire {
        /// The member.
        member: String,
        /// Whatever was offered to it as this generation or an older one.
        generation: u64,
    },
}

/// A step that is not taken yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wait {
    /// The step.
    pub step: Step,
    /// What it waits for, one sentence for each member.
    pub until: Vec<String>,
}

impl Step {
    /// Whether it changes where the fleet is to go, so that another plan must follow.
    #[must_use]
    pub fn changes_the_goal(&self) -> bool {
        matches!(self, Step::Renumber { .. } | Step::Reject { .. } | Step::Pass { .. })
    }
}

/// The plan for a fleet at a time. Times are those since the reconciler's start.
#[must_use]
pub fn plan(desired: &Desired, observed: &Observed, now: Duration) -> Plan {
    let goal = goal(desired);
    if let Some(step) = renumber(desired, observed, now).or_else(|| reject(desired, observed)) {
        return Plan { goal, steps: vec![step], waits: Vec::new() };
    }
    let mut steps = Vec::new();
    let mut waits = Vec::new();
    for (name, seen) in &observed.members {
        match next(desired, name, seen, now) {
            Next::Nothing => (),
            Next::Take(step) => steps.push(step),
            Next::Wait(step, until) => waits.push(Wait { step, until: vec![until] }),
        }
    }
    if let Some(candidate) = desired.candidate.as_ref().map(Head::running) {
        let until = barrier(desired, observed, candidate, now);
        let pass = Step::Pass { candidate };
        if until.is_empty() {
            return Plan { goal, steps: vec![pass], waits: Vec::new() };
        }
        waits.push(Wait { step: pass, until });
    }
    Plan { goal, steps, waits }
}

fn live(observed: &Observed) -> impl Iterator<Item = (&String, &Seen)> {
    observed.members.iter().filter(|(_, seen)| seen.presence == Presence::Live)
}

/// A live member has a number that is as large as ours, and did not get it from us.
fn renumber(desired: &Desired, observed: &Observed, now: Duration) -> Option<Step> {
    let goal = desired.active.as_ref().or(desired.candidate.as_ref()).map(Head::running)?;
    let foreign = live(observed).filter(|(_, seen)| seen.drift.as_ref().is_none_or(|(_, at)| *at <= now));
    let (member, above) = foreign
        .filter_map(|(name, seen)| Some((name, seen.running?)))
        .filter(|(_, running)| goal.generation <= running.generation && *running != goal)
        .map(|(name, running)| (name, running.generation))
        .max_by_key(|(_, generation)| *generation)?;
    Some(Step::Renumber { above, member: member.clone() })
}

/// A member that counts cannot run the candidate.
fn reject(desired: &Desired, observed: &Observed) -> Option<Step> {
    let candidate = desired.candidate.as_ref()?.running();
    live(observed).filter(|(_, seen)| seen.counted).find_map(|(name, seen)| {
        let refusal = seen.refused.as_ref()?;
        let same = (refusal.snapshot, refusal.generation) == (candidate.snapshot, candidate.generation);
        same.then(|| Step::Reject { candidate, member: name.clone(), refused: refusal.refused.clone() })
    })
}

/// What the candidate waits for: that everybody who counts runs what is active, and has the candidate staged.
fn barrier(desired: &Desired, observed: &Observed, candidate: Running, now: Duration) -> Vec<String> {
    let active = desired.active.as_ref().map(Head::running);
    let mut until = Vec::new();
    for (name, seen) in observed.members.iter().filter(|(_, seen)| seen.counted && seen.presence.is_waited_for()) {
        if let Presence::Awaited(lease) = seen.presence {
            until.push(format!("{name} to join, or its lease to end in {}", seconds(lease.saturating_sub(now))));
        } else if active.is_some() && seen.running != active {
            until.push(format!("{name} to run generation {}", active.map_or(0, |active| active.generation)));
        } else if seen.no_part_in_candidate.is_none() && seen.staged != Some(candidate.snapshot) {
            until.push(format!("{name} to have it staged"));
        }
    }
    until
}

enum Next {
    Nothing,
    Take(Step),
    Wait(Step, String),
}

/// What one member is to do.
fn next(desired: &Desired, name: &str, seen: &Seen, now: Duration) -> Next {
    let member = name.to_owned();
    let active = desired.active.as_ref().map(Head::running);
    let candidate = desired.candidate.as_ref().map(Head::running);
    let stage = |wanted| Step::Stage { member: member.clone(), wanted };
    match (seen.presence, active.or(candidate)) {
        (Presence::Live, _) => (),
        (Presence::Left(_), _) | (_, None) => return Next::Nothing,
        (Presence::Awaited(lease), Some(wanted)) => {
            let left = seconds(lease.saturating_sub(now));
            return Next::Wait(stage(wanted), format!("it to join; its lease ends in {left}"));
        }
        (Presence::Silent(since), Some(wanted)) => {
            let silent = seconds(now.saturating_sub(since));
            return Next::Wait(stage(wanted), format!("it to be heard of again; excluded for {silent}"));
        }
    }
    match active {
        Some(active) if seen.running != Some(active) || seen.drift.is_some() => {
            let step = if seen.staged == Some(active.snapshot) {
                Step::Activate { member: member.clone(), wanted: active }
            } else {
                stage(active)
            };
            match obstacle(seen, active, now) {
                Some(until) => Next::Wait(step, until),
                None => Next::Take(step),
            }
        }
        _ => follow(desired, seen, member),
    }
}

/// What keeps a member from what is active.
fn obstacle(seen: &Seen, active: Running, now: Duration) -> Option<String> {
    let refused = |refusal: &&taut_delivery::Refusal| {
        (refusal.snapshot, refusal.generation) == (active.snapshot, active.generation)
    };
    if let Some(why) = &seen.no_part_in_active {
        return Some(format!("it to have a part in it: {why}"));
    }
    if let Some(refusal) = seen.refused.as_ref().filter(refused) {
        return Some(format!("it to be able to run it: {}", refusal.refused.why));
    }
    let (what, heal_at) = seen.drift.as_ref()?;
    let left = heal_at.checked_sub(now).filter(|left| !left.is_zero())?;
    Some(format!("drift to be put right in {}: {what}", seconds(left)))
}

/// What a member does that runs what is active: it makes ready for the candidate, and forgets anything else.
fn follow(desired: &Desired, seen: &Seen, member: String) -> Next {
    match desired.candidate.as_ref().filter(|_| seen.counted).map(Head::running) {
        Some(wanted) => match &seen.no_part_in_candidate {
            Some(why) => Next::Wait(Step::Stage { member, wanted }, format!("it to have a part in it: {why}")),
            None if seen.staged == Some(wanted.snapshot) => Next::Nothing,
            None => Next::Take(Step::Stage { member, wanted }),
        },
        None if seen.staged.is_some() => Next::Take(Step::Retire { member, generation: desired.generation }),
        None => Next::Nothing,
    }
}

fn goal(desired: &Desired) -> String {
    let words = |head: &Head| {
        let Head { release, generation, .. } = head;
        let (snapshot, commit) = (release.snapshot.short(), &release.commit);
        format!("generation {generation}: snapshot {snapshot} of commit {} ({})", commit.short(), commit.summary)
    };
    match (&desired.active, &desired.candidate) {
        (_, Some(candidate)) => words(candidate),
        (Some(active), None) => words(active),
        (None, None) => "nothing: git has offered no good commit yet".to_owned(),
    }
}

fn seconds(time: Duration) -> String {
    // Rounded up: what is over is not said to last for 0 s.
    format!("{} s", time.as_millis().div_ceil(1000))
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = |wanted: &Running| format!("{} as generation {}", wanted.snapshot.short(), wanted.generation);
        match self {
            Step::Renumber { above, member } => {
                write!(f, "number from {} on, since {member} runs generation {above}", above + 1)
            }
            Step::Reject { candidate, member, refused } => {
                write!(f, "give up {}: {member} refuses it: {}", words(candidate), refused.why)
            }
            Step::Pass { candidate } => write!(f, "activate {} on all", words(candidate)),
            Step::Stage { member, wanted } => write!(f, "stage {} on {member}", words(wanted)),
            Step::Activate { member, wanted } => write!(f, "activate {} on {member}", words(wanted)),
            Step::Retire { member, generation } => {
                write!(f, "retire what {member} has staged up to generation {generation}")
            }
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "to {}", self.goal)?;
        for step in &self.steps {
            writeln!(f, "  now   {step}")?;
        }
        for wait in &self.waits {
            writeln!(f, "  later {}", wait.step)?;
            for until in &wait.until {
                writeln!(f, "          waits for {until}")?;
            }
        }
        if self.steps.is_empty() && self.waits.is_empty() {
            writeln!(f, "  nothing to do")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
