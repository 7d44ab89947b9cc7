//! One unit of a source: room is leased, bytes are fetched, samples decoded.

use super::permit::Permits;
use super::stats::Counters;
use super::turn::{current_job, lead_with, off_source};
use crate::cache::{Budget, Flights, Joined, Key, Lead, Lease, Share, Tile, TileCache, Waiter};
use crate::error::{Error, Kind, Result};
use crate::format::Stored;
use crate::io::Watch;
use crate::model::TileId;
use crate::pyramid::OpenImage;
use crate::sync::{Arc, Ordering};

/// What it takes to make tiles.
pub(crate) struct Units {
    pub(crate) budget: Arc<Budget>,
    pub(crate) cache: Arc<TileCache>,
    pub(crate) flights: Arc<Flights>,
    pub(crate) permits: Permits,
    /// How many permits there are.
    pub(crate) threads: usize,
    pub(crate) counters: Counters,
}

impl Units {
    /// Makes the unit that `lead` stands for, and answers whoever waits for it. Kept in the cache if `keep`.
    pub(crate) fn make(&self, image: &OpenImage, id: TileId, lead: Lead, keep: bool) -> Result<Arc<Tile>> {
        let lease = room(image, id).and_then(|bytes| off_source(|| self.budget.lease_blocking(Share::Unit, bytes)));
        self.make_in(image, id, lead, lease, keep)
    }

    /// Makes a unit that will be wanted soon, unless it is there, under way, wanted no more, or no room is free.
    pub(crate) fn make_ahead(&self, image: &OpenImage, id: TileId, is_wanted: &dyn Fn() -> bool) {
        let key = Key::Unit(image.key, id);
        let Some(lease) = room(image, id).ok().and_then(|bytes| self.budget.lease_now(Share::Unit, bytes)) else {
            return;
        };
        let Joined::Lead(mut lead) = self.flights.join(key, current_job()) else { return };
        // Asked with the flight in hand: nobody gets past the unit now without it.
        if let Some(tile) = self.cache.touch(&key) {
            return lead.finish(&Ok(tile));
        }
        if !is_wanted() {
            lead = match lead.cancel() {
                Ok(()) => return,
                Err(others_want_it) => others_want_it,
            };
        }
        // An error goes to whoever waits; if nobody does, the one who needs the unit will find it again.
        let _ = self.make_in(image, id, lead, Ok(lease), true);
    }

    fn make_in(
        &self,
        image: &OpenImage,
        id: TileId,
        lead: Lead,
        lease: Result<Lease>,
        keep: bool,
    ) -> Result<Arc<Tile>> {
        lead_with(lead.watch());
        let result = lease.and_then(|lease| self.load(image, id, lead.watch(), lease));
        if let Ok(tile) = &result
            && keep
        {
            self.cache.insert(*lead.key(), tile);
        }
        lead.finish(&result);
        result
    }

    /// Fetches and decodes, on a lane thread. The watch is the flight's own, so no reader's end stops it.
    fn load(&self, image: &OpenImage, id: TileId, watch: &Watch, mut lease: Lease) -> Result<Arc<Tile>> {
        let source = &image.source;
        let expected = unit_bytes(image, id)?;
        watch.tick();
        source.verify(id)?;
        let stored = source.fetch(id, watch)?;
        source.verify(id)?;
        watch.tick();
        let (read, samples) = match stored {
            Stored::Absent => {
                let paid = lease.split_tile(Tile::OVERHEAD).ok_or_else(|| internal("a lease is too small"))?;
                return Ok(Arc::new(Tile::absent(paid)));
            }
            Stored::Decoded(samples) => (samples.len(), samples),
            stored @ Stored::Encoded { .. } => {
                let Stored::Encoded { bytes, .. } = &stored else { return Err(internal("unreachable")) };
                let read = bytes.len();
                let decode = || {
                    let _permit = self.permits.acquire();
                    source.decode(id, stored)
                };
                (read, off_source(decode)?)
            }
        };
        watch.tick();
        if samples.len() as u64 != expected {
            return Err(internal(&format!("unit {id:?} has {} bytes, not {expected}", samples.len())));
        }
        self.counters.source_bytes.fetch_add(read as u64, Ordering::Relaxed);
        self.counters.decoded_units.fetch_add(1, Ordering::Relaxed);
        self.counters.decoded_bytes.fetch_add(expected, Ordering::Relaxed);
        let mut samples = samples;
        if samples.capacity() - samples.len() > samples.len() / 8 {
            samples.shrink_to_fit();
        }
        let paid = samples.capacity() as u64 + Tile::OVERHEAD;
        let paid = lease.split_tile(paid.min(lease.bytes())).ok_or_else(|| internal("a lease is too small"))?;
        Ok(Arc::new(Tile::new(samples, paid)))
    }

    /// A unit, now: from the cache, or made on this lane thread, or waited for while another one makes it.
    pub(crate) fn now(&self, image: &OpenImage, id: TileId, watch: &Watch) -> Result<Arc<Tile>> {
        let key = Key::Unit(image.key, id);
        loop {
            watch.check()?;
            if let Some(tile) = self.cache.get(&key) {
                return Ok(tile);
            }
            if let Joined::Lead(lead) = self.flights.join(key, current_job()) {
                let made = self.make(image, id, lead, true);
                watch.tick();
                return made;
            }
            // The leader runs on a thread of its own and waits for nobody, so this wait ends.
            let (send, receive) = crossbeam::channel::bounded(1);
            let wake = move |result: &Result<Arc<Tile>>| drop(send.send(result.clone()));
            if self.flights.park(&key, Waiter { watch: None, wake: Box::new(wake) }).is_ok()
                && let Ok(result) = off_source(|| receive.recv())
            {
                watch.tick();
                return result;
            }
        }
    }
}

/// Room that a unit takes while it is made.
fn room(image: &OpenImage, id: TileId) -> Result<u64> {
    let cost = image.source.cost(id);
    let decoded = cost.decoded.max(unit_bytes(image, id)?);
    Ok(decoded.saturating_add(cost.scratch).saturating_add(Tile::OVERHEAD))
}

/// Bytes of a unit's samples.
fn unit_bytes(image: &OpenImage, id: TileId) -> Result<u64> {
    let series = image.source.series().get(id.series as usize);
    let level = series.and_then(|s| Some((s, s.levels.get(id.level as usize)?)));
    let Some((series, level)) = level else { return Err(internal("no such level")) };
    let (rows, columns) = level.unit_size(id.ty, id.tx);
    let bytes = rows.checked_mul(columns).and_then(|n| n.checked_mul(series.samples));
    let bytes = bytes.and_then(|n| n.checked_mul(series.dtype.size() as u64)).filter(|n| *n > 0);
    bytes.ok_or_else(|| Error::over_limit(format!("a unit of {rows} x {columns}")))
}

fn internal(what: &str) -> Error {
    Error::new(Kind::Internal, what)
}
