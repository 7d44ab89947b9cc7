//! The binary frame of Leica's files: texts in UTF-16, and memory blocks with the samples.
//!
//! Every part begins with 0x70, the length of what follows, 0x2A and a count of UTF-16 units. A LIF file is one such text (the
//! XML) and memory blocks: 0x70, a length, 0x2A, the size of the block (4 bytes in version 1, 8 since), 0x2A, the length of its
//! name, the name, the samples. A LOF file is the text "LMS_Object_File", two numbers of its version, one block without a
//! name, and the XML. Source: the layout that the reader `liffile` (BSD) follows.

use std::collections::HashMap;

use crate::error::{Error, Result};
use crate::format::Limits;
use crate::io::{ReadAt, Watch};

/// The first bytes of a LIF and a LOF file.
pub(super) fn sniff(head: &[u8]) -> bool {
    head.starts_with(&[0x70, 0, 0, 0]) && head.get(8) == Some(&0x2a)
}

/// Samples in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Block {
    /// Number of the file.
    pub member: u32,
    pub offset: u64,
    pub size: u64,
}

/// What a file is made of.
#[derive(Debug)]
pub(super) struct Contents {
    pub xml: String,
    pub blocks: HashMap<String, Block>,
    /// The one block of a LOF file.
    pub object: Option<Block>,
    pub warnings: Vec<String>,
}

/// Most memory blocks in a file; each image has one.
const MAX_BLOCKS: usize = 1 << 17;
/// Longest name of a block, in UTF-16 units.
const MAX_NAME: u64 = 1 << 10;

/// Numbers read one after the other.
struct Cursor<'a> {
    file: &'a dyn ReadAt,
    at: u64,
}

impl Cursor<'_> {
    fn number(&mut self, size: usize) -> Result<u64> {
        let mut bytes = [0; 8];
        let field = bytes.get_mut(..size).unwrap_or_default();
        self.file.read_exact_at(self.at, field)?;
        self.at += size as u64;
        Ok(u64::from_le_bytes(bytes))
    }

    /// A number that must be there.
    fn mark(&mut self, size: usize, mark: u64) -> Result<()> {
        let at = self.at;
        match self.number(size)? {
            found if found == mark => Ok(()),
            found => Err(Error::malformed(format!("{found:#x} at offset {at}, where {mark:#x} belongs"))),
        }
    }

    /// UTF-16 units.
    fn text(&mut self, units: u64, most: u64) -> Result<String> {
        let size = units.saturating_mul(2);
        if size > most && size <= self.file.len() {
            return Err(Error::over_limit(format!("a text of {size} bytes at offset {}", self.at)));
        }
        let bytes = self.file.read_vec(self.at, size)?;
        self.at += size;
        let units = bytes.as_chunks().0.iter().map(|u| u16::from_le_bytes(*u));
        Ok(char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect())
    }

    /// A part that is a text.
    fn text_part(&mut self, most: u64) -> Result<String> {
        self.mark(4, 0x70)?;
        self.number(4)?;
        self.mark(1, 0x2a)?;
        let units = self.number(4)?;
        self.text(units, most)
    }

    fn skip(&mut self, size: u64) {
        self.at = self.at.saturating_add(size);
    }
}

/// The version that the XML names; 2 if none.
fn version(xml: &str) -> u32 {
    let head = xml.get(..xml.len().min(400)).or_else(|| xml.split('>').next()).unwrap_or_default();
    let value = head.split("Version=\"").nth(1).and_then(|v| v.split('"').next());
    value.and_then(|v| v.trim().parse().ok()).unwrap_or(2)
}

impl Contents {
    /// Reads the XML and the table of memory blocks; no samples.
    ///
    /// # Errors
    /// `Malformed`, `Truncated`, `OverLimit`.
    pub fn read(file: &dyn ReadAt, member: u32, limits: &Limits, watch: &Watch) -> Result<Self> {
        let most = limits.index_bytes / 2;
        let mut cursor = Cursor { file, at: 0 };
        let first = cursor.text_part(most).map_err(|e| e.at("XML"))?;
        watch.tick();
        let mut contents = Contents { xml: first, blocks: HashMap::new(), object: None, warnings: Vec::new() };
        if contents.xml.trim_end_matches('\0') == "LMS_Object_File" {
            contents.object = Some(object(&mut cursor, member).map_err(|e| e.at("memory block"))?);
            contents.xml = cursor.text_part(most).map_err(|e| e.at("XML"))?;
            return Ok(contents);
        }
        let size_bytes = if version(&contents.xml) < 2 { 4 } else { 8 };
        let mut cut = None;
        while cursor.at < file.len() {
            let at = cursor.at;
            match named(&mut cursor, member, size_bytes) {
                Ok((name, block)) => {
                    if cursor.at > file.len() {
                        cut = Some(format!(
                            "memory block {name:.60} of {} bytes reaches past the end of the file",
                            block.size
                        ));
                    }
                    contents.blocks.insert(name, block);
                }
                // What was found so far may be all there is, or what the images need.
                Err(e) if e.about_content() => {
                    contents.warnings.push(format!("memory block at offset {at}: {}", e.reason()));
                    break;
                }
                Err(e) => return Err(e),
            }
            if contents.blocks.len() > MAX_BLOCKS {
                return Err(Error::over_limit(format!("more than {MAX_BLOCKS} memory blocks")));
            }
            watch.tick();
            watch.check()?;
        }
        contents.warnings.extend(cut);
        Ok(contents)
    }
}

/// The block of a LOF file.
fn object(cursor: &mut Cursor<'_>, member: u32) -> Result<Block> {
    for _ in 0..2 {
        cursor.mark(1, 0x2a)?;
        cursor.number(4)?;
    }
    cursor.mark(1, 0x2a)?;
    let size = cursor.number(8)?;
    let block = Block { member, offset: cursor.at, size };
    cursor.skip(size);
    Ok(block)
}

/// Where the samples of a LOF file are, without its XML.
///
/// # Errors
/// As [`Contents::read`].
pub(super) fn object_block(file: &dyn ReadAt, member: u32) -> Result<Block> {
    let mut cursor = Cursor { file, at: 0 };
    let kind = cursor.text_part(1 << 10)?;
    if kind.trim_end_matches('\0') != "LMS_Object_File" {
        return Err(Error::malformed("not a LOF file"));
    }
    object(&mut cursor, member)
}

/// A block of a LIF file with its name.
fn named(cursor: &mut Cursor<'_>, member: u32, size_bytes: usize) -> Result<(String, Block)> {
    cursor.mark(4, 0x70)?;
    cursor.number(4)?;
    cursor.mark(1, 0x2a)?;
    let size = cursor.number(size_bytes)?;
    cursor.mark(1, 0x2a)?;
    let units = cursor.number(4)?;
    if units > MAX_NAME {
        return Err(Error::malformed(format!("a name of {units} characters")));
    }
    let name = cursor.text(units, 2 * MAX_NAME)?;
    let block = Block { member, offset: cursor.at, size };
    cursor.skip(size);
    Ok((name.trim_end_matches('\0').to_owned(), block))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::io::MemoryFile;

    /// Writes a text part.
    pub fn text(text: &str) -> Vec<u8> {
        let units: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let count = (units.len() / 2) as u32;
        [&0x70_u32.to_le_bytes()[..], &(5 + 2 * count).to_le_bytes(), &[0x2a], &count.to_le_bytes(), &units].concat()
    }

    /// Writes a memory block.
    pub fn block(version: u32, name: &str, samples: &[u8]) -> Vec<u8> {
        let units: Vec<u8> = name.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let size = samples.len() as u64;
        let size = if version < 2 { (size as u32).to_le_bytes().to_vec() } else { size.to_le_bytes().to_vec() };
        let count = (units.len() / 2) as u32;
        let parts: [&[u8]; 7] =
            [&0x70_u32.to_le_bytes(), &[0; 4], &[0x2a], &size, &[0x2a], &count.to_le_bytes(), &units];
        [&parts.concat(), samples].concat()
    }

    fn read(bytes: &[u8]) -> Result<Contents> {
        Contents::read(&MemoryFile(bytes.to_vec()), 0, &Limits::default(), &Watch::default())
    }

    #[test]
    fn blocks_of_all_versions_are_found() {
        for version in [1, 2] {
            let xml = text(&format!("<LMSDataContainerHeader Version=\"{version}\"/>"));
            let bytes =
                [&xml[..], &block(version, "MemBlock_0", b""), &block(version, "MemBlock_7", b"samples")].concat();
            let contents = read(&bytes).unwrap();
            let found = contents.blocks["MemBlock_7"];
            assert_eq!(&bytes[found.offset as usize..][..found.size as usize], b"samples");
            assert_eq!((contents.blocks["MemBlock_0"].size, contents.warnings.len()), (0, 0));
            // What follows a broken block is not found, and what precedes it is.
            let mut broken = bytes.clone();
            broken.extend(b"noise that is no block");
            let contents = read(&broken).unwrap();
            assert_eq!((contents.blocks.len(), contents.warnings.len()), (2, 1));
        }
    }

    #[test]
    fn an_object_file_has_one_block() {
        let version = [&[0x2a][..], &2_u32.to_le_bytes(), &[0x2a], &0_u32.to_le_bytes()].concat();
        let size = [&[0x2a][..], &7_u64.to_le_bytes()].concat();
        let bytes = [&text("LMS_Object_File")[..], &version, &size, &b"samples"[..], &text("<a/>")].concat();
        let contents = read(&bytes).unwrap();
        let found = contents.object.unwrap();
        assert_eq!(&bytes[found.offset as usize..][..found.size as usize], b"samples");
        assert_eq!(contents.xml, "<a/>");
        assert_eq!(object_block(&MemoryFile(bytes.clone()), 0).unwrap(), found);
        for end in 0..bytes.len() {
            assert!(read(&bytes[..end]).is_err(), "{end}");
        }
    }

    #[test]
    fn lengths_that_lie_are_errors() {
        let mut bytes = text("<a/>");
        bytes[9..13].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(read(&bytes).unwrap_err().kind(), crate::Kind::Truncated);
        assert!(read(b"II*\0 is something else").is_err());
    }
}
