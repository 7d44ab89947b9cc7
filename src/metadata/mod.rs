//! Metadata documents beside the pixels.

mod omexml;
mod plates;
mod rois;
#[cfg(test)]
mod tests;

pub use omexml::ome_xml;
