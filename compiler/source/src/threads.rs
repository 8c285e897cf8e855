//! Work on as many threads as the machine has: the same on each of many things, or some that stands by itself.
//!
//! Invariant: what comes of it does not depend on how many there are: every result is of one thing alone.

use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

/// The most threads: beyond these the parts that are done in order take longer than the rest.
const THREADS_MAX: usize = 16;

/// From so many resources or objects on, a single step over them is worth having threads.
pub const MANY: usize = 4096;

/// How many things a thread takes at once: few enough that the last ones end together.
const SHARE: usize = 32;

/// What the work makes of each thing, in their order.
#[must_use]
pub fn each<'t, T: Sync, R: Send>(things: &'t [T], work: impl Fn(&'t T) -> R + Sync) -> Vec<R> {
    let share = SHARE.min(things.len().div_ceil(64)).max(1);
    let shares: Vec<(usize, &'t [T])> = things.chunks(share).enumerate().collect();
    let made = fold(&shares, Vec::new, |made, &(number, things)| {
        made.push((number, things.iter().map(&work).collect::<Vec<R>>()));
    });
    let mut made: Vec<(usize, Vec<R>)> = made.into_iter().flatten().collect();
    made.sort_unstable_by_key(|(number, _)| *number);
    made.into_iter().flat_map(|(_, made)| made).collect()
}

/// The same where the work is little: there are threads only where there are many things.
#[must_use]
pub fn each_of_many<'t, T: Sync, R: Send>(things: &'t [T], work: impl Fn(&'t T) -> R + Sync) -> Vec<R> {
    /// So many of them take as long as a thread takes to begin.
    const FEW: usize = 1024;
    if things.len() < FEW { things.iter().map(work).collect() } else { each(things, work) }
}

/// Every thread begins with a value and adds to it what it makes of the things that fall to it. Which these are is chance:
/// what is added together in the end may not depend on it.
#[must_use]
pub fn fold<'t, T: Sync, S: Send>(
    things: &'t [T],
    begin: impl Fn() -> S + Sync,
    add: impl Fn(&mut S, &'t T) + Sync,
) -> Vec<S> {
    let next = AtomicUsize::new(0);
    let run = || {
        let mut made = begin();
        while let Some(thing) = things.get(next.fetch_add(1, Ordering::Relaxed)) {
            add(&mut made, thing);
        }
        made
    };
    let threads = threads(things.len());
    thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(run)).collect();
        let mut made = vec![run()];
        for other in others {
            made.push(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
        made
    })
}

/// A piece of work that stands by itself.
pub type Job<'j> = Box<dyn FnOnce() + Send + 'j>;

/// Does some work that is unlike, the longest first, on as many threads as the machine has. Where there is little to do,
/// `worth_it` says so: a thread costs tens of microseconds.
pub fn all(worth_it: bool, jobs: Vec<Job<'_>>) {
    let threads = if worth_it { threads(jobs.len()) } else { 1 };
    let jobs = Mutex::new(jobs.into_iter());
    let next = || jobs.lock().unwrap_or_else(PoisonError::into_inner).next();
    let run = || {
        while let Some(job) = next() {
            job();
        }
    };
    thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(run);
        }
        run();
    });
}

/// Lets go of something large, which takes its time, and which nobody waits for.
pub fn let_go<T: Send + 'static>(large: T) {
    // Where there can be no further thread, it goes here.
    let _ = thread::Builder::new().spawn(move || drop(large));
}

/// How many threads there are for so many things.
fn threads(things: usize) -> usize {
    thread::available_parallelism().map_or(1, NonZero::get).min(THREADS_MAX).min(things)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_stand_in_the_order_of_the_things() {
        for count in [0, 1, 7, 1_000] {
            let things: Vec<usize> = (0..count).collect();
            assert_eq!(each(&things, |thing| thing * 2), things.iter().map(|thing| thing * 2).collect::<Vec<_>>());
        }
    }

    #[test]
    fn every_job_is_done() {
        for worth_it in [false, true] {
            let mut done = [0; 9];
            all(worth_it, done.iter_mut().map(|done| Box::new(move || *done += 1) as Job<'_>).collect());
            assert_eq!(done, [1; 9]);
        }
    }

    #[test]
    fn everything_is_done_once() {
        let sums = fold(&(0..1_000_u64).collect::<Vec<_>>(), || 0, |sum, thing| *sum += thing);
        assert_eq!(sums.into_iter().sum::<u64>(), 499_500);
    }
}
