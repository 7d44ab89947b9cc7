//! Concurrency primitives, imported from here alone so that a model checker can take their place.
//!
//! A panic under a lock is contained by the caller (`exec`), so poisoning carries no news: `lock` returns the guard.

pub use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
pub use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, RwLock, Weak};

/// Locks, ignoring poison.
pub fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
