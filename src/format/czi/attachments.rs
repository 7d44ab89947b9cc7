//! Attachments: the label and the overview of a slide, a small picture of the whole, the times of frames.

use super::segment::{self, Fields, HEADER};
use crate::error::{Error, Result};
use crate::io::{Fingerprint, ReadAt, Watch};
use crate::sync::Arc;

/// Name of the directory's segment.
const DIRECTORY: &str = "ZISRAWATTDIR";
/// Name of an attachment's segment.
const ATTACHMENT: &str = "ZISRAWATTACH";
/// Bytes in front of the entries of the directory, and in front of an attachment's content.
const HEAD: u64 = 256;
/// Bytes of an entry (schema A1).
const ENTRY: u64 = 128;
/// Files have about five.
const MAX_ATTACHMENTS: u64 = 1 << 12;

/// An attachment of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Attachment {
    /// Of its segment.
    position: u64,
    /// "CZI", "JPG", "CZTIMS".
    pub kind: String,
    /// "Label", "SlidePreview", "Thumbnail", "TimeStamps".
    pub name: String,
}

/// Reads the directory of attachments.
///
/// # Errors
/// `Malformed`, `Truncated`; `OverLimit` for more entries than any file has.
pub(super) fn list(file: &dyn ReadAt, position: u64, watch: &Watch) -> Result<Vec<Attachment>> {
    let head = segment::read(file, position, DIRECTORY, 4)?;
    let place = |e: Error| e.at("attachment directory");
    let count = Fields(&head).count(0, "the number of attachments").map_err(place)?;
    if count > MAX_ATTACHMENTS {
        return Err(place(Error::over_limit(format!("{count} attachments"))));
    }
    watch.check()?;
    let entries = file.read_vec(position + HEADER + HEAD, count * ENTRY).map_err(place)?;
    watch.tick();
    let entry = |bytes: &[u8]| -> Result<Attachment> {
        let fields = Fields(bytes);
        Ok(Attachment {
            position: fields.place(12, "the position of an attachment")?,
            kind: fields.text(40, 8)?,
            name: fields.text(48, 80)?,
        })
    };
    entries.chunks_exact(ENTRY as usize).map(|bytes| entry(bytes).map_err(place)).collect()
}

impl Attachment {
    /// Its content as a file.
    ///
    /// # Errors
    /// `Malformed`, `Truncated`.
    pub fn open(&self, file: &Arc<dyn ReadAt>) -> Result<Embedded> {
        let place = |e: Error| e.at(format!("attachment {:?}", self.name));
        let head = segment::read(file.as_ref(), self.position, ATTACHMENT, 8).map_err(place)?;
        let len = Fields(&head).count(0, "the length of the content").map_err(place)?;
        let start = self.position + HEADER + HEAD;
        if start.checked_add(len).is_none_or(|end| end > file.len()) {
            return Err(place(Error::truncated(format!("{len} bytes at offset {start}"))));
        }
        Ok(Embedded { file: Arc::clone(file), start, len })
    }
}

/// A file inside of another.
pub(super) struct Embedded {
    file: Arc<dyn ReadAt>,
    start: u64,
    len: u64,
}

impl ReadAt for Embedded {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        if offset.checked_add(buf.len() as u64).is_none_or(|end| end > self.len) {
            return Err(Error::truncated(format!(
                "{} bytes at offset {offset} of an embedded file of {} bytes",
                buf.len(),
                self.len
            )));
        }
        self.file.read_exact_at(self.start + offset, buf)
    }

    fn verify(&self) -> Result<()> {
        self.file.verify()
    }

    fn fingerprint(&self) -> Fingerprint {
        self.file.fingerprint()
    }
}

/// Seconds of frames: a length, a count, then as many numbers of 64 bits.
///
/// # Errors
/// `Malformed`, `Truncated`.
pub(super) fn time_stamps(content: &dyn ReadAt) -> Result<Vec<f64>> {
    /// More frames are not credible.
    const MAX_FRAMES: u64 = 1 << 20;
    let head = content.read_vec(0, 8)?;
    let count = Fields(&head).count(4, "the number of time stamps")?;
    if count > MAX_FRAMES {
        return Err(Error::over_limit(format!("{count} time stamps")));
    }
    let bytes = content.read_vec(8, 8 * count)?;
    Ok(bytes.as_chunks::<8>().0.iter().map(|b| f64::from_le_bytes(*b)).collect())
}

/// The time between frames, if they came at even steps.
pub(super) fn even_step(stamps: &[f64]) -> Option<f64> {
    let (first, last) = (stamps.first()?, stamps.last()?);
    let step = (last - first) / (stamps.len().checked_sub(1).filter(|n| *n > 0)? as f64);
    // A fifth of a step is what waiting for hardware takes.
    let even = stamps.windows(2).all(|w| (w[1] - w[0] - step).abs() <= 0.2 * step);
    (step.is_finite() && step > 0.0 && even).then_some(step)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::error::Kind;
    use crate::format::czi::segment::tests::segment;
    use crate::io::MemoryFile;

    /// The segment of an attachment.
    pub fn attachment(content: &[u8]) -> Vec<u8> {
        let mut data = (content.len() as i64).to_le_bytes().to_vec();
        data.resize(HEAD as usize, 0);
        segment(ATTACHMENT, &[&data, content].concat())
    }

    /// The segment of a directory: position, kind, name.
    pub fn directory(entries: &[(i64, &str, &str)]) -> Vec<u8> {
        let mut data = (entries.len() as i32).to_le_bytes().to_vec();
        data.resize(HEAD as usize, 0);
        for (position, kind, name) in entries {
            let mut entry = vec![0; ENTRY as usize];
            entry[..2].copy_from_slice(b"A1");
            entry[12..20].copy_from_slice(&position.to_le_bytes());
            entry[40..40 + kind.len()].copy_from_slice(kind.as_bytes());
            entry[48..48 + name.len()].copy_from_slice(name.as_bytes());
            data.extend(entry);
        }
        segment(DIRECTORY, &data)
    }

    #[test]
    fn attachments_are_files_of_their_own() {
        let mut bytes = directory(&[(500, "CZI", "Label"), (500, "JPG", "Thumbnail")]);
        assert!(bytes.len() > 500);
        bytes.resize(600, 0);
        let position = bytes.len() as i64;
        bytes[32 + 256 + 12..32 + 256 + 20].copy_from_slice(&position.to_le_bytes());
        bytes.extend(attachment(b"hello"));
        let file: Arc<dyn ReadAt> = Arc::new(MemoryFile(bytes));
        let all = list(file.as_ref(), 0, &Watch::default()).unwrap();
        assert_eq!(
            all.iter().map(|a| (a.kind.as_str(), a.name.as_str())).collect::<Vec<_>>(),
            [("CZI", "Label"), ("JPG", "Thumbnail")]
        );
        let content = all[0].open(&file).unwrap();
        assert_eq!((content.len(), content.read_vec(1, 4).unwrap()), (5, b"ello".to_vec()));
        assert!(content.read_vec(1, 5).is_err());
        assert_eq!(all[1].open(&file).err().unwrap().kind(), Kind::Malformed);
    }

    #[test]
    fn frames_at_even_steps_have_a_step() {
        let mut bytes = [28_i32.to_le_bytes(), 3_i32.to_le_bytes()].concat();
        bytes.extend([1.0_f64, 3.1, 5.0].iter().flat_map(|t| t.to_le_bytes()));
        assert_eq!(time_stamps(&MemoryFile(bytes.clone())).unwrap(), [1.0, 3.1, 5.0]);
        assert_eq!(time_stamps(&MemoryFile(bytes[..30].to_vec())).unwrap_err().kind(), Kind::Truncated);
        assert_eq!(even_step(&[1.0, 3.1, 5.0]), Some(2.0));
        for uneven in [&[][..], &[1.0], &[1.0, 1.0], &[3.0, 1.0], &[0.0, 1.0, 5.0], &[0.0, f64::NAN]] {
            assert_eq!(even_step(uneven), None, "{uneven:?}");
        }
    }
}
