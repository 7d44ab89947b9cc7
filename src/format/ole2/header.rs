//! The header, and where the sectors of the table are ([MS-CFB] 2.2 and 2.5).

use super::table::Table;
use super::{MAGIC, Run, sectors_of};
use crate::error::{Error, Result};
use crate::format::Limits;
use crate::io::{ReadAt, Watch};
use crate::sync::Arc;

/// What the header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    /// Bytes of a sector: 512 in version 3, 4096 in version 4.
    pub sector: u64,
    /// Bytes of a small sector.
    pub small_sector: u64,
    /// Streams from this size on lie in sectors of the file.
    pub cutoff: u64,
    /// First sector of the directory.
    pub directory: u32,
    /// First sector of the small sectors' table, and its number of sectors.
    pub small_table: (u32, u32),
    /// Are sizes of streams of 64 bits? In version 3 the upper half may be anything.
    pub wide: bool,
    /// Sectors of the table.
    table: u32,
    /// First sector that goes on with the places of the table, and how many there are.
    more: (u32, u32),
}

/// Bytes of the header.
const SIZE: u64 = 512;
/// Places of the table that the header itself holds.
const PLACES: u32 = 109;
/// The end of a chain.
pub(super) const END: u32 = 0xffff_fffe;
/// Numbers from here on are no sectors.
pub(super) const LAST: u32 = 0xffff_fffa;

/// A number of 32 bits.
pub(super) fn number(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(|b| b.first_chunk()).map_or(0, |b| u32::from_le_bytes(*b))
}

/// A number of 16 bits.
pub(super) fn short(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..).and_then(|b| b.first_chunk()).map_or(0, |b| u16::from_le_bytes(*b))
}

impl Header {
    /// Reads and checks it.
    ///
    /// # Errors
    /// `Malformed`, `Unsupported`, `Truncated`, failures of the disk.
    pub fn read(file: &dyn ReadAt) -> Result<Self> {
        let head = file.read_vec(0, SIZE)?;
        if !head.starts_with(&MAGIC) {
            return Err(Error::malformed("it does not begin as a compound file does"));
        }
        let (version, order) = (short(&head, 0x1a), short(&head, 0x1c));
        let (shift, small_shift) = (short(&head, 0x1e), short(&head, 0x20));
        if order != 0xfffe {
            return Err(Error::malformed(format!("byte order {order:#06x}")));
        }
        if !matches!((version, shift), (3, 9) | (4, 12)) {
            return Err(Error::unsupported(format!("version {version} with sectors of 2^{shift} bytes")));
        }
        if small_shift != 6 {
            return Err(Error::unsupported(format!("small sectors of 2^{small_shift} bytes")));
        }
        let header = Header {
            sector: 1 << shift,
            small_sector: 1 << small_shift,
            cutoff: u64::from(number(&head, 0x38)),
            directory: number(&head, 0x30),
            small_table: (number(&head, 0x3c), number(&head, 0x40)),
            wide: version == 4,
            table: number(&head, 0x2c),
            more: (number(&head, 0x44), number(&head, 0x48)),
        };
        if header.cutoff != 4096 {
            return Err(Error::malformed(format!("streams are small below {} bytes, not 4096", header.cutoff)));
        }
        let sectors = header.sectors(file.len());
        for (what, count) in [("table", header.table), ("small table", header.small_table.1), ("DIFAT", header.more.1)]
        {
            if u64::from(count) > sectors {
                return Err(Error::malformed(format!("{count} sectors of {what} in a file of {sectors} sectors")));
            }
        }
        Ok(header)
    }

    /// Sectors that a file of this size has, a part of one included.
    pub fn sectors(&self, len: u64) -> u64 {
        len.saturating_sub(self.sector).div_ceil(self.sector)
    }

    /// The table of sectors.
    ///
    /// # Errors
    /// `Malformed`, `Truncated`, `OverLimit`, failures of the disk.
    pub fn fat(&self, file: &Arc<dyn ReadAt>, limits: &Limits, watch: &Watch) -> Result<Table> {
        if u64::from(self.table).saturating_mul(8) > limits.index_bytes / 8 {
            return Err(Error::over_limit(format!("a table of {} sectors", self.table)));
        }
        let head = file.read_vec(0, SIZE)?;
        let mut places: Vec<u32> = (0..PLACES.min(self.table)).map(|i| number(&head, 0x4c + 4 * i as usize)).collect();
        let mut next = self.more.0;
        // The last number of each sector is the one that goes on.
        let each = (self.sector / 4 - 1) as u32;
        for _ in 0..self.more.1 {
            let left = self.table - places.len() as u32;
            if left == 0 {
                break;
            }
            if next >= LAST {
                break;
            }
            let bytes = file.read_vec((u64::from(next) + 1) * self.sector, self.sector)?;
            places.extend((0..each.min(left)).map(|i| number(&bytes, 4 * i as usize)));
            next = number(&bytes, 4 * each as usize);
            watch.tick();
            watch.check()?;
        }
        if places.len() < self.table as usize {
            return Err(Error::malformed(format!(
                "{} of {} sectors of the table have a place",
                places.len(),
                self.table
            )));
        }
        if let Some(wrong) = places.iter().find(|p| **p >= LAST) {
            return Err(Error::malformed(format!("a part of the table in sector {wrong:#x}")));
        }
        let runs: Vec<Run> = places.into_iter().map(|p| (p, 1)).collect();
        Ok(Table::new(Arc::new(sectors_of(file, &runs, self.sector, self.sector, None)?)))
    }
}
