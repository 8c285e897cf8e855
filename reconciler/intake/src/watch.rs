//! Notices that the refs of a local repository changed.
//!
//! Git writes a ref by renaming a lock file over it, so folders are watched, not files. What is seen is a hint: whoever
//! hears it looks at the branch again, and a poll mends what was missed.

use std::path::Path;
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode};
use notify_debouncer_full::{DebounceEventResult, Debouncer, RecommendedCache, new_debouncer};
use tokio::sync::mpsc;

/// One push renames several files within a few milliseconds: they are one hint.
const DEBOUNCE: Duration = Duration::from_millis(20);

/// A watch on a repository; it ends when it is dropped.
pub(crate) struct Watch {
    _debouncer: Debouncer<RecommendedWatcher, RecommendedCache>,
}

/// Watches the refs of a repository. A hint is never lost: one waits while others come.
pub(crate) fn watch(git_folder: &Path, hints: mpsc::Sender<()>) -> Result<Watch, notify::Error> {
    let mut debouncer = new_debouncer(DEBOUNCE, None, move |events: DebounceEventResult| {
        if events.is_ok_and(|events| events.iter().any(|event| !event.kind.is_access())) {
            // A full channel holds a hint already.
            let _ = hints.try_send(());
        }
    })?;
    debouncer.watch(git_folder, RecursiveMode::NonRecursive)?; // HEAD, packed-refs
    debouncer.watch(git_folder.join("refs"), RecursiveMode::Recursive)?;
    Ok(Watch { _debouncer: debouncer })
}
