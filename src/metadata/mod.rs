//! Metadata documents beside the pixels.

mod omexml;
#[cfg(test)]
mod tests;

pub use omexml::ome_xml;
