//! Decoders that stopped inside a large strip, kept so that the next band of rows goes on from there.
//!
//! One pool serves all files, because its memory lies outside of the byte budget and must stay small whatever is open.

use std::collections::VecDeque;
use std::io::Read;
use std::time::Duration;

use super::compression::Compression;
use crate::error::Result;
use crate::io::Watch;
use crate::sync::{AtomicU64, Condvar, Mutex, Ordering, lock};

/// Memory of all decoders that rest.
const KEPT_BYTES: u64 = 16 << 20;
/// Rows that were just decoded stay at hand up to this size: several threads that fetch the bands of one chunk do not
/// arrive in order, and a decoder cannot go back.
const BEHIND_BYTES: usize = 4 << 20;
/// How often a waiting thread looks whether anybody still wants its band.
const LOOK: Duration = Duration::from_millis(50);
/// Decoded in one go while skipping.
const STEP_BYTES: usize = 256 << 10;

/// Names an open file in the pool, and takes its decoders out when the file is closed.
pub(super) struct FileKey(u64);

impl FileKey {
    pub fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        FileKey(NEXT.fetch_add(1, Ordering::Relaxed))
    }

    /// The key of a block of this file.
    pub fn block(&self, stream: Encoding) -> Key {
        Key { file: self.0, stream }
    }
}

impl Drop for FileKey {
    fn drop(&mut self) {
        lock(&POOL.state).resting.retain(|c| c.key.file != self.0);
    }
}

/// Names a block. All that its bytes depend on: in a broken file, two pages may decode the same range differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Key {
    file: u64,
    stream: Encoding,
}

/// Where a compressed block lies, and how it is to be understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Encoding {
    pub offset: u64,
    pub length: u64,
    pub compression: Compression,
    /// FillOrder 2.
    pub reversed: bool,
    /// Decompressed bytes of a row.
    pub row_bytes: usize,
}

static POOL: Pool = Pool {
    state: Mutex::new(State { resting: Vec::new(), busy: Vec::new(), waiting: Vec::new(), tickets: 0 }),
    freed: Condvar::new(),
    steps: AtomicU64::new(0),
};

struct Pool {
    state: Mutex<State>,
    freed: Condvar,
    /// Counts decoded pieces, so that those who wait can tell that it moves.
    steps: AtomicU64,
}

struct State {
    /// The latest used last.
    resting: Vec<Cursor>,
    /// Blocks that a thread is decoding.
    busy: Vec<Key>,
    /// Those who want one: block, first row, number.
    waiting: Vec<(Key, u64, u64)>,
    tickets: u64,
}

/// A decoder inside a block.
pub(super) struct Cursor {
    key: Key,
    /// Next row that the decoder gives.
    row: u64,
    /// The rows before it.
    behind: VecDeque<u8>,
    decoder: Box<dyn Read + Send>,
    /// Memory that the decoder may hold.
    bytes: u64,
}

/// The right to decode a block: one thread at a time, because two would decode the same rows twice.
pub(super) struct Turn(Key);

impl Turn {
    /// Waits for the block. Of several who wait, whoever wants the first row goes first: a decoder only goes forward.
    ///
    /// # Errors
    /// `Interrupted` if nobody wants the band any more.
    pub fn wait(key: Key, row: u64, watch: &Watch) -> Result<Self> {
        let mut seen = POOL.steps.load(Ordering::Relaxed);
        let mut state = lock(&POOL.state);
        state.tickets += 1;
        let ticket = state.tickets;
        state.waiting.push((key, row, ticket));
        let done = loop {
            let earlier = state.waiting.iter().any(|w| w.0 == key && (w.1, w.2) < (row, ticket));
            if !earlier && !state.busy.contains(&key) {
                state.busy.push(key);
                break Ok(Turn(key));
            }
            if let Err(e) = watch.check() {
                break Err(e);
            }
            let waited = POOL.freed.wait_timeout(state, LOOK);
            state = waited.unwrap_or_else(std::sync::PoisonError::into_inner).0;
            let now = POOL.steps.load(Ordering::Relaxed);
            if now != seen {
                seen = now;
                watch.tick();
            }
        };
        state.waiting.retain(|w| w.2 != ticket);
        drop(state);
        POOL.freed.notify_all();
        done
    }

    /// A decoder that can give `row` soonest, if there is one.
    pub fn resume(&self, row: u64) -> Option<Cursor> {
        let mut state = lock(&POOL.state);
        let fits = state.resting.iter().enumerate().filter(|(_, c)| c.key == self.0 && c.oldest() <= row);
        let (best, _) = fits.max_by_key(|(_, c)| c.row)?;
        Some(state.resting.remove(best))
    }

    /// A decoder at the beginning of the block; `bytes` is the memory that it may hold.
    pub fn begin(&self, decoder: Box<dyn Read + Send>, bytes: u64) -> Cursor {
        Cursor { key: self.0, row: 0, behind: VecDeque::new(), decoder, bytes }
    }

    /// Lets `cursor` rest until its next band is wanted, and others go on.
    pub fn end(self, cursor: Cursor) {
        let mut state = lock(&POOL.state);
        state.resting.retain(|c| (c.key, c.row) != (cursor.key, cursor.row));
        state.resting.push(cursor);
        while state.resting.len() > 1 && state.resting.iter().map(Cursor::size).sum::<u64>() > KEPT_BYTES {
            state.resting.remove(0);
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        lock(&POOL.state).busy.retain(|k| *k != self.0);
        POOL.freed.notify_all();
    }
}

impl Cursor {
    /// The first row that is still at hand.
    fn oldest(&self) -> u64 {
        self.row - (self.behind.len() / self.row_bytes()) as u64
    }

    fn row_bytes(&self) -> usize {
        self.key.stream.row_bytes.max(1)
    }

    fn size(&self) -> u64 {
        self.bytes + self.behind.capacity() as u64
    }

    /// Fills `raw` with the rows from `start` on; `start` is not before the oldest row at hand.
    ///
    /// # Errors
    /// Those of the decoder; `Interrupted` if nobody waits any more, and then only rows before `start` were decoded.
    pub fn read(&mut self, start: u64, raw: &mut [u8], watch: &Watch) -> Result<()> {
        let step = (STEP_BYTES / self.row_bytes()).max(1) as u64;
        let mut skipped = Vec::new();
        while self.row < start {
            watch.check()?;
            let rows = step.min(start - self.row);
            skipped.resize(rows as usize * self.row_bytes(), 0);
            self.decode(&mut skipped, watch)?;
        }
        let held = (self.row - start) as usize * self.row_bytes();
        let (known, new) = raw.split_at_mut(held.min(raw.len()));
        let from = self.behind.len() - held;
        for (target, byte) in known.iter_mut().zip(self.behind.range(from..)) {
            *target = *byte;
        }
        for piece in new.chunks_mut(step as usize * self.row_bytes()) {
            self.decode(piece, watch)?;
        }
        Ok(())
    }

    /// Decodes whole rows and remembers them.
    fn decode(&mut self, rows: &mut [u8], watch: &Watch) -> Result<()> {
        let name = self.key.stream.compression.name();
        self.decoder.read_exact(rows).map_err(|e| crate::codec::stream_error(&e, name))?;
        self.row += (rows.len() / self.row_bytes()) as u64;
        // Whole rows only, the latest ones.
        let room = BEHIND_BYTES / self.row_bytes() * self.row_bytes();
        let kept = &rows[rows.len() - rows.len().min(room)..];
        let surplus = (self.behind.len() + kept.len()).saturating_sub(room);
        self.behind.drain(..surplus);
        let needed = self.behind.len() + kept.len();
        if needed > self.behind.capacity() {
            // Grows by doubling, but never beyond what is kept.
            self.behind.reserve_exact(room.min(2 * needed) - self.behind.len());
        }
        self.behind.extend(kept);
        watch.tick();
        POOL.steps.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}
