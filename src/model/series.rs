//! Series, their stored levels and the grid of stored tiles.

use super::{Channel, Dtype, Physical};

/// Size along the five axes; channels count samples, so an RGB image has `c == 3`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub struct Shape {
    pub t: u64,
    pub c: u64,
    pub z: u64,
    pub y: u64,
    pub x: u64,
}

impl Shape {
    /// t, c, z, y, x.
    pub fn tczyx(self) -> [u64; 5] {
        [self.t, self.c, self.z, self.y, self.x]
    }
}

/// Rows and columns of a full tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub struct TileSize {
    pub y: u64,
    pub x: u64,
}

/// One stored resolution. Its planes are cut into a regular grid of units that are fetched and decoded whole: a native
/// tile, a strip, several neighbouring strips, or a band of rows of a strip too large to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Level {
    /// Size of this resolution.
    pub shape: Shape,
    /// Size of a unit; units at the right and lower edge are cut to the plane.
    pub unit: TileSize,
    /// The tile size the file itself has, if it is tiled: decides the chunk shape.
    pub native_tile: Option<TileSize>,
}

impl Level {
    /// Units along y and x.
    pub fn grid(&self) -> (u64, u64) {
        (self.shape.y.div_ceil(self.unit.y), self.shape.x.div_ceil(self.unit.x))
    }

    /// Rows and columns of the unit at (`ty`, `tx`), cut to the plane.
    pub fn unit_size(&self, ty: u64, tx: u64) -> (u64, u64) {
        let rows = self.unit.y.min(self.shape.y.saturating_sub(ty * self.unit.y));
        let columns = self.unit.x.min(self.shape.x.saturating_sub(tx * self.unit.x));
        (rows, columns)
    }
}

/// What an image is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    /// A main image.
    Image,
    /// A slide's label, macro, thumbnail: shown as `associated/<name>`.
    Associated(String),
    /// The regions of interest of another series, by its index: shown as its `labels/rois`.
    Regions(u32),
}

/// How a level that the source does not store is made from the one above.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reduction {
    /// Mean of the pixels covered.
    Mean,
    /// The upper left one: labels and palette indices.
    Nearest,
}

/// The colour table of a palette image, `1 << bits` entries of 16 bits a component as TIFF stores them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[allow(missing_docs)]
pub struct Colormap {
    pub red: Vec<u16>,
    pub green: Vec<u16>,
    pub blue: Vec<u16>,
}

/// One image of a source.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// The name the source gives, or an empty string.
    pub name: String,
    /// Main or associated.
    pub role: Role,
    /// Sample type as shown.
    pub dtype: Dtype,
    /// How many bits of a sample can be set (12 for a 12-bit camera in uint16).
    pub significant_bits: u32,
    /// Channels that one unit holds side by side (3 for chunky RGB); `shape.c` is a multiple of it.
    pub samples: u64,
    /// The samples of a unit are red, green, blue (and alpha)?
    pub rgb: bool,
    /// Stored resolutions, largest first; never empty.
    pub levels: Vec<Level>,
    /// One for each of `shape.c`.
    pub channels: Vec<Channel>,
    /// Calibration.
    pub physical: Physical,
    /// How further levels are made.
    pub reduction: Reduction,
    /// The palette, where stored values are indices.
    pub colormap: Option<Colormap>,
    /// When the image was acquired, as ISO 8601, if the source says.
    pub acquired: Option<String>,
    /// Free text the source gives.
    pub description: Option<String>,
    /// The lens, if the source says anything of it.
    pub objective: Option<Objective>,
}

/// What a source says of the objective lens.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Objective {
    /// Nominal magnification: 20 for a 20x lens.
    pub magnification: Option<f64>,
    /// Numerical aperture.
    pub na: Option<f64>,
    /// The name it goes by.
    pub model: Option<String>,
}

impl Series {
    /// Size of the full resolution.
    pub fn shape(&self) -> Shape {
        self.levels[0].shape
    }

    /// Bytes of memory held.
    pub fn heap_bytes(&self) -> u64 {
        let text = |t: &Option<String>| t.as_ref().map_or(0, String::capacity);
        let channels: usize = self.channels.iter().map(|c| text(&c.name) + text(&c.fluor)).sum();
        let bytes = size_of::<Series>()
            + self.name.capacity()
            + text(&self.acquired)
            + text(&self.description)
            + self.objective.as_ref().map_or(0, |o| text(&o.model))
            + self.levels.capacity() * size_of::<Level>()
            + self.channels.capacity() * size_of::<Channel>()
            + channels
            + self.colormap.as_ref().map_or(0, |m| 6 * m.red.len());
        bytes as u64
    }
}

/// Names one unit of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TileId {
    /// Index of the series.
    pub series: u32,
    /// Index of the stored level.
    pub level: u32,
    /// Time point.
    pub t: u64,
    /// Channel group: channels `g * samples .. (g + 1) * samples`.
    pub g: u64,
    /// Focal plane.
    pub z: u64,
    /// Row in the grid of units.
    pub ty: u64,
    /// Column in the grid of units.
    pub tx: u64,
}
