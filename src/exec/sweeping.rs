//! Chunks of synthesized levels: one sweep makes a row of them, everybody else waits without a thread.
//!
//! A sweep leads the flight of each chunk it makes. It runs in turns: it goes back to the end of its lane's queue when
//! others wait there, and parks while another job decodes a unit that it needs.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use super::Shared;
use super::lanes::{Class, LaneKey};
use super::sweep_plan::Making;
use super::turn::{current_job, off_source, on_stuck};
use crate::cache::{Joined, Key, Lead, Lease, Share, Tile, Waiter};
use crate::config::Damaged;
use crate::error::{Error, Kind, Result};
use crate::io::Watch;
use crate::model::TileId;
use crate::pyramid::{ChunkId, Finished, Need, OpenImage};
use crate::sync::{Arc, Mutex, Ordering, lock};

/// A turn of a sweep, when others wait for its slot.
const TURN: Duration = Duration::from_millis(20);

/// What a sweep holds while it runs.
pub(super) struct State {
    making: Making,
    /// The chunks that are waited for or could be, and are not made yet.
    leads: HashMap<ChunkId, Lead>,
    lease: Lease,
    /// Chunks of a finer level that it is made from.
    finer: HashMap<ChunkId, Arc<Tile>>,
    /// The last unit that another job was asked to make ahead.
    ahead: Option<TileId>,
    /// The unit another job made while this one was parked.
    handed: Option<(TileId, Result<Arc<Tile>>)>,
}

impl State {
    pub(super) fn new(
        making: Making,
        leads: HashMap<ChunkId, Lead>,
        lease: Lease,
        finer: HashMap<ChunkId, Arc<Tile>>,
    ) -> Self {
        State { making, leads, lease, finer, ahead: None, handed: None }
    }
}

/// A sweep under way.
pub(super) struct Sweeping {
    shared: Arc<Shared>,
    lane: LaneKey,
    image: Arc<OpenImage>,
    /// One of the chunks: the others differ in column and channel.
    first: ChunkId,
    /// Channel of the first sample.
    group: u64,
    watch: Arc<Watch>,
    /// Units are few enough to be kept in the cache.
    keep_units: bool,
    /// None when it is over, or was given up.
    state: Mutex<Option<State>>,
}

/// A unit, or that this turn is over.
enum Got {
    Samples(Result<Arc<Tile>>),
    Parked,
}

impl Sweeping {
    /// Nothing runs before [`Sweeping::begin`]. `group` is the channel of the first sample.
    pub(super) fn new(
        shared: &Arc<Shared>,
        lane: &LaneKey,
        image: &Arc<OpenImage>,
        first: ChunkId,
        group: u64,
        keep_units: bool,
    ) -> Arc<Self> {
        Arc::new(Sweeping {
            shared: Arc::clone(shared),
            lane: lane.clone(),
            image: Arc::clone(image),
            first,
            group,
            watch: Arc::new(Watch::default()),
            keep_units,
            state: Mutex::new(None),
        })
    }

    /// Its room is there: queues the first turn.
    pub(super) fn begin(self: &Arc<Self>, state: State) {
        *lock(&self.state) = Some(state);
        self.queue();
    }

    fn queue(self: &Arc<Self>) {
        let me = Arc::clone(self);
        let run = move |may: Result<()>| {
            let result = catch_unwind(AssertUnwindSafe(|| may.and_then(|()| me.turn())));
            match result {
                Ok(Ok(())) => {}
                Ok(Err(e)) => me.end(&e),
                Err(_) => me.end(&Error::new(Kind::Internal, "the decoder panicked")),
            }
        };
        self.shared.lanes.push(&self.lane, Class::Data, &self.watch, Box::new(run));
    }

    /// Ends it: those who still wait get the error.
    fn end(&self, error: &Error) {
        let state = lock(&self.state).take();
        for lead in state.into_iter().flat_map(|s| s.leads.into_values()) {
            lead.finish(&Err(error.clone()));
        }
    }

    fn tick(&self) {
        self.watch.tick();
        if let Some(state) = &*lock(&self.state) {
            for lead in state.leads.values() {
                lead.watch().tick();
            }
        }
    }

    fn turn(self: &Arc<Self>) -> Result<()> {
        let me = Arc::clone(self);
        on_stuck(move || me.end(&Error::new(Kind::Stuck, "the source does not answer")));
        let started = Instant::now();
        let mut looked = started;
        loop {
            let need = match &*lock(&self.state) {
                Some(state) => state.making.need(),
                None => return Ok(()),
            };
            let Some(need) = need else { break };
            let got = match need {
                Need::Unit(id) => {
                    self.look_ahead(id);
                    self.unit(id)
                }
                Need::Chunk(id) => self.chunk(id),
            };
            let Got::Samples(result) = got else { return Ok(()) };
            self.take(need, result)?;
            self.tick();
            let now = Instant::now();
            if now - looked > TURN {
                looked = now;
                if !self.is_wanted() {
                    return Ok(());
                }
                if self.shared.lanes.contended(&self.lane, Class::Data) {
                    self.queue();
                    return Ok(());
                }
            }
        }
        // All that was led is finished, unless something is wrong with the plan.
        self.end(&Error::new(Kind::Internal, "a sweep left a chunk out"));
        Ok(())
    }

    /// Ends it if nobody waits for any of its chunks.
    fn is_wanted(&self) -> bool {
        let mut guard = lock(&self.state);
        let Some(state) = &mut *guard else { return false };
        if state.leads.values().any(Lead::is_wanted) {
            return true;
        }
        let leads = std::mem::take(&mut state.leads);
        // Somebody may come just now: his flight goes on.
        state.leads = leads.into_iter().filter_map(|(id, lead)| Some((id, lead.cancel().err()?))).collect();
        if !state.leads.is_empty() {
            return true;
        }
        let over = guard.take();
        drop(guard);
        drop(over);
        false
    }

    /// A unit: from the cache, made here, or handed over by the job that makes it.
    fn unit(self: &Arc<Self>, id: TileId) -> Got {
        let units = &self.shared.units;
        if let Some(state) = &mut *lock(&self.state)
            && let Some((handed, result)) = state.handed.take()
            && handed == id
        {
            return Got::Samples(result);
        }
        let key = Key::Unit(self.image.key, id);
        loop {
            if let Some(tile) = units.cache.touch(&key) {
                return Got::Samples(Ok(tile));
            }
            if let Joined::Lead(lead) = units.flights.join(key, current_job()) {
                return Got::Samples(units.make(&self.image, id, lead, self.keep_units));
            }
            let me = Arc::clone(self);
            let wake = move |result: &Result<Arc<Tile>>| {
                if let Some(state) = &mut *lock(&me.state) {
                    state.handed = Some((id, result.clone()));
                } else {
                    return;
                }
                me.tick();
                me.queue();
            };
            if units.flights.park(&key, Waiter { watch: None, wake: Box::new(wake) }).is_ok() {
                return Got::Parked;
            }
        }
    }

    /// Has the next units made by other threads meanwhile: as many as there are processors, if nobody waits for a slot.
    /// They go through the cache, where they can be evicted: room that is needed elsewhere is never held for them.
    fn look_ahead(self: &Arc<Self>, id: TileId) {
        let threads = self.shared.units.threads;
        if threads < 2
            || !self.image.source.random_access(id.series, id.level)
            || self.shared.lanes.contended(&self.lane, Class::Data)
        {
            return;
        }
        let next: Vec<TileId> = match &mut *lock(&self.state) {
            Some(state) => {
                let known = state.ahead;
                let fresh = |id: &TileId| known.is_none_or(|k| (id.ty, id.tx) > (k.ty, k.tx));
                let next: Vec<TileId> = state.making.ahead(threads).into_iter().filter(fresh).collect();
                state.ahead = next.last().copied().or(known);
                next
            }
            None => return,
        };
        for id in next {
            let me = Arc::clone(self);
            let run = move |may: Result<()>| {
                if may.is_ok() {
                    me.shared.units.make_ahead(&me.image, id, &|| me.has_before_it(id));
                }
            };
            self.shared.lanes.push(&self.lane, Class::Data, &Arc::new(Watch::default()), Box::new(run));
        }
    }

    /// Is the sweep still to come to this unit?
    fn has_before_it(&self, id: TileId) -> bool {
        match lock(&self.state).as_ref().and_then(|state| state.making.need()) {
            Some(Need::Unit(next)) => (next.ty, next.tx) <= (id.ty, id.tx),
            _ => false,
        }
    }

    fn chunk(&self, id: ChunkId) -> Got {
        let tile = lock(&self.state).as_mut().and_then(|state| state.finer.remove(&id));
        Got::Samples(tile.ok_or_else(|| Error::new(Kind::Internal, "a finer chunk is missing")))
    }

    /// Sends a unit through the levels and hands out what is finished.
    fn take(&self, need: Need, result: Result<Arc<Tile>>) -> Result<()> {
        if let Err(error) = &result {
            match error.kind() {
                // Nothing about the pixels: the whole sweep fails.
                Kind::Stuck | Kind::Interrupted | Kind::Changed | Kind::OverLimit | Kind::Internal => {
                    return Err(error.clone());
                }
                // What may pass must not be filled: the same path would show other bytes later.
                Kind::Io if self.image.damaged == Damaged::Fill => return Err(error.clone()),
                _ => {}
            }
            if let (Damaged::Fill, Need::Unit(id)) = (self.image.damaged, need) {
                self.shared.damage.note(self.image.key, id, error);
            }
        }
        let samples = match &result {
            Ok(tile) if tile.is_absent() => Ok(None),
            Ok(tile) => Ok(Some(tile.bytes())),
            Err(e) => Err(e),
        };
        let finished = off_source(|| {
            let _permit = self.shared.units.permits.acquire();
            match &mut *lock(&self.state) {
                Some(state) => state.making.push(samples),
                None => Ok(Vec::new()),
            }
        })?;
        drop(result);
        if let (Need::Unit(id), false) = (need, self.keep_units) {
            self.shared.units.cache.remove(&Key::Unit(self.image.key, id));
        }
        finished.into_iter().for_each(|chunk| self.publish(chunk));
        Ok(())
    }

    fn publish(&self, chunk: Finished) {
        let (y, x) = chunk.at;
        let id = ChunkId { level: chunk.level, c: self.group + chunk.sample, y, x, ..self.first };
        let wanted = chunk.level == self.first.level;
        let lead = lock(&self.state).as_mut().and_then(|state| state.leads.remove(&id));
        let bytes = match chunk.bytes {
            Ok(bytes) => bytes,
            Err(e) => {
                if let Some(lead) = lead {
                    lead.finish(&Err(e));
                }
                return;
            }
        };
        let cost = bytes.len() as u64 + Tile::OVERHEAD;
        let key = Key::Chunk(self.image.key, id);
        let lease = match wanted {
            // Its room was leased when the sweep began.
            true => lock(&self.state).as_mut().and_then(|state| state.lease.split_tile(cost)),
            // A courtesy, if there is room that nothing in flight needs.
            false => self.shared.units.budget.lease_now(Share::Tile, cost),
        };
        let Some(lease) = lease else {
            if let Some(lead) = lead {
                lead.finish(&Err(Error::new(Kind::Internal, "no room was leased for a chunk")));
            }
            return;
        };
        let tile = Tile::new(bytes, lease);
        let tile = Arc::new(if chunk.whole { tile } else { tile.with_holes() });
        self.shared.units.counters.reduced_chunks.fetch_add(1, Ordering::Relaxed);
        self.shared.units.cache.insert(key, &tile);
        if let Some(lead) = lead {
            lead.finish(&Ok(Arc::clone(&tile)));
        }
        super::kept::keep_chunk(&self.shared, &self.image, id, &tile);
    }
}
