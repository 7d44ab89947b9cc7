//! Outstanding requests and the supervisor that ends those which wait in vain.

use std::collections::HashMap;
use std::time::Duration;

use super::reader::{self, Reader};
use crate::error::{Error, Kind};
use crate::io::{Watch, now_ms};
use crate::sync::{Arc, AtomicU64, Condvar, Mutex, Ordering, lock};

/// Answers a request with an error; does nothing if it was answered already.
pub(crate) type Expire = Box<dyn Fn(Error) + Send + Sync>;

/// A request that waits.
pub(crate) struct Request {
    submitted: u64,
    reader: Reader,
    /// Its own work; abandoned when the reader is gone.
    pub(crate) watch: Arc<Watch>,
    /// The work of others that it waits for.
    follow: Mutex<Vec<Arc<Watch>>>,
    /// When the last job of its lane ended.
    lane: Option<Arc<AtomicU64>>,
    expire: Expire,
}

impl Request {
    /// Says whose work it waits for now.
    pub(crate) fn follow(&self, watches: Vec<Arc<Watch>>) {
        *lock(&self.follow) = watches;
    }

    fn moved(&self) -> u64 {
        let followed = lock(&self.follow).iter().map(|w| w.moved_ms()).max().unwrap_or(0);
        let lane = self.lane.as_ref().map_or(0, |l| l.load(Ordering::Relaxed));
        self.submitted.max(self.watch.moved_ms()).max(followed).max(lane)
    }
}

#[derive(Default)]
struct State {
    waiting: HashMap<u64, Arc<Request>>,
    next: u64,
    stop: bool,
    /// The supervisor sleeps until it is woken.
    asleep: bool,
}

/// All requests that wait.
pub(crate) struct Requests {
    state: Mutex<State>,
    wake: Condvar,
    deadline: u64,
}

/// How often waiting requests are looked at.
const TICK: Duration = Duration::from_millis(25);
/// Looks that find nothing before the supervisor sleeps: waking it for every request costs more than the request.
const IDLE_TICKS: u32 = 40;

impl Requests {
    pub(crate) fn new(deadline: Duration) -> Self {
        let deadline = u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX).max(1);
        Requests { state: Mutex::default(), wake: Condvar::new(), deadline }
    }

    /// Registers a request; `remove` it when it is answered.
    pub(crate) fn add(
        &self,
        reader: Reader,
        watch: Arc<Watch>,
        lane: Option<Arc<AtomicU64>>,
        expire: Expire,
    ) -> (u64, Arc<Request>) {
        let request = Arc::new(Request { submitted: now_ms(), reader, watch, follow: Mutex::default(), lane, expire });
        let mut state = lock(&self.state);
        state.next += 1;
        let id = state.next;
        state.waiting.insert(id, Arc::clone(&request));
        if state.asleep {
            self.wake.notify_all();
        }
        (id, request)
    }

    pub(crate) fn remove(&self, id: u64) {
        lock(&self.state).waiting.remove(&id);
    }

    pub(crate) fn len(&self) -> usize {
        lock(&self.state).waiting.len()
    }

    pub(crate) fn stop(&self) {
        lock(&self.state).stop = true;
        self.wake.notify_all();
    }

    /// The supervisor's life: `also` is done at every look, and tells whether it needs the next one.
    pub(crate) fn supervise(&self, also: &dyn Fn() -> bool) {
        let (mut needed, mut idle) = (false, 0);
        loop {
            let waiting: Vec<(u64, Arc<Request>)> = {
                let mut state = lock(&self.state);
                if state.waiting.is_empty() && !needed && idle >= IDLE_TICKS && !state.stop {
                    state.asleep = true;
                    state = self.wake.wait(state).unwrap_or_else(std::sync::PoisonError::into_inner);
                    state.asleep = false;
                }
                if state.stop {
                    return;
                }
                let (state, _) = self.wake.wait_timeout(state, TICK).unwrap_or_else(std::sync::PoisonError::into_inner);
                state.waiting.iter().map(|(id, r)| (*id, Arc::clone(r))).collect()
            };
            idle = if waiting.is_empty() { (idle + 1).min(IDLE_TICKS) } else { 0 };
            self.look(waiting);
            needed = also();
        }
    }

    fn look(&self, waiting: Vec<(u64, Arc<Request>)>) {
        let now = now_ms();
        // Many requests have one reader: each thread is asked after once.
        let mut dying: HashMap<u32, bool> = HashMap::new();
        for (id, request) in waiting {
            let tid = request.reader.tid.filter(|t| *t != 0 && reader::old_enough(request.submitted));
            if tid.is_some_and(|t| *dying.entry(t).or_insert_with(|| reader::is_dying(t))) {
                self.remove(id);
                request.watch.abandon();
                (request.expire)(Error::new(Kind::Interrupted, "the reader was killed"));
            } else if now.saturating_sub(request.moved()) >= self.deadline {
                self.remove(id);
                let seconds = self.deadline as f64 / 1000.0;
                (request.expire)(Error::new(Kind::Stuck, format!("nothing moved for {seconds} s")));
            }
        }
    }
}
