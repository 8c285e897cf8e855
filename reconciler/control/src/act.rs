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
