//! Segments: the pieces a CZI file is made of, and the header that leads to the others.
//!
//! Written from "ZISRAW (CZI) File Format, Design Specification" by Carl Zeiss and from files.

use crate::error::{Error, Result};
use crate::io::ReadAt;

/// Bytes in front of every segment's data: 16 of name, 8 of room, 8 of use.
pub(super) const HEADER: u64 = 32;

/// Numbers by their place in a few bytes that are all there.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fields<'a>(pub &'a [u8]);

impl<'a> Fields<'a> {
    /// `len` bytes at `at`.
    pub fn bytes(self, at: usize, len: usize) -> Result<&'a [u8]> {
        let end = at.checked_add(len);
        end.and_then(|end| self.0.get(at..end))
            .ok_or_else(|| Error::truncated(format!("{len} bytes at {at} are missing")))
    }

    pub fn i32(self, at: usize) -> Result<i32> {
        self.bytes(at, 4).map(|b| i32::from_le_bytes([b[0], b[1], b[2], b[3]]))
    }

    pub fn i64(self, at: usize) -> Result<i64> {
        self.bytes(at, 8).map(|b| i64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]))
    }

    /// A position or a length: never below zero.
    pub fn place(self, at: usize, what: &str) -> Result<u64> {
        let value = self.i64(at)?;
        u64::try_from(value).map_err(|_| Error::malformed(format!("{what} is {value}")))
    }

    /// A count or a length of 32 bits: never below zero.
    pub fn count(self, at: usize, what: &str) -> Result<u64> {
        let value = self.i32(at)?;
        u64::try_from(value).map_err(|_| Error::malformed(format!("{what} is {value}")))
    }

    /// Text up to the first NUL.
    pub fn text(self, at: usize, len: usize) -> Result<String> {
        let bytes = self.bytes(at, len)?;
        let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
        Ok(String::from_utf8_lossy(&bytes[..end]).into_owned())
    }
}

/// Reads the first `len` bytes of a segment's data, after its name has been found to be `id`.
///
/// # Errors
/// `Malformed` if another segment lies there, `Truncated` if the file ends before.
pub(super) fn read(file: &dyn ReadAt, position: u64, id: &str, len: u64) -> Result<Vec<u8>> {
    let place = |e: Error| e.at(format!("{id} at offset {position}"));
    let mut bytes = file.read_vec(position, HEADER + len).map_err(place)?;
    let name = Fields(&bytes).text(0, 16)?;
    if name != id {
        return Err(place(Error::malformed(format!("a segment {:?} lies there", name.escape_default().to_string()))));
    }
    bytes.drain(..HEADER as usize);
    Ok(bytes)
}

/// Identifies a file, or all parts of one dataset.
pub(super) type Guid = [u8; 16];

/// Where the rest of the file is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FileHeader {
    /// The dataset that this file is a part of.
    pub primary: Guid,
    /// This file.
    pub own: Guid,
    /// 0 for the first file of a dataset.
    pub part: i32,
    /// Subblock directory.
    pub directory: u64,
    /// Metadata segment; 0: none.
    pub metadata: u64,
    /// Attachment directory; 0: none.
    pub attachments: u64,
    /// The writer has not finished.
    pub pending: bool,
}

impl FileHeader {
    /// Name of the first segment.
    pub const ID: &str = "ZISRAWFILE";

    /// # Errors
    /// `Malformed` for positions below zero and for other files, `Unsupported` for other versions.
    pub fn read(file: &dyn ReadAt) -> Result<Self> {
        let bytes = read(file, 0, Self::ID, 80)?;
        let place = |e: Error| e.at("file header");
        Self::parse(Fields(&bytes)).map_err(place)
    }

    fn parse(fields: Fields<'_>) -> Result<Self> {
        let major = fields.i32(0)?;
        if major != 1 {
            return Err(Error::unsupported(format!("version {major}.{}", fields.i32(4)?)));
        }
        let guid = |at: usize| -> Result<Guid> {
            let mut guid = Guid::default();
            guid.copy_from_slice(fields.bytes(at, 16)?);
            Ok(guid)
        };
        let header = FileHeader {
            primary: guid(16)?,
            own: guid(32)?,
            part: fields.i32(48)?,
            directory: fields.place(52, "the position of the subblock directory")?,
            metadata: u64::try_from(fields.i64(60)?).unwrap_or(0),
            pending: fields.i32(68)? != 0,
            attachments: u64::try_from(fields.i64(72)?).unwrap_or(0),
        };
        if header.directory == 0 {
            let why = if header.pending { ": the writer has not finished" } else { "" };
            return Err(Error::malformed(format!("no subblock directory{why}")));
        }
        Ok(header)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::error::Kind;
    use crate::io::MemoryFile;

    /// A segment with its header.
    pub fn segment(id: &str, data: &[u8]) -> Vec<u8> {
        let mut bytes = id.as_bytes().to_vec();
        bytes.resize(16, 0);
        bytes.extend((data.len() as i64).to_le_bytes());
        bytes.extend((data.len() as i64).to_le_bytes());
        bytes.extend(data);
        bytes
    }

    /// The data of a file header.
    pub fn header(part: i32, directory: i64, metadata: i64, attachments: i64) -> Vec<u8> {
        let mut data = [1_i32.to_le_bytes(), [0; 4], [0; 4], [0; 4]].concat();
        data.extend([7; 16]);
        data.extend([if part == 0 { 7 } else { 8 }; 16]);
        data.extend(part.to_le_bytes());
        data.extend(directory.to_le_bytes());
        data.extend(metadata.to_le_bytes());
        data.extend([0; 4]);
        data.extend(attachments.to_le_bytes());
        data.resize(512, 0);
        data
    }

    #[test]
    fn the_header_leads_to_the_rest() {
        let file = MemoryFile(segment(FileHeader::ID, &header(3, 544, -1, 0)));
        let found = FileHeader::read(&file).unwrap();
        let want = FileHeader {
            primary: [7; 16],
            own: [8; 16],
            part: 3,
            directory: 544,
            metadata: 0,
            attachments: 0,
            pending: false,
        };
        assert_eq!(found, want);
    }

    #[test]
    fn wrong_headers_are_refused() {
        let kind = |bytes: Vec<u8>| FileHeader::read(&MemoryFile(bytes)).unwrap_err().kind();
        assert_eq!(kind(segment(FileHeader::ID, &header(0, -5, 0, 0))), Kind::Malformed);
        assert_eq!(kind(segment(FileHeader::ID, &header(0, 0, 0, 0))), Kind::Malformed);
        assert_eq!(kind(segment("ZISRAWSUBBLOCK", &header(0, 5, 0, 0))), Kind::Malformed);
        assert_eq!(kind(segment(FileHeader::ID, &header(0, 5, 0, 0)[..70])), Kind::Truncated);
        let mut other = header(0, 544, 0, 0);
        other[0] = 2;
        assert_eq!(kind(segment(FileHeader::ID, &other)), Kind::Unsupported);
    }
}
