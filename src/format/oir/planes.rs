//! Where the samples of a plane are.

use super::blocks::Samples;
use super::uid::Uid;
use crate::error::{Error, Result};
use crate::format::pieces::Pieces;
use crate::format::strided::{Members, Planes, Spot};
use crate::io::ReadAt;
use crate::model::TileId;
use crate::sync::Arc;

/// Place of a plane: time, wavelength, focus, channel.
type Key = (u32, u32, u32, u32);

/// All parts of all planes.
pub(super) struct Parts {
    /// By plane and number of the part.
    sorted: Vec<(Key, u32, Samples)>,
    /// First step of time, wavelength and focus: not every file begins with the first.
    base: (u32, u32, u32),
    /// Steps of time, wavelength and focus.
    pub counts: (u64, u64, u64),
    /// Channels.
    channels: u64,
    /// Bytes of a plane.
    pub needed: u64,
    /// Planes without parts may have had some.
    pub damaged: bool,
    /// Parts that stood twice.
    pub repeated: usize,
}

impl Parts {
    /// Sorts parts by their planes; `channels` are the identifiers in the order in which they are shown.
    ///
    /// # Errors
    /// `Malformed` if there is none.
    pub fn new(all: Vec<(Uid, Samples)>, channels: &[Box<str>]) -> Result<Self> {
        let place = |(uid, samples): (Uid, Samples)| {
            let channel = channels.iter().position(|c| *c == uid.channel).and_then(|c| u32::try_from(c).ok())?;
            Some(((uid.t, uid.l, uid.z, channel), uid.part, samples))
        };
        let mut sorted: Vec<(Key, u32, Samples)> = all.into_iter().filter_map(place).collect();
        // Stable: of two parts with one number, the first one counts.
        sorted.sort_by_key(|(key, part, _)| (*key, *part));
        let before = sorted.len();
        sorted.dedup_by_key(|(key, part, _)| (*key, *part));
        sorted.shrink_to_fit();
        let none = || Error::malformed("no plane is stored");
        let range = |of: fn(&Key) -> u32| {
            let steps = || sorted.iter().map(move |(key, ..)| of(key));
            let (low, high) = (steps().min().ok_or_else(none)?, steps().max().ok_or_else(none)?);
            Ok::<_, Error>((low, u64::from(high - low) + 1))
        };
        let (t, l, z) = (range(|k| k.0)?, range(|k| k.1)?, range(|k| k.2)?);
        let repeated = before - sorted.len();
        Ok(Parts {
            base: (t.0, l.0, z.0),
            counts: (t.1, l.1, z.1),
            channels: channels.len() as u64,
            sorted,
            needed: 0,
            damaged: false,
            repeated,
        })
    }

    /// First steps of time and focus.
    pub fn base(&self) -> (u32, u32) {
        (self.base.0, self.base.2)
    }

    /// Planes of which something is stored.
    pub fn stored(&self) -> u64 {
        self.sorted.chunk_by(|a, b| a.0 == b.0).count() as u64
    }

    /// Most bytes of a plane that are in files of these sizes.
    pub fn longest(&self, sizes: &[u64]) -> u64 {
        let there = |s: &Samples| {
            let end = sizes.get(s.member as usize).copied().unwrap_or(0);
            s.offset.checked_add(s.length).is_some_and(|e| e <= end)
        };
        let bytes = |plane: &[(Key, u32, Samples)]| {
            plane.iter().filter(|(_, _, s)| there(s)).map(|(_, _, s)| s.length).sum::<u64>()
        };
        self.sorted.chunk_by(|a, b| a.0 == b.0).map(bytes).max().unwrap_or(0)
    }

    fn parts(&self, t: u64, g: u64, z: u64) -> &[(Key, u32, Samples)] {
        // Wavelengths go slower than channels.
        let (l, c) = (g / self.channels.max(1), g % self.channels.max(1));
        let step = |n: u64, base: u32| u32::try_from(n).ok().and_then(|n| n.checked_add(base));
        let key = (|| Some((step(t, self.base.0)?, step(l, self.base.1)?, step(z, self.base.2)?, c as u32)))();
        let Some(key) = key else { return &[] };
        let start = self.sorted.partition_point(|(k, ..)| *k < key);
        let end = self.sorted.partition_point(|(k, ..)| *k <= key);
        self.sorted.get(start..end).unwrap_or_default()
    }
}

impl Planes for Parts {
    fn find(&self, _series: usize, _level: usize, t: u64, g: u64, z: u64) -> Result<Option<Spot>> {
        let parts = self.parts(t, g, z);
        let Some((_, _, first)) = parts.first() else {
            if self.damaged {
                return Err(Error::truncated(
                    "no samples of this plane, in a file that could not be followed as a whole",
                ));
            }
            return Ok(None);
        };
        let held: u64 = parts.iter().map(|(_, _, s)| s.length).sum();
        let follow = parts.iter().zip(0..).all(|((_, part, _), n)| *part == n);
        if held < self.needed || !follow && parts.len() > 1 {
            let needed = self.needed;
            return Err(Error::truncated(format!("{held} bytes in {} parts of a plane of {needed}", parts.len())));
        }
        let offset = if parts.len() == 1 { first.offset } else { 0 };
        Ok(Some(Spot { member: first.member, offset, length: 0 }))
    }

    fn file(&self, id: TileId, spot: Spot, members: &Members) -> Result<Arc<dyn ReadAt>> {
        let parts = self.parts(id.t, id.g, id.z);
        let first = members.get(spot.member)?;
        if parts.len() == 1 {
            return Ok(first);
        }
        let mut whole = Pieces::new(first);
        for (_, _, samples) in parts {
            whole.push(&members.get(samples.member)?, samples.offset, samples.length)?;
        }
        Ok(Arc::new(whole))
    }

    fn heap_bytes(&self) -> u64 {
        (self.sorted.capacity() * size_of::<(Key, u32, Samples)>()) as u64
    }
}
