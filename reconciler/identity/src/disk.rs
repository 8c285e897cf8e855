//! Secrets on disk: files that only their owner can read, and that a crash never leaves half written.
//!
//! Owns: how a file and a folder become durable (write, fsync, rename, fsync of the folder), and how a failure of the
//! disk is told.
//! May not: know what is in the files.

use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// What the name of a file that is being written ends with until it is whole. One that a crash left behind is written over.
const UNFINISHED: &str = ".unfinished";

/// The disk failed, or will not let us. The world's fault; a retry makes sense once its remedy was applied.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} `{}`: {source}{}", path.display(), Remedy(source.kind()))]
pub struct DiskError {
    /// What was tried, as a verb.
    pub action: &'static str,
    /// Where.
    pub path: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

/// What a person can do about it, where that can be known.
struct Remedy(ErrorKind);

impl fmt::Display for Remedy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            ErrorKind::PermissionDenied => "; run as the user who owns it, or give that user access to it",
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "; free some space: nothing was lost",
            ErrorKind::ReadOnlyFilesystem => "; choose a folder that can be written to",
            ErrorKind::NotADirectory | ErrorKind::AlreadyExists => "; something else is in its place: move that away",
            _ => "",
        })
    }
}

/// Makes a closure that says where an error came from.
pub fn cannot(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> DiskError {
    let path = path.to_owned();
    move |source| DiskError { action, path, source }
}

/// Makes a folder, and those that it is in, which only its owner can enter. One that is there is left as it is: who may
/// enter it was someone's decision, and it need not be ours to change.
///
/// # Errors
/// If it cannot be made.
pub fn create_folder(path: &Path) -> Result<(), DiskError> {
    let parent = match path.parent() {
        Some(parent) if parent == Path::new("") => Path::new("."),
        Some(parent) => parent,
        None => return Ok(()), // the root of all folders
    };
    if !parent.exists() {
        create_folder(parent)?;
    }
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => sync_folder(parent),
        Err(error) if error.kind() == ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        Err(error) => Err(cannot("create the folder", path)(error)),
    }
}

/// Writes a file that must not be there yet. It is durable once its folder is.
///
/// # Errors
/// If it cannot be written, or is there.
pub fn write_new(path: &Path, content: &[u8]) -> Result<(), DiskError> {
    let write = || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(content)?;
        file.sync_all()
    };
    write().map_err(cannot("write", path))
}

/// Puts a whole file in the place of another, or of none. A crash leaves the one or the other.
///
/// # Errors
/// If it cannot be written; then the old one is still there.
pub fn replace(path: &Path, content: &[u8]) -> Result<(), DiskError> {
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(UNFINISHED);
    let unfinished = PathBuf::from(unfinished);
    remove(&unfinished)?;
    write_new(&unfinished, content)?;
    rename(&unfinished, path)
}

/// Removes a file that may not be there.
///
/// # Errors
/// If it is there and cannot be removed.
pub fn remove(path: &Path) -> Result<(), DiskError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(cannot("remove", path)(error)),
        _ => Ok(()),
    }
}

/// Renames a file, durably.
///
/// # Errors
/// If it cannot be renamed.
pub fn rename(from: &Path, to: &Path) -> Result<(), DiskError> {
    fs::rename(from, to).map_err(cannot("rename", from))?;
    sync_folder(to.parent().expect("a file is in a folder"))
}

/// The file of a folder that processes lock so as not to write there at the same time.
///
/// # Errors
/// If it cannot be opened.
pub fn lock_file(folder: &Path) -> Result<File, DiskError> {
    let path = folder.join("lock");
    let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
    file.map_err(cannot("open", &path))
}

/// Waits until what was made, renamed and removed in a folder is so for good.
///
/// # Errors
/// If the disk fails.
pub fn sync_folder(path: &Path) -> Result<(), DiskError> {
    File::open(path).and_then(|folder| folder.sync_all()).map_err(cannot("write", path))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn only_the_owner_can_read_what_is_written() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = scratch.path().join("a/b");
        create_folder(&folder).unwrap();
        replace(&folder.join("secret"), b"1").unwrap();
        write_new(&folder.join("other"), b"2").unwrap();
        assert_eq!((mode(&folder), mode(&folder.join("secret")), mode(&folder.join("other"))), (0o700, 0o600, 0o600));
        create_folder(&folder).unwrap();
    }

    #[test]
    fn what_a_crash_left_unfinished_is_in_nobodys_way() {
        let scratch = tempfile::tempdir().unwrap();
        let file = scratch.path().join("file.pem");
        replace(&file, b"old").unwrap();
        fs::write(scratch.path().join("file.pem.unfinished"), b"ne").unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"old");
        replace(&file, b"new").unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"new");
        assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 1);
    }

    #[test]
    fn an_error_says_what_where_and_what_to_do() {
        let scratch = tempfile::tempdir().unwrap();
        let file = scratch.path().join("file");
        fs::write(&file, "").unwrap();
        let error = create_folder(&file.join("folder")).unwrap_err().to_string();
        assert!(error.starts_with(&format!("cannot create the folder `{}`: ", file.join("folder").display())));
        assert!(error.ends_with("; something else is in its place: move that away"), "{error}");
    }
}
