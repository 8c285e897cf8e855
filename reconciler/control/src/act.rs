//! Carries out what `control` decided.
//!
//! Owns: the way to every member and to everybody who asked, and the ledger.
//! May not: decide anything. Invariant: what was to be written is on disk before the next thing is said.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;

use taut_delivery::{ConnectionId, Outbox};
use taut_snapshot::Digest;
use tokio::sync::mpsc;

use crate::control::{Answer, Effect, Input, Write};
use crate::ledger::{Ledger, LedgerError};

/// The hands of the reconciler.
#[derive(Debug)]
pub(crate) struct Actor {
    ledger: Ledger,
    outboxes: BTreeMap<ConnectionId, Outbox>,
    replies: BTreeMap<u64, mpsc::Sender<Answer>>,
    /// Counts those who asked.
    asked: u64,
    writes: Vec<Write>,
    /// Contents that may go when the writes are on disk.
    pruned: Option<BTreeSet<Digest>>,
}

impl Actor {
    pub(crate) fn new(ledger: Ledger) -> Actor {
        let (outboxes, replies) = (BTreeMap::new(), BTreeMap::new());
        Actor { ledger, outboxes, replies, asked: 0, writes: Vec::new(), pruned: None }
    }

    pub(crate) fn opened(&mut self, connection: ConnectionId, outbox: Outbox) {
        self.outboxes.insert(connection, outbox);
    }

    pub(crate) fn closed(&mut self, connection: ConnectionId) {
        self.outboxes.remove(&connection);
    }

    /// Takes note of somebody who asks, and gives the number to answer to.
    pub(crate) fn asked(&mut self, reply: mpsc::Sender<Answer>) -> u64 {
        self.asked += 1;
        self.replies.insert(self.asked, reply);
        self.asked
    }

    /// Those who asked and are gone.
    pub(crate) fn hung_up(&mut self) -> Vec<u64> {
        let gone = self.replies.iter().filter(|(_, reply)| reply.is_closed()).map(|(number, _)| *number);
        let gone: Vec<u64> = gone.collect();
        gone.iter().for_each(|number| drop(self.replies.remove(number)));
        gone
    }

    /// Does all of it, in order, and says what came of it. Blocks while the disk works.
    ///
    /// # Errors
    /// If the ledger cannot be written. Then nothing more is said to anybody.
    pub(crate) fn carry_out(&mut self, effects: Vec<Effect>) -> Result<Vec<Input>, LedgerError> {
        let mut inputs = Vec::new();
        for effect in effects {
            match effect {
                // Several writes in a row are one: either all of them happened, or none.
                Effect::Write(write) => self.writes.push(write),
                Effect::Keep(loaded) => self.ledger.keep(&loaded)?,
                Effect::Prune(kept) => self.pruned = Some(kept),
                Effect::Load { release, then } => {
                    self.flush()?;
                    inputs.push(Input::Loaded { then, loaded: self.ledger.load(&release) });
                }
                Effect::Send { connection, message } => {
                    self.flush()?;
                    if let Some(outbox) = self.outboxes.get(&connection) {
                        outbox.send(message);
                    }
                }
                Effect::Close { connection } => {
                    self.flush()?;
                    self.outboxes.remove(&connection);
                }
                Effect::Reply { to, answer } => {
                    self.flush()?;
                    self.reply(to, answer);
                }
                Effect::History { to, limit } => {
                    self.flush()?;
                    let history = self.ledger.history(limit)?;
                    self.reply(to, Answer::History(history));
                }
            }
        }
        self.flush()?;
        Ok(inputs)
    }

    fn flush(&mut self) -> Result<(), LedgerError> {
        let writes = mem::take(&mut self.writes);
        if !writes.is_empty() {
            self.ledger.write(&writes)?;
        }
        match self.pruned.take() {
            Some(kept) => self.ledger.prune(&kept),
            None => Ok(()),
        }
    }

    /// Whoever does not wait any more has no loss; whoever does not read loses only words about the way.
    fn reply(&mut self, to: u64, answer: Answer) {
        let last = !matches!(answer, Answer::Pending(_));
        let reply = if last { self.replies.remove(&to) } else { self.replies.get(&to).cloned() };
        let Some(reply) = reply else { return };
        // The last place is kept for the last word.
        if last || 1 < reply.capacity() {
            let _ = reply.try_send(answer);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::ledger::tests::{Storage, open};
    use crate::record::{Record, TAUT, What};
    use crate::status::{Outcome, Waited};

    fn record() -> Effect {
        Effect::Write(Write::Record(Box::new(Record::new(SystemTime::UNIX_EPOCH, TAUT, What::Hold))))
    }

    fn said(text: &str) -> Answer {
        Answer::Plan(text.to_owned())
    }

    #[test]
    fn nothing_is_said_before_it_is_written() {
        let storage = Storage::default();
        let mut actor = Actor::new(open(&storage).unwrap());
        let (reply, mut answers) = mpsc::channel(2);
        let to = actor.asked(reply.clone());
        actor.carry_out(vec![record(), Effect::Reply { to, answer: said("one") }]).unwrap();
        assert_eq!(answers.try_recv().unwrap(), said("one"));
        assert_eq!(actor.ledger.history(9).unwrap().len(), 1);

        storage.fill();
        let to = actor.asked(reply);
        let outcome = actor.carry_out(vec![record(), Effect::Reply { to, answer: said("two") }]);
        assert!(outcome.is_err());
        answers.try_recv().expect_err("the disk is full: nothing happened, and nothing is said");
    }

    #[test]
    fn who_reads_slowly_misses_words_on_the_way_and_not_the_last() {
        let mut actor = Actor::new(open(&Storage::default()).unwrap());
        let (reply, mut answers) = mpsc::channel(3);
        let to = actor.asked(reply);
        let pending = |number: u32| Effect::Reply { to, answer: Answer::Pending(number.to_string()) };
        let last = Answer::Waited(Waited { outcome: Outcome::Done, said: String::new() });
        let mut effects: Vec<Effect> = (0..9).map(pending).collect();
        effects.push(Effect::Reply { to, answer: last.clone() });
        actor.carry_out(effects).unwrap();
        let mut all = Vec::new();
        while let Ok(answer) = answers.try_recv() {
            all.push(answer);
        }
        assert_eq!(all, [Answer::Pending("0".to_owned()), Answer::Pending("1".to_owned()), last]);
        assert_eq!(actor.hung_up(), Vec::<u64>::new(), "whoever was answered is forgotten");
    }

    #[test]
    fn who_does_not_wait_any_more_is_found() {
        let mut actor = Actor::new(open(&Storage::default()).unwrap());
        let (reply, answers) = mpsc::channel(3);
        let to = actor.asked(reply);
        assert_eq!(actor.hung_up(), Vec::<u64>::new());
        drop(answers);
        assert_eq!(actor.hung_up(), [to]);
    }
}
