//! What a lane thread does just now, and what it tells of it from below.

use std::cell::RefCell;

use crate::io::Watch;
use crate::sync::{Arc, AtomicBool, Mutex, Ordering, lock};

/// The turn of a job on its thread.
pub(super) struct Turn {
    id: u64,
    /// Inside a source call, as far as anybody knows (else: waiting for a processor or for room, or decoding).
    at_source: AtomicBool,
    watch: Arc<Watch>,
    /// The flight it leads just now.
    leads: Mutex<Option<Arc<Watch>>>,
    /// Run if the job is given up.
    on_stuck: Mutex<Vec<Box<dyn FnOnce() + Send>>>,
}

impl Turn {
    pub(super) fn new(id: u64, watch: &Arc<Watch>) -> Arc<Self> {
        Arc::new(Turn {
            id,
            at_source: AtomicBool::new(true),
            watch: Arc::clone(watch),
            leads: Mutex::default(),
            on_stuck: Mutex::default(),
        })
    }

    pub(super) fn id(&self) -> u64 {
        self.id
    }

    /// Runs `f` on this thread as the turn.
    pub(super) fn take(self: Arc<Self>, f: impl FnOnce()) {
        TURN.set(Some(self));
        f();
        // Taken out first, dropped then: what goes with it may ask for the turn.
        drop(TURN.take());
    }

    pub(super) fn is_at_source(&self) -> bool {
        self.at_source.load(Ordering::Relaxed)
    }

    /// When it last moved, itself or by the flight it leads.
    pub(super) fn moved_ms(&self) -> u64 {
        let leads = lock(&self.leads).as_ref().map_or(0, |w| w.moved_ms());
        self.watch.moved_ms().max(leads)
    }

    /// What is to be done once it is given up.
    pub(super) fn given_up(&self) -> Vec<Box<dyn FnOnce() + Send>> {
        std::mem::take(&mut lock(&self.on_stuck))
    }
}

thread_local! {
    static TURN: RefCell<Option<Arc<Turn>>> = const { RefCell::new(None) };
}

fn with_turn<T>(f: impl FnOnce(&Arc<Turn>) -> T) -> Option<T> {
    TURN.with(|t| t.borrow().as_ref().map(f))
}

/// The lane job this thread runs; 0 on other threads.
pub(crate) fn current_job() -> u64 {
    with_turn(|t| t.id).unwrap_or(0)
}

/// Runs what is no source call (waiting for room, burning a processor): no sign of a stuck source, however long.
pub(crate) fn off_source<T>(f: impl FnOnce() -> T) -> T {
    struct Back(bool);
    impl Drop for Back {
        fn drop(&mut self) {
            with_turn(|t| {
                t.watch.tick();
                t.at_source.store(self.0, Ordering::Relaxed);
            });
        }
    }
    let was = with_turn(|t| t.at_source.swap(false, Ordering::Relaxed)).unwrap_or(true);
    let _back = Back(was);
    f()
}

/// Says that progress of this job shows in `watch` too.
pub(crate) fn lead_with(watch: &Arc<Watch>) {
    with_turn(|t| *lock(&t.leads) = Some(Arc::clone(watch)));
}

/// Says what to do should this job be given up as stuck.
pub(crate) fn on_stuck(f: impl FnOnce() + Send + 'static) {
    with_turn(|t| lock(&t.on_stuck).push(Box::new(f)));
}
