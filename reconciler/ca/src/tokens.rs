//! The join tokens that an authority has made.
//!
//! Owns: the folder of tokens. Each is a file with the digest of its secret for a name, and in it whom it is for and
//! until when:
//!
//! ```text
//! tokens/
//!   4f81…        a token that nobody has used
//!   used/9c02…   one that somebody has
//! ```
//!
//! May not: decide whether a token may be used; `issue` does.
//! Invariant: a token is used by renaming its file, which succeeds once, whoever tries at the same time and whatever
//! crashes after it. Making tokens takes no lock, so that it works while the authority runs.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use taut_identity::disk::{self, DiskError, cannot};
use taut_identity::{Fingerprint, SpiffeId};
use taut_snapshot::Digest;

use crate::{CaError, JoinToken, sign};

/// The longest that a token may wait for its user. It is a secret that lies around.
pub const TOKEN_LIFETIME_MAX: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// How long a token is remembered after it has expired: so long is the refusal a helpful one.
const REMEMBERED: Duration = Duration::from_secs(24 * 60 * 60);

/// The folder of tokens in that of an authority.
pub(crate) const FOLDER: &str = "tokens";

/// A token, without its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenEntry {
    /// The digest of its secret.
    pub name: Digest,
    /// Whom it is for.
    pub id: SpiffeId,
    /// Until when it can be used.
    pub expires: SystemTime,
    /// Whether somebody has.
    pub used: bool,
}

/// What became of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TokenState {
    /// It waits for its user.
    Waiting,
    /// It was used.
    Used,
    /// It was not used in time.
    Expired,
}

impl TokenEntry {
    /// What became of it by now.
    #[must_use]
    pub fn state(&self, now: SystemTime) -> TokenState {
        match (self.used, self.expires <= now) {
            (true, _) => TokenState::Used,
            (false, true) => TokenState::Expired,
            (false, false) => TokenState::Waiting,
        }
    }
}

/// The two places where a token can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shelf {
    Waiting,
    Used,
}

/// In the order in which a token passes through them: who looks in this order finds one that is used meanwhile.
const SHELVES: [Shelf; 2] = [Shelf::Waiting, Shelf::Used];

impl Shelf {
    fn folder(self, state: &Path) -> PathBuf {
        match self {
            Shelf::Waiting => state.join(FOLDER),
            Shelf::Used => state.join(FOLDER).join("used"),
        }
    }

    fn file(self, state: &Path, name: Digest) -> PathBuf {
        self.folder(state).join(name.to_string())
    }
}

/// Makes a token with which someone can get its first certificate, for this identity. `state` is the folder of the
/// authority, which may be running.
///
/// # Errors
/// If there is no authority in that folder, it is one for another trust domain, or the disk fails.
pub fn create_token(state: &Path, id: &SpiffeId, lifetime: Duration, now: SystemTime) -> Result<JoinToken, CaError> {
    let (root, trust_domain) = sign::public_root(state)?;
    if id.trust_domain() != trust_domain {
        return Err(CaError::OtherTrustDomain {
            folder: state.to_owned(),
            has: trust_domain,
            asked: id.trust_domain().to_owned(),
        });
    }
    if TOKEN_LIFETIME_MAX < lifetime {
        return Err(CaError::TokenLifetime { asked: lifetime });
    }
    forget_old(state, now)?;
    let token = JoinToken::generate(Fingerprint::of(&root));
    let expires = (now + lifetime).duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    for shelf in SHELVES {
        disk::create_folder(&shelf.folder(state))?;
    }
    let content = format!("identity {id}\nexpires {expires}\n");
    disk::replace(&Shelf::Waiting.file(state, token.name()), content.as_bytes())?;
    Ok(token)
}

/// The tokens that were made, those that can still be used first, by when they expire.
///
/// # Errors
/// If the disk fails, or a file is not one of a token.
pub fn list_tokens(state: &Path, now: SystemTime) -> Result<Vec<TokenEntry>, CaError> {
    let mut entries = BTreeMap::new();
    for shelf in SHELVES {
        for name in names(state, shelf)? {
            entries.extend(read(state, shelf, name)?.map(|entry| (name, entry)));
        }
    }
    let mut entries: Vec<_> = entries.into_values().collect();
    entries.sort_by_key(|entry| (entry.state(now), entry.expires));
    Ok(entries)
}

/// What is known of a token.
pub(crate) fn find(state: &Path, name: Digest) -> Result<Option<TokenEntry>, CaError> {
    for shelf in SHELVES {
        if let Some(entry) = read(state, shelf, name)? {
            return Ok(Some(entry));
        }
    }
    Ok(None)
}

/// Uses a token. Of all who try, one is told that it has.
pub(crate) fn consume(state: &Path, name: Digest) -> Result<bool, DiskError> {
    match disk::rename(&Shelf::Waiting.file(state, name), &Shelf::Used.file(state, name)) {
        // Durable in both folders, before there is a certificate for it.
        Ok(()) => disk::sync_folder(&Shelf::Waiting.folder(state)).map(|()| true),
        Err(error) if error.source.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Removes tokens that expired long ago.
pub(crate) fn forget_old(state: &Path, now: SystemTime) -> Result<(), CaError> {
    for shelf in SHELVES {
        for name in names(state, shelf)? {
            if read(state, shelf, name)?.is_some_and(|entry| entry.expires + REMEMBERED < now) {
                disk::remove(&shelf.file(state, name))?;
            }
        }
    }
    Ok(())
}

/// The tokens on a shelf, which need not be there. What has another name than a token is not one.
fn names(state: &Path, shelf: Shelf) -> Result<Vec<Digest>, DiskError> {
    let folder = shelf.folder(state);
    let entries = match fs::read_dir(&folder).and_then(Iterator::collect::<Result<Vec<_>, _>>) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        result => result.map_err(cannot("read", &folder))?,
    };
    Ok(entries.iter().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect())
}

fn read(state: &Path, shelf: Shelf, name: Digest) -> Result<Option<TokenEntry>, CaError> {
    let path = shelf.file(state, name);
    let content = match fs::read_to_string(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        result => result.map_err(cannot("read", &path))?,
    };
    let Some((id, expires)) = parse(&content) else {
        let why = "it does not say whom it is for and until when; remove it and make a new token".to_owned();
        return Err(CaError::Damaged { path, why });
    };
    Ok(Some(TokenEntry { name, id, expires, used: shelf == Shelf::Used }))
}

pub(crate) fn parse(content: &str) -> Option<(SpiffeId, SystemTime)> {
    let (id, expires) = content.strip_suffix('\n')?.split_once('\n')?;
    let expires = Duration::from_secs(expires.strip_prefix("expires ")?.parse().ok()?);
    Some((id.strip_prefix("identity ")?.parse().ok()?, UNIX_EPOCH.checked_add(expires)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Issuer;

    const HOUR: Duration = Duration::from_secs(60 * 60);

    fn orders() -> SpiffeId {
        SpiffeId::parse("spiffe://td/ns/shop/sa/orders").unwrap()
    }

    /// The folder of an authority that was started once.
    fn state(now: SystemTime) -> tempfile::TempDir {
        let state = tempfile::tempdir().unwrap();
        Issuer::open(state.path(), "td", now).unwrap();
        state
    }

    fn states(state: &Path, now: SystemTime) -> Vec<TokenState> {
        list_tokens(state, now).unwrap().iter().map(|entry| entry.state(now)).collect()
    }

    #[test]
    fn a_token_waits_is_used_once_and_is_forgotten_at_last() {
        let now = SystemTime::now();
        let state = state(now);
        let state = state.path();
        let token = create_token(state, &orders(), HOUR, now).unwrap();
        create_token(state, &orders(), 2 * HOUR + HOUR / 2, now).unwrap();
        assert_eq!(states(state, now), [TokenState::Waiting, TokenState::Waiting]);
        assert_eq!(find(state, token.name()).unwrap().unwrap().id, orders());

        assert!(consume(state, token.name()).unwrap());
        assert!(!consume(state, token.name()).unwrap());
        assert_eq!(states(state, now), [TokenState::Waiting, TokenState::Used]);
        assert_eq!(states(state, now + 3 * HOUR), [TokenState::Used, TokenState::Expired]);

        // They are remembered for a day after they expire.
        for (hours, remembered) in [(24, 2), (26, 1), (27, 0)] {
            forget_old(state, now + hours * HOUR).unwrap();
            assert_eq!(states(state, now).len(), remembered, "after {hours} hours");
        }
        assert_eq!(find(state, token.name()).unwrap(), None);
    }

    #[test]
    fn of_all_who_try_at_once_one_uses_a_token() {
        let now = SystemTime::now();
        let state = state(now);
        let token = create_token(state.path(), &orders(), HOUR, now).unwrap();
        let uses = std::thread::scope(|threads| {
            let tries: Vec<_> =
                (0..8).map(|_| threads.spawn(|| consume(state.path(), token.name()).unwrap())).collect();
            tries.into_iter().map(|it| it.join().unwrap()).filter(|used| *used).count()
        });
        assert_eq!(uses, 1);
    }

    #[test]
    fn the_secret_is_nowhere_on_disk() {
        let now = SystemTime::now();
        let state = state(now);
        let text = create_token(state.path(), &orders(), HOUR, now).unwrap().to_text();
        let secret = text.split('.').nth(1).unwrap();
        for entry in fs::read_dir(Shelf::Waiting.folder(state.path())).unwrap() {
            let path = entry.unwrap().path();
            assert!(!path.to_str().unwrap().contains(secret));
            assert!(path.is_dir() || !fs::read_to_string(&path).unwrap().contains(secret));
        }
    }

    #[test]
    fn a_token_is_only_made_where_it_can_be_used() {
        let now = SystemTime::now();
        let empty = tempfile::tempdir().unwrap();
        let error = create_token(empty.path(), &orders(), HOUR, now).unwrap_err();
        assert!(matches!(error, CaError::NotStarted { .. }), "{error}");

        let state = state(now);
        let stranger = SpiffeId::parse("spiffe://other/ns/shop/sa/orders").unwrap();
        let error = create_token(state.path(), &stranger, HOUR, now).unwrap_err().to_string();
        assert!(error.ends_with("is for the trust domain `td`, not `other`"), "{error}");
        let error = create_token(state.path(), &orders(), TOKEN_LIFETIME_MAX + HOUR, now).unwrap_err();
        assert_eq!(error.to_string(), "a join token for 608400 seconds: the most is 604800");
    }

    #[test]
    fn a_damaged_token_is_told_with_its_file() {
        let now = SystemTime::now();
        let state = state(now);
        let token = create_token(state.path(), &orders(), HOUR, now).unwrap();
        let file = Shelf::Waiting.file(state.path(), token.name());
        let good = fs::read_to_string(&file).unwrap();
        for bad in [&good[..good.len() / 2], &good[..good.len() - 1], "", "identity x\nexpires 1\n"] {
            fs::write(&file, bad).unwrap();
            let error = find(state.path(), token.name()).unwrap_err().to_string();
            assert!(error.starts_with(&format!("`{}` is damaged", file.display())), "{error}");
        }
    }
}
