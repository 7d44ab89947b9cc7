//! Planes of samples that lie at offsets with strides: what many vendors' containers come down to.
//!
//! A format gives its series, a [`Layout`] for each of their levels and a [`Planes`] that says where a plane is; reading
//! rows, unpacking, byte order and the cutting into bands of rows are the same for all.

mod details;
mod gather;
mod layout;
mod members;
mod packed;
mod source;

pub(crate) use details::{Details, Stage, Taken};
pub(crate) use layout::{Layout, Packing};
pub(crate) use members::Members;
pub(crate) use source::Strided;

use crate::error::Result;
use crate::io::ReadAt;
use crate::model::TileId;
use crate::sync::Arc;

/// Where a plane (of one channel group) is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Spot {
    /// Number of the file, as [`Members`] counts.
    pub member: u32,
    /// Its first sample (row 0, column 0), or the first byte of what it is packed in.
    pub offset: u64,
    /// Packed bytes; of no meaning where samples are not packed.
    pub length: u64,
}

/// Finds planes.
pub(crate) trait Planes: Send + Sync {
    /// The plane of a channel group; `None` if it was never stored.
    ///
    /// # Errors
    /// The plane's own failure: its bytes should be there, and are not.
    fn find(&self, series: usize, level: usize, t: u64, g: u64, z: u64) -> Result<Option<Spot>>;

    /// What is only known from the file itself: where behind a header the samples begin. Asked when a plane is read.
    ///
    /// # Errors
    /// What is wrong with the header; failures of the disk.
    fn resolve(&self, spot: Spot, _series: usize, _level: usize, _file: &dyn ReadAt) -> Result<Spot> {
        Ok(spot)
    }

    /// The file that the spot of a plane is in, where it is no member as it stands: a plane that was written in parts.
    ///
    /// # Errors
    /// Why it cannot be opened.
    fn file(&self, _id: TileId, spot: Spot, members: &Members) -> Result<Arc<dyn ReadAt>> {
        members.get(spot.member)
    }

    /// Bytes of memory held.
    fn heap_bytes(&self) -> u64;
}
