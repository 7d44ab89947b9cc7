//! Tables that say which sector follows which ([MS-CFB] 2.3), read as they are followed.

use std::num::NonZeroUsize;

use lru::LruCache;

use super::Run;
use super::header::{END, LAST, number};
use crate::error::{Error, Result};
use crate::format::Limits;
use crate::io::{ReadAt, Watch};
use crate::sync::{Arc, Mutex, lock};

/// A table.
pub(super) struct Table {
    stream: Arc<dyn ReadAt>,
    pages: Mutex<LruCache<u64, Arc<Vec<u8>>>>,
}

/// Bytes of a table read at once.
const PAGE: u64 = 4096;
/// Pages kept.
const PAGES: NonZeroUsize = NonZeroUsize::new(64).unwrap();
/// Memory of a run in a list, and of the piece of a file that is made of it.
const RUN_BYTES: u64 = 48;

impl Table {
    /// The table in a stream.
    pub fn new(stream: Arc<dyn ReadAt>) -> Self {
        Table { stream, pages: Mutex::new(LruCache::new(PAGES)) }
    }

    fn page(&self, page: u64) -> Result<Arc<Vec<u8>>> {
        if let Some(bytes) = lock(&self.pages).get(&page) {
            return Ok(Arc::clone(bytes));
        }
        // Read outside the lock.
        let offset = page * PAGE;
        let bytes = Arc::new(self.stream.read_vec(offset, PAGE.min(self.stream.len().saturating_sub(offset)))?);
        lock(&self.pages).put(page, Arc::clone(&bytes));
        Ok(bytes)
    }

    /// The sectors from `first` to the end of the chain.
    ///
    /// # Errors
    /// `Malformed` for more than `most` (a chain that comes back to itself has no end) and for what is no sector; `OverLimit`
    /// for a chain in too many parts; failures of the disk.
    pub fn chain(&self, first: u32, most: u64, limits: &Limits, watch: &Watch) -> Result<Vec<Run>> {
        self.runs(first, most, false, limits, watch)
    }

    /// The sectors of a stream of `size` bytes, out of a file (or stream) of `room` bytes.
    ///
    /// # Errors
    /// As [`Table::chain`]; `Truncated` if the stream is larger than what it lies in.
    pub fn whole(
        &self,
        first: u32,
        size: u64,
        sector: u64,
        room: u64,
        limits: &Limits,
        watch: &Watch,
    ) -> Result<Vec<Run>> {
        if size > room {
            return Err(Error::truncated(format!("{size} bytes, where all there is has {room}")));
        }
        let needed = size.div_ceil(sector);
        let runs = self.runs(first, needed, true, limits, watch)?;
        let found: u64 = runs.iter().map(|r| u64::from(r.1)).sum();
        if found < needed {
            return Err(Error::malformed(format!("a chain of {found} sectors, where {needed} are needed")));
        }
        Ok(runs)
    }

    fn runs(&self, first: u32, most: u64, enough: bool, limits: &Limits, watch: &Watch) -> Result<Vec<Run>> {
        let mut runs: Vec<Run> = Vec::new();
        let (mut sector, mut count) = (first, 0_u64);
        let mut held: Option<(u64, Arc<Vec<u8>>)> = None;
        while sector != END {
            if count == most {
                if enough {
                    break;
                }
                return Err(Error::malformed(format!("a chain of more than {most} sectors: it comes back to itself")));
            }
            if sector >= LAST {
                return Err(Error::malformed(format!("a chain leads to sector {sector:#x}")));
            }
            match runs.last_mut().filter(|(start, n)| start.checked_add(*n) == Some(sector)) {
                Some((_, n)) => *n += 1,
                None => runs.push((sector, 1)),
            }
            if runs.len() as u64 * RUN_BYTES > limits.index_bytes / 8 {
                return Err(Error::over_limit(format!("a stream in more than {} parts", runs.len())));
            }
            count += 1;
            let at = u64::from(sector) * 4;
            let page = match &held {
                Some((number, page)) if *number == at / PAGE => Arc::clone(page),
                _ => {
                    if at >= self.stream.len() {
                        return Err(Error::malformed(format!("sector {sector} is not in the table")));
                    }
                    watch.tick();
                    watch.check()?;
                    let page = self.page(at / PAGE)?;
                    held = Some((at / PAGE, Arc::clone(&page)));
                    page
                }
            };
            let place = (at % PAGE) as usize;
            if place + 4 > page.len() {
                return Err(Error::malformed(format!("sector {sector} is not in the table")));
            }
            sector = number(&page, place);
        }
        Ok(runs)
    }

    /// Bytes of memory held.
    pub fn heap_bytes(&self) -> u64 {
        PAGES.get() as u64 * PAGE + self.stream.len() / 128
    }
}
