//! Metadata documents beside the pixels.

mod modality;
mod omexml;
mod plates;
mod pseudonyms;
mod record;
mod rois;
pub mod sidecar;
pub mod tables;
#[cfg(test)]
mod tests;

pub use modality::{Term, fbbi, modality};
pub use omexml::ome_xml;
pub use pseudonyms::{PSEUDONYM_DIGITS, Pseudonyms, pseudonym_bits};
pub use record::{Mounted, Record, Source};
