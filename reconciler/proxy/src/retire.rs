//! Worlds that are over.
//!
//! A large one takes milliseconds to drop. Whoever has the last request that it decided would do that, while others wait; so
//! it is kept until no request has it, and dropped by a thread that stands back.

use std::mem;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use taut_delivery::stand_back;

use crate::world::World;

/// Worlds that are not active any more.
pub(crate) struct Retired<W = World>(Mutex<Vec<Arc<W>>>);

impl<W> Default for Retired<W> {
    fn default() -> Retired<W> {
        Retired(Mutex::default())
    }
}

impl<W: Send + Sync + 'static> Retired<W> {
    /// This one is over. Nobody begins to use it any more.
    pub(crate) fn add(&self, world: Option<Arc<W>>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(world);
    }

    /// Drops those that nobody uses any more, elsewhere.
    pub(crate) fn drop_unused(&self) {
        let unused = self.take_unused();
        if unused.is_empty() {
            return;
        }
        let drop_them = move || {
            stand_back();
            drop(unused);
        };
        if let Err(error) = thread::Builder::new().name("retire".to_owned()).spawn(drop_them) {
            // They were dropped with the thread that there is not.
            tracing::debug!(%error, "the last snapshot was dropped where requests are served");
        }
    }

    fn take_unused(&self) -> Vec<Arc<W>> {
        let mut worlds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if worlds.is_empty() {
            return Vec::new();
        }
        let (unused, used) = mem::take(&mut *worlds).into_iter().partition(|world| Arc::strong_count(world) == 1);
        *worlds = used;
        unused
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_world_is_kept_until_no_request_has_it() {
        let retired = Retired::default();
        let (one, two) = (Arc::new(1), Arc::new(2));
        let request = one.clone();
        retired.add(Some(one));
        retired.add(Some(two));
        retired.add(None);
        assert_eq!(retired.take_unused(), [Arc::new(2)]);
        assert_eq!(retired.take_unused(), []);
        drop(request);
        assert_eq!(retired.take_unused(), [Arc::new(1)]);
        assert_eq!(retired.take_unused(), []);
    }
}
