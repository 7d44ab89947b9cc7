//! OME-XML as files hold it: every release from 2003 to 2016-06, read by local names alone.
//!
//! The namespace URI is ignored, because the names that changed between releases never clash; a release that nobody has
//! heard of is read like the newest. Entities other than the five of XML and character references are refused, and so is
//! any document type with definitions of its own: nothing is expanded, nothing is fetched.

mod attributes;
mod bindata;
mod parse;
mod plates;
mod rois;
#[cfg(test)]
mod rois_tests;
mod shapes;
#[cfg(test)]
mod tests;
pub mod text;

pub use parse::{looks_like, parse};

use crate::model::plate::Plate;
use crate::model::{Physical, Rgb, Rois};

/// What one document says about images; instruments, experimenters and annotations are left to the verbatim copy.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Ome {
    /// `OME/@UUID`: the file that this document is stored in.
    pub uuid: Option<String>,
    /// The images, in the order of the document.
    pub images: Vec<Image>,
    /// `BinaryOnly`: the metadata are in another file.
    pub binary_only: Option<BinaryOnly>,
    /// Files that planes refer to, each once.
    pub files: Vec<FileRef>,
    /// Regions of interest, with those of each of `images`.
    pub rois: Rois,
    /// Plates that have images; `series` of a field is an index in `images`.
    pub plates: Vec<Plate>,
    /// What was strange and tolerated.
    pub warnings: Vec<String>,
}

/// A reference to the file that holds the metadata (2011-06 and later).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BinaryOnly {
    /// `@MetadataFile`, as written.
    pub metadata_file: String,
    /// `@UUID` of that document.
    pub uuid: String,
}

/// A `TiffData/UUID` element: the file that stores a plane.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct FileRef {
    /// `@FileName`, as written: never to be trusted.
    pub name: Option<String>,
    /// The UUID of the file.
    pub uuid: String,
}

/// One `Image` with its (first) `Pixels`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Image {
    /// `@Name`.
    pub name: String,
    /// `AcquisitionDate`, `AcquiredDate` or `CreationDate`.
    pub acquired: Option<String>,
    /// `Description`.
    pub description: Option<String>,
    /// The pixels; `None` if the image has none.
    pub pixels: Option<Pixels>,
}

/// A `Pixels` element.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Pixels {
    /// `@DimensionOrder`.
    pub order: DimensionOrder,
    /// `@Type` or `@PixelType`, in lower case; empty if absent.
    pub kind: String,
    /// `@SizeX`, absent if not given; likewise the others.
    pub size_x: Option<u64>,
    /// `@SizeY`.
    pub size_y: Option<u64>,
    /// `@SizeZ`.
    pub size_z: u64,
    /// `@SizeC`: counts samples, so an RGB image has 3.
    pub size_c: u64,
    /// `@SizeT`.
    pub size_t: u64,
    /// `@SignificantBits`.
    pub significant_bits: Option<u32>,
    /// `@PhysicalSizeX` and its like, with their units.
    pub physical: Physical,
    /// `Channel`, or `LogicalChannel` before 2009-09.
    pub channels: Vec<Channel>,
    /// Where planes are stored.
    pub tiff_data: Vec<TiffData>,
    /// Pixels are inside the document itself.
    pub bin_data: bool,
}

/// A logical channel, of one or more samples.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Channel {
    /// `@Name`.
    pub name: Option<String>,
    /// `@SamplesPerPixel`.
    pub samples: Option<u64>,
    /// `@Color`; its opacity is dropped.
    pub color: Option<Rgb>,
    /// Nanometres.
    pub emission_nm: Option<f64>,
    /// Nanometres.
    pub excitation_nm: Option<f64>,
    /// `@Fluor`.
    pub fluor: Option<String>,
}

impl Channel {
    /// As a channel of a series.
    pub fn shown(&self) -> crate::model::Channel {
        crate::model::Channel {
            name: self.name.clone(),
            color: self.color,
            window: None,
            emission_nm: self.emission_nm,
            excitation_nm: self.excitation_nm,
            fluor: self.fluor.clone(),
        }
    }
}

/// A `TiffData` element. Kept small: a long series has a million of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TiffData {
    /// First directory of the TIFF file; `NONE` if not given.
    pub ifd: u32,
    /// First plane along z.
    pub z: u32,
    /// First plane along c, in logical channels.
    pub c: u32,
    /// First plane along t.
    pub t: u32,
    /// `@PlaneCount` (`@NumPlanes` before 2009-09); `NONE` if not given.
    pub count: u32,
    /// Index in [`Ome::files`]; `NONE` for the file that holds the document.
    pub file: u32,
}

impl TiffData {
    /// A value that is not there.
    pub const NONE: u32 = u32::MAX;
}

impl Default for TiffData {
    fn default() -> Self {
        TiffData { ifd: Self::NONE, z: 0, c: 0, t: 0, count: Self::NONE, file: Self::NONE }
    }
}

/// A dimension that planes are counted along.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Axis {
    Z,
    C,
    T,
}

/// `@DimensionOrder` without the leading XY: the first one varies fastest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DimensionOrder(pub [Axis; 3]);

impl Default for DimensionOrder {
    fn default() -> Self {
        DimensionOrder([Axis::Z, Axis::C, Axis::T])
    }
}

impl DimensionOrder {
    /// From "XYZCT" and its five like.
    pub fn parse(text: &str) -> Option<Self> {
        let rest = text.trim().strip_prefix("XY")?;
        let axes: Vec<Axis> = rest
            .chars()
            .map(|c| match c {
                'Z' => Some(Axis::Z),
                'C' => Some(Axis::C),
                'T' => Some(Axis::T),
                _ => None,
            })
            .collect::<Option<_>>()?;
        let order: [Axis; 3] = axes.try_into().ok()?;
        (order[0] != order[1] && order[0] != order[2] && order[1] != order[2]).then_some(DimensionOrder(order))
    }

    /// Index of plane (z, c, t) among `sizes` (z, c, t); the sizes' product must fit.
    pub fn index(self, plane: (u64, u64, u64), sizes: (u64, u64, u64)) -> u64 {
        let pick = |axis, (z, c, t): (u64, u64, u64)| match axis {
            Axis::Z => z,
            Axis::C => c,
            Axis::T => t,
        };
        let [first, second, third] = self.0;
        (pick(third, plane) * pick(second, sizes) + pick(second, plane)) * pick(first, sizes) + pick(first, plane)
    }
}
