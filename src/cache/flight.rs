//! One decode per tile however many ask: the first leads, later ones leave a continuation.

use std::collections::HashMap;

use super::tiles::{Key, Tile};
use crate::error::{Error, Kind, Result};
use crate::io::Watch;
use crate::sync::{Arc, Mutex, lock};

/// A continuation: gets the tile or the leader's error.
pub type Wake = Box<dyn FnOnce(&Result<Arc<Tile>>) + Send>;

/// What is left by somebody who waits. Runs once, on the leader's thread: must be short and take no blocking lease.
pub struct Waiter {
    /// The waiting request's own watch; abandoned when its reader is gone.
    pub watch: Option<Arc<Watch>>,
    /// What to do then.
    pub wake: Wake,
}

struct Entry {
    /// Tells one flight of a key from the next.
    id: u64,
    /// The lane job that leads; 0 if it moves from job to job.
    job: u64,
    watch: Arc<Watch>,
    waiters: Vec<Waiter>,
}

impl Entry {
    fn is_wanted(&self) -> bool {
        self.waiters.iter().any(|w| w.watch.as_ref().is_none_or(|watch| watch.check().is_ok()))
    }
}

#[derive(Default)]
struct State {
    entries: HashMap<Key, Entry>,
    next: u64,
}

/// All decodes under way.
#[derive(Default)]
pub struct Flights {
    state: Mutex<State>,
}

/// What [`Flights::join`] says.
pub enum Joined {
    /// Make it.
    Lead(Lead),
    /// Somebody makes it already; progress shows in this watch.
    Busy(Arc<Watch>),
}

impl Flights {
    /// Leads the flight of `key` if nobody does. `job` is the lane job that leads, for [`Flights::fail_led_by`].
    pub fn join(self: &Arc<Self>, key: Key, job: u64) -> Joined {
        let mut state = lock(&self.state);
        if let Some(entry) = state.entries.get(&key) {
            return Joined::Busy(Arc::clone(&entry.watch));
        }
        state.next += 1;
        let id = state.next;
        let watch = Arc::new(Watch::default());
        state.entries.insert(key, Entry { id, job, watch: Arc::clone(&watch), waiters: Vec::new() });
        Joined::Lead(Lead { flights: Arc::clone(self), key, id, watch, done: false })
    }

    /// The watch of a flight under way.
    pub fn busy(&self, key: &Key) -> Option<Arc<Watch>> {
        lock(&self.state).entries.get(key).map(|e| Arc::clone(&e.watch))
    }

    /// Leaves a continuation.
    ///
    /// # Errors
    /// Gives it back if no flight of `key` is under way (any more).
    pub fn park(&self, key: &Key, waiter: Waiter) -> Result<(), Waiter> {
        match lock(&self.state).entries.get_mut(key) {
            Some(entry) => {
                entry.waiters.push(waiter);
                Ok(())
            }
            None => Err(waiter),
        }
    }

    /// Does anybody still wait for it?
    pub fn wanted(&self, key: &Key) -> bool {
        let state = lock(&self.state);
        state.entries.get(key).is_some_and(Entry::is_wanted)
    }

    /// Ends all flights that a lane job leads: it was given up as stuck. Should it come back, its tile is still kept.
    pub fn fail_led_by(&self, job: u64, error: &Error) {
        let ended: Vec<Entry> = {
            let mut state = lock(&self.state);
            let keys: Vec<Key> = state.entries.iter().filter(|(_, e)| e.job == job).map(|(k, _)| *k).collect();
            keys.iter().filter_map(|k| state.entries.remove(k)).collect()
        };
        let result = Err(error.clone());
        for waiter in ended.into_iter().flat_map(|e| e.waiters) {
            (waiter.wake)(&result);
        }
    }

    /// How many are under way.
    pub fn len(&self) -> usize {
        lock(&self.state).entries.len()
    }

    /// Is nothing under way?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn end(&self, key: &Key, id: u64, result: &Result<Arc<Tile>>) {
        let entry = {
            let mut state = lock(&self.state);
            if state.entries.get(key).is_none_or(|e| e.id != id) {
                return;
            }
            state.entries.remove(key)
        };
        for waiter in entry.into_iter().flat_map(|e| e.waiters) {
            (waiter.wake)(result);
        }
    }
}

/// The duty to make a tile. Dropped unfulfilled (a panic), it fails those who wait.
pub struct Lead {
    flights: Arc<Flights>,
    key: Key,
    id: u64,
    watch: Arc<Watch>,
    done: bool,
}

impl Lead {
    /// Ticked by the work, watched by those who wait.
    pub fn watch(&self) -> &Arc<Watch> {
        &self.watch
    }

    /// What is to be made.
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// Does anybody wait whose reader is still there?
    pub fn is_wanted(&self) -> bool {
        self.flights.wanted(&self.key)
    }

    /// Ends the flight with no result if nobody waits any more.
    ///
    /// # Errors
    /// Gives the duty back if somebody does.
    pub fn cancel(mut self) -> Result<(), Lead> {
        let gone = {
            let mut state = lock(&self.flights.state);
            let entry = state.entries.get(&self.key).filter(|e| e.id == self.id);
            if entry.is_some_and(Entry::is_wanted) {
                None
            } else {
                let ours = entry.is_some();
                Some(ours.then(|| state.entries.remove(&self.key)))
            }
        };
        match gone {
            None => Err(self),
            Some(entry) => {
                self.done = true;
                drop(entry); // the continuations of readers that are gone
                Ok(())
            }
        }
    }

    /// Answers those who wait. Put the tile into the cache before, so that nobody starts it again.
    pub fn finish(mut self, result: &Result<Arc<Tile>>) {
        self.done = true;
        self.flights.end(&self.key, self.id, result);
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        if !self.done {
            let error = Error::new(Kind::Internal, "the decoder panicked");
            self.flights.end(&self.key, self.id, &Err(error));
        }
    }
}
