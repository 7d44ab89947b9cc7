//! The engine: source lanes, the supervisor, and reads of chunks through the cache.

mod ahead;
mod assembly;
mod damage;
mod kept;
mod lanes;
#[cfg(test)]
mod lanes_tests;
mod memory;
mod permit;
mod reader;
mod reply;
mod requests;
mod stats;
mod sweep_plan;
mod sweeping;
#[cfg(test)]
mod tests;
mod together;
mod turn;
mod units;

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};

pub use lanes::{Class, LaneKey, StuckLane};
pub use reader::Reader;
pub use reply::ChunkDone;
pub use stats::EngineStats;
pub(crate) use turn::off_source;

use crate::cache::disk::{Disk, EntryKey, Payload};
use crate::cache::{Budget, Flights, Joined, Key, Lease, Share, Tile, TileCache, Waiter};
use crate::config::EngineOptions;
use crate::error::{Error, Kind, Result};
use crate::io::Watch;
use crate::model::TileId;
use crate::pyramid::{ChunkFrame, ChunkId, ChunkPlan, OpenImage, Origin};
use crate::sync::Arc;

/// What all threads of an engine share.
pub(crate) struct Shared {
    pub(crate) units: units::Units,
    pub(crate) lanes: Arc<lanes::Lanes>,
    pub(crate) requests: requests::Requests,
    pub(crate) damage: damage::Damage,
    pub(crate) kept: Option<kept::Kept>,
    pub(crate) ahead: ahead::Ahead,
}

/// Runs everything that touches a source, answers reads of chunks, keeps decoded tiles. Threads end when it is dropped.
pub struct Engine {
    shared: Arc<Shared>,
}

impl Engine {
    /// Starts the supervisor and the first lane threads; more come as they are needed.
    pub fn start(options: &EngineOptions) -> Arc<Engine> {
        Engine::start_with(options, None)
    }

    /// The same with what is kept on disk.
    pub fn start_with(options: &EngineOptions, disk: Option<Arc<Disk>>) -> Arc<Engine> {
        memory::tune();
        let budget = Budget::new(options.cache_size);
        let shared = Arc::new(Shared {
            units: units::Units {
                cache: TileCache::new(&budget),
                budget,
                flights: Arc::new(Flights::default()),
                permits: permit::Permits::new(options.threads),
                threads: options.threads.max(1),
                counters: stats::Counters::default(),
            },
            lanes: lanes::Lanes::new(options.threads, options.deadline),
            requests: requests::Requests::new(options.deadline),
            damage: damage::Damage::default(),
            kept: disk.zip(options.disk.as_ref()).map(|(disk, at)| kept::Kept::new(disk, &at.folder, options.deadline)),
            ahead: ahead::Ahead::default(),
        });
        shared.lanes.start();
        let supervised = Arc::clone(&shared);
        let supervisor = std::thread::Builder::new().name("supervisor".into()).stack_size(256 << 10);
        // Without it nothing hangs that would not hang anyway; the process is out of threads then.
        let _ = supervisor.spawn(move || {
            supervised.requests.supervise(&|| {
                for job in supervised.lanes.give_up_stuck() {
                    let error = Error::new(Kind::Stuck, "the source does not answer");
                    supervised.units.flights.fail_led_by(job, &error);
                }
                let kept = supervised.kept.as_ref().is_some_and(kept::Kept::give_up_silent);
                kept || supervised.lanes.is_busy()
            });
        });
        Arc::new(Engine { shared })
    }

    /// Runs `job` on a lane thread of a source directory. `done` gets its result exactly once, on any thread and maybe
    /// before `submit` returns: call it with no lock held. It gets
    ///
    /// * `Stuck` if nothing moved for the deadline, at once if the directory is known not to answer;
    /// * `Interrupted` if the reader has a fatal signal pending;
    /// * `Internal` if the job panicked.
    ///
    /// A result that comes after that is dropped.
    pub fn submit<T: Send + 'static>(
        &self,
        lane: &LaneKey,
        class: Class,
        reader: Reader,
        job: impl FnOnce(&Arc<Watch>) -> Result<T> + Send + 'static,
        done: impl FnOnce(Result<T>) + Send + 'static,
    ) {
        let done: Box<dyn FnOnce(Result<T>) + Send> = Box::new(done);
        let reply = reply::Reply::new(&self.shared, done);
        let watch = Arc::new(Watch::default());
        let expire = Arc::clone(&reply);
        let (id, _) = self.shared.requests.add(
            reader,
            Arc::clone(&watch),
            self.shared.lanes.progress(lane, class),
            Box::new(move |e| expire.send_value(Err(e))),
        );
        reply.registered(id);
        let given = Arc::clone(&watch);
        let run = move |may: Result<()>| {
            if may.is_ok() && reply.is_given() {
                return;
            }
            let result = may.and_then(|()| {
                catch_unwind(AssertUnwindSafe(|| job(&given)))
                    .unwrap_or_else(|_| Err(Error::new(Kind::Internal, "a panic was contained")))
            });
            reply.send_value(result);
        };
        self.shared.lanes.push(lane, class, &watch, Box::new(run));
    }

    /// Reads the bytes `range` of a chunk file: C order (y, x), little-endian, fill value 0 beyond the edge of the plane.
    /// `done` is called exactly once, on any thread; before this returns if everything needed is in the cache.
    ///
    /// Its errors are `NotFound` and `Invalid` for what does not exist, those of [`Engine::submit`], and whatever the source
    /// finds.
    pub fn read_chunk(
        &self,
        lane: &LaneKey,
        image: &Arc<OpenImage>,
        chunk: ChunkId,
        range: Range<u64>,
        reader: Reader,
        done: ChunkDone,
    ) {
        let fail = |done: ChunkDone, e: Error| {
            self.shared.units.counters.failed(&e);
            done(Err(e));
        };
        let frame = match ChunkFrame::new(image, &chunk).and_then(|f| f.check(&range).map(|()| f)) {
            Ok(frame) => frame,
            Err(e) => return fail(done, e),
        };
        match frame.origin {
            Origin::Stored(level) => match ChunkPlan::new(image, &chunk, level, range) {
                Ok(plan) => {
                    let begins = plan.range.start == 0;
                    self.read_stored(lane, image, plan, reader, done);
                    if begins {
                        self.shared.read_ahead(lane, image, &chunk, level);
                    }
                }
                Err(e) => fail(done, e),
            },
            Origin::Synthesized => self.read_reduced(lane, image, chunk, range, reader, done),
        }
    }

    fn read_reduced(
        &self,
        lane: &LaneKey,
        image: &Arc<OpenImage>,
        chunk: ChunkId,
        range: Range<u64>,
        reader: Reader,
        done: ChunkDone,
    ) {
        let shared = &self.shared;
        let key = Key::Chunk(image.key, chunk);
        // The range was checked against the size that a chunk has by arithmetic.
        let cut = move |tile: &Tile, done: &dyn Fn(Result<&[u8]>)| {
            let range = usize::try_from(range.start).ok().zip(usize::try_from(range.end).ok());
            let bytes = range.and_then(|(from, to)| tile.bytes().get(from..to));
            done(bytes.ok_or_else(|| Error::new(Kind::Internal, "a chunk is too short")));
        };
        let reply = reply::Reply::new(shared, done);
        if let Some(tile) = shared.units.cache.get(&key) {
            return cut(&tile, &|bytes| reply.send(bytes));
        }
        let watch = Arc::new(Watch::default());
        let expire = Arc::clone(&reply);
        let lane_moves = shared.lanes.progress(lane, Class::Data);
        let expire: requests::Expire = Box::new(move |e| expire.send(Err(e)));
        let (id, request) = shared.requests.add(reader, Arc::clone(&watch), lane_moves, expire);
        reply.registered(id);
        let wake = move |result: &Result<Arc<Tile>>| match result {
            Ok(tile) => cut(tile, &|bytes| reply.send(bytes)),
            Err(e) => reply.send(Err(e.clone())),
        };
        let mut waiter = Waiter { watch: Some(watch), wake: Box::new(wake) };
        loop {
            if let Some(made) = shared.units.flights.busy(&key) {
                request.follow(vec![made]);
            }
            waiter = match shared.units.flights.park(&key, waiter) {
                Ok(()) => return,
                Err(back) => back,
            };
            let Joined::Lead(lead) = shared.units.flights.join(key, 0) else { continue };
            // Somebody may have finished it between the two questions.
            if let Some(tile) = shared.units.cache.touch(&key) {
                lead.finish(&Ok(Arc::clone(&tile)));
                return (waiter.wake)(&Ok(tile));
            }
            request.follow(vec![Arc::clone(lead.watch())]);
            if let Err(back) = shared.units.flights.park(&key, waiter) {
                waiter = back;
                continue;
            }
            return kept::make_chunk(shared, lane, image, chunk, lead);
        }
    }

    fn read_stored(&self, lane: &LaneKey, image: &Arc<OpenImage>, plan: ChunkPlan, reader: Reader, done: ChunkDone) {
        let Some(done) = self.answer_cached(image, &plan, done) else { return };
        let reply = reply::Reply::new(&self.shared, done);
        let watch = Arc::new(Watch::default());
        // The assembly is made after the request, which must be able to end it.
        let slot: Arc<std::sync::OnceLock<std::sync::Weak<assembly::Assembly>>> = Arc::default();
        let (expire, made) = (Arc::clone(&reply), Arc::clone(&slot));
        let (id, request) = self.shared.requests.add(
            reader,
            watch,
            self.shared.lanes.progress(lane, Class::Data),
            Box::new(move |e| {
                expire.send(Err(e));
                if let Some(assembly) = made.get().and_then(std::sync::Weak::upgrade) {
                    assembly.let_go();
                }
            }),
        );
        reply.registered(id);
        let assembly = Arc::new(assembly::Assembly {
            shared: Arc::clone(&self.shared),
            lane: lane.clone(),
            image: Arc::clone(image),
            state: assembly::State::new(&plan),
            plan,
            reply,
            request,
        });
        let _ = slot.set(Arc::downgrade(&assembly));
        assembly.queue();
    }

    /// Answers if every unit is cached and there is room; else gives the reply back.
    fn answer_cached(&self, image: &OpenImage, plan: &ChunkPlan, done: ChunkDone) -> Option<ChunkDone> {
        let units = &self.shared.units;
        if plan.parts.is_empty() {
            done(Ok(&vec![0; plan.len()]));
            return None;
        }
        if let [part] = &plan.parts[..] {
            let Some(tile) = units.cache.touch(&Key::Unit(image.key, part.id)) else { return Some(done) };
            if let Some(bytes) = plan.whole(tile.bytes()) {
                units.cache.gave(Key::Unit(image.key, part.id), &tile, bytes.len() as u64);
                done(Ok(bytes));
                return None;
            }
        }
        let tiles: Option<Vec<Arc<Tile>>> =
            plan.parts.iter().map(|part| units.cache.touch(&Key::Unit(image.key, part.id))).collect();
        let Some(tiles) = tiles else { return Some(done) };
        let Some(_lease) = units.budget.lease_now(Share::Output, plan.len() as u64) else { return Some(done) };
        let mut out = vec![0; plan.len()];
        let copied = plan.parts.iter().zip(&tiles).try_for_each(|(part, tile)| {
            units.cache.gave(Key::Unit(image.key, part.id), tile, plan.given(part));
            match tile.is_absent() {
                true => Ok(()),
                false => plan.copy(part, tile.bytes(), &mut out),
            }
        });
        done(copied.map(|()| &out[..]));
        None
    }

    /// One unit of a stored level, for contrast sampling; only inside a `Class::Data` job. Let go of one before asking for
    /// the next.
    ///
    /// # Errors
    /// Whatever the source finds.
    pub fn unit_now(&self, image: &Arc<OpenImage>, id: TileId, watch: &Watch) -> Result<Arc<Tile>> {
        self.shared.units.now(image, id, watch)
    }

    /// Decodes and reductions that run at a time.
    pub fn threads(&self) -> usize {
        self.shared.units.threads
    }

    /// Is anything kept on disk?
    pub fn keeps(&self) -> bool {
        self.shared.kept.is_some()
    }

    /// An entry of at most `most` bytes that is kept on disk, with its lease; on a lane thread. `None` too if the disk does not
    /// answer soon.
    pub fn kept(&self, key: EntryKey, most: u64) -> Option<(Vec<u8>, Lease)> {
        kept::load(&self.shared, key, most)
    }

    /// Has an entry kept on disk some time soon, if there is a disk that takes it.
    pub fn keep(&self, key: EntryKey, payload: Payload) {
        if let Some(kept) = &self.shared.kept {
            off_source(|| kept.disk().offer(key, payload));
        }
    }

    /// Is a chunk of a synthesized level kept on disk? Waits for the answer.
    pub fn is_chunk_kept(&self, image: &OpenImage, chunk: ChunkId) -> bool {
        let Some(key) = kept::chunk_key(image, chunk) else { return false };
        kept::Kept::ask_now(&self.shared, move |disk| disk.has(&key).then_some(())).is_some()
    }

    /// The disk, where there is one.
    pub fn disk(&self) -> Option<&Arc<Disk>> {
        self.shared.kept.as_ref().map(kept::Kept::disk)
    }

    /// Has units made in free slots of the lane that will be asked for by [`Engine::unit_now`] soon, in this order; a hint.
    pub fn make_soon(&self, lane: &LaneKey, image: &Arc<OpenImage>, units: &[TileId]) {
        ahead::make_soon(&self.shared, lane, image, units);
    }

    /// The byte budget, for documents and parsed files.
    pub fn budget(&self) -> &Arc<Budget> {
        &self.shared.units.budget
    }

    /// Drops the tiles of an image.
    pub fn forget_image(&self, key: u64) {
        self.shared.units.cache.forget(key);
        self.shared.damage.forget(key);
    }

    /// The units of an image that synthesized levels left out so far because they are damaged (`--damaged fill`), each
    /// with what is wrong with it; the first thousand.
    pub fn damaged(&self, key: u64) -> Vec<(TileId, Error)> {
        self.shared.damage.list(key)
    }

    /// What it holds and what it did.
    pub fn stats(&self) -> EngineStats {
        let shared = &self.shared;
        let mut stats = EngineStats {
            cache: shared.units.cache.stats(),
            budget_used: shared.units.budget.used(),
            budget_total: shared.units.budget.total(),
            budget_peak: shared.units.budget.peak(),
            requests: shared.requests.len(),
            jobs: shared.lanes.jobs(),
            flights: shared.units.flights.len(),
            stuck: shared.lanes.stuck_lanes(),
            threads: shared.lanes.threads(),
            disk: shared.kept.as_ref().map(kept::Kept::stats),
            ..EngineStats::default()
        };
        shared.units.counters.fill(&mut stats);
        stats
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.shared.requests.stop();
        self.shared.lanes.stop();
    }
}
