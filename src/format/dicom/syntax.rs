//! Transfer syntaxes (PS3.5 section 10, PS3.6 table A-1): how elements and pixels are written.

use super::elements::Encoding;
use crate::error::{Error, Result};

/// What frames are compressed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compression {
    None,
    Rle,
    Jpeg,
    JpegLossless,
    JpegLs,
    Jpeg2000,
    JpegXl,
    /// Each frame in a stream without wrapper.
    DeflatedFrames,
    /// A legal one that is not read: found out when pixels are, and said by name.
    Unread(&'static str),
}

/// A transfer syntax.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Syntax {
    /// Of elements.
    pub encoding: Encoding,
    /// The whole data set is one deflate stream.
    pub deflated: bool,
    /// Of frames; those not compressed lie one after the other.
    pub compression: Compression,
}

/// The default: types are not written.
pub(super) const IMPLICIT: Syntax = Syntax {
    encoding: Encoding { explicit: false, big_endian: false },
    deflated: false,
    compression: Compression::None,
};

/// Of the meta information, and of most files.
pub(super) const EXPLICIT: Syntax = Syntax { encoding: Encoding { explicit: true, big_endian: false }, ..IMPLICIT };

impl Syntax {
    /// By its identifier.
    ///
    /// # Errors
    /// `Unsupported` for unknown ones.
    pub fn of(uid: &str) -> Result<Self> {
        let unknown = || Error::unsupported(format!("transfer syntax {uid:.80}"));
        let compression = match uid.strip_prefix("1.2.840.10008.1.2").ok_or_else(unknown)? {
            "" => return Ok(IMPLICIT),
            ".1" => return Ok(EXPLICIT),
            ".1.99" => return Ok(Syntax { deflated: true, ..EXPLICIT }),
            ".2" => return Ok(Syntax { encoding: Encoding { explicit: true, big_endian: true }, ..EXPLICIT }),
            ".5" => Compression::Rle,
            ".8.1" => Compression::DeflatedFrames,
            // Baseline and extended; lossless with any predictor, and with the first.
            ".4.50" | ".4.51" => Compression::Jpeg,
            ".4.57" | ".4.70" => Compression::JpegLossless,
            ".4.80" | ".4.81" => Compression::JpegLs,
            ".4.90" | ".4.91" => Compression::Jpeg2000,
            ".4.92" | ".4.93" => Compression::Unread("JPEG 2000 with transforms across components"),
            ".4.94" | ".4.95" | ".4.204" | ".4.205" => Compression::Unread("pixels elsewhere on a network (JPIP)"),
            ".4.100" | ".4.100.1" | ".4.101" | ".4.101.1" => Compression::Unread("MPEG-2 video"),
            ".4.102" | ".4.102.1" | ".4.103" | ".4.103.1" | ".4.104" | ".4.104.1" | ".4.105" | ".4.105.1"
            | ".4.106" | ".4.106.1" => Compression::Unread("H.264 video"),
            ".4.107" | ".4.108" => Compression::Unread("HEVC video"),
            ".4.110" | ".4.111" | ".4.112" => Compression::JpegXl,
            ".4.201" | ".4.202" | ".4.203" => Compression::Unread("High-Throughput JPEG 2000"),
            ".7.1" | ".7.2" | ".7.3" => Compression::Unread("video over a network"),
            // Extended with progression, hierarchical and arithmetic ones, retired long ago.
            other if other.starts_with(".4.5") || other.starts_with(".4.6") => {
                Compression::Unread("a retired kind of JPEG")
            }
            _ => return Err(unknown()),
        };
        Ok(Syntax { compression, ..EXPLICIT })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_have_their_meanings() {
        assert_eq!(Syntax::of("1.2.840.10008.1.2").unwrap(), IMPLICIT);
        assert!(Syntax::of("1.2.840.10008.1.2.2").unwrap().encoding.big_endian);
        assert_eq!(Syntax::of("1.2.840.10008.1.2.4.80").unwrap().compression, Compression::JpegLs);
        assert!(matches!(
            Syntax::of("1.2.840.10008.1.2.4.201").unwrap().compression,
            Compression::Unread("High-Throughput JPEG 2000")
        ));
        assert_eq!(Syntax::of("1.2.3").unwrap_err().kind(), crate::Kind::Unsupported);
    }
}
