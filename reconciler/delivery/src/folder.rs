//! A state folder: one process at a time, and no file that is ever half written.
//!
//! Owns: the lock, permissions (what is kept may hold private keys), and the steps of which safe writes consist.
//! May not: know what is in the files.
//! Invariant: `replace` leaves the old bytes or the new ones, whatever happens and whenever it happens.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{FlockOperation, flock};

/// The steps of which safe writes consist. A crash may fall between any two of them, which is what tests do.
pub trait Files: Send + 'static {
    /// All bytes of a file.
    ///
    /// # Errors
    /// Of the file system.
    fn read(&self, name: &str) -> io::Result<Vec<u8>>;

    /// Writes a file in place and waits for the disk. Bytes that are there are overwritten where they lie, so that a
    /// file of the same length needs no space.
    ///
    /// # Errors
    /// Of the file system. Then the file may be half written.
    fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()>;

    /// Gives a file another name, in place of what had it.
    ///
    /// # Errors
    /// Of the file system.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// Of the file system.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Waits until the disk has the names as they are.
    ///
    /// # Errors
    /// Of the file system.
    fn sync(&self) -> io::Result<()>;

    /// The names of all files.
    ///
    /// # Errors
    /// Of the file system.
    fn names(&self) -> io::Result<Vec<String>>;

    /// The folder, for messages.
    fn path(&self) -> &Path;

    /// Puts new bytes in the place of a file's old ones: all of them, or none.
    ///
    /// # Errors
    /// Of the file system. Then the file is as it was.
    fn replace(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let new = format!("{name}{UNFINISHED}");
        self.write(&new, bytes)?;
        self.rename(&new, name)?;
        self.sync()
    }
}

/// The end of the names of files that are being written.
pub const UNFINISHED: &str = ".new";

const LOCK: &str = "lock";

/// What the file system refuses.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// The operator's matter; trying again helps when the other process has ended.
    #[error(
        "another process ({holder}) uses the folder {}: stop it, or give this one a folder of its own",
        folder.display()
    )]
    Locked {
        /// The folder.
        folder: PathBuf,
        /// `pid N`, as the other process wrote it.
        holder: String,
    },
    /// The operator's matter; trying again helps when there is space.
    #[error("the disk of {} is full, so it was not possible to {doing}: free some space; nothing that was there is lost", folder.display())]
    Full {
        /// The folder.
        folder: PathBuf,
        /// What was to be done.
        doing: &'static str,
    },
    /// The operator's matter; trying again helps when permissions have changed.
    #[error("{} cannot be written, so it was not possible to {doing}: make it writable for this user, or choose another folder", folder.display())]
    ReadOnly {
        /// The folder.
        folder: PathBuf,
        /// What was to be done.
        doing: &'static str,
    },
    /// The machine's matter.
    #[error("it was not possible to {doing} in {}: {source}", folder.display())]
    Failed {
        /// The folder.
        folder: PathBuf,
        /// What was to be done.
        doing: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

impl FolderError {
    /// What an error of the file system means for whoever runs this.
    #[must_use]
    pub fn of(folder: &Path, doing: &'static str, source: io::Error) -> FolderError {
        let folder = folder.to_owned();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => FolderError::Full { folder, doing },
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                FolderError::ReadOnly { folder, doing }
            }
            _ => FolderError::Failed { folder, doing, source },
        }
    }
}

/// A folder that this process alone uses, for as long as the value lives.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    lock: Arc<File>,
}

impl Folder {
    /// Opens a folder, makes it if it is not there, and locks it. One that cannot be written is opened if it was used
    /// before: what it holds can still be run.
    ///
    /// # Errors
    /// If another process has it, or it cannot be made.
    pub fn open(path: &Path) -> Result<Folder, FolderError> {
        let failed = |source| FolderError::of(path, "open the state folder", source);
        let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
        made.map_err(failed)?;
        let name = path.join(LOCK);
        let options = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&name);
        let (mut lock, writable) = match options {
            Ok(lock) => (lock, true),
            Err(error) => (File::open(&name).map_err(|_| failed(error))?, false),
        };
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            let mut holder = String::new();
            lock.read_to_string(&mut holder).map_err(failed)?;
            return Err(FolderError::Locked { folder: path.to_owned(), holder: holder.trim().to_owned() });
        }
        if writable {
            // On a full disk the number of the last holder stays: only a message to a second process would be wrong.
            let _ = lock.set_len(0).and_then(|()| writeln!(lock, "pid {}", std::process::id()));
        }
        Ok(Folder { path: path.to_owned(), lock: Arc::new(lock) })
    }

    /// A folder in this one, under the same lock. It is made if it is not there.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn folder(&self, name: &str) -> Result<Folder, FolderError> {
        let path = self.path.join(name);
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&path);
        made.map_err(|source| FolderError::of(&path, "make the folder", source))?;
        Ok(Folder { path, lock: Arc::clone(&self.lock) })
    }
}

impl Files for Folder {
    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        fs::read(self.path.join(name))
    }

    fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(false).mode(0o600).open(self.path.join(name))?;
        file.write_all(bytes)?;
        file.set_len(bytes.len() as u64)?;
        file.sync_all()
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path.join(from), self.path.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path.join(name))
    }

    fn sync(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }

    fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            // Whatever has a name that is not UTF-8 is not ours.
            names.extend(entry?.file_name().into_string());
        }
        names.sort();
        Ok(names)
    }

    fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_process_is_told_who_has_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/state");
        let first = Folder::open(&path).unwrap();
        let second = Folder::open(&path).unwrap_err().to_string();
        assert!(second.contains(&format!("pid {}", std::process::id())), "{second}");
        assert!(second.contains("stop it, or give this one a folder of its own"), "{second}");
        drop(first);
        Folder::open(&path).unwrap();
    }

    #[test]
    fn only_the_owner_can_read_what_is_kept() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        let files = Folder::open(&path).unwrap();
        files.replace("secret", b"key").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(&path.join("secret"))), (0o700, 0o600));
        assert_eq!(files.names().unwrap(), ["lock", "secret"]);
    }

    #[test]
    fn a_shorter_file_leaves_nothing_of_a_longer_one() {
        let folder = tempfile::tempdir().unwrap();
        let files = Folder::open(folder.path()).unwrap();
        files.write("file", b"a long one").unwrap();
        files.write("file", b"short").unwrap();
        assert_eq!(files.read("file").unwrap(), b"short");
    }

    #[test]
    fn a_full_disk_is_said_in_words_that_help() {
        let error = FolderError::of(Path::new("/state"), "keep a snapshot", io::ErrorKind::StorageFull.into());
        assert_eq!(
            error.to_string(),
            "the disk of /state is full, so it was not possible to keep a snapshot: free some space; nothing that was \
             there is lost"
        );
    }
}
