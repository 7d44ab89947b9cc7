//! Metadata documents beside the pixels.

mod omexml;
mod plates;
#[cfg(test)]
mod tests;

pub use omexml::ome_xml;
