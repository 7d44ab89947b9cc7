//! Numbers of which only ranks are asked for: counted where there can be few different ones, else kept.

use crate::model::Dtype;

/// See the module. Finite numbers only.
pub(super) enum Samples {
    /// How often each whole number from `base` on was seen, and the lowest and highest place that was.
    Counted { counts: Vec<u32>, base: f64, low: usize, high: usize },
    /// Each of them.
    Listed(Vec<f64>),
}

impl Samples {
    /// For samples of a type, counted where that is possible and `few` such lists are held.
    pub fn new(dtype: Dtype, few: bool) -> Self {
        let counted = |base: f64, count: usize| Samples::Counted { counts: vec![0; count], base, low: count, high: 0 };
        match dtype {
            _ if !few => Samples::Listed(Vec::new()),
            Dtype::U8 => counted(0.0, 1 << 8),
            Dtype::I8 => counted(-128.0, 1 << 8),
            Dtype::U16 => counted(0.0, 1 << 16),
            Dtype::I16 => counted(-32_768.0, 1 << 16),
            _ => Samples::Listed(Vec::new()),
        }
    }

    /// Takes a number down; what is not finite is left out.
    pub fn add(&mut self, value: f64) {
        match self {
            Samples::Counted { counts, base, low, high } => {
                // Whole and within the type: exact.
                #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
                let at = (value - *base) as usize;
                if let Some(count) = counts.get_mut(at) {
                    *count += 1;
                    (*low, *high) = ((*low).min(at), (*high).max(at));
                }
            }
            Samples::Listed(values) if value.is_finite() => values.push(value),
            Samples::Listed(_) => {}
        }
    }

    /// The numbers at these fractions of the way from the lowest to the highest, in order; `None` if there are none.
    pub fn ranks<const N: usize>(&mut self, fractions: [f64; N]) -> Option<[f64; N]> {
        let most = match self {
            Samples::Counted { counts, low, high, .. } => {
                let seen = counts.get(*low..=*high).unwrap_or_default();
                seen.iter().map(|n| *n as usize).sum::<usize>()
            }
            Samples::Listed(values) => values.len(),
        }
        .checked_sub(1)?;
        #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        Some(fractions.map(|fraction| self.at(((fraction * most as f64).round() as usize).min(most))))
    }

    /// The number of a rank below their count.
    fn at(&mut self, rank: usize) -> f64 {
        match self {
            Samples::Counted { counts, base, low, high } => {
                let mut before = 0;
                let reaches = |at: &usize| {
                    before += counts.get(*at).map_or(0, |n| *n as usize);
                    before > rank
                };
                #[allow(clippy::cast_precision_loss)]
                let place = (*low..=*high).find(reaches).unwrap_or(*high) as f64;
                place + *base
            }
            Samples::Listed(values) => *values.select_nth_unstable_by(rank, f64::total_cmp).1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_has_the_ranks_of_what_is_listed() {
        let fractions = [0.0, 0.001, 0.25, 0.5, 0.999, 1.0];
        let mut state = 7u64;
        for (dtype, low, high) in [
            (Dtype::U8, 0, 255),
            (Dtype::I8, -128, 127),
            (Dtype::U16, 0, 65535),
            (Dtype::U16, 1000, 1010),
            (Dtype::I16, -32768, 32767),
        ] {
            for count in [1, 2, 1000, 4001] {
                let (mut counted, mut listed) = (Samples::new(dtype, true), Samples::new(dtype, false));
                for _ in 0..count {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    let drawn = i32::from((state >> 48) as u16);
                    let value = f64::from(low + drawn % (high - low + 1));
                    counted.add(value);
                    listed.add(value);
                }
                assert!(matches!(counted, Samples::Counted { .. }));
                assert_eq!(counted.ranks(fractions), listed.ranks(fractions), "{dtype:?} {count}");
            }
        }
    }

    #[test]
    fn none_has_no_rank_and_what_is_not_finite_is_none() {
        for dtype in [Dtype::U8, Dtype::U16, Dtype::F32] {
            assert_eq!(Samples::new(dtype, true).ranks([0.5]), None);
        }
        let mut floats = Samples::new(Dtype::F32, true);
        for value in [f64::NAN, 2.0, f64::INFINITY, -1.0] {
            floats.add(value);
        }
        assert_eq!(floats.ranks([0.0, 1.0]), Some([-1.0, 2.0]));
    }
}
