//! One image file directory: its entries, and their values read when asked for.

use super::header::TiffFile;
use super::tags::type_size;
use crate::error::{Error, Result};
use crate::io::ReadAt;
use crate::sync::{Mutex, lock};

/// A directory entry; the value itself may lie elsewhere in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Tag number.
    pub tag: u16,
    /// Field type (TIFF 6.0 page 15; 16 to 18 are BigTIFF's).
    pub kind: u16,
    /// Number of values.
    pub count: u64,
    /// The values, if they fit in the entry, else their offset.
    value: [u8; 8],
}

/// A parsed directory. Holds the entry block alone, never an array that an entry points to.
#[derive(Clone)]
pub struct Ifd {
    file: TiffFile,
    /// Where it lies.
    pub offset: u64,
    /// Sorted by tag; of entries with the same tag, the first counts.
    pub entries: Vec<Entry>,
    /// Offset of the next directory of the chain; 0: none.
    pub next: u64,
}

/// Read at once: most directories fit.
const FIRST_READ: u64 = 512;
/// Read at once of many directories that lie close to each other.
const MOST_AHEAD: u64 = 64 << 10;

/// Bytes read on the way along a chain of directories. Where one lies right behind the other, more and more is read at once;
/// where pixels lie between them, no more than one takes.
#[derive(Default)]
pub(super) struct Ahead {
    start: u64,
    bytes: Vec<u8>,
}

impl Ahead {
    /// `length` bytes at `offset`.
    fn read(&mut self, file: &dyn ReadAt, offset: u64, length: u64) -> Result<Vec<u8>> {
        let held = self.bytes.len() as u64;
        let within = offset.checked_sub(self.start).filter(|from| *from < held);
        if let Some(from) = within.filter(|from| length <= held - from) {
            // Both fit in the window, which is in memory.
            return Ok(self.bytes[from as usize..(from + length) as usize].to_vec());
        }
        let reach = if within.is_some() { (2 * held).min(MOST_AHEAD) } else { FIRST_READ };
        let reach = reach.max(length).min(file.len().saturating_sub(offset)).max(length);
        self.bytes = file.read_vec(offset, reach)?;
        self.start = offset;
        Ok(self.bytes[..length as usize].to_vec())
    }
}
/// BigTIFF's unsigned integer of 64 bits.
const LONG8: u16 = 16;
/// More entries than there are tag numbers make no sense.
const MAX_ENTRIES: u64 = 65_535;

impl Ifd {
    /// Reads the entries at `offset`.
    ///
    /// # Errors
    /// `Malformed` for an empty directory, `Truncated` if it reaches past the end, `Io`.
    pub fn read(file: &TiffFile, offset: u64) -> Result<Self> {
        Self::read_ahead(file, offset, &mut Ahead::default())
    }

    /// The same for one directory after the other.
    ///
    /// # Errors
    /// As [`Ifd::read`].
    pub(super) fn read_ahead(file: &TiffFile, offset: u64, ahead: &mut Ahead) -> Result<Self> {
        Self::read_entries(file, offset, ahead).map_err(|e| e.at(format!("directory at offset {offset}")))
    }

    fn read_entries(file: &TiffFile, offset: u64, ahead: &mut Ahead) -> Result<Self> {
        let (count_size, entry_size, link_size) = match (file.big, file.ndpi) {
            (true, _) => (8, 20, 8),
            (_, true) => (2, 12, 8),
            _ => (2, 12, 4),
        };
        let length = file.file.len();
        let left = length.checked_sub(offset).filter(|left| *left > count_size);
        let left = left.ok_or_else(|| Error::truncated(format!("the file has {length} bytes")))?;
        if offset < 8 {
            return Err(Error::malformed("it overlaps the header"));
        }
        let mut block = ahead.read(&*file.file, offset, left.min(FIRST_READ))?;
        let count = file.number(&block[..count_size as usize]);
        if count == 0 || count > MAX_ENTRIES {
            return Err(Error::malformed(format!("{count} entries")));
        }
        let entries_end = count_size + count * entry_size;
        if entries_end > left {
            return Err(Error::truncated(format!("{count} entries reach past the end of the file")));
        }
        // NDPI: a high word for the value of each entry.
        let high_size = if file.ndpi { 4 * count } else { 0 };
        let wanted = (entries_end + link_size + high_size).min(left);
        if wanted > block.len() as u64 {
            block = ahead.read(&*file.file, offset, wanted)?;
        }
        let body = &block[count_size as usize..entries_end as usize];
        let mut entries: Vec<Entry> = body.chunks_exact(entry_size as usize).map(|b| Entry::parse(file, b)).collect();
        let high = block.get((entries_end + link_size) as usize..(entries_end + link_size + high_size) as usize);
        for (entry, high) in entries.iter_mut().zip(high.unwrap_or_default().chunks_exact(4)) {
            entry.widen(file, high);
        }
        entries.sort_by_key(|e| e.tag);
        entries.dedup_by_key(|e| e.tag);
        // A file that ends right after its last entry has no next directory.
        let link = block.get(entries_end as usize..(entries_end + link_size) as usize);
        let next = link.map_or(0, |b| file.number(b));
        Ok(Ifd { file: file.clone(), offset, entries, next })
    }

    /// The entry of `tag`, unless it has no values.
    pub fn get(&self, tag: u16) -> Option<&Entry> {
        let found = self.entries.binary_search_by_key(&tag, |e| e.tag).ok()?;
        self.entries.get(found).filter(|e| e.count > 0)
    }

    /// The value field of an entry read as an offset, and its count: some structures are longer than their entry says.
    pub fn pointer(&self, tag: u16) -> Option<(u64, u64)> {
        self.get(tag).map(|e| (e.offset(&self.file), e.count))
    }

    /// Replaces what an entry says by one number: some writers state what their data are not.
    pub fn correct(&mut self, tag: u16, number: u16) {
        let mut value = [0; 8];
        let bytes = if self.file.little_endian { number.to_le_bytes() } else { number.to_be_bytes() };
        value[..2].copy_from_slice(&bytes);
        let entry = Entry { tag, kind: 3, count: 1, value };
        match self.entries.binary_search_by_key(&tag, |e| e.tag) {
            Ok(found) => self.entries[found] = entry,
            Err(place) => self.entries.insert(place, entry),
        }
    }

    /// The first value of an unsigned integer field.
    ///
    /// # Errors
    /// `Malformed` if it is not an integer; whatever reading it fails with.
    pub fn u64(&self, tag: u16) -> Result<Option<u64>> {
        Ok(self.u64s(tag, 1)?.and_then(|v| v.first().copied()))
    }

    /// The first `max` values of an unsigned integer field, fewer if it has fewer.
    ///
    /// # Errors
    /// As [`Ifd::u64`].
    pub fn u64s(&self, tag: u16, max: u64) -> Result<Option<Vec<u64>>> {
        let Some(entry) = self.get(tag) else { return Ok(None) };
        let place = |e: Error| e.at(format!("tag {tag}"));
        let size = entry.integer_size().map_err(place)?;
        let bytes = self.raw(entry, max).map_err(place)?;
        Ok(Some(bytes.chunks_exact(size as usize).map(|b| self.file.number(b)).collect()))
    }

    /// The first `max` bytes of a field of any type, as stored.
    ///
    /// # Errors
    /// `Malformed` for an unknown type; whatever reading fails with.
    pub fn bytes(&self, tag: u16, max: u64) -> Result<Option<Vec<u8>>> {
        let Some(entry) = self.get(tag) else { return Ok(None) };
        let place = |e: Error| e.at(format!("tag {tag}"));
        let size = entry.size().map_err(place)?;
        let mut bytes = self.raw(entry, max.div_ceil(size)).map_err(place)?;
        bytes.truncate(usize::try_from(max).unwrap_or(usize::MAX));
        Ok(Some(bytes))
    }

    /// A text field without the NUL that ends it (bytes: the encoding is the reader's guess).
    ///
    /// # Errors
    /// `OverLimit` if it is longer than `max` bytes; as [`Ifd::bytes`].
    pub fn text(&self, tag: u16, max: u64) -> Result<Option<Vec<u8>>> {
        if let Some(entry) = self.get(tag).filter(|e| e.count > max) {
            self.check_end(entry, entry.count).map_err(|e| e.at(format!("tag {tag}")))?;
            return Err(Error::over_limit(format!("text of {} bytes", entry.count)).at(format!("tag {tag}")));
        }
        let mut text = self.bytes(tag, max)?;
        if let Some(text) = &mut text {
            while text.last() == Some(&0) {
                text.pop();
            }
        }
        Ok(text)
    }

    /// The first `max` values of a field of numbers of any kind.
    ///
    /// # Errors
    /// As [`Ifd::u64`].
    pub fn f64s(&self, tag: u16, max: u64) -> Result<Option<Vec<f64>>> {
        let Some(entry) = self.get(tag) else { return Ok(None) };
        let place = |e: Error| e.at(format!("tag {tag}"));
        let size = entry.size().map_err(place)?;
        let bytes = self.raw(entry, max).map_err(place)?;
        let values = bytes.chunks_exact(size as usize).map(|b| self.real(entry.kind, b));
        Ok(Some(values.collect()))
    }

    /// The first value of a field of numbers.
    ///
    /// # Errors
    /// As [`Ifd::u64`].
    pub fn f64(&self, tag: u16) -> Result<Option<f64>> {
        Ok(self.f64s(tag, 1)?.and_then(|v| v.first().copied()))
    }

    #[allow(clippy::cast_possible_wrap, clippy::cast_precision_loss, clippy::cast_possible_truncation)]
    fn real(&self, kind: u16, bytes: &[u8]) -> f64 {
        let n = self.file.number(bytes);
        let halves = || {
            let (a, b) = bytes.split_at(bytes.len() / 2);
            (self.file.number(a) as u32, self.file.number(b) as u32)
        };
        match kind {
            5 => {
                let (a, b) = halves();
                f64::from(a) / f64::from(b)
            }
            10 => {
                let (a, b) = halves();
                f64::from(a as i32) / f64::from(b as i32)
            }
            6 => f64::from(n as u8 as i8),
            8 => f64::from(n as u16 as i16),
            9 => f64::from(n as u32 as i32),
            11 => f64::from(f32::from_bits(n as u32)),
            12 => f64::from_bits(n),
            17 => n as i64 as f64,
            _ => n as f64,
        }
    }

    /// The array of an integer field, read entry by entry.
    ///
    /// # Errors
    /// `Malformed` if it is not an integer field.
    pub fn table(&self, tag: u16) -> Result<Option<ValueTable>> {
        let Some(entry) = self.get(tag) else { return Ok(None) };
        let size = entry.integer_size().map_err(|e| e.at(format!("tag {tag}")))?;
        let inline = entry.inline(&self.file, entry.count.saturating_mul(size));
        Ok(Some(ValueTable {
            file: self.file.clone(),
            count: entry.count,
            size,
            source: if inline { Source::Inline(entry.value) } else { Source::At(entry.offset(&self.file)) },
            window: Mutex::new((0, Vec::new())),
        }))
    }

    /// Bytes of the first `max` values.
    fn raw(&self, entry: &Entry, max: u64) -> Result<Vec<u8>> {
        let size = entry.size()?;
        if entry.inline(&self.file, entry.count.saturating_mul(size)) {
            return Ok(entry.value[..(entry.count.min(max) * size) as usize].to_vec());
        }
        self.check_end(entry, entry.count.min(max))?;
        self.file.file.read_vec(entry.offset(&self.file), entry.count.min(max).saturating_mul(size))
    }

    fn check_end(&self, entry: &Entry, count: u64) -> Result<()> {
        let size = entry.size()?;
        if entry.inline(&self.file, entry.count.saturating_mul(size)) {
            return Ok(());
        }
        let end = count.checked_mul(size).and_then(|n| n.checked_add(entry.offset(&self.file)));
        if end.is_none_or(|end| end > self.file.file.len()) {
            return Err(Error::truncated(format!("{count} values reach past the end of the file")));
        }
        Ok(())
    }
}

impl Entry {
    fn parse(file: &TiffFile, bytes: &[u8]) -> Self {
        let wide = if file.big { 12 } else { 8 };
        let mut value = [0; 8];
        let field = &bytes[wide..];
        value[..field.len()].copy_from_slice(field);
        Entry {
            tag: file.number(&bytes[..2]) as u16,
            kind: file.number(&bytes[2..4]) as u16,
            count: file.number(&bytes[4..wide]),
            value,
        }
    }

    /// Adds NDPI's high word: to the offset of values that lie elsewhere, to a single LONG (StripOffsets, StripByteCounts). What
    /// would then lie past the end of the file has none: older files have other bytes there.
    fn widen(&mut self, file: &TiffFile, high: &[u8]) {
        let bytes = self.size().map_or(u64::MAX, |size| self.count.saturating_mul(size));
        let long = self.count == 1 && matches!(self.kind, 4 | 13);
        let wide = file.number(&self.value[..4]) | file.number(high) << 32;
        if high == [0; 4] || wide > file.file.len() || bytes <= 4 && !long {
            return;
        }
        self.value[4..].copy_from_slice(high);
        if long {
            self.kind = LONG8;
        }
    }

    fn size(&self) -> Result<u64> {
        type_size(self.kind).ok_or_else(|| Error::malformed(format!("unknown field type {}", self.kind)))
    }

    fn integer_size(&self) -> Result<u64> {
        match self.kind {
            1 | 3 | 4 | 7 | 13 | 16 | 18 => self.size(),
            kind => Err(Error::malformed(format!("field type {kind} where an unsigned integer belongs"))),
        }
    }

    /// The value field read as an offset.
    fn offset(&self, file: &TiffFile) -> u64 {
        file.number(&self.value[..if file.big || file.ndpi { 8 } else { 4 }])
    }

    fn inline(&self, file: &TiffFile, bytes: u64) -> bool {
        bytes <= if file.big || file.ndpi && self.kind == LONG8 && self.count == 1 { 8 } else { 4 }
    }
}

/// An array of unsigned integers in the file, such as TileOffsets. Read in small windows, so that an image of millions of
/// tiles costs nothing to open.
pub struct ValueTable {
    file: TiffFile,
    count: u64,
    size: u64,
    source: Source,
    /// Index of the first value held, and the values.
    window: Mutex<(u64, Vec<u64>)>,
}

enum Source {
    Inline([u8; 8]),
    At(u64),
}

/// Values read at once.
const WINDOW: u64 = 256;

impl ValueTable {
    /// Number of values the entry claims.
    pub fn len(&self) -> u64 {
        self.count
    }

    /// None?
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// How many of the claimed values lie inside the file.
    pub fn present(&self) -> u64 {
        match self.source {
            Source::Inline(_) => self.count,
            Source::At(offset) => self.count.min(self.file.file.len().saturating_sub(offset) / self.size),
        }
    }

    /// Value `index`.
    ///
    /// # Errors
    /// `Malformed` if the table is shorter, `Truncated` if the file is, `Io`.
    pub fn get(&self, index: u64) -> Result<u64> {
        if index >= self.count {
            return Err(Error::malformed(format!("entry {index} of a table of {}", self.count)));
        }
        let offset = match &self.source {
            Source::Inline(bytes) => {
                let start = (index * self.size) as usize;
                return Ok(self.file.number(&bytes[start..start + self.size as usize]));
            }
            Source::At(offset) => *offset,
        };
        {
            let window = lock(&self.window);
            if let Some(value) = index.checked_sub(window.0).and_then(|i| window.1.get(i as usize)) {
                return Ok(*value);
            }
        }
        // Read outside the lock: a stuck read must not hold up those who find their value in the window.
        let present = self.present();
        if index >= present {
            return Err(Error::truncated(format!("entry {index} lies past the end of the file")));
        }
        let first = index / WINDOW * WINDOW;
        let bytes = self.file.file.read_vec(offset + first * self.size, (present - first).min(WINDOW) * self.size)?;
        let values: Vec<u64> = bytes.chunks_exact(self.size as usize).map(|b| self.file.number(b)).collect();
        let value = values.get((index - first) as usize).copied();
        *lock(&self.window) = (first, values);
        value.ok_or_else(|| Error::truncated(format!("entry {index} lies past the end of the file")))
    }
}
