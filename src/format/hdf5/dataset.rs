//! Arrays of numbers: sizes, type, and where the numbers are.

use super::Hdf5;
use super::chunks::Index;
use super::fields::Datatype;
use super::filters::Pipeline;
use super::object::{DATASPACE, DATATYPE, FILL, FILL_OLD, FILTERS, LAYOUT, Object};
use crate::error::{Error, Result};

/// An array.
#[derive(Debug, Clone)]
pub(in crate::format) struct Dataset {
    /// Sizes, slowest first.
    pub sizes: Vec<u64>,
    pub datatype: Datatype,
    pub storage: Storage,
    pub filters: Pipeline,
    /// An element that was never stored, if that is not zero.
    pub fill: Option<Vec<u8>>,
}

/// Where the elements are.
#[derive(Debug, Clone)]
pub(in crate::format) enum Storage {
    /// In the header.
    Compact(Vec<u8>),
    /// One after the other at an address; `None`: never stored.
    Contiguous(Option<u64>),
    /// In chunks of these sizes.
    Chunked(Vec<u64>, Index),
}

impl Hdf5 {
    /// The array that an object is.
    ///
    /// # Errors
    /// `Malformed`, `Unsupported`, `Truncated`, failures of the disk.
    pub fn dataset(&self, object: &Object) -> Result<Dataset> {
        let needed = |kind: u16, name: &str| {
            let message = object.message(kind).ok_or_else(|| Error::malformed(format!("an array without {name}")))?;
            self.resolve(message).map_err(|e| e.at(name.to_owned()))
        };
        let (sizes, most) = self.dataspace(&needed(DATASPACE, "sizes")?)?;
        let datatype = self.datatype(&needed(DATATYPE, "type")?)?;
        let filters = match object.message(FILTERS) {
            Some(message) => self.pipeline(&self.resolve(message)?).map_err(|e| e.at("filters"))?,
            None => Pipeline::default(),
        };
        let elements = sizes.iter().try_fold(datatype.size() as u64, |n, s| n.checked_mul(*s));
        if elements.is_none_or(|n| n > 1 << 62) {
            return Err(Error::over_limit(format!("an array of {sizes:?} elements")));
        }
        let layout = needed(LAYOUT, "layout")?;
        let storage = self.layout(&layout, &sizes, &most, !filters.is_empty()).map_err(|e| e.at("layout"))?;
        let fill = object.message(FILL).map(|m| (m, true)).or(object.message(FILL_OLD).map(|m| (m, false)));
        let fill = fill.map(|(message, newer)| self.fill(&self.resolve(message)?, newer)).transpose()?.flatten();
        let fill = fill.filter(|f| f.len() == datatype.size() && f.iter().any(|b| *b != 0));
        Ok(Dataset { sizes, datatype, storage, filters, fill })
    }

    /// Sections IV.A.2.e and IV.A.2.f.
    fn fill(&self, data: &[u8], newer: bool) -> Result<Option<Vec<u8>>> {
        let mut at = self.cursor(data);
        if newer {
            let version = at.u8()?;
            if version == 3 {
                if at.u8()? & 0x20 == 0 {
                    return Ok(None);
                }
            } else {
                at.skip(2)?;
                if at.u8()? == 0 {
                    return Ok(None);
                }
            }
        }
        let size = at.u32()? as usize;
        Ok(Some(at.take(size)?.to_vec()).filter(|f| !f.is_empty()))
    }

    /// Section IV.A.2.i.
    fn layout(&self, data: &[u8], sizes: &[u64], most: &[u64], filtered: bool) -> Result<Storage> {
        let mut at = self.cursor(data);
        let version = at.u8()?;
        if (1..=2).contains(&version) {
            let (rank, class) = (usize::from(at.u8()?), at.u8()?);
            at.skip(5)?;
            let address = if class == 0 { None } else { at.offset()? };
            let chunk: Vec<u64> = (0..rank).map(|_| at.u32().map(u64::from)).collect::<Result<_>>()?;
            return match class {
                0 => {
                    let size = at.u32()? as usize;
                    Ok(Storage::Compact(at.take(size)?.to_vec()))
                }
                1 => Ok(Storage::Contiguous(address)),
                2 => chunked(chunk, sizes, Index::tree1(address)),
                other => Err(Error::malformed(format!("class {other}"))),
            };
        }
        if !(3..=5).contains(&version) {
            return Err(Error::unsupported(format!("version {version}")));
        }
        match at.u8()? {
            0 => {
                let size = usize::from(at.u16()?);
                Ok(Storage::Compact(at.take(size)?.to_vec()))
            }
            1 => Ok(Storage::Contiguous(at.offset()?)),
            2 if version == 3 => {
                let rank = usize::from(at.u8()?);
                let address = at.offset()?;
                let chunk = (0..rank).map(|_| at.u32().map(u64::from)).collect::<Result<_>>()?;
                chunked(chunk, sizes, Index::tree1(address))
            }
            2 => {
                let (flags, rank, bytes) = (at.u8()?, usize::from(at.u8()?), usize::from(at.u8()?));
                if bytes > 8 {
                    return Err(Error::malformed(format!("sizes of {bytes} bytes")));
                }
                let chunk: Vec<u64> = (0..rank).map(|_| at.uint(bytes)).collect::<Result<_>>()?;
                let index = Index::read(&mut at, flags, version, filtered, most)?;
                chunked(chunk, sizes, index)
            }
            3 => Err(Error::unsupported("a virtual dataset")),
            other => Err(Error::malformed(format!("class {other}"))),
        }
    }
}

/// The last of the sizes of a chunk is that of an element.
fn chunked(mut chunk: Vec<u64>, sizes: &[u64], index: Index) -> Result<Storage> {
    let element = chunk.pop();
    let bytes = chunk.iter().try_fold(element.unwrap_or(0), |n, s| n.checked_mul(*s));
    if chunk.len() != sizes.len() || bytes.is_none_or(|b| b == 0 || b > 1 << 40) {
        return Err(Error::malformed(format!("chunks of {chunk:?} elements in an array of {sizes:?}")));
    }
    Ok(Storage::Chunked(chunk, index))
}
