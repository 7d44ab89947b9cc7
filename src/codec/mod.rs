//! Decoders: bytes in, samples out; no I/O. Each fills the caller's buffer and stops there, so that no stream can grow
//! beyond what its image has room for.

pub mod base64;
pub mod bits;
pub mod deflate;
pub mod fax;
pub(crate) mod huffman;
pub mod jpeg;
pub mod jpeg2000;
mod jpeg_bits;
pub mod jpeg_frame;
pub mod jpeg_lossless;
pub mod jpeg_rows;
pub mod jpeg_wide;
pub mod jpegls;
pub mod jpegxl;
pub mod jpegxr;
pub mod lerc;
pub mod lz4;
pub mod lzma;
pub mod lzw;
pub mod packbits;
pub mod picture;
pub mod png;
pub mod predictor;
pub mod raster;
pub mod webp;
pub mod zstd;

use crate::error::{Error, Kind};

/// What a decoder's own error means: too short, unreadable, or damaged.
pub(crate) fn stream_error(error: &std::io::Error, codec: &str) -> Error {
    if let Some(inner) = error.get_ref().and_then(|e| e.downcast_ref::<Error>()) {
        return inner.clone();
    }
    let kind = if error.kind() == std::io::ErrorKind::UnexpectedEof { Kind::Truncated } else { Kind::Malformed };
    let what = if kind == Kind::Truncated { "end too early" } else { "are damaged" };
    Error::new(kind, format!("the {codec} data {what} ({error})"))
}
