//! What the engine did, for `status`.

use std::collections::BTreeMap;

use super::lanes::StuckLane;
use crate::cache::CacheStats;
use crate::cache::disk::DiskStats;
use crate::error::{Error, Kind};
use crate::sync::{AtomicU64, Mutex, Ordering, lock};

/// A snapshot.
#[derive(Debug, Clone, Default, serde::Serialize)]
pub struct EngineStats {
    /// Cached tiles.
    pub cache: CacheStats,
    /// Bytes leased now, of all shares.
    pub budget_used: u64,
    /// The whole budget.
    pub budget_total: u64,
    /// Most bytes ever leased at a time.
    pub budget_peak: u64,
    /// Requests that wait.
    pub requests: usize,
    /// Jobs queued or running on lanes.
    pub jobs: usize,
    /// Tiles being made.
    pub flights: usize,
    /// Units decoded since the start.
    pub decoded_units: u64,
    /// Bytes of their samples.
    pub decoded_bytes: u64,
    /// Bytes read from the source for them.
    pub source_bytes: u64,
    /// Chunks of synthesized levels made.
    pub reduced_chunks: u64,
    /// Failed requests by kind of error.
    pub errors: BTreeMap<&'static str, u64>,
    /// Directories whose source does not answer.
    pub stuck: Vec<StuckLane>,
    /// Lane threads, hanging ones included.
    pub threads: usize,
    /// What is kept on disk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk: Option<DiskStats>,
}

/// Counters.
#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) decoded_units: AtomicU64,
    pub(crate) decoded_bytes: AtomicU64,
    pub(crate) source_bytes: AtomicU64,
    pub(crate) reduced_chunks: AtomicU64,
    errors: Mutex<BTreeMap<&'static str, u64>>,
}

impl Counters {
    pub(crate) fn failed(&self, error: &Error) {
        // Errors of ordinary files are the source's business.
        if !matches!(error.kind(), Kind::Source(_)) {
            *lock(&self.errors).entry(error.kind().name()).or_default() += 1;
        }
    }

    pub(crate) fn fill(&self, stats: &mut EngineStats) {
        stats.decoded_units = self.decoded_units.load(Ordering::Relaxed);
        stats.decoded_bytes = self.decoded_bytes.load(Ordering::Relaxed);
        stats.source_bytes = self.source_bytes.load(Ordering::Relaxed);
        stats.reduced_chunks = self.reduced_chunks.load(Ordering::Relaxed);
        stats.errors = lock(&self.errors).clone();
    }
}
