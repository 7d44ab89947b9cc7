//! Source lanes: every system call on the source runs here, so that a dead file server takes its own slots and no more.
//!
//! Each source directory has a queue and a few slots for either class of work. Jobs with a slot go to an elastic pool of
//! threads, which sleep at once when there is nothing to do: spinning first costs two processors a tenth of their time. A
//! thread that makes no progress inside a source call for the deadline is given up: its slot and its place in the pool are
//! free again, and the directory answers `Stuck` at once but for one probe per deadline, until the call returns.

use std::collections::{HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::Duration;

use super::turn::Turn;
use crate::error::{Error, Kind};
use crate::io::{Watch, now_ms};
use crate::sync::{Arc, AtomicU64, Condvar, Mutex, Ordering, lock};

/// A source directory, beneath SOURCE.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LaneKey(Arc<Path>);

impl LaneKey {
    /// The lane of a directory.
    pub fn new(directory: &Path) -> Self {
        LaneKey(Arc::from(directory))
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

/// Listing and opening never wait behind decoding: separate slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// Names, attributes, headers.
    Meta,
    /// Pixels.
    Data,
}

/// Threads of one class at most, given-up ones aside; and as many given-up ones.
const THREADS: usize = 128;
/// Slots of a directory for metadata.
const META_WIDTH: usize = 4;
/// A thread without work ends after this, unless it is one of the last.
const IDLE: Duration = Duration::from_secs(5);
/// Threads of one class that stay: starting one takes as long as a small read.
const READY: usize = 2;
/// Decoders keep their tables on the heap; this leaves room for the few that recurse.
const STACK: usize = 1 << 20;

/// Something to do on a lane thread; called with the error instead if the lane is stuck.
pub(crate) type Run = Box<dyn FnOnce(Result<(), Error>) + Send>;

struct Job {
    run: Run,
    watch: Arc<Watch>,
}

/// What the supervisor sees of a running job.
struct Running {
    lane: (LaneKey, Class),
    started: u64,
    turn: Arc<Turn>,
}

struct Lane {
    queue: VecDeque<Job>,
    running: usize,
    stuck: usize,
    next_probe: u64,
    done: Arc<AtomicU64>,
}

#[derive(Default)]
struct Pool {
    /// Jobs with a slot, and their numbers.
    ready: VecDeque<(u64, (LaneKey, Class), Job)>,
    threads: usize,
    given_up: usize,
    idle: usize,
}

struct State {
    lanes: HashMap<(LaneKey, Class), Lane>,
    pools: [Pool; 2],
    running: HashMap<u64, Running>,
    next: u64,
    stop: bool,
}

impl State {
    /// An idle thread ends.
    fn leave(&mut self, class: Class) {
        let pool = &mut self.pools[class as usize];
        pool.idle -= 1;
        pool.threads -= 1;
    }
}

/// See the module.
pub(crate) struct Lanes {
    state: Mutex<State>,
    /// Wakes a thread of a class.
    wake: [Condvar; 2],
    data_width: usize,
    deadline: u64,
}

/// A lane that gave up threads, for `status`.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct StuckLane {
    /// Directory beneath SOURCE.
    pub path: String,
    /// Threads that hang there.
    pub threads: usize,
}

impl Lanes {
    pub(crate) fn new(threads: usize, deadline: Duration) -> Arc<Self> {
        Arc::new(Lanes {
            state: Mutex::new(State {
                lanes: HashMap::new(),
                pools: Default::default(),
                running: HashMap::new(),
                next: 0,
                stop: false,
            }),
            wake: Default::default(),
            data_width: threads.max(4),
            deadline: u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX).max(1),
        })
    }

    /// Jobs of a class that run at a time in one directory.
    pub(crate) fn width(&self, class: Class) -> usize {
        match class {
            Class::Meta => META_WIDTH,
            Class::Data => self.data_width,
        }
    }

    /// Queues a job. In a stuck lane it is called with `Stuck` on this thread, unless it may be the probe.
    pub(crate) fn push(self: &Arc<Self>, key: &LaneKey, class: Class, watch: &Arc<Watch>, run: Run) {
        let now = now_ms();
        let id = (key.clone(), class);
        let refused = {
            let mut state = lock(&self.state);
            let state = &mut *state;
            let lane = state.lanes.entry(id.clone()).or_insert_with(|| Lane {
                queue: VecDeque::new(),
                running: 0,
                stuck: 0,
                next_probe: 0,
                done: Arc::new(AtomicU64::new(now)),
            });
            let width = self.width(class);
            if state.stop {
                Some((run, Error::new(Kind::Stuck, "the engine is shutting down")))
            } else if lane.stuck > 0 && (now < lane.next_probe || lane.stuck >= 2 * width) {
                Some((run, stuck(key)))
            } else {
                if lane.stuck > 0 {
                    lane.next_probe = now + self.deadline;
                }
                let job = Job { run, watch: Arc::clone(watch) };
                if lane.running < width {
                    lane.running += 1;
                    self.make_ready(state, id, job, true);
                } else {
                    lane.queue.push_back(job);
                }
                None
            }
        };
        if let Some((run, error)) = refused {
            run(Err(error));
        }
    }

    /// Starts a job if fewer than `most` run on the lane, none of them stuck; else drops it.
    pub(crate) fn push_idle(self: &Arc<Self>, key: &LaneKey, class: Class, most: usize, watch: &Arc<Watch>, run: Run) {
        let idle = match lock(&self.state).lanes.get(&(key.clone(), class)) {
            Some(lane) => lane.queue.is_empty() && lane.stuck == 0 && lane.running < most,
            None => true,
        };
        if idle {
            self.push(key, class, watch, run);
        }
    }

    /// When the last job of a lane ended, for as long as anything goes on there.
    pub(crate) fn progress(&self, key: &LaneKey, class: Class) -> Option<Arc<AtomicU64>> {
        lock(&self.state).lanes.get(&(key.clone(), class)).map(|l| Arc::clone(&l.done))
    }

    /// Do others wait for a slot of this lane?
    pub(crate) fn contended(&self, key: &LaneKey, class: Class) -> bool {
        lock(&self.state).lanes.get(&(key.clone(), class)).is_some_and(|l| !l.queue.is_empty())
    }

    /// Queues a job that has a slot; `wake`: a thread has to be woken for it.
    fn make_ready(self: &Arc<Self>, state: &mut State, lane: (LaneKey, Class), job: Job, wake: bool) {
        let class = lane.1;
        state.next += 1;
        let pool = &mut state.pools[class as usize];
        pool.ready.push_back((state.next, lane, job));
        if !self.staff(pool, class, 0) && wake {
            self.wake[class as usize].notify_one();
        }
    }

    /// Starts threads until there is one for each job that is ready, and `least` altogether; were there any to start?
    fn staff(self: &Arc<Self>, pool: &mut Pool, class: Class, least: usize) -> bool {
        let mut started = false;
        while (pool.ready.len() > pool.idle && pool.threads < THREADS) || pool.threads < least {
            let lanes = Arc::clone(self);
            let name = if class == Class::Meta { "source-meta" } else { "source-data" };
            let builder = std::thread::Builder::new().name(name.into()).stack_size(STACK);
            if builder.spawn(move || lanes.work(class)).is_err() {
                break; // the supervisor tries again
            }
            pool.threads += 1;
            pool.idle += 1;
            started = true;
        }
        started
    }

    /// Starts the threads that stay.
    pub(crate) fn start(self: &Arc<Self>) {
        let mut state = lock(&self.state);
        for class in [Class::Meta, Class::Data] {
            self.staff(&mut state.pools[class as usize], class, READY);
        }
    }

    fn work(self: Arc<Self>, class: Class) {
        let mut state = lock(&self.state);
        loop {
            let pool = &mut state.pools[class as usize];
            if let Some((id, lane, job)) = pool.ready.pop_front() {
                pool.idle -= 1;
                let turn = Turn::new(id, &job.watch);
                let running = Running { lane: lane.clone(), started: now_ms(), turn: Arc::clone(&turn) };
                state.running.insert(id, running);
                drop(state);
                if !self.turn(turn, lane, job) {
                    return;
                }
                state = lock(&self.state);
                continue;
            }
            let may_end = pool.threads > READY;
            if state.stop {
                return state.leave(class);
            }
            let wake = &self.wake[class as usize];
            let timed_out = if may_end {
                let slept = wake.wait_timeout(state, IDLE).unwrap_or_else(std::sync::PoisonError::into_inner);
                state = slept.0;
                slept.1.timed_out()
            } else {
                state = wake.wait(state).unwrap_or_else(std::sync::PoisonError::into_inner);
                false
            };
            let pool = &state.pools[class as usize];
            if timed_out && pool.ready.is_empty() && pool.threads > READY {
                return state.leave(class);
            }
        }
    }

    /// Runs one job; false: this thread is one too many now.
    fn turn(self: &Arc<Self>, turn: Arc<Turn>, lane: (LaneKey, Class), job: Job) -> bool {
        let id = turn.id();
        // Jobs contain their own panics, to answer their readers; this is the last net.
        turn.take(|| drop(catch_unwind(AssertUnwindSafe(|| (job.run)(Ok(()))))));
        // Declared first, dropped last: with it may go the last of an image, whose files are closed then.
        let ended;
        let mut state = lock(&self.state);
        let state = &mut *state;
        let pool = &mut state.pools[lane.1 as usize];
        ended = state.running.remove(&id);
        let given_up = ended.is_none();
        let mut stay = true;
        if given_up {
            // It came back: the source answers again.
            pool.given_up -= 1;
            stay = pool.threads < THREADS;
            pool.threads += usize::from(stay);
        }
        pool.idle += usize::from(stay);
        if let Some(l) = state.lanes.get_mut(&lane) {
            l.done.store(now_ms(), Ordering::Relaxed);
            if given_up {
                l.stuck -= 1;
            } else {
                l.running -= 1;
            }
        }
        self.settle(state, &lane, stay);
        stay
    }

    /// Fills free slots of a lane from its queue; forgets a lane where nothing goes on. `takes_one`: the caller's thread looks
    /// for a job next, so nobody has to be woken for the first.
    fn settle(self: &Arc<Self>, state: &mut State, lane: &(LaneKey, Class), takes_one: bool) {
        let mut wake = !takes_one;
        let width = self.width(lane.1);
        while let Some(l) = state.lanes.get_mut(lane) {
            if l.running >= width {
                return;
            }
            let Some(job) = l.queue.pop_front() else {
                if l.running == 0 && l.stuck == 0 {
                    state.lanes.remove(lane);
                }
                return;
            };
            l.running += 1;
            self.make_ready(state, lane.clone(), job, wake);
            wake = true;
        }
    }

    /// Gives up jobs without progress inside a source call, and whatever queues behind them. Gives the jobs given up.
    pub(crate) fn give_up_stuck(self: &Arc<Self>) -> Vec<u64> {
        let now = now_ms();
        let mut refused = Vec::new();
        let mut cleanups = Vec::new();
        let mut given_up = Vec::new();
        {
            let mut state = lock(&self.state);
            let state = &mut *state;
            let dead: Vec<u64> = state
                .running
                .iter()
                .filter(|(_, r)| r.turn.is_at_source() && now - r.moved().min(now) >= self.deadline)
                .map(|(id, _)| *id)
                .collect();
            for id in dead {
                let Some(class) = state.running.get(&id).map(|r| r.lane.1) else { continue };
                let pool = &mut state.pools[class as usize];
                if pool.given_up >= THREADS {
                    continue; // the cap: the slot stays taken
                }
                let Some(running) = state.running.remove(&id) else { continue };
                pool.threads -= 1;
                pool.given_up += 1;
                cleanups.append(&mut running.turn.given_up());
                if let Some(lane) = state.lanes.get_mut(&running.lane) {
                    lane.running -= 1;
                    lane.stuck += 1;
                    lane.next_probe = now + self.deadline;
                    refused.extend(lane.queue.drain(..).map(|job| (job, running.lane.0.clone())));
                }
                given_up.push(id);
            }
            // Jobs of other directories waited for threads that are free to be started now.
            for class in [Class::Meta, Class::Data] {
                self.staff(&mut state.pools[class as usize], class, 0);
            }
        }
        for cleanup in cleanups {
            cleanup();
        }
        for (job, key) in refused {
            let _ = catch_unwind(AssertUnwindSafe(|| (job.run)(Err(stuck(&key)))));
        }
        given_up
    }

    /// Is any job running, or about to?
    pub(crate) fn is_busy(&self) -> bool {
        let state = lock(&self.state);
        !state.running.is_empty() || state.pools.iter().any(|pool| !pool.ready.is_empty())
    }

    /// Directories with given-up threads.
    pub(crate) fn stuck_lanes(&self) -> Vec<StuckLane> {
        let mut found: HashMap<LaneKey, usize> = HashMap::new();
        for ((key, _), lane) in lock(&self.state).lanes.iter().filter(|(_, l)| l.stuck > 0) {
            *found.entry(key.clone()).or_default() += lane.stuck;
        }
        let named = |(key, threads): (LaneKey, usize)| StuckLane { path: key.path().display().to_string(), threads };
        let mut list: Vec<StuckLane> = found.into_iter().map(named).collect();
        list.sort_by(|a, b| a.path.cmp(&b.path));
        list
    }

    /// Threads, given-up ones included.
    pub(crate) fn threads(&self) -> usize {
        lock(&self.state).pools.iter().map(|p| p.threads + p.given_up).sum()
    }

    /// Jobs queued or running.
    pub(crate) fn jobs(&self) -> usize {
        lock(&self.state).lanes.values().map(|l| l.queue.len() + l.running).sum()
    }

    /// No further job starts; threads end as they come home. Jobs that queue are refused.
    pub(crate) fn stop(&self) {
        let jobs: Vec<Job> = {
            let mut state = lock(&self.state);
            let state = &mut *state;
            state.stop = true;
            let mut jobs: Vec<Job> = Vec::new();
            for (_, lane, job) in state.pools.iter_mut().flat_map(|pool| pool.ready.drain(..)) {
                if let Some(lane) = state.lanes.get_mut(&lane) {
                    lane.running -= 1;
                }
                jobs.push(job);
            }
            jobs.extend(state.lanes.values_mut().flat_map(|l| l.queue.drain(..)));
            jobs
        };
        for wake in &self.wake {
            wake.notify_all();
        }
        for job in jobs {
            let error = Error::new(Kind::Stuck, "the engine is shutting down");
            let _ = catch_unwind(AssertUnwindSafe(|| (job.run)(Err(error))));
        }
    }
}

impl Running {
    fn moved(&self) -> u64 {
        self.started.max(self.turn.moved_ms())
    }
}

fn stuck(key: &LaneKey) -> Error {
    Error::new(Kind::Stuck, "the source does not answer in this directory").in_file(key.path())
}
