//! Metadata documents beside the pixels.

mod omexml;
mod plates;
mod pseudonyms;
mod record;
mod rois;
pub mod sidecar;
#[cfg(test)]
mod tests;

pub use omexml::ome_xml;
pub use pseudonyms::{PSEUDONYM_DIGITS, Pseudonyms, pseudonym_bits};
pub use record::{Mounted, Record, Source};
