//! Attributes: small values with names, as texts.

use std::collections::BTreeMap;

use super::Hdf5;
use super::fields::Datatype;
use super::object::{ATTRIBUTE, ATTRIBUTE_INFO, Object};
use crate::codec::raster::Number;
use crate::error::{Error, Result};
use crate::io::Watch;

/// Attributes of an object by name.
pub(in crate::format) type Attributes = BTreeMap<String, String>;

/// Longest text that is made of one attribute.
const LONGEST: usize = 1 << 20;
/// Numbers of an array that are told.
const MOST_NUMBERS: usize = 64;

impl Hdf5 {
    /// The attributes of an object: texts as they are (arrays of single characters put together, as Imaris writes texts),
    /// numbers with blanks between. Other ones, and those that are damaged, are left out.
    ///
    /// # Errors
    /// `OverLimit`, failures of the disk; damage of what holds many attributes; `Interrupted`.
    pub fn attributes(&self, object: &Object, watch: &Watch) -> Result<Attributes> {
        let mut all = Attributes::new();
        let mut held = 0;
        let mut add = |data: &[u8]| match self.attribute(data) {
            Ok(Some((name, text))) => {
                held += (name.len() + text.len() + 64) as u64;
                all.entry(name).or_insert(text);
                if held > self.most { Err(Error::over_limit(format!("attributes of {held} bytes"))) } else { Ok(()) }
            }
            Ok(None) => Ok(()),
            Err(e) if e.about_content() => Ok(()),
            Err(e) => Err(e),
        };
        for message in object.messages.iter().filter(|m| m.kind == ATTRIBUTE) {
            match self.resolve(message) {
                Ok(data) => add(&data)?,
                Err(e) if e.about_content() => {}
                Err(e) => return Err(e),
            }
            watch.tick();
        }
        if let Some(info) = object.message(ATTRIBUTE_INFO) {
            let mut at = self.cursor(&info.data);
            at.skip(1)?;
            let flags = at.u8()?;
            at.skip(if flags & 1 != 0 { 2 } else { 0 })?;
            if let (Some(heap), Some(tree)) = (at.offset()?, at.offset()?) {
                let (heap, tree) = (self.fractal_heap(heap)?, self.tree2(tree)?);
                for record in self.records2(&tree, watch)? {
                    watch.check()?;
                    match self.managed(&heap, record.get(..8).unwrap_or_default()) {
                        Ok(data) => add(&data)?,
                        Err(e) if e.about_content() => {}
                        Err(e) => return Err(e),
                    }
                    watch.tick();
                }
            }
        }
        Ok(all)
    }

    /// Section IV.A.2.m.
    fn attribute(&self, data: &[u8]) -> Result<Option<(String, String)>> {
        let mut at = self.cursor(data);
        let (version, flags) = (at.u8()?, at.u8()?);
        if !(1..=3).contains(&version) {
            return Err(Error::unsupported(format!("an attribute of version {version}")));
        }
        let sizes = [usize::from(at.u16()?), usize::from(at.u16()?), usize::from(at.u16()?)];
        at.skip(usize::from(version == 3))?;
        let padded = |size: usize| if version == 1 { size.next_multiple_of(8) } else { size };
        let mut field = |size: usize| -> Result<&[u8]> {
            let whole = at.take(padded(size))?;
            Ok(whole.get(..size).unwrap_or_default())
        };
        let (name, datatype, dataspace) = (field(sizes[0])?, field(sizes[1])?, field(sizes[2])?);
        let datatype = if version > 1 && flags & 1 != 0 {
            self.datatype(&self.shared(datatype, super::object::DATATYPE)?)?
        } else {
            self.datatype(datatype)?
        };
        let (counts, _) = self.dataspace(dataspace)?;
        let count = counts.iter().try_fold(1_u64, |n, c| n.checked_mul(*c)).unwrap_or(u64::MAX);
        let bytes = count.saturating_mul(datatype.size() as u64).min(LONGEST as u64);
        let value = at.take((bytes as usize).min(at.rest().len()))?;
        let name = String::from_utf8_lossy(name.split(|b| *b == 0).next().unwrap_or_default()).into_owned();
        Ok(self.text(&datatype, value)?.map(|text| (name, text)))
    }

    fn text(&self, datatype: &Datatype, value: &[u8]) -> Result<Option<String>> {
        let of =
            |bytes: &[u8]| String::from_utf8_lossy(bytes.split(|b| *b == 0).next().unwrap_or_default()).into_owned();
        Ok(match datatype {
            Datatype::Text(1) => Some(of(value)),
            Datatype::Text(size) => {
                let texts: Vec<String> = value.chunks_exact(*size).take(MOST_NUMBERS).map(of).collect();
                Some(texts.join(" "))
            }
            Datatype::AnyText(size) => {
                let mut texts = Vec::new();
                for element in value.chunks_exact(*size).take(MOST_NUMBERS) {
                    let mut at = self.cursor(element);
                    let length = at.u32()? as usize;
                    let Some(heap) = at.offset()?.filter(|_| length > 0) else { continue };
                    let object = self.global(heap, at.u32()?)?;
                    texts.push(of(object.get(..length.min(LONGEST)).unwrap_or(&object)));
                }
                Some(texts.join(" "))
            }
            Datatype::Number(number, size, big) => {
                let numbers = value.chunks_exact(*size).take(MOST_NUMBERS);
                let texts: Option<Vec<String>> = numbers.map(|bytes| decimal(*number, bytes, *big)).collect();
                texts.map(|t| t.join(" "))
            }
            Datatype::Other(..) => None,
        })
    }
}

/// A number in decimal.
fn decimal(number: Number, bytes: &[u8], big: bool) -> Option<String> {
    let mut low = bytes.to_vec();
    if big {
        low.reverse();
    }
    let mut wide = [0; 8];
    wide.get_mut(..low.len())?.copy_from_slice(&low);
    let unsigned = u64::from_le_bytes(wide);
    Some(match (number, low.len()) {
        (Number::Float, 4) => f32::from_bits(unsigned as u32).to_string(),
        (Number::Float, 8) => f64::from_bits(unsigned).to_string(),
        (Number::Float, _) => return None,
        (Number::Signed, n) => {
            let shift = 64 - 8 * n as u32;
            ((unsigned << shift) as i64 >> shift).to_string()
        }
        _ => unsigned.to_string(),
    })
}
