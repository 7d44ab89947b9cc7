//! Replies that are given exactly once, whoever comes first: the work, the supervisor, or the panic net.

use super::Shared;
use crate::error::Result;
use crate::sync::{Arc, AtomicU64, Mutex, Ordering, Weak, lock};

/// How a chunk read is answered.
pub type ChunkDone = Box<dyn FnOnce(Result<&[u8]>) + Send>;

/// The reply of a request that may wait; takes the request off the supervisor's list when it is given.
pub(crate) struct Reply<D> {
    done: Mutex<Option<D>>,
    shared: Weak<Shared>,
    request: AtomicU64,
}

impl<D> Reply<D> {
    pub(crate) fn new(shared: &Arc<Shared>, done: D) -> Arc<Self> {
        Arc::new(Reply { done: Mutex::new(Some(done)), shared: Arc::downgrade(shared), request: AtomicU64::new(0) })
    }

    /// Says under which number the request is outstanding.
    pub(crate) fn registered(&self, request: u64) {
        self.request.store(request, Ordering::SeqCst);
        if self.is_given() {
            self.off_the_list();
        }
    }

    /// Was it answered?
    pub(crate) fn is_given(&self) -> bool {
        lock(&self.done).is_none()
    }

    /// The closure, for the one who answers.
    pub(crate) fn take(&self) -> Option<D> {
        let done = lock(&self.done).take()?;
        self.off_the_list();
        Some(done)
    }

    fn off_the_list(&self) {
        if let Some(shared) = self.shared.upgrade() {
            shared.requests.remove(self.request.load(Ordering::SeqCst));
        }
    }
}

impl Reply<ChunkDone> {
    pub(crate) fn send(&self, result: Result<&[u8]>) {
        if let Some(done) = self.take() {
            if let (Err(e), Some(shared)) = (&result, self.shared.upgrade()) {
                shared.units.counters.failed(e);
            }
            done(result);
        }
    }
}

impl<T> Reply<Box<dyn FnOnce(Result<T>) + Send>> {
    pub(crate) fn send_value(&self, result: Result<T>) {
        if let Some(done) = self.take() {
            if let (Err(e), Some(shared)) = (&result, self.shared.upgrade()) {
                shared.units.counters.failed(e);
            }
            done(result);
        }
    }
}
