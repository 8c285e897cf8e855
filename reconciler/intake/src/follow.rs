//! Follows a branch: says its commit, and every later one, with its files.
//!
//! A watch makes a push to a local repository seen at once; a poll is the backstop, and the only way for a remote.

use std::path::PathBuf;
use std::time::Duration;

use taut_source::SourceSet;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use crate::mirror::{self, Transport};
use crate::repository::{BlobCache, Commit, IntakeError, Repository};
use crate::watch::watch as watch_refs;

/// Where commits come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A repository on this machine, read where it is.
    Local(PathBuf),
    /// A remote one, mirrored into a folder of our own.
    Remote {
        /// Its address.
        url: String,
        /// The folder of the mirror.
        mirror: PathBuf,
        /// How it is fetched.
        transport: Transport,
    },
}

/// What to follow.
#[derive(Clone, Debug)]
pub struct IntakeConfig {
    /// The repository.
    pub origin: Origin,
    /// The branch; the checked-out one if none is named.
    pub branch: Option<String>,
    /// The folder of the mesh in the repository; all of it if none is named.
    pub folder: Option<String>,
    /// How often to look, whatever else is seen.
    pub poll: Duration,
}

/// What was found.
#[derive(Debug)]
pub enum Arrival {
    /// The branch is at a commit that was not said before.
    Commit(Commit, SourceSet),
    /// It could not be looked at; the next look may succeed.
    Failed(IntakeError),
}

/// Follows a branch until nobody listens or `shutdown` is set.
///
/// # Errors
/// If the very first look fails: then nothing was ever known, and whoever started this must say something else.
pub async fn follow(
    config: IntakeConfig,
    arrivals: mpsc::Sender<Arrival>,
    mut shutdown: watch::Receiver<bool>,
) -> Result<(), IntakeError> {
    let mut follower = Follower { config, cache: BlobCache::default(), last: None };
    let (hint_sender, mut hints) = mpsc::channel(1);
    let (first, mut state) = look(follower).await;
    follower = state;
    let mut arrival = first?;
    // The watch starts after the first look and before the second: nothing that happens in between is missed.
    let _watch = match &follower.config.origin {
        Origin::Local(path) => {
            let opened = Repository::open(path)?;
            watch_refs(opened.git_folder(), hint_sender.clone())
                .map_err(|error| tracing::warn!("the repository cannot be watched, so it is polled alone: {error}"))
                .ok()
        }
        Origin::Remote { .. } => None,
    };
    let mut next_look = Instant::now();
    loop {
        if let Some(arrival) = arrival.take()
            && arrivals.send(arrival).await.is_err()
        {
            return Ok(());
        }
        tokio::select! {
            _ = hints.recv() => {}
            () = sleep_until(next_look) => {}
            _ = shutdown.wait_for(|stop| *stop) => return Ok(()),
        }
        let outcome;
        (outcome, state) = look(follower).await;
        follower = state;
        arrival = outcome.unwrap_or_else(|error| Some(Arrival::Failed(error)));
        next_look = Instant::now() + follower.config.poll;
    }
}

struct Follower {
    config: IntakeConfig,
    cache: BlobCache,
    last: Option<String>,
}

/// One look, on a thread where libgit2 may block.
async fn look(mut follower: Follower) -> (Result<Option<Arrival>, IntakeError>, Follower) {
    let task = tokio::task::spawn_blocking(move || {
        let outcome = follower.look();
        (outcome, follower)
    });
    task.await.expect("a look neither panics nor is cancelled")
}

impl Follower {
    fn look(&mut self) -> Result<Option<Arrival>, IntakeError> {
        let repository = match &self.config.origin {
            Origin::Local(path) => Repository::open(path)?,
            Origin::Remote { url, mirror, transport } => mirror::refresh(url, mirror, *transport)?,
        };
        let branch = match (&self.config.branch, &self.config.origin) {
            // A mirror has no branch checked out.
            (None, Origin::Remote { .. }) => Some("main"),
            (branch, _) => branch.as_deref(),
        };
        let commit = repository.head(branch)?;
        if self.last.as_ref() == Some(&commit.id) {
            return Ok(None);
        }
        let sources = repository.sources(&commit, self.config.folder.as_deref(), &mut self.cache)?;
        self.last = Some(commit.id.clone());
        Ok(Some(Arrival::Commit(commit, sources)))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn git(folder: &Path, arguments: &[&str]) {
        let status = std::process::Command::new("git")
            .arg("-C")
            .arg(folder)
            .args(["-c", "user.name=A", "-c", "user.email=a@example.com"])
            .args(arguments)
            .output()
            .unwrap();
        assert!(status.status.success(), "{}", String::from_utf8_lossy(&status.stderr));
    }

    fn write_commit(folder: &Path, text: &str) {
        std::fs::write(folder.join("a.yaml"), text).unwrap();
        git(folder, &["add", "."]);
        git(folder, &["commit", "-qm", text]);
    }

    async fn expect(arrivals: &mut mpsc::Receiver<Arrival>, want: &str) {
        let arrival = tokio::time::timeout(Duration::from_secs(30), arrivals.recv()).await.unwrap().unwrap();
        let Arrival::Commit(commit, sources) = arrival else { panic!("{arrival:?}") };
        assert_eq!(commit.summary, want);
        assert_eq!(&*sources.files()[0].bytes, want.as_bytes());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_local_push_is_seen_by_the_watch_alone() {
        let folder = tempfile::tempdir().unwrap();
        git(folder.path(), &["init", "-qb", "main"]);
        write_commit(folder.path(), "one");
        let config = IntakeConfig {
            origin: Origin::Local(folder.path().to_owned()),
            branch: Some("main".into()),
            folder: None,
            poll: Duration::from_secs(3600),
        };
        let (sender, mut arrivals) = mpsc::channel(4);
        let (stop, shutdown) = watch::channel(false);
        let task = tokio::spawn(follow(config, sender, shutdown));
        expect(&mut arrivals, "one").await;
        // The first look is followed by another as soon as the watch is in place; then only the watch can tell.
        write_commit(folder.path(), "two");
        expect(&mut arrivals, "two").await;
        write_commit(folder.path(), "three");
        expect(&mut arrivals, "three").await;
        stop.send(true).unwrap();
        task.await.unwrap().unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_remote_is_polled_and_survives_rewritten_history() {
        let remote = tempfile::tempdir().unwrap();
        git(remote.path(), &["init", "-qb", "main"]);
        write_commit(remote.path(), "one");
        let mirror = tempfile::tempdir().unwrap();
        let config = IntakeConfig {
            origin: Origin::Remote {
                url: format!("file://{}", remote.path().display()),
                mirror: mirror.path().join("mirror.git"),
                transport: Transport::Builtin,
            },
            branch: None,
            folder: None,
            poll: Duration::from_millis(10),
        };
        let (sender, mut arrivals) = mpsc::channel(4);
        let (stop, shutdown) = watch::channel(false);
        let task = tokio::spawn(follow(config, sender, shutdown));
        expect(&mut arrivals, "one").await;
        std::fs::write(remote.path().join("a.yaml"), "rewritten").unwrap();
        git(remote.path(), &["commit", "-qam", "rewritten", "--amend"]);
        expect(&mut arrivals, "rewritten").await;
        stop.send(true).unwrap();
        task.await.unwrap().unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_first_look_must_succeed() {
        let folder = tempfile::tempdir().unwrap();
        let config = IntakeConfig {
            origin: Origin::Local(folder.path().to_owned()),
            branch: None,
            folder: None,
            poll: Duration::from_secs(1),
        };
        let (sender, _arrivals) = mpsc::channel(1);
        let (_stop, shutdown) = watch::channel(false);
        assert!(matches!(follow(config, sender, shutdown).await, Err(IntakeError::NotARepository(_))));
    }
}
