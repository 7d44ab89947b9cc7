//! The thread between slow work and whoever waits for it: work says that it moves, waiters say that they are gone.

use std::sync::OnceLock;
use std::time::Instant;

use crate::error::{Error, Kind, Result};
use crate::sync::{AtomicBool, AtomicU64, Ordering};

/// Shared by one piece of work (a tile, a sweep, an open) and the requests that wait for it.
#[derive(Debug)]
pub struct Watch {
    moved_ms: AtomicU64,
    abandoned: AtomicBool,
}

/// Milliseconds since the first call in this process; never goes back.
pub fn now_ms() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    u64::try_from(START.get_or_init(Instant::now).elapsed().as_millis()).unwrap_or(u64::MAX)
}

impl Default for Watch {
    fn default() -> Self {
        Watch { moved_ms: AtomicU64::new(now_ms()), abandoned: AtomicBool::new(false) }
    }
}

impl Watch {
    /// Says that a step is done (a tile, an IFD block, a band): the deadline starts anew.
    pub fn tick(&self) {
        self.moved_ms.store(now_ms(), Ordering::Relaxed);
    }

    /// When the last step was done, in [`now_ms`] time.
    pub fn moved_ms(&self) -> u64 {
        self.moved_ms.load(Ordering::Relaxed)
    }

    /// Nobody waits any more: the work stops at its next [`Watch::check`].
    pub fn abandon(&self) {
        self.abandoned.store(true, Ordering::Relaxed);
    }

    /// Called by long work between steps.
    ///
    /// # Errors
    /// `Interrupted` if nobody waits any more.
    pub fn check(&self) -> Result<()> {
        if self.abandoned.load(Ordering::Relaxed) {
            return Err(Error::new(Kind::Interrupted, "nobody waits for this any more"));
        }
        Ok(())
    }
}
