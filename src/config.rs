//! The validated configuration: what flags, environment and TOML come to. Everything below `cli` sees only this.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// An NGFF version that a view shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ngff {
    /// OME-Zarr 0.4 on Zarr v2.
    V04,
    /// OME-Zarr 0.5 on Zarr v3.
    V05,
    /// OME-Zarr 0.6 on Zarr v3: axes in named coordinate systems.
    V06,
}

/// How a file with one image is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Layout {
    /// One image at the root of its directory, several as a collection.
    Auto,
    /// Always a `bioformats2raw.layout` collection.
    Bf2raw,
}

/// What a synthesized level does over a tile that cannot be decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Damaged {
    /// EIO.
    Error,
    /// Reduces over what is intact, and marks the image.
    Fill,
}

/// How palette images are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Palette {
    /// The stored indices.
    Index,
    /// Three channels of colour.
    Rgb,
}

/// What is left out of people, places and devices. A later one leaves out all that an earlier one does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Deidentify {
    /// Nothing.
    #[default]
    Off,
    /// Names, addresses and institutions of people; vendor documents; labels of slides; every file that is no image.
    Standard,
    /// Free text and serial numbers too; dates are cut to the year; names of images and directories become keyed hashes.
    Strict,
}

impl Deidentify {
    /// What a sidecar asks for; a word that is none of the names was meant to hide something.
    pub fn asked(word: &str) -> Self {
        match word {
            "off" => Deidentify::Off,
            "standard" => Deidentify::Standard,
            _ => Deidentify::Strict,
        }
    }

    /// As options and documents write it.
    pub fn name(self) -> &'static str {
        match self {
            Deidentify::Off => "off",
            Deidentify::Standard => "standard",
            Deidentify::Strict => "strict",
        }
    }
}

/// Bytes that must not be shown, in a log of the options least of all.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<[u8]>);

impl Secret {
    /// Keeps them.
    pub fn new(bytes: impl Into<Arc<[u8]>>) -> Self {
        Secret(bytes.into())
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// How images look in the mount; part of what a path shows (design: same bytes, always).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ViewOptions {
    /// Versions to show; the first has the plain name. Never empty, no repeats.
    pub ngff: Vec<Ngff>,
    /// Layout of single images.
    pub layout: Layout,
    /// Chunk rows and columns, if not chosen by the image.
    pub chunk: Option<(u64, u64)>,
    /// Rows and columns of a shard, rounded up to whole chunks; `None`: every chunk is a file of its own. Zarr v2 has none.
    pub shard: Option<(u64, u64)>,
    /// Drop axes of length one.
    pub squeeze: bool,
    /// Palette images.
    pub palette: Palette,
    /// Synthesized levels over bad tiles.
    pub damaged: Damaged,
    /// What is left out.
    pub deidentify: Deidentify,
    /// What hides names under [`Deidentify::Strict`], which needs it.
    pub deidentify_key: Option<Secret>,
}

impl Default for ViewOptions {
    fn default() -> Self {
        ViewOptions {
            ngff: vec![Ngff::V05],
            layout: Layout::Auto,
            chunk: None,
            shard: None,
            squeeze: false,
            palette: Palette::Index,
            damaged: Damaged::Error,
            deidentify: Deidentify::Off,
            deidentify_key: None,
        }
    }
}

/// What the tree shows.
#[derive(Debug, Clone, Default)]
pub struct TreeOptions {
    /// Source images are listed beside their directories.
    pub show_sources: bool,
    /// Only image files that match one of these globs (path beneath SOURCE) become images; empty: all.
    pub include: Vec<String>,
    /// Image files that match one of these do not.
    pub exclude: Vec<String>,
}

/// What is kept on disk from one mount to the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskOptions {
    /// A private folder; absolute.
    pub folder: PathBuf,
    /// Bytes of its files at most.
    pub size: u64,
}

/// What the engine may take.
#[derive(Debug, Clone)]
pub struct EngineOptions {
    /// Bytes for cache, documents, scratch and work in flight together.
    pub cache_size: u64,
    /// Decoding threads.
    pub threads: usize,
    /// How long a request may wait for work that makes no progress.
    pub deadline: Duration,
    /// What is kept on disk; `None`: nothing.
    pub disk: Option<DiskOptions>,
}

impl Default for EngineOptions {
    fn default() -> Self {
        EngineOptions {
            cache_size: 512 << 20,
            threads: std::thread::available_parallelism().map_or(2, std::num::NonZero::get),
            deadline: Duration::from_secs(30),
            disk: None,
        }
    }
}

/// How much the log says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LogLevel {
    /// What failed.
    Error,
    /// What was tolerated or will fail soon.
    Warn,
    /// Start, end, and each image that cannot be shown.
    Info,
    /// Decisions.
    Debug,
    /// Every request.
    Trace,
}

/// The form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LogFormat {
    /// Time, level, message.
    Text,
    /// One JSON object.
    Json,
}

/// Where the log goes and what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogOptions {
    /// Least important level that is written.
    pub level: LogLevel,
    /// Form of a line.
    pub format: LogFormat,
    /// File to append to; `None`: standard error.
    pub file: Option<PathBuf>,
    /// Nothing that could come out of a file is written: the mount is de-identified.
    pub discreet: bool,
}

/// Everything `fuzarr mount` needs to serve.
#[derive(Debug, Clone)]
pub struct MountOptions {
    /// Folder or file to show; absolute.
    pub source: PathBuf,
    /// Where; absolute.
    pub mountpoint: PathBuf,
    /// Other users may look in (needs root or `user_allow_other`).
    pub allow_other: bool,
    /// What images look like.
    pub view: ViewOptions,
    /// What the tree shows.
    pub tree: TreeOptions,
    /// Budget, threads, deadline.
    pub engine: EngineOptions,
}
