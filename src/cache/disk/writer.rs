//! Writing, on a thread of its own behind a bounded queue: nobody who reads waits for it.

use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

use super::entry::{self, EntryKey, HEADER};
use super::folder::{Folder, on_disk};
use super::{Counters, Say, evict};
use crate::cache::{Lease, Tile};
use crate::error::{Error, Result};
use crate::pyramid::ChunkFrame;
use crate::sync::{Arc, Condvar, Mutex, MutexGuard, Ordering, lock};

/// A write that takes longer is one that hangs: nothing more is offered to such a disk.
const HANGS: Duration = Duration::from_secs(30);
/// After so long, and so many times as long as counting took, the folder is counted again: other daemons write to it, too.
const COUNT_AGAIN: (Duration, u32) = (Duration::from_secs(60), 50);

/// What an entry is to hold.
pub enum Payload {
    /// A chunk; what lies outside the plane is left out.
    Chunk(Arc<Tile>, ChunkFrame),
    /// Anything, with what pays for it.
    Bytes(Vec<u8>, Option<Lease>),
}

impl Payload {
    fn len(&self) -> u64 {
        match self {
            Payload::Chunk(_, frame) => frame.inside.0 * frame.inside.1 * frame.size,
            Payload::Bytes(bytes, _) => bytes.len() as u64,
        }
    }

    /// Memory that it keeps from others.
    fn cost(&self) -> u64 {
        match self {
            Payload::Chunk(tile, _) => tile.cost(),
            Payload::Bytes(bytes, _) => bytes.len() as u64,
        }
    }

    fn write(&self, file: &mut std::fs::File, key: &EntryKey) -> io::Result<()> {
        match self {
            Payload::Chunk(tile, frame) => entry::write(file, key, frame.rows_inside(tile.bytes())),
            Payload::Bytes(bytes, _) => entry::write(file, key, std::iter::once(&bytes[..])),
        }
    }
}

#[derive(Default)]
struct State {
    queue: VecDeque<(EntryKey, Payload)>,
    bytes: u64,
    /// Since when one is being written.
    busy: Option<Instant>,
    /// Why nothing is written any more.
    off: Option<String>,
    over: bool,
}

struct Shared {
    state: Mutex<State>,
    /// Something came, or it is over.
    work: Condvar,
    /// Something was written.
    done: Condvar,
}

/// See the module. The thread ends when this is dropped.
pub(super) struct Writer {
    shared: Arc<Shared>,
    counters: Arc<Counters>,
    most: u64,
    patient: bool,
}

impl Writer {
    pub(super) fn start(
        folder: &Arc<Folder>,
        counters: &Arc<Counters>,
        say: &Arc<Say>,
        size: u64,
        most: u64,
        patient: bool,
    ) -> Result<Self> {
        let shared = Arc::new(Shared { state: Mutex::default(), work: Condvar::new(), done: Condvar::new() });
        let work = Work {
            shared: Arc::clone(&shared),
            folder: Arc::clone(folder),
            counters: Arc::clone(counters),
            say: Arc::clone(say),
            size,
            count_at: None,
        };
        let thread = std::thread::Builder::new().name("disk-cache".into()).stack_size(256 << 10);
        thread.spawn(move || work.run()).map_err(|e| Error::io(&e, "a thread for the disk cache"))?;
        Ok(Writer { shared, counters: Arc::clone(counters), most, patient })
    }

    pub(super) fn offer(&self, key: EntryKey, payload: Payload) {
        let cost = payload.cost();
        let mut state = lock(&self.shared.state);
        while self.patient && state.off.is_none() && !state.queue.is_empty() && state.bytes + cost > self.most {
            state = wait(&self.shared.done, state, Duration::from_millis(100));
            stop_if_hanging(&mut state);
        }
        stop_if_hanging(&mut state);
        if state.off.is_some() || state.over {
            return;
        }
        // One is taken however large it is: else nothing of such a chunk size would ever be kept.
        if !state.queue.is_empty() && state.bytes.saturating_add(cost) > self.most {
            drop(state);
            self.counters.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        state.bytes = state.bytes.saturating_add(cost);
        state.queue.push_back((key, payload));
        drop(state);
        self.shared.work.notify_one();
    }

    pub(super) fn wait_idle(&self, most: Duration) {
        let started = Instant::now();
        let mut state = lock(&self.shared.state);
        while (!state.queue.is_empty() || state.busy.is_some()) && state.off.is_none() && started.elapsed() < most {
            state = wait(&self.shared.done, state, Duration::from_millis(100));
            stop_if_hanging(&mut state);
        }
    }

    pub(super) fn failure(&self) -> Option<String> {
        lock(&self.shared.state).off.clone()
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        lock(&self.shared.state).over = true;
        self.shared.work.notify_all();
    }
}

fn wait<'a>(what: &Condvar, state: MutexGuard<'a, State>, time: Duration) -> MutexGuard<'a, State> {
    what.wait_timeout(state, time).unwrap_or_else(std::sync::PoisonError::into_inner).0
}

/// What waits behind a write that hangs is let go: it is memory that others want.
fn stop_if_hanging(state: &mut State) {
    if state.off.is_none() && state.busy.is_some_and(|since| since.elapsed() > HANGS) {
        switch_off(state, "the disk does not answer".to_owned());
    }
}

fn switch_off(state: &mut State, why: String) {
    state.off = Some(why);
    state.queue.clear();
    state.bytes = 0;
}

/// What the thread has.
struct Work {
    shared: Arc<Shared>,
    folder: Arc<Folder>,
    counters: Arc<Counters>,
    say: Arc<Say>,
    size: u64,
    /// When the folder is to be counted again.
    count_at: Option<Instant>,
}

impl Work {
    fn run(mut self) {
        self.guarded(|work| work.make_room(0).map(drop));
        loop {
            let (key, payload) = {
                let mut state = lock(&self.shared.state);
                loop {
                    if state.over {
                        return;
                    }
                    if let Some((key, payload)) = state.queue.pop_front() {
                        state.bytes = state.bytes.saturating_sub(payload.cost());
                        state.busy = Some(Instant::now());
                        break (key, payload);
                    }
                    state = wait(&self.shared.work, state, Duration::from_secs(3600));
                }
            };
            self.guarded(|work| work.write(&key, &payload));
            drop(payload);
            lock(&self.shared.state).busy = None;
            self.shared.done.notify_all();
        }
    }

    fn guarded(&mut self, f: impl FnOnce(&mut Self) -> io::Result<()>) {
        if let Err(e) = f(self) {
            let mut state = lock(&self.shared.state);
            let new = state.off.is_none();
            switch_off(&mut state, e.to_string());
            drop(state);
            if new {
                (self.say)(&format!("the disk cache is not written any more: {e}"));
            }
        }
    }

    fn write(&mut self, key: &EntryKey, payload: &Payload) -> io::Result<()> {
        let (name, need) = (key.name(), on_disk(payload.len() + HEADER as u64));
        if self.folder.has(&name) || !self.make_room(need)? {
            return Ok(());
        }
        self.folder.write(&name, |file| payload.write(file, key))?;
        self.counters.held.fetch_add(need, Ordering::Relaxed);
        self.counters.written.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// False if so many bytes can never fit.
    fn make_room(&mut self, need: u64) -> io::Result<bool> {
        if need > self.size {
            return Ok(false);
        }
        let held = self.counters.held.load(Ordering::Relaxed);
        let started = Instant::now();
        let counted = self.count_at.is_some_and(|at| started < at);
        if counted && held.saturating_add(need) <= self.size {
            return Ok(true);
        }
        // A tenth at a time, so that the folder is not walked for every entry.
        let most = self.size - need;
        let found = evict::sweep(&self.folder, most, most.min(self.size / 10 * 9))?;
        let (least, times) = COUNT_AGAIN;
        self.count_at = Instant::now().checked_add(least.max(started.elapsed().saturating_mul(times)));
        self.counters.held.store(found.bytes, Ordering::Relaxed);
        self.counters.evicted.fetch_add(found.removed, Ordering::Relaxed);
        Ok(found.bytes <= most)
    }
}
