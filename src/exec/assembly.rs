//! A read of a stored level: copies what is cached, decodes what nobody decodes, and parks for the rest.
//!
//! No thread waits for another's decode. A read holds room for its answer only from the first piece on, so reads that
//! wait for a dead source hold nothing.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::Shared;
use super::lanes::{Class, LaneKey};
use super::reply::{ChunkDone, Reply};
use super::requests::Request;
use super::turn::current_job;
use crate::cache::{Joined, Key, Lease, Share, Tile, Waiter};
use crate::error::{Error, Kind, Result};
use crate::pyramid::{ChunkPlan, OpenImage};
use crate::sync::{Arc, Mutex, lock};

/// See the module.
pub(crate) struct Assembly {
    pub(crate) shared: Arc<Shared>,
    pub(crate) lane: LaneKey,
    pub(crate) image: Arc<OpenImage>,
    pub(crate) plan: ChunkPlan,
    pub(crate) reply: Arc<Reply<ChunkDone>>,
    pub(crate) request: Arc<Request>,
    pub(crate) state: Mutex<State>,
}

/// What is done and what is not.
pub(crate) struct State {
    out: Option<(Vec<u8>, Lease)>,
    /// The unit that the answer is one piece of.
    whole: Option<Arc<Tile>>,
    /// Indices of parts not copied yet.
    todo: Vec<usize>,
    /// Parts parked on flights of others, and one while they are being parked.
    parked: usize,
}

impl State {
    pub(crate) fn new(plan: &ChunkPlan) -> Mutex<Self> {
        Mutex::new(State { out: None, whole: None, todo: (0..plan.parts.len()).rev().collect(), parked: 0 })
    }
}

enum Step {
    /// All parts are copied.
    Done,
    /// Continuations are parked.
    Parked,
    /// There is no room for the answer.
    NoRoom,
}

impl Assembly {
    fn key(&self, part: usize) -> Key {
        Key::Unit(self.image.key, self.plan.parts[part].id)
    }

    /// Drops what it holds: the request was answered by somebody else.
    pub(crate) fn let_go(&self) {
        let mut state = lock(&self.state);
        let held = (state.out.take(), state.whole.take());
        drop(state);
        drop(held);
    }

    /// Queues a turn on the lane.
    pub(crate) fn queue(self: &Arc<Self>) {
        let me = Arc::clone(self);
        let run = move |may: Result<()>| {
            let result = catch_unwind(AssertUnwindSafe(|| may.and_then(|()| me.turn())));
            match result {
                Ok(Ok(())) => {}
                Ok(Err(e)) => me.fail(e),
                Err(_) => me.fail(Error::new(Kind::Internal, "the decoder panicked")),
            }
        };
        self.shared.lanes.push(&self.lane, Class::Data, &self.request.watch, Box::new(run));
    }

    fn fail(&self, error: Error) {
        self.let_go();
        self.reply.send(Err(error));
    }

    fn turn(self: &Arc<Self>) -> Result<()> {
        match self.advance()? {
            Step::Done => self.answer(),
            Step::Parked => {}
            Step::NoRoom => {
                let me = Arc::clone(self);
                let len = self.plan.len();
                self.shared.units.budget.lease_later(Share::Output, len as u64, move |lease| {
                    if !me.reply.is_given() {
                        lock(&me.state).out = Some((vec![0; len], lease));
                        me.queue();
                    }
                })?;
            }
        }
        Ok(())
    }

    fn answer(&self) {
        let (out, whole) = {
            let mut state = lock(&self.state);
            (state.out.take(), state.whole.take())
        };
        let whole = whole.as_ref().and_then(|tile| self.plan.whole(tile.bytes()));
        match (out, whole) {
            (_, Some(bytes)) => self.reply.send(Ok(bytes)),
            (Some((bytes, _lease)), None) => self.reply.send(Ok(&bytes)),
            (None, None) if self.plan.parts.is_empty() => self.reply.send(Ok(&vec![0; self.plan.len()])),
            (None, None) => self.reply.send(Err(Error::new(Kind::Internal, "an answer was lost"))),
        }
    }

    /// Has or gets room for the answer.
    fn has_room(&self, state: &mut State) -> bool {
        if state.out.is_none() {
            let len = self.plan.len();
            let lease = self.shared.units.budget.lease_now(Share::Output, len as u64);
            state.out = lease.map(|lease| (vec![0; len], lease));
        }
        state.out.is_some()
    }

    /// Copies one part, unless the answer is a piece of it; false if there is no room for the answer.
    fn copy(&self, part: usize, tile: &Arc<Tile>) -> Result<bool> {
        let given = self.plan.given(&self.plan.parts[part]);
        self.shared.units.cache.gave(self.key(part), tile, given);
        let mut state = lock(&self.state);
        if self.plan.whole(tile.bytes()).is_some() {
            state.whole = Some(Arc::clone(tile));
            return Ok(true);
        }
        if !self.has_room(&mut state) {
            return Ok(false);
        }
        if let (Some((out, _)), false) = (&mut state.out, tile.is_absent()) {
            self.plan.copy(&self.plan.parts[part], tile.bytes(), out)?;
        }
        Ok(true)
    }

    fn next_todo(&self) -> Option<usize> {
        lock(&self.state).todo.pop()
    }

    fn put_back(&self, parts: impl IntoIterator<Item = usize>) {
        lock(&self.state).todo.extend(parts);
    }

    /// Goes as far as it can without waiting for others.
    fn advance(self: &Arc<Self>) -> Result<Step> {
        let units = &self.shared.units;
        loop {
            let mut busy = Vec::new();
            while let Some(part) = self.next_todo() {
                if self.reply.is_given() {
                    return Ok(Step::Parked);
                }
                let key = self.key(part);
                let tile = match units.cache.get(&key) {
                    Some(tile) => tile,
                    None if units.flights.busy(&key).is_some() => {
                        busy.push(part);
                        continue;
                    }
                    None => {
                        if !self.plan.is_whole() && !self.has_room(&mut lock(&self.state)) {
                            self.put_back(busy.into_iter().chain([part]));
                            return Ok(Step::NoRoom);
                        }
                        let Joined::Lead(lead) = units.flights.join(key, current_job()) else {
                            busy.push(part);
                            continue;
                        };
                        self.request.follow(vec![Arc::clone(lead.watch())]);
                        // Somebody may have finished it between the two questions.
                        match units.cache.touch(&key) {
                            Some(tile) => {
                                lead.finish(&Ok(Arc::clone(&tile)));
                                tile
                            }
                            None => units.make(&self.image, self.plan.parts[part].id, lead, true)?,
                        }
                    }
                };
                if !self.copy(part, &tile)? {
                    self.put_back(busy.into_iter().chain([part]));
                    return Ok(Step::NoRoom);
                }
                self.request.watch.tick();
            }
            if busy.is_empty() {
                return Ok(Step::Done);
            }
            if let Some(step) = self.park(busy) {
                return Ok(step);
            }
        }
    }

    /// Leaves a continuation with each flight of `busy`; none: there is more to do at once.
    fn park(self: &Arc<Self>, busy: Vec<usize>) -> Option<Step> {
        let flights = &self.shared.units.flights;
        let followed = busy.iter().filter_map(|p| flights.busy(&self.key(*p))).collect();
        self.request.follow(followed);
        lock(&self.state).parked = busy.len() + 1;
        let mut missed = 0;
        for part in busy {
            let me = Arc::clone(self);
            let wake = Box::new(move |result: &Result<Arc<Tile>>| me.arrived(part, result));
            let waiter = Waiter { watch: Some(Arc::clone(&self.request.watch)), wake };
            if flights.park(&self.key(part), waiter).is_err() {
                self.put_back([part]);
                missed += 1;
            }
        }
        let mut state = lock(&self.state);
        state.parked -= missed + 1;
        match (state.parked, state.todo.is_empty()) {
            (0, true) => Some(Step::Done),
            (0, false) => None,
            _ => Some(Step::Parked),
        }
    }

    /// A part that another job made; on that job's thread.
    fn arrived(self: &Arc<Self>, part: usize, result: &Result<Arc<Tile>>) {
        if self.reply.is_given() {
            return self.let_go();
        }
        match result.as_ref().map_err(Error::clone).and_then(|tile| self.copy(part, tile)) {
            Ok(true) => {}
            Ok(false) => self.put_back([part]),
            Err(e) => return self.fail(e),
        }
        self.request.watch.tick();
        let (last, done) = {
            let mut state = lock(&self.state);
            state.parked -= 1;
            (state.parked == 0, state.todo.is_empty())
        };
        if last && done {
            self.answer();
        } else if last {
            self.queue();
        }
    }
}
