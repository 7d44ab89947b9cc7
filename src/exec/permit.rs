//! Processor permits: as many decodes and reductions run at a time as `--threads` says, in the order they came.

use crossbeam::channel::{Receiver, Sender, bounded};

/// A pool of permits.
pub(crate) struct Permits {
    give: Sender<()>,
    take: Receiver<()>,
}

/// The right to burn a processor until it is dropped. Never held while reading or waiting.
pub(crate) struct Permit(Sender<()>);

impl Permits {
    pub(crate) fn new(count: usize) -> Self {
        let (give, take) = bounded(count.max(1));
        for _ in 0..count.max(1) {
            let _ = give.send(());
        }
        Permits { give, take }
    }

    /// Waits for a permit.
    pub(crate) fn acquire(&self) -> Permit {
        // Both ends live in self, so the channel is open.
        let _ = self.take.recv();
        Permit(self.give.clone())
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let _ = self.0.try_send(());
    }
}
