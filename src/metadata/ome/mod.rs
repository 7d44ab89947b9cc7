//! OME-XML: the tree that a source's document is, brought to the semantics of 2016-06; what is mounted, put on top of it; and
//! the writer of `OME/METADATA.ome.xml`.
//!
//! The document is always rebuilt, never copied: readers take sizes and types from it and find the arrays by `Image:0`,
//! `Image:1`, so both must be those of the arrays. What the source itself says stands verbatim beside it.

mod fit;
mod ids;
mod image;
mod mounted;
mod plates;
mod read;
mod rois;
mod schema;
#[cfg(test)]
pub(super) mod tests;
mod upgrade;
mod upgrade_channels;
mod values;
mod write;

pub use mounted::{estimate, finish, misfits, tree};
pub use read::read;
pub use upgrade::upgrade;
pub use write::write;
