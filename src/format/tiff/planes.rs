//! Which directory of which file stores a plane: intervals, so that a claim of a thousand million planes costs nothing.

use crate::error::{Error, Result};
use crate::format::omexml::DimensionOrder;

/// `count` planes in a row, in directories `ifd`, `ifd + step`, ...
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Run {
    /// Index of the first plane, in dimension order.
    pub first: u64,
    /// Planes.
    pub count: u64,
    /// Index of the file in the dataset; 0 is the one that was opened.
    pub file: u32,
    /// Directory of the first plane, counted along the main chain.
    pub ifd: u64,
    /// From one plane's directory to that of the next.
    pub step: u64,
}

/// Where the planes of a series are.
#[derive(Debug, Clone)]
pub(super) struct Planes {
    order: DimensionOrder,
    /// Focal planes, channel groups, time points.
    sizes: (u64, u64, u64),
    runs: Vec<Run>,
    /// Why planes outside of all runs cannot be read; `None` if they were never written.
    lost: Option<Error>,
}

/// More planes than this are refused: no index above could count their chunks.
const MAX_PLANES: u64 = 1 << 48;

impl Planes {
    /// `sizes` are focal planes, channel groups, time points. Where runs overlap, the one that begins first counts, and of
    /// two that begin together the one given first. Runs are cut to the number of planes.
    ///
    /// # Errors
    /// `OverLimit` if there are too many planes.
    pub fn new(order: DimensionOrder, sizes: (u64, u64, u64), mut runs: Vec<Run>, lost: Option<Error>) -> Result<Self> {
        let total = total(sizes)?;
        runs.sort_by_key(|r| r.first);
        let mut kept: Vec<Run> = Vec::new();
        for mut run in runs {
            let end = kept.last().map_or(0, |r| r.first + r.count);
            // What an earlier run covers is cut off at the front.
            let skip = end.saturating_sub(run.first).min(run.count);
            run.first += skip;
            run.ifd = run.ifd.saturating_add(skip.saturating_mul(run.step));
            run.count = (run.count - skip).min(total.saturating_sub(run.first));
            if run.count == 0 {
                continue;
            }
            match kept.last_mut().filter(|last| last.continues(&run)) {
                Some(last) => {
                    last.step = run.ifd - (last.ifd + (last.count - 1) * last.step);
                    last.count += run.count;
                }
                None => kept.push(run),
            }
        }
        kept.shrink_to_fit();
        Ok(Planes { order, sizes, runs: kept, lost })
    }

    /// File and directory of a plane; `None` if it was never written.
    ///
    /// # Errors
    /// Why the plane is lost.
    pub fn find(&self, z: u64, group: u64, t: u64) -> Result<Option<(u32, u64)>> {
        let (nz, nc, nt) = self.sizes;
        if z >= nz || group >= nc || t >= nt {
            return Err(Error::new(crate::Kind::Internal, format!("no plane t {t}, channel group {group}, z {z}")));
        }
        let index = self.order.index((z, group, t), self.sizes);
        let after = self.runs.partition_point(|r| r.first <= index);
        let run = after.checked_sub(1).and_then(|i| self.runs.get(i)).filter(|r| index - r.first < r.count);
        match (run, &self.lost) {
            (Some(run), _) => {
                Ok(Some((run.file, run.ifd.saturating_add((index - run.first).saturating_mul(run.step)))))
            }
            (None, Some(error)) => Err(error.clone()),
            (None, None) => Ok(None),
        }
    }

    /// Planes outside of all runs are lost, for this reason.
    pub fn lose(&mut self, error: Error) {
        self.lost = Some(error);
    }

    /// Numbers of the files that store planes, each once.
    pub fn files(&self) -> Vec<u32> {
        let mut all: Vec<u32> = self.runs.iter().map(|r| r.file).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// Bytes held.
    pub fn heap_bytes(&self) -> u64 {
        (self.runs.capacity() * size_of::<Run>()) as u64
    }
}

/// Number of planes.
///
/// # Errors
/// `OverLimit` if there are too many to count.
pub(super) fn total((z, c, t): (u64, u64, u64)) -> Result<u64> {
    let product = z.checked_mul(c).and_then(|n| n.checked_mul(t)).filter(|n| *n <= MAX_PLANES);
    product.ok_or_else(|| Error::over_limit(format!("{z} x {c} x {t} planes, at most {MAX_PLANES}")))
}

impl Run {
    /// Does `next` go on where this one ends, with the same step?
    fn continues(&self, next: &Run) -> bool {
        let Some(last) = (self.count - 1).checked_mul(self.step).and_then(|n| n.checked_add(self.ifd)) else {
            return false;
        };
        let Some(step) = next.ifd.checked_sub(last) else { return false };
        self.file == next.file
            && self.first + self.count == next.first
            && (self.count == 1 || step == self.step)
            && (next.count == 1 || step == next.step)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(first: u64, count: u64, ifd: u64) -> Run {
        Run { first, count, file: 0, ifd, step: 1 }
    }

    fn planes(sizes: (u64, u64, u64), runs: Vec<Run>) -> Planes {
        Planes::new(DimensionOrder::default(), sizes, runs, None).unwrap()
    }

    #[test]
    fn single_planes_become_one_run() {
        let p = planes((4, 2, 3), (0..24).map(|i| run(i, 1, 2 * i + 1)).collect());
        assert_eq!(p.runs, [Run { first: 0, count: 24, file: 0, ifd: 1, step: 2 }]);
        assert_eq!(p.find(3, 1, 2).unwrap(), Some((0, 47)));
        assert_eq!(p.find(1, 0, 0).unwrap(), Some((0, 3)));
        assert!(p.find(4, 0, 0).is_err());
    }

    #[test]
    fn a_thousand_million_planes_cost_one_run() {
        let p = planes((1, 1, 1_000_000_000), vec![run(0, 2, 0)]);
        assert_eq!(p.find(0, 0, 1).unwrap(), Some((0, 1)));
        assert_eq!(p.find(0, 0, 2).unwrap(), None);
        assert_eq!(p.find(0, 0, 999_999_999).unwrap(), None);
        let e = Planes::new(DimensionOrder::default(), (1 << 31, 1 << 31, 1 << 31), vec![], None).unwrap_err();
        assert_eq!(e.kind(), crate::Kind::OverLimit);
    }

    #[test]
    fn overlaps_are_cut_and_ends_respected() {
        let p = planes((10, 1, 1), vec![run(0, 4, 0), run(2, 4, 50), run(8, u64::MAX, 90)]);
        let found: Vec<_> = (0..10).map(|z| p.find(z, 0, 0).unwrap().map(|(_, ifd)| ifd)).collect();
        let n = None;
        assert_eq!(found, [Some(0), Some(1), Some(2), Some(3), Some(52), Some(53), n, n, Some(90), Some(91)]);
    }

    #[test]
    fn lost_planes_are_errors() {
        let lost = Some(Error::malformed("FirstZ"));
        let p = Planes::new(DimensionOrder::default(), (2, 1, 1), vec![run(1, 1, 0)], lost).unwrap();
        assert!(p.find(0, 0, 0).is_err());
        assert_eq!(p.find(1, 0, 0).unwrap(), Some((0, 0)));
    }
}
