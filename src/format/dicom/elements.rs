//! Data elements (PS3.5 section 7): read one after the other, what is wanted kept, everything else skipped.

use super::tags;
use super::text::Charset;
use crate::error::{Error, Result};
use crate::io::{ReadAt, Watch};

/// Undefined length.
pub(super) const UNDEFINED: u32 = u32::MAX;
const ITEM: u32 = 0xFFFE_E000;
const ITEM_END: u32 = 0xFFFE_E00D;
const SEQUENCE_END: u32 = 0xFFFE_E0DD;
/// Deepest nesting of sequences.
const MAX_DEPTH: usize = 24;
/// Longest value that is kept.
const MAX_VALUE: u32 = 4 << 20;
/// Bytes read at once.
const WINDOW: usize = 16 << 10;

/// How elements are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Encoding {
    /// Types are written.
    pub explicit: bool,
    /// Most significant byte first.
    pub big_endian: bool,
}

/// A value that was kept.
#[derive(Debug, Clone)]
pub(super) enum Value {
    /// As stored.
    Bytes(Box<[u8]>),
    /// Items of a sequence.
    Items(Vec<DataSet>),
}

/// Elements that were kept, in the order of the file.
#[derive(Debug, Clone)]
pub(super) struct DataSet {
    elements: Vec<(u32, Value)>,
    big_endian: bool,
    charset: Charset,
}

impl DataSet {
    /// Without elements.
    pub fn new(big_endian: bool) -> Self {
        DataSet { elements: Vec::new(), big_endian, charset: Charset::default() }
    }

    fn get(&self, tag: u32) -> Option<&Value> {
        self.elements.iter().find(|(t, _)| *t == tag).map(|(_, v)| v)
    }

    /// The bytes of an element.
    pub fn bytes(&self, tag: u32) -> Option<&[u8]> {
        match self.get(tag)? {
            Value::Bytes(bytes) => Some(bytes),
            Value::Items(_) => None,
        }
    }

    /// Items of a sequence.
    pub fn items(&self, tag: u32) -> &[DataSet] {
        match self.get(tag) {
            Some(Value::Items(items)) => items,
            _ => &[],
        }
    }

    /// The first item of a sequence.
    pub fn item(&self, tag: u32) -> Option<&DataSet> {
        self.items(tag).first()
    }

    /// A text without its padding; nothing if it is empty.
    pub fn text(&self, tag: u32) -> Option<String> {
        let text = self.charset.decode(self.bytes(tag)?);
        let text = text.trim_matches(|c: char| c.is_whitespace() || c == '\0');
        (!text.is_empty()).then(|| text.to_owned())
    }

    /// The values of a text of several.
    pub fn texts(&self, tag: u32) -> Vec<String> {
        self.text(tag).map_or(Vec::new(), |t| t.split('\\').map(|v| v.trim().to_owned()).collect())
    }

    /// Numbers written as text (DS, IS).
    pub fn decimals(&self, tag: u32) -> Vec<f64> {
        let text = self.texts(tag);
        text.iter().map_while(|v| v.parse::<f64>().ok().filter(|v| v.is_finite())).collect()
    }

    /// The first number written as text.
    pub fn decimal(&self, tag: u32) -> Option<f64> {
        self.decimals(tag).first().copied()
    }

    /// A number of two or four bytes, or the number of frames, which is a text.
    pub fn count(&self, tag: u32) -> Option<u64> {
        if tag == tags::NUMBER_OF_FRAMES {
            let text = self.text(tag)?;
            let digits = text.trim_start_matches('+').split(|c: char| !c.is_ascii_digit()).next();
            return digits.and_then(|d| d.parse().ok());
        }
        self.numbers(tag).first().copied()
    }

    /// Numbers of two (US), four (UL) or eight bytes: all of two, unless there is room for one larger one only.
    pub fn numbers(&self, tag: u32) -> Vec<u64> {
        let Some(bytes) = self.bytes(tag) else { return Vec::new() };
        let size = if tags::LONG.contains(&tag) { 4 } else { 2 };
        let size = if bytes.len() < size { 2 } else { size };
        bytes.chunks_exact(size).map(|b| self.unsigned(b)).collect()
    }

    fn unsigned(&self, bytes: &[u8]) -> u64 {
        let add = |sum: u64, byte: &u8| sum << 8 | u64::from(*byte);
        if self.big_endian { bytes.iter().fold(0, add) } else { bytes.iter().rev().fold(0, add) }
    }

    /// A signed number of four bytes (SL).
    pub fn signed(&self, tag: u32) -> Option<i64> {
        let bytes = self.bytes(tag)?;
        match bytes.len() {
            2 => Some(i64::from(self.unsigned(bytes) as u16 as i16)),
            4.. => Some(i64::from(self.unsigned(&bytes[..4]) as u32 as i32)),
            _ => None,
        }
    }

    /// A number of four bytes in floating point (FL).
    pub fn float(&self, tag: u32) -> Option<f32> {
        let bytes = self.bytes(tag)?.get(..4)?;
        Some(f32::from_bits(self.unsigned(bytes) as u32)).filter(|v| v.is_finite())
    }

    /// Tags that an element names (AT).
    pub fn tags(&self, tag: u32) -> Vec<u32> {
        let Some(bytes) = self.bytes(tag) else { return Vec::new() };
        let both = |b: &[u8; 4]| (self.unsigned(&b[..2]) as u32) << 16 | self.unsigned(&b[2..]) as u32;
        bytes.as_chunks::<4>().0.iter().map(both).collect()
    }

    /// Bytes of memory held.
    pub fn heap_bytes(&self) -> u64 {
        let value = |v: &Value| match v {
            Value::Bytes(bytes) => bytes.len() as u64,
            Value::Items(items) => items.iter().map(|i| size_of::<DataSet>() as u64 + i.heap_bytes()).sum(),
        };
        let elements = (self.elements.capacity() * size_of::<(u32, Value)>()) as u64;
        elements + self.elements.iter().map(|(_, v)| value(v)).sum::<u64>()
    }
}

/// The head of an element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    /// Group and number.
    pub tag: u32,
    /// "SQ"; zeros where types are not written.
    pub vr: [u8; 2],
    /// Bytes, or [`UNDEFINED`].
    pub length: u32,
}

/// A place in a file, moving forward.
pub(super) struct Cursor<'a> {
    file: &'a dyn ReadAt,
    at: u64,
    window: Vec<u8>,
    start: u64,
    steps: u64,
    /// Bytes of memory that may still be used.
    room: u64,
    most: u64,
    watch: &'a Watch,
    charset: Charset,
}

impl<'a> Cursor<'a> {
    /// At an offset; `room` bounds what is kept.
    pub fn new(file: &'a dyn ReadAt, at: u64, room: u64, watch: &'a Watch) -> Self {
        Cursor {
            file,
            at,
            window: Vec::new(),
            start: 0,
            steps: 0,
            room,
            most: room,
            watch,
            charset: Charset::default(),
        }
    }

    /// Where it is.
    pub fn at(&self) -> u64 {
        self.at
    }

    fn left(&self) -> u64 {
        self.file.len().saturating_sub(self.at)
    }

    fn peek(&mut self, count: usize) -> Result<&[u8]> {
        let inside = self.at.checked_sub(self.start).and_then(|i| usize::try_from(i).ok());
        let inside = inside.filter(|i| i + count <= self.window.len());
        let from = match inside {
            Some(from) => from,
            None => {
                let size = self.left().min(WINDOW.max(count) as u64);
                if size < count as u64 {
                    return Err(Error::truncated(format!("the file ends in an element at offset {}", self.at)));
                }
                self.window = self.file.read_vec(self.at, size)?;
                self.start = self.at;
                0
            }
        };
        Ok(&self.window[from..from + count])
    }

    fn skip(&mut self, length: u32) -> Result<()> {
        if u64::from(length) > self.left() {
            return Err(Error::truncated(format!("{length} bytes at offset {} reach past the end", self.at)));
        }
        self.at += u64::from(length);
        Ok(())
    }

    fn value(&mut self, length: u32) -> Result<Box<[u8]>> {
        if length > MAX_VALUE {
            return Err(Error::over_limit(format!("a value of {length} bytes at offset {}", self.at)));
        }
        self.charge(u64::from(length) + 64)?;
        let bytes = self.peek(length as usize)?.into();
        self.at += u64::from(length);
        Ok(bytes)
    }

    /// Takes memory.
    ///
    /// # Errors
    /// `OverLimit` if there is none left.
    pub fn charge(&mut self, bytes: u64) -> Result<()> {
        let left = self.room.checked_sub(bytes);
        self.room = left.ok_or_else(|| Error::over_limit(format!("too many elements, at offset {}", self.at)))?;
        Ok(())
    }

    /// Bytes of memory that were taken.
    pub fn used(&self) -> u64 {
        self.most - self.room
    }

    /// Takes bytes as they are.
    ///
    /// # Errors
    /// `Truncated`, failures of the disk.
    pub fn bytes(&mut self, count: usize) -> Result<Vec<u8>> {
        let bytes = self.peek(count)?.to_vec();
        self.at += count as u64;
        Ok(bytes)
    }

    /// Gives memory back.
    pub fn release(&mut self, bytes: u64) {
        self.room = self.room.saturating_add(bytes).min(self.most);
    }

    /// Reads the head of an element; `None` at the end of the file.
    ///
    /// # Errors
    /// `Truncated`, `Malformed`, failures of the disk.
    pub fn head(&mut self, encoding: Encoding) -> Result<Option<Head>> {
        if self.left() == 0 {
            return Ok(None);
        }
        self.steps += 1;
        if self.steps.is_multiple_of(4096) {
            self.watch.tick();
            self.watch.check()?;
        }
        let at = self.at;
        let b: [u8; 8] = self.peek(8)?.try_into().unwrap_or_default();
        let short = |a: u8, b: u8| {
            if encoding.big_endian { u32::from(a) << 8 | u32::from(b) } else { u32::from(b) << 8 | u32::from(a) }
        };
        let long = |b: [u8; 4]| if encoding.big_endian { u32::from_be_bytes(b) } else { u32::from_le_bytes(b) };
        let tag = short(b[0], b[1]) << 16 | short(b[2], b[3]);
        // Items have no type.
        if !encoding.explicit || tag >> 16 == 0xFFFE {
            self.at += 8;
            return Ok(Some(Head { tag, vr: [0; 2], length: long([b[4], b[5], b[6], b[7]]) }));
        }
        let vr = [b[4], b[5]];
        if !vr.iter().all(u8::is_ascii_uppercase) {
            return Err(Error::malformed(format!(
                "element ({:04X},{:04X}) at offset {at} has no type",
                tag >> 16,
                tag & 0xffff
            )));
        }
        if matches!(
            &vr,
            b"OB" | b"OD" | b"OF" | b"OL" | b"OV" | b"OW" | b"SQ" | b"SV" | b"UC" | b"UN" | b"UR" | b"UT" | b"UV"
        ) {
            let b: [u8; 12] = self.peek(12)?.try_into().unwrap_or_default();
            self.at += 12;
            return Ok(Some(Head { tag, vr, length: long([b[8], b[9], b[10], b[11]]) }));
        }
        self.at += 8;
        Ok(Some(Head { tag, vr, length: short(b[6], b[7]) }))
    }

    /// Reads what is behind a head into `set` if it is wanted, else skips it.
    ///
    /// # Errors
    /// `Truncated`, `Malformed`, `OverLimit`, failures of the disk.
    pub fn keep(&mut self, head: Head, encoding: Encoding, set: &mut DataSet) -> Result<()> {
        self.keep_at(head, encoding, set, 0)
    }

    fn keep_at(&mut self, head: Head, encoding: Encoding, set: &mut DataSet, depth: usize) -> Result<()> {
        if depth > MAX_DEPTH {
            return Err(Error::malformed(format!("sequences nested {depth} deep at offset {}", self.at)));
        }
        let place = |e: Error| e.at(format!("element ({:04X},{:04X})", head.tag >> 16, head.tag & 0xffff));
        if tags::SEQUENCES.binary_search(&head.tag).is_ok() {
            let mut items = Vec::new();
            let inner = inner_encoding(head, encoding);
            self.each_item(head, |cursor, end| {
                cursor.charge(size_of::<DataSet>() as u64)?;
                items.push(cursor.item(end, inner, depth + 1)?);
                Ok(())
            })
            .map_err(place)?;
            set.elements.push((head.tag, Value::Items(items)));
            return Ok(());
        }
        if head.length == UNDEFINED {
            let inner = inner_encoding(head, encoding);
            return self.each_item(head, |cursor, end| cursor.skip_item(end, inner, depth + 1)).map_err(place);
        }
        if tags::VALUES.binary_search(&head.tag).is_err() {
            return self.skip(head.length).map_err(place);
        }
        let value = self.value(head.length).map_err(place)?;
        if head.tag == tags::SPECIFIC_CHARACTER_SET {
            self.charset = Charset::named(&value);
            set.charset = self.charset;
        }
        // The first one counts.
        if set.get(head.tag).is_none() {
            set.elements.push((head.tag, Value::Bytes(value)));
        }
        Ok(())
    }

    /// Calls `each` for every item of a sequence whose head was read, with where the item ends, if it says.
    ///
    /// # Errors
    /// `Malformed`, and those of `each`.
    pub fn each_item(&mut self, head: Head, mut each: impl FnMut(&mut Self, Option<u64>) -> Result<()>) -> Result<()> {
        let end = (head.length != UNDEFINED).then(|| self.at.saturating_add(u64::from(head.length)));
        if end.is_some_and(|end| end > self.file.len()) {
            return Err(Error::truncated(format!("a sequence at offset {} reaches past the end", self.at)));
        }
        loop {
            if end.is_some_and(|end| self.at >= end) {
                return Ok(());
            }
            let at = self.at;
            let head = self.head(self.items_encoding())?;
            let head = head.ok_or_else(|| Error::truncated("the file ends in a sequence"))?;
            let (tag, length) = match head.tag {
                // Heads of items are in the byte order of the file.
                0xFEFF_00E0 => (ITEM, head.length.swap_bytes()),
                0xFEFF_DDE0 => (SEQUENCE_END, 0),
                tag => (tag, head.length),
            };
            match tag {
                SEQUENCE_END => return Ok(()),
                ITEM if length == UNDEFINED => each(self, None)?,
                ITEM => {
                    let item_end = self.at.saturating_add(u64::from(length));
                    if item_end > end.unwrap_or(u64::MAX).min(self.file.len()) {
                        return Err(Error::truncated(format!("an item at offset {at} reaches past its sequence")));
                    }
                    each(self, Some(item_end))?;
                    // Whatever was in it, the next one begins here.
                    self.at = item_end;
                }
                _ => return Err(Error::malformed(format!("no item at offset {at}"))),
            }
        }
    }

    fn items_encoding(&self) -> Encoding {
        Encoding { explicit: false, big_endian: false }
    }

    /// Reads an item of a sequence.
    ///
    /// # Errors
    /// As [`Cursor::keep`].
    pub fn item(&mut self, end: Option<u64>, encoding: Encoding, depth: usize) -> Result<DataSet> {
        let mut set = DataSet { charset: self.charset, ..DataSet::new(encoding.big_endian) };
        while let Some(head) = self.next_in_item(end, encoding)? {
            self.keep_at(head, encoding, &mut set, depth)?;
        }
        Ok(set)
    }

    fn skip_item(&mut self, end: Option<u64>, encoding: Encoding, depth: usize) -> Result<()> {
        if let Some(end) = end {
            self.at = end;
            return Ok(());
        }
        if depth > MAX_DEPTH {
            return Err(Error::malformed(format!("sequences nested {depth} deep at offset {}", self.at)));
        }
        while let Some(head) = self.next_in_item(end, encoding)? {
            if head.length == UNDEFINED {
                let inner = inner_encoding(head, encoding);
                self.each_item(head, |cursor, end| cursor.skip_item(end, inner, depth + 1))?;
            } else {
                self.skip(head.length)?;
            }
        }
        Ok(())
    }

    fn next_in_item(&mut self, end: Option<u64>, encoding: Encoding) -> Result<Option<Head>> {
        if end.is_some_and(|end| self.at >= end) {
            return Ok(None);
        }
        let head = self.head(encoding)?.ok_or_else(|| Error::truncated("the file ends in an item"))?;
        Ok((head.tag != ITEM_END).then_some(head))
    }
}

/// Items of unknown type are written without types (PS3.5 section 6.2.2).
pub(super) fn inner_encoding(head: Head, encoding: Encoding) -> Encoding {
    if &head.vr == b"UN" { Encoding { explicit: false, big_endian: false } } else { encoding }
}
