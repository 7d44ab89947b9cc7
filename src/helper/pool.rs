//! A pool of helpers of one kind.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::time::{Duration, Instant};

use super::process::{Process, effort};
use super::wire;
use crate::error::{Error, Kind, Result};
use crate::sync::{AtomicU64, Condvar, Mutex, Ordering, lock};

/// What helpers of a pool are.
#[derive(Debug)]
pub struct Spec {
    /// What they are called in messages.
    pub name: &'static str,
    /// Arguments after `helper`.
    pub arguments: Vec<OsString>,
    /// How many there are at most.
    pub most: usize,
    /// How long one may take to start, without doing anything.
    pub start: Duration,
}

/// How long an answer is waited for.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// With a helper that neither computes nor reads.
    pub idle: Duration,
    /// At most.
    pub total: Duration,
}

impl Patience {
    /// So long, whatever the helper does.
    pub fn strict(total: Duration) -> Self {
        Patience { idle: total, total }
    }
}

/// Helpers that are there, and the way to further ones.
pub struct Pool {
    spec: Spec,
    state: Mutex<State>,
    changed: Condvar,
    /// Requests answered, whatever the answer.
    answered: AtomicU64,
}

#[derive(Default)]
struct State {
    idle: Vec<Worker>,
    live: usize,
    /// Starts that failed, one after the other.
    failures: u32,
    not_before: Option<Instant>,
    failure: Option<Error>,
}

struct Worker {
    process: Process,
    number: u64,
    /// What it was last asked about, the newest at the end: it may have that open still.
    topics: VecDeque<u64>,
}

/// Topics that a helper is remembered for.
const TOPICS: usize = 4;
/// First pause after a failed start; it doubles with each further one.
const PAUSE: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(30);

impl Pool {
    /// An empty pool; helpers are started when they are needed.
    pub fn new(spec: Spec) -> Self {
        Pool { spec, state: Mutex::default(), changed: Condvar::new(), answered: AtomicU64::new(0) }
    }

    /// Asks a helper, preferably one that has worked on `topic`. `moved` is called now and then while waiting, and told whether
    /// anything moves; its error ends a wait for a free helper.
    ///
    /// # Errors
    /// The helper's own; `Stuck` if it did not answer in time, `Io` if it ended or could not be started.
    pub fn ask(
        &self,
        topic: u64,
        request: &[u8],
        most: u64,
        patience: Patience,
        moved: &mut dyn FnMut(bool) -> Result<()>,
    ) -> Result<Vec<u8>> {
        let mut worker = self.acquire(topic, patience.idle, moved)?;
        let asked = worker.ask(request, most, patience, self.spec.name, &mut |moves| drop(moved(moves)));
        self.answered.fetch_add(1, Ordering::Relaxed);
        match asked {
            Ok(answer) if !answer.last => {
                worker.topics.retain(|t| *t != topic);
                worker.topics.push_back(topic);
                if worker.topics.len() > TOPICS {
                    worker.topics.pop_front();
                }
                self.give_back(worker);
                answer.result
            }
            Ok(answer) => {
                self.lose(worker);
                answer.result
            }
            Err(e) => {
                self.lose(worker);
                Err(e)
            }
        }
    }

    /// A helper of one's own: an idle one, a new one, or the next that comes free.
    fn acquire(&self, topic: u64, idle: Duration, moved: &mut dyn FnMut(bool) -> Result<()>) -> Result<Worker> {
        let mut seen = self.answered.load(Ordering::Relaxed);
        let mut since = Instant::now();
        let mut state = lock(&self.state);
        loop {
            let known = state.idle.iter().rposition(|w| w.topics.contains(&topic));
            let at = known.or_else(|| state.idle.len().checked_sub(1));
            if let Some(at) = at {
                let worker = state.idle.swap_remove(at);
                if worker.process.is_ruined() {
                    // It died while nobody needed it: no reason to fail.
                    state.live -= 1;
                    drop(state);
                    drop(worker);
                    state = lock(&self.state);
                    continue;
                }
                return Ok(worker);
            }
            if state.live < self.spec.most {
                if let (Some(until), Some(e)) = (state.not_before, &state.failure)
                    && Instant::now() < until
                {
                    return Err(e.clone());
                }
                state.live += 1;
                drop(state);
                return self.start(moved);
            }
            state = self.changed.wait_timeout(state, wire::TURN).map_or_else(|e| e.into_inner().0, |(guard, _)| guard);
            let now = self.answered.load(Ordering::Relaxed);
            let moves = now != seen;
            if moves {
                (seen, since) = (now, Instant::now());
            }
            if since.elapsed() >= idle {
                return Err(Error::new(Kind::Stuck, format!("every {} is busy", self.spec.name)));
            }
            drop(state);
            moved(moves)?;
            state = lock(&self.state);
        }
    }

    /// Starts one; its place is counted already.
    fn start(&self, moved: &mut dyn FnMut(bool) -> Result<()>) -> Result<Worker> {
        let started = Process::start(&self.spec.arguments).and_then(|process| {
            let mut worker = Worker { process, number: 0, topics: VecDeque::new() };
            // It says by itself that it is ready, or why it never will be; whoever waits sees that it works on that.
            let patience = Patience { idle: self.spec.start, total: 2 * self.spec.start };
            worker.hear(0, patience, self.spec.name, &mut |moves| drop(moved(moves)))?.result?;
            Ok(worker)
        });
        let mut state = lock(&self.state);
        match started {
            Ok(worker) => {
                state.failures = 0;
                state.not_before = None;
                Ok(worker)
            }
            Err(e) => {
                let e = Error::new(e.kind(), format!("{} could not be started: {}", self.spec.name, e.what()));
                state.live -= 1;
                state.failures = state.failures.saturating_add(1);
                let pause = PAUSE.saturating_mul(1 << (state.failures - 1).min(16)).min(PAUSE_MAX);
                state.not_before = Some(Instant::now() + pause);
                state.failure = Some(e.clone());
                drop(state);
                self.changed.notify_one();
                Err(e)
            }
        }
    }

    fn give_back(&self, worker: Worker) {
        lock(&self.state).idle.push(worker);
        self.changed.notify_one();
    }

    fn lose(&self, worker: Worker) {
        drop(worker);
        lock(&self.state).live -= 1;
        self.changed.notify_one();
    }

    /// Process numbers of idle helpers.
    pub fn idle(&self) -> Vec<u32> {
        lock(&self.state).idle.iter().map(|w| w.process.id()).collect()
    }
}

impl Worker {
    fn ask(
        &mut self,
        request: &[u8],
        most: u64,
        patience: Patience,
        name: &str,
        moved: &mut dyn FnMut(bool),
    ) -> Result<wire::Answer> {
        self.number += 1;
        let number = self.number;
        let mut clock = Clock::new(self.process.id(), patience, name, moved);
        wire::send(&mut self.process.socket, number, request, &mut || clock.turn())?;
        wire::answer(&mut self.process.socket, number, most, &mut || clock.turn())
    }

    fn hear(&mut self, most: u64, patience: Patience, name: &str, moved: &mut dyn FnMut(bool)) -> Result<wire::Answer> {
        let mut clock = Clock::new(self.process.id(), patience, name, moved);
        wire::answer(&mut self.process.socket, 0, most, &mut || clock.turn())
    }
}

/// Ends a wait.
struct Clock<'a> {
    id: u32,
    patience: Patience,
    name: &'a str,
    moved: &'a mut dyn FnMut(bool),
    began: Instant,
    last: Instant,
    looked: Instant,
    effort: Option<(u64, u64)>,
}

impl<'a> Clock<'a> {
    fn new(id: u32, patience: Patience, name: &'a str, moved: &'a mut dyn FnMut(bool)) -> Self {
        let now = Instant::now();
        Clock { id, patience, name, moved, began: now, last: now, looked: now, effort: None }
    }

    fn turn(&mut self) -> Result<()> {
        let mut moves = false;
        if self.patience.total > self.patience.idle && self.looked.elapsed() >= Duration::from_secs(1) {
            let now = effort(self.id);
            if let (Some((ticks, read)), Some((ticks_then, read_then))) = (now, self.effort) {
                // A fifth of a processor: a machine that does nothing takes a little time too.
                moves = ticks.saturating_sub(ticks_then) >= 20 || read.saturating_sub(read_then) >= 1 << 16;
            }
            (self.looked, self.effort) = (Instant::now(), now);
            if moves {
                self.last = self.looked;
            }
        }
        (self.moved)(moves);
        if self.last.elapsed() < self.patience.idle && self.began.elapsed() < self.patience.total {
            return Ok(());
        }
        let seconds = self.began.elapsed().as_secs_f64();
        Err(Error::new(Kind::Stuck, format!("{} did not answer within {seconds:.1} s", self.name)))
    }
}
