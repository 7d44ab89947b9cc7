//! The byte budget: cached tiles, parsed files, documents, scratch and work in flight take leases before they allocate.
//!
//! Shares are ordered so that nobody waits in a circle. `Work` (sweeps) and `Output` (replies being assembled) are held
//! by jobs that may be parked, so they are granted at once or by a continuation, never by blocking a thread. `Joined`
//! (replies put together from several reads) is granted the same way; its holders wait for reads that need the others, so
//! it takes nothing from them. `Unit` is
//! held only by a running decode, which finishes without asking for more, so a thread may block for it; half the budget
//! is out of reach of the other shares, and whatever is not leased holds cached tiles, which go when room is needed.

use std::cell::Cell;
use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use crate::error::{Error, Result};
use crate::sync::{Arc, Condvar, Mutex, OnceLock, lock};

/// What leased bytes are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Share {
    /// Parsed files and documents: long-lived, dropped by their owner. At most 3/16.
    Held,
    /// Buffers of sweeps. Together with `Held` at most 6/16.
    Work,
    /// Replies being assembled. Together with `Held` and `Work` at most 7/16.
    Output,
    /// Replies put together from several reads. At most 1/16.
    Joined,
    /// Units being fetched and decoded. Together at most half.
    Unit,
    /// A tile that is decoded; most are in the cache and can be evicted.
    Tile,
}

const SHARES: usize = 6;

/// Called when a parked lease is granted.
type Wake = Box<dyn FnOnce(Lease) + Send>;

struct Parked {
    share: Share,
    bytes: u64,
    wake: Wake,
}

#[derive(Default)]
struct State {
    used: [u64; SHARES],
    peak: u64,
    parked: VecDeque<Parked>,
    /// Threads that block for a unit, in the order they came.
    blocked: BTreeSet<u64>,
    next: u64,
}

impl State {
    fn sum(&self) -> u64 {
        self.used.iter().sum()
    }
}

/// Removes tiles from the cache until about so many bytes are gone; gives how many tiles went.
type Evict = Box<dyn Fn(u64) -> usize + Send + Sync>;

/// See the module.
pub struct Budget {
    total: u64,
    state: Mutex<State>,
    freed: Condvar,
    evict: OnceLock<Evict>,
}

thread_local! {
    /// A lease that ends while this thread hands out freed bytes leaves the handing out to the loop above it.
    static HANDING_OUT: Cell<bool> = const { Cell::new(false) };
}

impl Budget {
    /// `total` bytes.
    pub fn new(total: u64) -> Arc<Self> {
        Arc::new(Budget {
            total: total.max(1 << 20),
            state: Mutex::default(),
            freed: Condvar::new(),
            evict: OnceLock::new(),
        })
    }

    /// How tiles are evicted; set once, by the cache.
    pub(super) fn set_evict(&self, evict: Evict) {
        let _ = self.evict.set(evict);
    }

    /// All bytes.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Bytes leased now.
    pub fn used(&self) -> u64 {
        lock(&self.state).sum()
    }

    /// Most bytes that were ever leased at a time; never above [`Budget::total`].
    pub fn peak(&self) -> u64 {
        lock(&self.state).peak
    }

    /// Bytes leased for one purpose.
    pub fn used_by(&self, share: Share) -> u64 {
        lock(&self.state).used[share as usize]
    }

    /// Largest lease of a share that is sure to be granted some time.
    pub fn most(&self, share: Share) -> u64 {
        match share {
            Share::Held | Share::Work => self.total / 16 * 3,
            Share::Output | Share::Joined => self.total / 16,
            Share::Unit | Share::Tile => self.total / 2,
        }
    }

    /// A lease for a parsed file or a document, to be kept as long as it is. Tiles are evicted to make room.
    ///
    /// # Errors
    /// `OverLimit` if all such leases together would exceed 3/16 of the budget: let others go and try again.
    pub fn lease(self: &Arc<Self>, bytes: u64) -> Result<Lease> {
        self.lease_blocking(Share::Held, bytes)
    }

    /// A lease, waiting for running decodes to end if need be. Never call it with a tile or another `Unit` lease in hand.
    ///
    /// # Errors
    /// `OverLimit`, naming the `--cache-size` that would do, if it can never fit.
    pub fn lease_blocking(self: &Arc<Self>, share: Share, bytes: u64) -> Result<Lease> {
        let mut ticket = None;
        loop {
            if !self.possible(share, bytes) {
                if let Some(t) = ticket {
                    lock(&self.state).blocked.remove(&t);
                    self.freed.notify_all();
                }
                return Err(self.too_much(share, bytes));
            }
            if let Some(lease) = self.attempt(share, bytes, ticket) {
                return Ok(lease);
            }
            let mut state = lock(&self.state);
            if ticket.is_none() {
                let t = state.next;
                state.next += 1;
                state.blocked.insert(t);
                ticket = Some(t);
            }
            // The time-out is a net: a tile that was evicted while somebody copied from it may have gone just before.
            let _ = self.freed.wait_timeout(state, Duration::from_millis(20));
        }
    }

    /// A lease if it can be had now.
    pub fn lease_now(self: &Arc<Self>, share: Share, bytes: u64) -> Option<Lease> {
        if !lock(&self.state).parked.iter().all(|p| p.share != share) {
            return None;
        }
        self.attempt(share, bytes, None)
    }

    /// A lease now or as soon as it can be had, in the order of asking; `wake` may run on any thread and must be short.
    ///
    /// # Errors
    /// `OverLimit` if it can never fit; `wake` is dropped.
    pub fn lease_later(
        self: &Arc<Self>,
        share: Share,
        bytes: u64,
        wake: impl FnOnce(Lease) + Send + 'static,
    ) -> Result<()> {
        if !self.possible(share, bytes) {
            return Err(self.too_much(share, bytes));
        }
        lock(&self.state).parked.push_back(Parked { share, bytes, wake: Box::new(wake) });
        self.hand_out();
        Ok(())
    }

    /// Could it be granted if all work in flight ended?
    fn possible(&self, share: Share, bytes: u64) -> bool {
        match share {
            Share::Held => self.share_allows(&lock(&self.state).used, share, bytes),
            Share::Work | Share::Output => {
                let mut used = lock(&self.state).used;
                used[Share::Work as usize] = 0;
                used[Share::Output as usize] = 0;
                self.share_allows(&used, share, bytes)
            }
            Share::Joined => bytes <= self.total / 16,
            Share::Unit | Share::Tile => bytes <= self.total / 2,
        }
    }

    fn too_much(&self, share: Share, bytes: u64) -> Error {
        // The inverse of `most`, rounded up to whole MiB.
        let need = match share {
            Share::Held | Share::Work | Share::Output => bytes.saturating_mul(16) / 3,
            Share::Joined => bytes.saturating_mul(16),
            Share::Unit | Share::Tile => bytes.saturating_mul(2),
        };
        let mib = (need >> 20) + 1;
        Error::over_limit(format!(
            "{bytes} bytes at a time do not fit in the budget of {} bytes: --cache-size {mib}MiB would do",
            self.total
        ))
    }

    fn share_allows(&self, used: &[u64; SHARES], share: Share, bytes: u64) -> bool {
        let held = used[Share::Held as usize];
        let work = used[Share::Work as usize];
        let output = used[Share::Output as usize];
        let (sum, most) = match share {
            Share::Held => (held, self.total / 16 * 3),
            Share::Work => (held + work, self.total / 16 * 6),
            Share::Output => (held + work + output, self.total / 16 * 7),
            Share::Joined => (used[Share::Joined as usize], self.total / 16),
            Share::Unit => (used[Share::Unit as usize], self.total / 2),
            Share::Tile => (0, self.total / 2),
        };
        sum.saturating_add(bytes) <= most
    }

    /// Grants if the share allows and room can be made. A thread that blocks goes by its ticket.
    fn attempt(self: &Arc<Self>, share: Share, bytes: u64, ticket: Option<u64>) -> Option<Lease> {
        loop {
            let over = {
                let mut state = lock(&self.state);
                let first = state.blocked.first().copied();
                if first.is_some() && first != ticket && matches!(share, Share::Unit | Share::Held) {
                    return None;
                }
                if !self.share_allows(&state.used, share, bytes) {
                    return None;
                }
                let over = state.sum().saturating_add(bytes).saturating_sub(self.total);
                if over == 0 {
                    if let Some(t) = ticket {
                        state.blocked.remove(&t);
                        if !state.blocked.is_empty() {
                            self.freed.notify_all();
                        }
                    }
                    return Some(self.grant(&mut state, share, bytes));
                }
                over
            };
            if self.evict.get().is_none_or(|evict| evict(over) == 0) {
                return None;
            }
        }
    }

    fn grant(self: &Arc<Self>, state: &mut State, share: Share, bytes: u64) -> Lease {
        state.used[share as usize] += bytes;
        state.peak = state.peak.max(state.sum());
        Lease { budget: Arc::clone(self), share, bytes }
    }

    /// Grants parked leases from the front as long as they fit.
    fn hand_out(self: &Arc<Self>) {
        if HANDING_OUT.replace(true) {
            return;
        }
        loop {
            let over = {
                let mut state = lock(&self.state);
                // One of each share may go, whichever stands first: a wide sweep must not keep replies waiting.
                let ready = [Share::Joined, Share::Output, Share::Work].into_iter().find_map(|share| {
                    let at = state.parked.iter().position(|p| p.share == share)?;
                    let bytes = state.parked[at].bytes;
                    self.share_allows(&state.used, share, bytes).then_some((at, bytes))
                });
                let Some((at, bytes)) = ready else { break };
                let over = state.sum().saturating_add(bytes).saturating_sub(self.total);
                if over == 0 {
                    let Some(parked) = state.parked.remove(at) else { break };
                    let lease = self.grant(&mut state, parked.share, bytes);
                    drop(state);
                    (parked.wake)(lease);
                    continue;
                }
                over
            };
            if self.evict.get().is_none_or(|evict| evict(over) == 0) {
                break;
            }
        }
        HANDING_OUT.set(false);
    }

    fn give_back(self: &Arc<Self>, share: Share, bytes: u64) {
        let (waiting, parked) = {
            let mut state = lock(&self.state);
            state.used[share as usize] -= bytes;
            (!state.blocked.is_empty(), !state.parked.is_empty())
        };
        if waiting {
            self.freed.notify_all();
        }
        if parked {
            self.hand_out();
        }
    }
}

/// Bytes that were granted; they go back when it is dropped.
pub struct Lease {
    budget: Arc<Budget>,
    share: Share,
    bytes: u64,
}

impl Lease {
    /// How many.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Gives back all but `bytes`.
    pub fn shrink(&mut self, bytes: u64) {
        if let Some(rest) = self.bytes.checked_sub(bytes).filter(|r| *r > 0) {
            self.bytes = bytes;
            self.budget.give_back(self.share, rest);
        }
    }

    /// Takes `bytes` of it for a tile; nothing if it has fewer.
    pub fn split_tile(&mut self, bytes: u64) -> Option<Lease> {
        let rest = self.bytes.checked_sub(bytes)?;
        {
            let mut state = lock(&self.budget.state);
            state.used[self.share as usize] -= bytes;
            state.used[Share::Tile as usize] += bytes;
        }
        self.bytes = rest;
        Some(Lease { budget: Arc::clone(&self.budget), share: Share::Tile, bytes })
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.budget.give_back(self.share, self.bytes);
    }
}
