//! A member's credentials on disk, from which it starts again when the authority cannot be reached.
//!
//! Owns: the folder of an identity. Each set of credentials is a folder of its own, with a number for a name; the link
//! `current` names the one that counts:
//!
//! ```text
//! identity/
//!   current -> 7
//!   7/key.pem    the key, 0600
//!   7/chain.pem  the certificate, and those between it and a root
//!   7/bundle.pem the roots
//!   lock         held while writing
//! ```
//!
//! Invariant: whatever `current` names is whole and durable. A crash leaves the old set or the new one, and perhaps a
//! numbered folder that nothing names, which the next write removes.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::disk::{self, DiskError, cannot};
use crate::{BadCredentials, Credentials};

/// The link to the set that counts.
const CURRENT: &str = "current";

/// The link that becomes `current`.
const NEXT: &str = "next";

/// Why credentials cannot be kept or read.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The disk failed, or will not let us.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// What is there are not credentials. Someone changed it; a retry is of no use.
    #[error("the identity in `{}` is damaged: {why}; remove that folder and join again with a new token", folder.display())]
    Damaged {
        /// The folder.
        folder: PathBuf,
        /// What is wrong.
        why: BadCredentials,
    },
}

/// Puts credentials in the place of those that were there, durably, as one unit.
///
/// # Errors
/// If the disk fails. Then either the old ones count or the new ones do.
pub fn save(folder: &Path, credentials: &Credentials) -> Result<(), StoreError> {
    disk::create_folder(folder)?;
    // Two writers, such as a proxy and a command that joins anew, would remove each other's sets.
    let lock = disk::lock_file(folder)?;
    lock.lock().map_err(cannot("lock", folder))?;
    let number = numbers(folder)?.into_iter().max().unwrap_or(0) + 1;
    let set = folder.join(number.to_string());
    disk::create_folder(&set)?;
    disk::write_new(&set.join("key.pem"), credentials.key_pem().as_bytes())?;
    disk::write_new(&set.join("chain.pem"), credentials.chain_pem().as_bytes())?;
    disk::write_new(&set.join("bundle.pem"), credentials.bundle().to_pem().as_bytes())?;
    disk::sync_folder(&set)?;

    let next = folder.join(NEXT);
    disk::remove(&next)?;
    symlink(number.to_string(), &next).map_err(cannot("create", &next))?;
    disk::rename(&next, &folder.join(CURRENT))?;

    for old in numbers(folder)?.into_iter().filter(|it| *it != number) {
        let old = folder.join(old.to_string());
        fs::remove_dir_all(&old).map_err(cannot("remove", &old))?;
    }
    Ok(())
}

/// Reads the credentials that were saved last; `None` if there never were any.
///
/// # Errors
/// If the disk fails, or what is there are not credentials.
pub fn load(folder: &Path) -> Result<Option<Credentials>, StoreError> {
    read_current(folder, |set| read(folder, set))
}

/// Reads the set that counts; again, if another took its place meanwhile: the old one may have been removed while it was
/// read.
fn read_current<T>(
    folder: &Path,
    mut read: impl FnMut(&Path) -> Result<T, StoreError>,
) -> Result<Option<T>, StoreError> {
    let mut named = current(folder)?;
    loop {
        let Some(set) = named else { return Ok(None) };
        let result = read(&set);
        named = current(folder)?;
        if result.is_ok() || named.as_ref() == Some(&set) {
            return result.map(Some);
        }
    }
}

/// The name of the set that counts.
fn current(folder: &Path) -> Result<Option<PathBuf>, DiskError> {
    let link = folder.join(CURRENT);
    match fs::read_link(&link) {
        Ok(name) => Ok(Some(name)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(cannot("read", &link)(error)),
    }
}

fn read(folder: &Path, set: &Path) -> Result<Credentials, StoreError> {
    let part = |name: &str| {
        let path = folder.join(set).join(name);
        fs::read(&path).map_err(cannot("read", &path))
    };
    Credentials::from_pem(&part("chain.pem")?, &part("key.pem")?, &part("bundle.pem")?)
        .map_err(|why| StoreError::Damaged { folder: folder.to_owned(), why })
}

/// The numbers of the sets in a folder, whole or not.
fn numbers(folder: &Path) -> Result<Vec<u64>, DiskError> {
    let entries = fs::read_dir(folder).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let entries = entries.map_err(cannot("read", folder))?;
    Ok(entries.iter().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::Mesh;

    const ORDERS: &str = "spiffe://td/ns/shop/sa/orders";

    fn serial(folder: &Path) -> Option<String> {
        load(folder).unwrap().map(|credentials| credentials.serial().to_owned())
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(folder).unwrap().map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn what_was_saved_last_is_loaded() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = scratch.path().join("identity");
        assert_eq!(serial(&folder), None, "a folder that is not there holds nothing, which is no error");
        let mesh = Mesh::new("td");
        for _ in 0..3 {
            let credentials = mesh.credentials(ORDERS);
            save(&folder, &credentials).unwrap();
            assert_eq!(serial(&folder).as_deref(), Some(credentials.serial()));
        }
        assert_eq!(names(&folder), ["3", "current", "lock"], "old keys do not stay behind");
    }

    /// Every state that `save` can leave behind, one write at a time.
    #[test]
    fn a_crash_at_any_step_leaves_the_old_or_the_new() {
        let mesh = Mesh::new("td");
        let (old, new) = (mesh.credentials(ORDERS), mesh.credentials(ORDERS));
        let parts = [("key.pem", new.key_pem()), ("chain.pem", new.chain_pem()), ("bundle.pem", new.bundle().to_pem())];
        for step in 0..=7 {
            let scratch = tempfile::tempdir().unwrap();
            let folder = scratch.path();
            save(folder, &old).unwrap();
            if 1 <= step {
                fs::create_dir(folder.join("2")).unwrap();
            }
            for (name, content) in parts.iter().take(usize::saturating_sub(step, 1)) {
                let cut = if step < 5 { content.len() / 2 } else { content.len() };
                fs::write(folder.join("2").join(name), &content[..cut]).unwrap();
            }
            if 6 <= step {
                symlink("2", folder.join(NEXT)).unwrap();
            }
            if 7 <= step {
                fs::rename(folder.join(NEXT), folder.join(CURRENT)).unwrap();
            }
            let want = if step < 7 { &old } else { &new };
            assert_eq!(serial(folder).as_deref(), Some(want.serial()), "after step {step}");

            let newest = mesh.credentials(ORDERS);
            save(folder, &newest).unwrap();
            assert_eq!(serial(folder).as_deref(), Some(newest.serial()), "written again after step {step}");
            assert_eq!(names(folder).len(), 3, "nothing is left of step {step}: {:?}", names(folder));
        }
    }

    #[test]
    fn a_set_that_is_replaced_while_it_is_read_is_read_again() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = scratch.path();
        let mesh = Mesh::new("td");
        let (old, new) = (mesh.credentials(ORDERS), mesh.credentials(ORDERS));
        save(folder, &old).unwrap();
        let mut sets = Vec::new();
        let loaded = read_current(folder, |set| {
            if sets.is_empty() {
                save(folder, &new).unwrap();
            }
            sets.push(set.to_owned());
            read(folder, set)
        });
        assert_eq!(loaded.unwrap().unwrap().serial(), new.serial());
        assert_eq!(sets, [Path::new("1"), Path::new("2")]);
    }

    #[test]
    fn damage_is_told_with_its_place_and_its_remedy() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = scratch.path();
        let mesh = Mesh::new("td");
        save(folder, &mesh.credentials(ORDERS)).unwrap();
        let other = mesh.credentials(ORDERS);
        fs::write(folder.join("1/key.pem"), other.key_pem()).unwrap();
        let message = load(folder).unwrap_err().to_string();
        assert!(
            message.starts_with(&format!("the identity in `{}` is damaged: the key does not fit", folder.display()))
        );
        assert!(message.ends_with("remove that folder and join again with a new token"), "{message}");

        fs::remove_file(folder.join("1/chain.pem")).unwrap();
        let message = load(folder).unwrap_err().to_string();
        assert!(message.starts_with(&format!("cannot read `{}`", folder.join("1/chain.pem").display())), "{message}");
    }
}
