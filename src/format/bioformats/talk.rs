//! What is asked of a helper, and what it answers.

use serde::{Deserialize, Serialize};

/// A request.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Request {
    /// Name endings of all readers: a list of texts.
    Endings,
    /// What is in a file: [`Described`].
    Open(File),
    /// Bytes of a part of a plane, as its reader gives them.
    Read(File, Part),
}

/// A file in one of its states.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct File {
    pub path: String,
    /// Tells the states of a file apart, so that nothing is read from one that is no more.
    pub state: u64,
}

/// A part of a plane.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Part {
    pub series: i32,
    pub level: i32,
    pub t: i32,
    pub c: i32,
    pub z: i32,
    pub y: i32,
    pub x: i32,
    pub rows: i32,
    pub columns: i32,
}

/// What is in a file.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Described {
    /// The reader's name for its format.
    pub format: String,
    /// Absolute paths of all files of the dataset.
    pub used: Vec<String>,
    /// OME-XML.
    pub xml: String,
    pub series: Vec<Image>,
}

/// A series.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Image {
    pub levels: Vec<Resolution>,
    /// Samples of a pixel in a plane.
    pub samples: u64,
    /// Samples of a pixel lie side by side, not in planes of their own.
    pub interleaved: bool,
    pub little: bool,
    /// The number that Bio-Formats has for the type of a sample.
    pub kind: i32,
    pub bits: u32,
    pub thumbnail: bool,
    /// Red, green and blue of each index.
    pub palette: Option<[Vec<u16>; 3]>,
}

/// A resolution; `c` counts planes, not samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub(super) struct Resolution {
    pub t: u64,
    pub c: u64,
    pub z: u64,
    pub y: u64,
    pub x: u64,
    pub tile_y: u64,
    pub tile_x: u64,
}
