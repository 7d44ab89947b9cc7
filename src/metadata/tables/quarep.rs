//! Metrics of quality control, as the working groups of QUAREP-LiMi name them.

use std::sync::LazyLock;

use serde::Serialize;

use super::{at, lines, some};

/// A metric.
#[derive(Debug, Serialize)]
pub struct Metric {
    /// `resolution.fwhm_x`.
    pub id: &'static str,
    /// Working group: `WG5`.
    pub group: &'static str,
    /// Unit of its values; `1` for plain numbers.
    pub unit: &'static str,
    /// `number`, `integer`, `pair`, `list of 9`.
    pub value: &'static str,
    /// Keys of a result that say what it was measured for: `channel`, `objective`.
    pub per: Vec<&'static str>,
    /// `higher`, `lower`, `closer to 1`.
    pub better: Option<&'static str>,
    /// Its name in words.
    pub name: &'static str,
    /// How it is measured.
    pub definition: &'static str,
}

static METRICS: LazyLock<Vec<Metric>> = LazyLock::new(|| {
    let metric = |line: Vec<&'static str>| Metric {
        id: at(&line, 1),
        group: at(&line, 2),
        unit: at(&line, 3),
        value: at(&line, 4),
        per: at(&line, 5).split(',').filter(|p| !p.is_empty()).collect(),
        better: some(&line, 6),
        name: at(&line, 7),
        definition: at(&line, 8),
    };
    lines(include_str!("quarep.tsv")).filter(|l| at(l, 0) == "M").map(metric).collect()
});

/// All metrics, group by group.
pub fn metrics() -> &'static [Metric] {
    &METRICS
}

/// A metric by its id.
pub fn metric(id: &str) -> Option<&'static Metric> {
    METRICS.iter().find(|m| m.id == id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_read_whole() {
        assert_eq!(metrics().len(), 59);
        let width = metric("resolution.fwhm_x").unwrap();
        assert_eq!((width.unit, &width.per[..], width.better), ("um", &["channel", "objective"][..], Some("lower")));
        assert!(metric("stage.reproducibility_x").unwrap().per.is_empty());
        assert!(metric("x:own").is_none());
    }
}
