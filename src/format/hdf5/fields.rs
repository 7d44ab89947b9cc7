//! What numbers an array holds, and how many of them.

use super::Hdf5;
use crate::codec::raster::Number;
use crate::error::{Error, Result};

/// Most dimensions (as in the library that everybody writes with).
const MOST_DIMENSIONS: u8 = 32;

/// The type of an element (section IV.A.2.d).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::format) enum Datatype {
    /// Integers and floating-point numbers: what they are, bytes, most significant byte first.
    Number(Number, usize, bool),
    /// Characters, so many bytes of them.
    Text(usize),
    /// Texts of any length in a heap; an element takes so many bytes.
    AnyText(usize),
    /// Something else, by the number of its class.
    Other(u8, usize),
}

impl Datatype {
    /// Bytes of an element.
    pub fn size(&self) -> usize {
        match self {
            Datatype::Number(_, size, _)
            | Datatype::Text(size)
            | Datatype::AnyText(size)
            | Datatype::Other(_, size) => *size,
        }
    }
}

impl Hdf5 {
    /// # Errors
    /// `Malformed`.
    pub(super) fn datatype(&self, data: &[u8]) -> Result<Datatype> {
        let mut at = self.cursor(data);
        let class = at.u8()? & 15;
        let bits = at.uint(3)?;
        let size = at.u32()? as usize;
        if size == 0 {
            return Err(Error::malformed("elements of no bytes"));
        }
        let big = bits & 1 != 0;
        Ok(match class {
            0 => {
                let (shift, precision) = (at.u16()?, usize::from(at.u16()?));
                let number = if bits & 8 != 0 { Number::Signed } else { Number::Unsigned };
                if shift == 0 && precision == 8 * size {
                    Datatype::Number(number, size, big)
                } else {
                    Datatype::Other(0, size)
                }
            }
            // A second bit makes the order that of the VAX.
            1 if bits & 0x40 == 0 => Datatype::Number(Number::Float, size, big),
            3 => Datatype::Text(size),
            9 if bits & 15 == 1 => Datatype::AnyText(size),
            other => Datatype::Other(other, size),
        })
    }

    /// Sizes of an array, and those that it may grow to (`u64::MAX`: any); section IV.A.2.b.
    ///
    /// # Errors
    /// `Malformed`, `Unsupported`.
    pub(super) fn dataspace(&self, data: &[u8]) -> Result<(Vec<u64>, Vec<u64>)> {
        let mut at = self.cursor(data);
        let (version, rank, flags) = (at.u8()?, at.u8()?, at.u8()?);
        match version {
            1 => at.skip(5)?,
            2 => {
                // A null dataspace has no element.
                if at.u8()? == 2 {
                    return Ok((vec![0], vec![0]));
                }
            }
            other => return Err(Error::unsupported(format!("a dataspace of version {other}"))),
        }
        if rank > MOST_DIMENSIONS {
            return Err(Error::malformed(format!("{rank} dimensions")));
        }
        let sizes: Vec<u64> = (0..rank).map(|_| at.length()).collect::<Result<_>>()?;
        let undefined = if self.length_size >= 8 { u64::MAX } else { (1 << (8 * u32::from(self.length_size))) - 1 };
        let most = if flags & 1 != 0 {
            let any = |n: u64| if n == undefined { u64::MAX } else { n };
            (0..rank).map(|_| at.length().map(any)).collect::<Result<_>>()?
        } else {
            sizes.clone()
        };
        Ok((sizes, most))
    }
}
