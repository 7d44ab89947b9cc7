//! What is kept because it will be asked for again: listings, documents. Each with bytes leased from the budget.

use std::hash::Hash;
use std::ops::Deref;

use super::Core;
use crate::cache::Lease;
use crate::error::Result;
use crate::sync::{Arc, Mutex, lock};
use crate::tree::Store;

/// A value with the bytes it was granted.
pub(super) struct Leased<V> {
    value: V,
    _lease: Lease,
}

impl<V> Deref for Leased<V> {
    type Target = V;

    fn deref(&self) -> &V {
        &self.value
    }
}

/// The values used last.
pub(super) struct Kept<K: Hash + Eq, V>(Mutex<Store<K, Arc<Leased<V>>>>);

/// No more than this are kept of a kind, however small.
const MOST: u64 = 4096;

impl<K: Hash + Eq + Clone, V> Kept<K, V> {
    /// Keeps about so many bytes.
    pub fn new(bytes: u64) -> Self {
        Kept(Mutex::new(Store::new([bytes, MOST])))
    }

    pub fn get(&self, key: &K) -> Option<Arc<Leased<V>>> {
        lock(&self.0).get(key)
    }

    pub fn status(&self) -> serde_json::Value {
        let store = lock(&self.0);
        serde_json::json!({ "held": store.len(), "bytes": store.held()[0] })
    }

    fn forget_oldest(&self) -> bool {
        let gone = lock(&self.0).remove_oldest();
        gone.is_some()
    }
}

impl Core {
    /// Keeps a value of so many bytes.
    ///
    /// # Errors
    /// `OverLimit` if there is no room for it even when nothing else is kept.
    pub(super) fn keep<K: Hash + Eq + Clone, V>(
        &self,
        kept: &Kept<K, V>,
        key: K,
        value: V,
        bytes: u64,
    ) -> Result<Arc<Leased<V>>> {
        let leased = Arc::new(Leased { value, _lease: self.lease(bytes)? });
        let gone = lock(&kept.0).insert(key, Arc::clone(&leased), [bytes, 1]);
        drop(gone);
        Ok(leased)
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
