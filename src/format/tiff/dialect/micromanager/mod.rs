//! Micro-Manager: NDTiff with its index, classic image stacks with theirs, and separate files with `metadata.txt`
//! (micro-manager.org, "Micro-Manager File Formats"; NDTiffStorage, "NDTiff specification").
//!
//! All three say of each plane where it is stored and which channel, focal plane, time point and position it is.

mod ndtiff;
mod separate;
mod stack;
mod summary;

use super::{Dialect, Opening};
use crate::error::{Error, Result};
use crate::format::ImageSource;
use crate::sync::Arc;

/// Files of Micro-Manager.
pub(super) struct MicroManager;

/// In every directory: the plane's metadata as JSON.
const METADATA: u16 = 51123;
/// Behind the header of an NDTiff file.
const NDTIFF: u64 = 483_729;
/// Behind the header of a classic stack: the offset of the index follows.
const INDEX_MAP: u64 = 54_773_648;
/// Before the length of the summary.
const SUMMARY: u64 = 2_355_492;

/// What the words behind the TIFF header say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    NdTiff,
    Stack,
    Other,
}

impl Dialect for MicroManager {
    fn name(&self) -> &'static str {
        "Micro-Manager metadata"
    }

    fn knows(&self, opening: &Opening<'_>) -> bool {
        !opening.tiff.big && (opening.first.get(METADATA).is_some() || kind(opening) != Kind::Other)
    }

    fn assemble(&self, opening: &Opening<'_>) -> Result<Arc<dyn ImageSource>> {
        let source = match kind(opening) {
            Kind::NdTiff => ndtiff::assemble(opening),
            Kind::Stack => stack::assemble(opening),
            Kind::Other => separate::assemble(opening),
        }?;
        Ok(Arc::new(source))
    }
}

fn kind(opening: &Opening<'_>) -> Kind {
    match word(opening, 8) {
        Ok(NDTIFF) => Kind::NdTiff,
        Ok(INDEX_MAP) => Kind::Stack,
        _ => Kind::Other,
    }
}

/// A word of 32 bits in the byte order of the file.
fn word(opening: &Opening<'_>, offset: u64) -> Result<u64> {
    Ok(opening.tiff.number(&opening.tiff.file.read_vec(offset, 4)?))
}

/// Reads a document of JSON that lies in the file.
fn document(opening: &Opening<'_>, offset: u64, length: u64) -> Result<Vec<u8>> {
    if length > opening.limits.index_bytes {
        return Err(Error::over_limit(format!("metadata of {length} bytes")));
    }
    opening.tiff.file.read_vec(offset, length)
}
