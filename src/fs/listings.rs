//! Listings of source directories.

use std::path::{Path, PathBuf};

use super::Core;
use super::kept::{Kept, Leased};
use crate::error::Result;
use crate::io::Watch;
use crate::sync::Arc;
use crate::tree::{FRESH_MS, Listing};

/// By the path beneath SOURCE.
pub(super) type Listings = Kept<PathBuf, Listing>;

impl Core {
    /// What a source directory holds now, or held within the last second. On a lane.
    pub(super) fn listing(&self, path: &Path, watch: &Watch) -> Result<Arc<Leased<Listing>>> {
        self.listing_within(path, FRESH_MS, watch)
    }

    /// The same where less than a second may have passed: `age` milliseconds.
    pub(super) fn listing_within(&self, path: &Path, age: u64, watch: &Watch) -> Result<Arc<Leased<Listing>>> {
        let key = path.to_owned();
        if let Some(listing) = self.listings.get(&key)
            && listing.is_current(&self.source, path, age)?
        {
            return Ok(listing);
        }
        let listing = Listing::read(&self.source, path, &self.filter, watch)?;
        let bytes = listing.heap_bytes() + key.as_os_str().len() as u64;
        self.keep(&self.listings, key, listing, bytes)
    }
}
