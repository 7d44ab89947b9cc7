//! Headers of objects: lists of messages, in one block or several.

use super::Hdf5;
use crate::error::{Error, Result};

/// Blocks that the messages of one object may be spread over.
const MOST_BLOCKS: usize = 1 << 12;

/// A message of a header.
pub(super) struct Message {
    /// What it is about (section IV.A.2).
    pub kind: u16,
    /// Bit 1: it lies somewhere else.
    pub flags: u8,
    pub data: Vec<u8>,
}

/// An object, by its messages.
pub(in crate::format) struct Object {
    pub(super) messages: Vec<Message>,
}

pub(super) const DATASPACE: u16 = 0x01;
pub(super) const LINK_INFO: u16 = 0x02;
pub(super) const DATATYPE: u16 = 0x03;
pub(super) const FILL_OLD: u16 = 0x04;
pub(super) const FILL: u16 = 0x05;
pub(super) const LINK: u16 = 0x06;
pub(super) const LAYOUT: u16 = 0x08;
pub(super) const FILTERS: u16 = 0x0b;
pub(super) const ATTRIBUTE: u16 = 0x0c;
const CONTINUATION: u16 = 0x10;
pub(super) const SYMBOL_TABLE: u16 = 0x11;
pub(super) const ATTRIBUTE_INFO: u16 = 0x15;

impl Object {
    /// The first message of a kind.
    pub(super) fn message(&self, kind: u16) -> Option<&Message> {
        self.messages.iter().find(|m| m.kind == kind)
    }
}

/// Blocks still to be read, and what those before held.
struct Reading {
    messages: Vec<Message>,
    blocks: Vec<(u64, u64)>,
    bytes: u64,
}

impl Reading {
    fn add(&mut self, hdf: &Hdf5, kind: u16, flags: u8, data: &[u8]) -> Result<()> {
        if kind == CONTINUATION {
            let mut at = hdf.cursor(data);
            if let Some(address) = at.offset()? {
                self.blocks.push((address, at.length()?));
            }
            return Ok(());
        }
        // Nothing, and when it was changed.
        if kind != 0 && kind != 0x0e && kind != 0x12 {
            self.messages.push(Message { kind, flags, data: data.to_vec() });
        }
        Ok(())
    }
}

impl Hdf5 {
    /// The object whose header is at this address.
    ///
    /// # Errors
    /// `Malformed`, `Unsupported`, `Truncated`, `OverLimit`, failures of the disk.
    pub fn object(&self, address: u64) -> Result<Object> {
        self.header(address).map_err(|e| e.at(format!("object header at {address}")))
    }

    fn header(&self, address: u64) -> Result<Object> {
        let head = self.read_some(address, 512)?;
        let mut reading = Reading { messages: Vec::new(), blocks: Vec::new(), bytes: 0 };
        let newer = head.starts_with(b"OHDR");
        let tracked = if newer {
            self.begin_newer(&head, address, &mut reading)?
        } else {
            self.begin(&head, address, &mut reading)?
        };
        let mut count = 0;
        while let Some((address, length)) = reading.blocks.pop() {
            count += 1;
            reading.bytes = reading.bytes.saturating_add(length);
            if count > MOST_BLOCKS || reading.bytes > self.most.max(1 << 20) {
                return Err(Error::over_limit(format!("messages in {count} blocks of {} bytes", reading.bytes)));
            }
            let block = self.read(address, length).map_err(|e| e.at(format!("block at {address}")))?;
            if newer {
                self.newer_messages(&block, 4, tracked, &mut reading)?;
            } else {
                self.messages(&block, &mut reading)?;
            }
        }
        Ok(Object { messages: reading.messages })
    }

    /// Section IV.A.1.a.
    fn begin(&self, head: &[u8], address: u64, reading: &mut Reading) -> Result<bool> {
        let mut at = self.cursor(head);
        let version = at.u8()?;
        if version != 1 {
            return Err(Error::malformed(format!("version {version}")));
        }
        at.skip(7)?;
        let size = u64::from(at.u32()?);
        reading.blocks.push((address.saturating_add(16), size));
        Ok(false)
    }

    fn messages(&self, block: &[u8], reading: &mut Reading) -> Result<()> {
        let mut at = self.cursor(block);
        while at.rest().len() >= 8 {
            let (kind, size, flags) = (at.u16()?, at.u16()?, at.u8()?);
            at.skip(3)?;
            let data = at.take(usize::from(size))?;
            reading.add(self, kind, flags, data)?;
        }
        Ok(())
    }

    /// Section IV.A.1.b. Are messages numbered?
    fn begin_newer(&self, head: &[u8], address: u64, reading: &mut Reading) -> Result<bool> {
        let mut at = self.cursor(head);
        at.skip(4)?;
        let (version, flags) = (at.u8()?, at.u8()?);
        if version != 2 {
            return Err(Error::unsupported(format!("version {version}")));
        }
        at.skip(if flags & 0x20 != 0 { 16 } else { 0 } + if flags & 0x10 != 0 { 4 } else { 0 })?;
        let size = at.uint(1 << (flags & 3))?;
        let prefix = at.taken();
        let whole = self.read(address, size.saturating_add(prefix as u64 + 4))?;
        let tracked = flags & 4 != 0;
        reading.bytes = whole.len() as u64;
        self.newer_messages(&whole, prefix, tracked, reading)?;
        Ok(tracked)
    }

    fn newer_messages(&self, block: &[u8], prefix: usize, tracked: bool, reading: &mut Reading) -> Result<()> {
        let end = block.len().saturating_sub(4);
        let mut sum = self.cursor(block);
        sum.skip(end)?;
        sum.checksum(block)?;
        if prefix == 4 && !block.starts_with(b"OCHK") {
            return Err(Error::malformed("no continuation where one belongs"));
        }
        let mut at = self.cursor(block.get(prefix..end).unwrap_or_default());
        // What is shorter than a message is a gap.
        while at.rest().len() >= 4 + if tracked { 2 } else { 0 } {
            let (kind, size, flags) = (at.u8()?, at.u16()?, at.u8()?);
            at.skip(if tracked { 2 } else { 0 })?;
            let data = at.take(usize::from(size))?;
            reading.add(self, u16::from(kind), flags, data)?;
        }
        Ok(())
    }

    /// The bytes of a message, wherever they are (section IV.A.2, shared messages).
    ///
    /// # Errors
    /// `Unsupported` for those in a heap of shared messages.
    pub(super) fn resolve(&self, message: &Message) -> Result<Vec<u8>> {
        if message.flags & 2 == 0 {
            return Ok(message.data.clone());
        }
        self.shared(&message.data, message.kind)
    }

    pub(super) fn shared(&self, data: &[u8], kind: u16) -> Result<Vec<u8>> {
        let mut at = self.cursor(data);
        let (version, place) = (at.u8()?, at.u8()?);
        match (version, place) {
            (1, 0) => at.skip(6)?,
            (2, 0) | (3, 2) => {}
            _ => return Err(Error::unsupported(format!("shared messages of version {version}, kind {place}"))),
        }
        let address = at.offset()?.ok_or_else(|| Error::malformed("a shared message without a place"))?;
        let object = self.object(address)?;
        let found = object.messages.into_iter().find(|m| m.kind == kind && m.flags & 2 == 0);
        found.map(|m| m.data).ok_or_else(|| Error::malformed(format!("no message {kind:#x} to be shared at {address}")))
    }
}
