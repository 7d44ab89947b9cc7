//! Listings of source directories, kept in a bounded store.

use std::path::{Path, PathBuf};

use super::Core;
use crate::cache::Lease;
use crate::error::Result;
use crate::io::Watch;
use crate::sync::{Arc, Mutex, lock};
use crate::tree::{Listing, Store};

/// A listing with the bytes it was granted.
pub(super) struct Held {
    pub listing: Listing,
    _lease: Lease,
}

pub(super) struct Listings {
    store: Mutex<Store<PathBuf, Arc<Held>>>,
}

/// No more directories than this are kept, however small.
const MOST: u64 = 4096;

impl Listings {
    pub fn new(bytes: u64) -> Self {
        Listings { store: Mutex::new(Store::new([bytes, MOST])) }
    }

    pub fn status(&self) -> serde_json::Value {
        let store = lock(&self.store);
        serde_json::json!({ "held": store.len(), "bytes": store.held()[0] })
    }

    pub fn forget_oldest(&self) -> bool {
        let gone = lock(&self.store).remove_oldest();
        gone.is_some()
    }
}

impl Core {
    /// What a source directory holds now, or held within the last second. On a lane.
    pub(super) fn listing(&self, path: &Path, watch: &Watch) -> Result<Arc<Held>> {
        let key = path.to_owned();
        let known = lock(&self.listings.store).get(&key);
        if let Some(held) = known
            && held.listing.is_current(&self.source, path)?
        {
            return Ok(held);
        }
        let listing = Listing::read(&self.source, path, &self.filter, watch)?;
        let bytes = listing.heap_bytes() + key.as_os_str().len() as u64;
        let held = Arc::new(Held { listing, _lease: self.lease(bytes)? });
        let gone = lock(&self.listings.store).insert(key, Arc::clone(&held), [bytes, 1]);
        drop(gone);
        Ok(held)
    }

    /// Bytes for something kept; what was kept longest goes if need be.
    pub(super) fn lease(&self, bytes: u64) -> Result<Lease> {
        loop {
            match self.engine.budget().lease(bytes) {
                Ok(lease) => return Ok(lease),
                Err(e) => {
                    let gone =
                        [self.documents.forget_oldest(), self.images.forget_oldest(), self.listings.forget_oldest()];
                    if gone == [false; 3] {
                        return Err(e);
                    }
                }
            }
        }
    }
}
