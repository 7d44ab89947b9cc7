//! Which level a subblock belongs to: by how much smaller it is stored than what it covers.
//!
//! Subblocks of reduced levels say so only by their two sizes. Sizes are whole numbers, so the quotient of a small one is
//! noisy: it is snapped to a power of the factor between levels, which is 2 or 3.

use super::directory::Entry;

/// A quotient in 256ths.
pub(super) type Ratio = u32;

/// Stored as it is.
pub(super) const FULL: Ratio = 256;

/// The factor between the levels of a file.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Factor(f64);

impl Factor {
    /// Taken from the largest reduced subblock, whose quotient is the least noisy.
    pub fn of(entries: &[Entry]) -> Self {
        let reduced = entries.iter().filter(|e| e.size != e.stored);
        let largest = reduced.max_by_key(|e| e.stored.0.max(e.stored.1));
        let quotient = largest.map_or(2.0, quotient);
        Factor(if off(quotient, 3.0) < off(quotient, 2.0) { 3.0 } else { 2.0 })
    }

    /// The quotient of a subblock.
    pub fn ratio(self, entry: &Entry) -> Ratio {
        if entry.size == entry.stored {
            return FULL;
        }
        let quotient = quotient(entry);
        let snapped = self.0.powi(quotient.log(self.0).round() as i32);
        // Half a pixel more or less at both ends, of the longer side as stored.
        let noise = 1.0 / f64::from(entry.stored.0.max(entry.stored.1));
        let near = (quotient / snapped - 1.0).abs() <= noise.max(0.02);
        let ratio = if near { snapped } else { quotient };
        (ratio * f64::from(FULL)).round().clamp(1.0, f64::from(u32::MAX)) as Ratio
    }
}

/// Of the longer side.
fn quotient(entry: &Entry) -> f64 {
    let (size, stored) =
        if entry.size.0 >= entry.size.1 { (entry.size.0, entry.stored.0) } else { (entry.size.1, entry.stored.1) };
    f64::from(size) / f64::from(stored.max(1))
}

/// How far a quotient is from a power of `factor`.
fn off(quotient: f64, factor: f64) -> f64 {
    let power = quotient.log(factor);
    (power - power.round()).abs() * factor.ln()
}

/// A place of the full resolution in a level.
pub(super) fn scaled(at: i64, ratio: Ratio) -> i64 {
    at.saturating_mul(i64::from(FULL)).div_euclid(i64::from(ratio))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::czi::pixels::Compression;

    fn entry(size: (u32, u32), stored: (u32, u32)) -> Entry {
        let compression = Compression::None;
        Entry { position: 0, x: 0, y: 0, size, stored, m: 0, coordinate: 0, compression, part: 0 }
    }

    #[test]
    fn noisy_quotients_snap_to_powers_of_the_factor() {
        let pairs = Factor::of(&[entry((2048, 2048), (1024, 1024)), entry((3, 9), (1, 4)), entry((5, 5), (5, 5))]);
        assert_eq!(pairs, Factor(2.0));
        assert_eq!(pairs.ratio(&entry((4096, 77), (1024, 19))), 4 * FULL);
        assert_eq!(pairs.ratio(&entry((9, 1001), (3, 501))), 2 * FULL);
        assert_eq!(pairs.ratio(&entry((17, 3), (8, 1))), 2 * FULL);
        assert_eq!(pairs.ratio(&entry((1000, 1000), (999, 999))), FULL);
        let threes = Factor::of(&[entry((900, 900), (100, 100))]);
        assert_eq!((threes, threes.ratio(&entry((300, 1), (100, 1)))), (Factor(3.0), 3 * FULL));
        assert_eq!(pairs.ratio(&entry((5000, 5000), (1000, 1000))), 5 * FULL, "neither is near");
        assert_eq!(pairs.ratio(&entry((500, 500), (2000, 2000))), FULL / 4);
    }

    #[test]
    fn places_are_rounded_down() {
        assert_eq!(scaled(1001, 2 * FULL), 500);
        assert_eq!(scaled(-3, 2 * FULL), -2);
        assert_eq!(scaled(i64::from(u32::MAX), FULL), i64::from(u32::MAX));
    }
}
