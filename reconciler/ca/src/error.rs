//! What can go wrong around the authority that nobody's certificate request is to blame for.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use taut_identity::disk::DiskError;
use taut_identity::{BadCredentials, Fingerprint};

use crate::{Refusal, TOKEN_LIFETIME_MAX};

/// Why the authority cannot do what it was asked to, where it runs. No retry helps before its cause is gone.
#[derive(Debug, thiserror::Error)]
pub enum CaError {
    /// The disk failed, or will not let us.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// Another process is the authority of this folder.
    #[error("another process runs the certificate authority in `{}`: stop that one, or choose another folder", folder.display())]
    Locked {
        /// The folder.
        folder: PathBuf,
    },
    /// A file is not what was written there.
    #[error("`{}` is damaged: {why}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what to do.
        why: String,
    },
    /// The root is gone, and other files show that there was one.
    #[error(
        "the root certificate `{}` is missing, but the authority was used: put it back from a backup; or, to begin a new mesh which nobody of the old one trusts, remove the whole folder", path.display()
    )]
    RootLost {
        /// Where it should be.
        path: PathBuf,
    },
    /// There is no authority here yet.
    #[error("there is no certificate authority in `{}`: start it once, and it makes one", folder.display())]
    NotStarted {
        /// The folder.
        folder: PathBuf,
    },
    /// The authority is that of another mesh.
    #[error("the certificate authority in `{}` is for the trust domain `{has}`, not `{asked}`", folder.display())]
    OtherTrustDomain {
        /// The folder.
        folder: PathBuf,
        /// The trust domain of its root.
        has: String,
        /// The one that was asked for.
        asked: String,
    },
    /// The trust domain cannot be one.
    #[error(transparent)]
    TrustDomain(#[from] taut_identity::BadSpiffeId),
    /// The root has expired, and everything below it.
    #[error("the root certificate `{}` has expired: remove the folder to begin with a new root, and let all members join again", path.display())]
    RootExpired {
        /// The root.
        path: PathBuf,
    },
    /// A token was asked for that would lie around for too long.
    #[error("a join token for {} seconds: the most is {}", asked.as_secs(), TOKEN_LIFETIME_MAX.as_secs())]
    TokenLifetime {
        /// What was asked for.
        asked: Duration,
    },
    /// The request was refused: this is an answer, and the caller is told.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// A key or a certificate could not be made.
    #[error("cannot sign: {0}")]
    Signing(#[from] rcgen::Error),
    /// A certificate that was made does not hold together. A bug.
    #[error("a certificate of our own is not usable: {0}")]
    Own(#[from] BadCredentials),
    /// The gRPC server failed.
    #[error("cannot serve: {0}")]
    Serving(#[source] tonic::transport::Error),
}

/// Why there is no certificate from the authority.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// It cannot be reached, or the connection broke. A retry makes sense.
    #[error("cannot reach the certificate authority at `{address}`: {source}; check the address, and that it runs")]
    Unreachable {
        /// Where it should be.
        address: String,
        /// What the system said.
        source: io::Error,
    },
    /// It took too long. A retry makes sense.
    #[error("the certificate authority at `{address}` did not answer within {} seconds", after.as_secs())]
    Late {
        /// Where it is.
        address: String,
        /// How long we waited.
        after: Duration,
    },
    /// Whoever answers could not prove to be the authority, or would not accept us.
    #[error("no trust between us and the certificate authority at `{address}`: {why}")]
    Handshake {
        /// Where it should be.
        address: String,
        /// What is wrong.
        why: String,
    },
    /// The token is for another authority. The token is at fault, or the address; the secret was not sent.
    #[error(
        "the certificate authority at `{address}` is not the one that made this join token (root {root}): check the address, or make a token there"
    )]
    OtherAuthority {
        /// Where we asked.
        address: String,
        /// The root of the one that made the token.
        root: Fingerprint,
    },
    /// It said no, and will again.
    #[error("the certificate authority at `{address}` refuses: {why}")]
    Refused {
        /// Where it is.
        address: String,
        /// Its sentence.
        why: String,
    },
    /// It failed. A retry makes sense.
    #[error("the certificate authority at `{address}` failed: {why}")]
    Failed {
        /// Where it is.
        address: String,
        /// What it said.
        why: String,
    },
    /// What it sent are not credentials for us.
    #[error("the certificate authority at `{address}` sent what cannot be used: {why}")]
    Answer {
        /// Where it is.
        address: String,
        /// What is wrong.
        why: String,
    },
    /// A key could not be made here.
    #[error("cannot make a key: {0}")]
    Key(#[from] rcgen::Error),
}

impl ClientError {
    /// Whether the same call may succeed later, with nobody doing anything about it here.
    #[must_use]
    pub fn is_worth_a_retry(&self) -> bool {
        matches!(self, ClientError::Unreachable { .. } | ClientError::Late { .. } | ClientError::Failed { .. })
    }
}
