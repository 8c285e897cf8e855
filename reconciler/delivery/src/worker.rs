//! What blocks in a member: its disk, and the runner that reads, compiles and binds.
//!
//! Owns: the order of preparing, keeping and activating, one after the other on one thread.
//! Invariant: a snapshot is activated only after the disk has it, so that a restart never goes back.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use taut_snapshot::{Digest, EndpointSet, Objects, Snapshot};
use tokio::sync::mpsc;

use crate::folder::{Files, Folder};
use crate::follow::Runner;
use crate::message::{Boots, MemberKind, Refused, Running};
use crate::part::{Assembled, assemble};
use crate::store::Store;
use crate::subscriber::{Done, Finished, Inspection, Staged};

/// How far the thread that does this stands back for those that serve (`nice(1)`): as far as it goes without starving.
/// While they are busy it gets a seventieth of what each of them does, so that a large snapshot takes longer, and requests do
/// not: at 10, a tenth, a burst of requests that came meanwhile took half as long again.
const STANDS_BACK: i32 = 19;

/// Something to be done, in the order in which it comes.
#[derive(Debug)]
pub(crate) enum Job {
    /// Make a snapshot ready.
    Stage(Running, Objects),
    /// Activate the one that was made ready.
    Activate(Running),
    /// Drop the one that was made ready.
    Discard,
    /// Use these endpoints.
    Endpoints(EndpointSet),
    /// Look.
    Inspect,
}

/// The blocking side of a member.
pub(crate) struct Worker<R: Runner, F: Files = Folder> {
    runner: Arc<R>,
    kind: MemberKind,
    store: Store<F>,
    prepared: Option<(Digest, R::Prepared)>,
    /// What would boot, as of the last look.
    boots: Boots,
}

impl<R: Runner, F: Files> Worker<R, F> {
    pub(crate) fn new(runner: Arc<R>, kind: MemberKind, files: F) -> Worker<R, F> {
        let store = Store::open(files, kind.clone());
        Worker { runner, kind, store, prepared: None, boots: Boots::Nothing }
    }

    /// Runs what was active last. Says what is running then, and what went wrong.
    pub(crate) fn boot(&mut self) -> (Option<Running>, Vec<String>) {
        let booted = self.store.boot();
        let mut notes = booted.notes;
        self.runner.endpoints(&booted.endpoints);
        let Some((part, generation)) = booted.part else { return (None, notes) };
        match self.prepare(&part) {
            Ok(prepared) => {
                self.runner.activate(prepared, part.id, generation);
                (Some(Running { snapshot: part.id, generation }), notes)
            }
            Err(refused) => {
                notes.push(format!("generation {generation} on disk cannot be run: {}", refused.why));
                (None, notes)
            }
        }
    }

    /// A runner that panics over a snapshot has refused it: the process goes on with what it runs.
    fn prepare(&self, part: &Snapshot) -> Result<R::Prepared, Refused> {
        catch_unwind(AssertUnwindSafe(|| self.runner.prepare(part.id, &part.objects))).unwrap_or_else(|panic| {
            let said = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref().copied());
            let why = format!("a fault of the program: {}", said.unwrap_or("it panicked"));
            Err(Refused { object: None, why })
        })
    }

    /// Does jobs until there are no more to come, on a thread that has nothing else to do.
    pub(crate) fn run(mut self, mut jobs: mpsc::UnboundedReceiver<Job>, done: &mpsc::UnboundedSender<Done>) {
        stand_back();
        while let Some(job) = jobs.blocking_recv() {
            let Some(work) = self.execute(job) else { continue };
            // The rest changes nothing of what boots, and is to be over soon.
            if matches!(work, Finished::Activate(..) | Finished::Inspect) {
                self.look();
            }
            if done.send(Done { work, inspection: self.inspect() }).is_err() {
                break; // the shell is gone
            }
        }
    }

    fn execute(&mut self, job: Job) -> Option<Finished> {
        match job {
            Job::Stage(offered, received) => {
                let staged = self.stage(offered.snapshot, &received);
                if let Staged::Refused(Refused { why, .. }) = &staged {
                    tracing::warn!(
                        snapshot = offered.snapshot.short(),
                        generation = offered.generation,
                        why,
                        "refused"
                    );
                }
                Some(Finished::Stage(offered, staged))
            }
            Job::Activate(wanted) => Some(Finished::Activate(wanted, self.activate(wanted))),
            Job::Discard => {
                self.prepared = None;
                self.store.tidy(None);
                None
            }
            Job::Endpoints(set) => {
                self.runner.endpoints(&set);
                if let Err(error) = self.store.keep_endpoints(&set) {
                    tracing::warn!(%error, "after a restart, these endpoints would not be known");
                }
                Some(Finished::Endpoints)
            }
            Job::Inspect => Some(Finished::Inspect),
        }
    }

    fn stage(&mut self, snapshot: Digest, received: &Objects) -> Staged {
        // What was staged before holds listeners and memory that the new one may need.
        self.prepared = None;
        let on_disk = self.store.objects();
        let at_hand = |name| received.bytes(name).or_else(|| on_disk.get(&name)).cloned();
        let part = match assemble(snapshot, &self.kind, at_hand) {
            Ok(Assembled::Whole(part)) => part,
            Ok(Assembled::Lacks(names)) => return Staged::Lacks(names),
            Err(refused) => return Staged::Refused(refused),
        };
        let prepared = match self.prepare(&part) {
            Ok(prepared) => prepared,
            Err(refused) => return Staged::Refused(refused),
        };
        match self.store.stage(&part) {
            Ok(()) => {
                self.prepared = Some((snapshot, prepared));
                Staged::Ready
            }
            Err(error) => Staged::Refused(Refused { object: None, why: error.to_string() }),
        }
    }

    fn activate(&mut self, wanted: Running) -> Result<(), String> {
        let staged = self.prepared.take_if(|(snapshot, _)| *snapshot == wanted.snapshot);
        let (snapshot, prepared) = staged.ok_or("it is not staged any more")?;
        if let Err(error) = self.store.activate(wanted) {
            self.prepared = Some((snapshot, prepared));
            return Err(error.to_string());
        }
        self.runner.activate(prepared, snapshot, wanted.generation);
        tracing::info!(snapshot = snapshot.short(), generation = wanted.generation, "activated");
        Ok(())
    }

    /// Looks what would boot now.
    pub(crate) fn look(&mut self) {
        self.boots = self.store.boots();
    }

    /// How things were on disk at the last look.
    pub(crate) fn inspect(&self) -> Inspection {
        Inspection { boots: self.boots.clone(), holds: self.store.holds(), certificate: self.runner.certificate() }
    }
}

/// Lets the threads that serve go first. On Linux a priority is one thread's alone, and that of the threads it starts from
/// then on.
pub fn stand_back() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(None, STANDS_BACK) {
        tracing::debug!(%error, "snapshots are made ready at the priority of requests");
    }
}
