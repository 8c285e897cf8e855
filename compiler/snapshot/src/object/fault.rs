//! Faults put into requests on purpose, and which other origins may read answers (semantics.md §3.11, §3.13).

use super::Matcher;
use crate::Text;
use crate::format::codec::{choice, record};

record! {
    /// A delay, a failure, or both; the delay comes first.
    pub struct Fault {
        /// Lets some requests wait.
        pub delay: Option<Delay> = 1,
        /// Lets some fail.
        pub abort: Option<Abort> = 2,
    }
}

record! {
    /// A pause before a request goes on.
    pub struct Delay {
        /// How long, in milliseconds.
        pub ms: u64 = 1,
        /// How many of a million requests wait.
        pub share: u32 = 2,
    }
}

record! {
    /// A failure in place of an answer.
    pub struct Abort {
        /// What the client is told.
        pub status: AbortStatus = 1,
        /// How many of a million requests fail.
        pub share: u32 = 2,
    }
}

choice! {
    /// A status of HTTP or of gRPC.
    pub enum AbortStatus {
        /// Of HTTP.
        Http(u16) = 0,
        /// Of gRPC.
        Grpc(u8) = 1,
    }
}

record! {
    /// Which other origins may read answers.
    pub struct Cors {
        /// The origins: any of these.
        pub origins: Vec<Matcher> = 1,
        /// `access-control-allow-methods`.
        pub methods: Text = 2,
        /// `access-control-allow-headers`.
        pub headers: Text = 3,
        /// `access-control-expose-headers`.
        pub exposed: Text = 4,
        /// `access-control-max-age`, in seconds.
        pub max_age: Text = 5,
        /// Whether cookies may be sent.
        pub credentials: bool = 6,
        /// Whether a preflight of another origin is answered without any permission, and not sent on.
        pub ignore_unmatched: bool = 7,
    }
}
