//! Size and type of the frames (`ImageAttributes`).

use super::variant::Node;
use crate::codec::raster::Number;
use crate::error::{Error, Result};
use crate::format::strided::{Layout, Packing};

/// What is said of every frame.
#[derive(Debug, Clone)]
pub(super) struct Attributes {
    /// How samples lie in a frame: components side by side.
    pub layout: Layout,
    /// Bits that can be set.
    pub significant: u32,
    /// Bytes of a row.
    pub row: u64,
}

impl Attributes {
    /// Reads the fields.
    ///
    /// # Errors
    /// `Malformed`, `Unsupported`.
    pub fn read(tree: &Node) -> Result<Self> {
        let node = tree.holding("Width").ok_or_else(|| Error::malformed("no size in the attributes"))?;
        let field =
            |name: &str| node.count(name).ok_or_else(|| Error::malformed(format!("no {name} in the attributes")));
        let (width, height) = (field("Width")?, field("Height")?);
        let components = node.count("Comp").unwrap_or(1);
        let bits = field("BpcInMemory")?;
        let samples = usize::try_from(components).unwrap_or(usize::MAX);
        // pxtSigned, pxtUnsigned, pxtReal; where it is not said, 32 bits are floating-point numbers.
        let number = match node.count("PixelType") {
            Some(0) => Number::Signed,
            Some(2) => Number::Float,
            None if bits == 32 => Number::Float,
            _ => Number::Unsigned,
        };
        if samples == 0 || samples > 4096 || !matches!(bits, 8 | 16 | 32 | 64) {
            return Err(Error::malformed(format!("frames of {components} components of {bits} bits")));
        }
        let mut layout = Layout::chunky(width, height, samples, bits as u32, number);
        layout.packing = match node.count("Compression") {
            Some(0) => Packing::Zlib,
            Some(1) => return Err(Error::unsupported("frames with lossy compression")),
            _ => Packing::None,
        };
        let tight = layout.row.unsigned_abs();
        let row = node.count("WidthBytes").filter(|row| *row > 0).unwrap_or(tight);
        if row < tight {
            return Err(Error::malformed(format!(
                "rows of {row} bytes for {width} pixels of {components} x {bits} bits"
            )));
        }
        layout.row = i64::try_from(row).unwrap_or(i64::MAX);
        layout.check()?;
        let significant = node.count("BpcSignificant").filter(|s| (1..=bits).contains(s)).unwrap_or(bits);
        Ok(Attributes { layout, significant: significant as u32, row })
    }

    /// The frames brought to where the larger side of the whole was a power of two `size`; `None` if nothing would be left.
    /// Rows begin at multiples of four bytes.
    pub fn reduced(&self, size: u64) -> Option<Layout> {
        let full = self.layout.width.max(self.layout.height).checked_next_power_of_two()?;
        let side = |side: u64| (u128::from(side) * u128::from(size) / u128::from(full)) as u64;
        let (width, height) = (side(self.layout.width), side(self.layout.height));
        if size >= full || width == 0 || height == 0 {
            return None;
        }
        let Layout { bits, number, .. } = self.layout;
        let mut layout = Layout::chunky(width, height, self.layout.samples.len(), bits, number);
        layout.row = (layout.row + 3) / 4 * 4;
        Some(layout)
    }
}
