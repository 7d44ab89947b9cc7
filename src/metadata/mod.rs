//! Metadata documents beside the pixels.

mod omexml;
mod plates;
mod record;
mod rois;
pub mod sidecar;
#[cfg(test)]
mod tests;

pub use omexml::ome_xml;
pub use record::{Mounted, Record, Source};
