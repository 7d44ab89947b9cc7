//! The tables of the metadata specifications, made by `scripts/gen-tables` and read when first asked for.
//!
//! What the program holds of them is their facts: names, tiers, types, units, allowed values.

mod modality;
mod nbo;
mod quarep;
mod rembi;

pub use modality::{Method, Mode, methods, mode, mode_by_contrast, nbo_value};
pub use nbo::{Element as NboElement, Field as NboField, element as nbo_element, version as nbo_version};
pub use quarep::{Metric, metric, metrics};
pub use rembi::{Need, RembiField, rembi};

/// The lines of a table that are not comments, cut at their tabs.
fn lines(table: &'static str) -> impl Iterator<Item = Vec<&'static str>> {
    table.lines().filter(|l| !l.starts_with('#') && !l.is_empty()).map(|l| l.split('\t').collect())
}

/// The field of a line, empty where the line is shorter.
fn at(line: &[&'static str], index: usize) -> &'static str {
    line.get(index).copied().unwrap_or_default()
}

/// The field of a line where there is something in it.
fn some(line: &[&'static str], index: usize) -> Option<&'static str> {
    Some(at(line, index)).filter(|s| !s.is_empty())
}
