//! One answer from several reads: a range of a shard that lies in more than one chunk.
//!
//! Room for the answer is a share of its own (see [`crate::cache::Budget`]), because whoever holds it waits for reads that
//! need all the others.

use std::ops::Range;

use super::lanes::{Class, LaneKey};
use super::reply::{ChunkDone, Reply};
use super::{Engine, Reader};
use crate::cache::{Lease, Share};
use crate::error::{Error, Kind, Result};
use crate::io::Watch;
use crate::sync::{Arc, Mutex, lock};

/// Reads under way at a time for one answer.
const AT_ONCE: usize = 4;

struct State<P> {
    out: Vec<u8>,
    lease: Option<Lease>,
    pieces: P,
    waiting: usize,
    /// Somebody starts reads; an answer that comes meanwhile leaves it to him, so that no stack grows by their number.
    starting: bool,
    done: Option<ChunkDone>,
}

struct Together<P, R> {
    state: Mutex<State<P>>,
    read: R,
}

impl<T, P, R> Together<P, R>
where
    P: Iterator<Item = (Range<usize>, T)> + Send + 'static,
    R: Fn(T, ChunkDone) + Send + Sync + 'static,
{
    /// Starts reads until enough are under way. The caller has set `starting`.
    fn start(self: &Arc<Self>) {
        loop {
            let mut state = lock(&self.state);
            let next = match state.done {
                Some(_) if state.waiting < AT_ONCE => state.pieces.next(),
                _ => {
                    state.starting = false;
                    return;
                }
            };
            let Some((place, what)) = next else {
                state.starting = false;
                if state.waiting == 0
                    && let Some(done) = state.done.take()
                {
                    let (out, _lease) = (std::mem::take(&mut state.out), state.lease.take());
                    drop(state);
                    done(Ok(&out));
                }
                return;
            };
            state.waiting += 1;
            drop(state);
            let me = Arc::clone(self);
            (self.read)(what, Box::new(move |result| me.arrived(place, result)));
        }
    }

    fn arrived(self: &Arc<Self>, place: Range<usize>, result: Result<&[u8]>) {
        let mut state = lock(&self.state);
        state.waiting -= 1;
        if state.done.is_none() {
            return; // failed meanwhile
        }
        let copied = result.and_then(|bytes| match state.out.get_mut(place) {
            Some(target) if target.len() == bytes.len() => {
                target.copy_from_slice(bytes);
                Ok(())
            }
            _ => Err(Error::new(Kind::Internal, "a piece of an answer has another length")),
        });
        if let Err(e) = copied {
            let (done, _out, _lease) = (state.done.take(), std::mem::take(&mut state.out), state.lease.take());
            drop(state);
            if let Some(done) = done {
                done(Err(e));
            }
        } else if !std::mem::replace(&mut state.starting, true) {
            drop(state);
            self.start();
        }
    }
}

impl Engine {
    /// Answers with `len` bytes put together from `pieces`: `read` is called for each, a few at a time, and what it answers
    /// goes to the place named. Bytes that no piece fills are as `fill` leaves them (at first 0). `done` is called exactly
    /// once, with the first error if there is one.
    #[allow(clippy::too_many_arguments)]
    pub fn read_together<T: Send + 'static>(
        &self,
        lane: &LaneKey,
        reader: Reader,
        len: usize,
        fill: impl FnOnce(&mut [u8]) + Send + 'static,
        pieces: impl Iterator<Item = (Range<usize>, T)> + Send + 'static,
        read: impl Fn(T, ChunkDone) + Send + Sync + 'static,
        done: ChunkDone,
    ) {
        let begin = move |lease: Lease, done: ChunkDone| {
            let mut out = vec![0; len];
            fill(&mut out);
            let pieces = pieces.fuse();
            let state = State { out, lease: Some(lease), pieces, waiting: 0, starting: true, done: Some(done) };
            Arc::new(Together { state: Mutex::new(state), read }).start();
        };
        let shared = &self.shared;
        if let Some(lease) = shared.units.budget.lease_now(Share::Joined, len as u64) {
            return begin(lease, done);
        }
        // Waits as a request, so that it ends when its reader does or nothing moves.
        let reply = Reply::new(shared, done);
        let watch = Arc::new(Watch::default());
        let expire = Arc::clone(&reply);
        let moves = shared.lanes.progress(lane, Class::Data);
        let (id, _) = shared.requests.add(reader, Arc::clone(&watch), moves, Box::new(move |e| expire.send(Err(e))));
        reply.registered(id);
        let (lanes, lane, waiting) = (Arc::clone(&shared.lanes), lane.clone(), Arc::clone(&reply));
        let granted = shared.units.budget.lease_later(Share::Joined, len as u64, move |lease| {
            let run = move |may: Result<()>| match may {
                Err(e) => waiting.send(Err(e)),
                Ok(()) => {
                    if let Some(done) = waiting.take() {
                        begin(lease, done);
                    }
                }
            };
            lanes.push(&lane, Class::Data, &watch, Box::new(run));
        });
        if let Err(e) = granted {
            reply.send(Err(e));
        }
    }
}
