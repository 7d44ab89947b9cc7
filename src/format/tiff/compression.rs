//! Values of the Compression tag, and who decodes them. A new one is a file in [`crate::codec`] and a line in [`TABLE`].

use std::hash::{Hash, Hasher};
use std::io::{BufRead, Read};

use super::tags::tag;
use crate::codec::picture::Codec;
use crate::codec::{deflate, fax, jpeg, jpeg2000, jpegxl, jpegxr, lerc, lzma, lzw, packbits, png, webp, zstd};
use crate::error::Result;

/// How blocks are compressed. Two are equal if they have the same name.
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs)]
pub enum Compression {
    None,
    /// Rows of samples as TIFF lays them out, packed.
    Bytes(&'static Bytes),
    /// A picture with a size and samples of its own. `option` is the tag whose last value its decoder wants to know, 0 for none.
    Picture {
        codec: &'static Codec,
        option: u16,
    },
}

/// Stored bytes, in pieces.
pub type Encoded = Box<dyn BufRead + Send>;
/// What comes out of a decoder, in pieces.
pub type Decoded = Box<dyn Read + Send>;

/// A compression of bytes: what comes out is what would be stored uncompressed.
#[derive(Debug)]
pub struct Bytes {
    /// The name in messages.
    pub name: &'static str,
    /// Does the Predictor tag count? Readers ignore it elsewhere.
    pub predictor: bool,
    /// Fills the buffer, with at least so many bytes.
    pub decode: fn(&[u8], &mut [u8], usize) -> Result<()>,
    /// Bytes that [`Bytes::decode`] holds for a block of so many.
    pub overhead: fn(u64) -> u64,
    /// Decodes piece by piece within so many bytes of memory.
    pub reader: fn(Encoded, u64) -> Result<Decoded>,
    /// Memory that a live reader may hold, given the size of a unit.
    pub state: fn(u64) -> u64,
}

/// One line for each compression: its numbers, and how it is decoded.
const TABLE: &[(&[u64], Compression)] = &[
    (&[1], Compression::None),
    (&[5], Compression::Bytes(&LZW)),
    (&[8, 32946], Compression::Bytes(&DEFLATE)),
    (&[32773], Compression::Bytes(&PACKBITS)),
    (&[50000, 34926], Compression::Bytes(&ZSTD)),
    (&[34925], Compression::Bytes(&LZMA)),
    (&[7, 33007], Compression::JPEG),
    (&[2], picture(&fax::ROWS)),
    (&[3], with_option(&fax::GROUP3, tag::T4_OPTIONS)),
    (&[4], with_option(&fax::GROUP4, tag::T6_OPTIONS)),
    (&[32771], picture(&fax::WORD_ROWS)),
    (&[33003], picture(&jpeg2000::YCBCR)),
    (&[33004, 33005, 34712], picture(&jpeg2000::CODEC)),
    (&[22610, 34934], picture(&jpegxr::CODEC)),
    (&[34887], with_option(&lerc::CODEC, tag::LERC_PARAMETERS)),
    (&[34933], picture(&png::CODEC)),
    (&[50001, 34927], picture(&webp::CODEC)),
    (&[50002, 52546], picture(&jpegxl::CODEC)),
];

const fn picture(codec: &'static Codec) -> Compression {
    Compression::Picture { codec, option: 0 }
}

const fn with_option(codec: &'static Codec, option: u16) -> Compression {
    Compression::Picture { codec, option }
}

const LZW: Bytes = Bytes {
    name: "LZW",
    predictor: true,
    decode: |data, out, least| lzw::decode(data, &mut out[..least]),
    overhead: |_| 0,
    reader: |data, _| Ok(Box::new(lzw::reader(data))),
    state: |_| SMALL,
};
const DEFLATE: Bytes = Bytes {
    name: "Deflate",
    predictor: true,
    decode: deflate::decode,
    overhead: |_| 0,
    reader: |data, _| Ok(Box::new(deflate::reader(data))),
    state: |_| SMALL,
};
const PACKBITS: Bytes = Bytes {
    name: "PackBits",
    predictor: false,
    decode: |data, out, least| packbits::decode(data, &mut out[..least]),
    overhead: |_| 0,
    reader: |data, _| Ok(Box::new(packbits::reader(data))),
    state: |_| SMALL,
};
const ZSTD: Bytes = Bytes {
    name: "Zstandard",
    predictor: true,
    decode: zstd::decode,
    overhead: |_| 0,
    reader: |data, memory| Ok(Box::new(zstd::reader(data, memory - SMALL)?)),
    // A window may be as large as a unit, within reason.
    state: |unit| unit.clamp(zstd::USUAL_WINDOW, zstd::MAX_WINDOW) + SMALL,
};
const LZMA: Bytes = Bytes {
    name: "LZMA",
    predictor: true,
    decode: lzma::decode,
    // The dictionary grows by doubling, up to the size of the block.
    overhead: |block| block.saturating_mul(2).saturating_add(SMALL),
    reader: |data, memory| Ok(Box::new(lzma::reader(data, memory - SMALL))),
    state: |unit| unit.clamp(lzma::USUAL_WINDOW, lzma::MAX_WINDOW) + SMALL,
};

/// Tables and buffers of a decoder without a window.
const SMALL: u64 = 1 << 20;

impl Compression {
    /// JPEG as Technical Note 2 has it.
    pub const JPEG: Compression = picture(&jpeg::CODEC);

    /// By the number in the Compression tag.
    pub fn from_number(number: u64) -> Option<Self> {
        TABLE.iter().find(|(numbers, _)| numbers.contains(&number)).map(|(_, compression)| *compression)
    }

    /// Is it the JPEG of Technical Note 2, with tables that blocks share?
    pub fn is_jpeg(self) -> bool {
        self == Compression::JPEG
    }

    /// Can it be decoded from its beginning in pieces?
    pub fn streams(self) -> bool {
        !matches!(self, Compression::Picture { .. })
    }

    /// Bytes held while a block of so many decoded bytes is decoded, beside the encoded ones and the result.
    pub fn memory(self, block: u64) -> u64 {
        match self {
            Compression::None => block,
            Compression::Bytes(bytes) => block.saturating_add((bytes.overhead)(block)),
            Compression::Picture { codec, .. } => (codec.memory)(block),
        }
    }

    /// The decoder, if blocks are pictures.
    pub fn codec(self) -> Option<&'static Codec> {
        match self {
            Compression::Picture { codec, .. } => Some(codec),
            _ => None,
        }
    }

    /// The tag that the decoder wants to know.
    pub fn option_tag(self) -> Option<u16> {
        match self {
            Compression::Picture { option, .. } if option != 0 => Some(option),
            _ => None,
        }
    }

    /// Does the order of bits in a byte count? It does not where blocks are pictures with a byte order of their own.
    pub fn has_bit_order(self) -> bool {
        self.codec().is_none_or(|codec| codec.bit_order)
    }

    /// Does the Predictor tag count?
    pub fn has_predictor(self) -> bool {
        matches!(self, Compression::Bytes(bytes) if bytes.predictor)
    }

    /// The name in messages.
    pub fn name(self) -> &'static str {
        match self {
            Compression::None => "uncompressed",
            Compression::Bytes(bytes) => bytes.name,
            Compression::Picture { codec, .. } => codec.name,
        }
    }
}

impl PartialEq for Compression {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl Eq for Compression {}

impl Hash for Compression {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name().hash(state);
    }
}

/// The name of a compression that is not read.
pub fn unread_name(number: u64) -> &'static str {
    match number {
        6 => "old-style JPEG",
        9 | 10 => "JBIG",
        32766 => "NeXT RLE",
        32809 => "ThunderScan",
        34676 | 34677 => "SGI LogLuv",
        34892 => "lossy DNG JPEG",
        _ => "unknown",
    }
}
