//! Resolutions, time points, channels: which volumes there are, and where.

use std::collections::HashMap;
use std::num::NonZeroUsize;

use lru::LruCache;

use super::{chunk_sides, sides};
use crate::codec::raster::{Number, dtype};
use crate::error::{Error, Result};
use crate::format::hdf5::{Attributes, Dataset, Datatype, Hdf5, Links, Object};
use crate::io::Watch;
use crate::sync::{Arc, Mutex, lock};

/// More resolutions than halving any size gives.
const MOST_LEVELS: u64 = 64;
/// Volumes that are remembered once they were looked at.
const REMEMBERED: NonZeroUsize = NonZeroUsize::new(1024).unwrap();

/// Channels that are looked at side by side.
const TOGETHER: u64 = 4;

/// A resolution.
pub(super) struct Level {
    /// Planes, rows and columns of the image.
    pub size: [u64; 3],
    /// Time points: one more than the number of the last.
    pub points: u64,
    /// Addresses of the groups of time points.
    times: HashMap<u64, u64>,
    /// The volume that sizes and chunks were taken from.
    pattern: Arc<Dataset>,
}

/// Volumes by level, time point and channel; `None` for those that were never stored.
type Known = LruCache<(usize, u64, u64), Option<Arc<Dataset>>>;

/// All volumes of a dataset.
pub(super) struct Volumes {
    pub levels: Vec<Level>,
    pub channels: u64,
    pub datatype: Datatype,
    /// The group of the metadata, if there is one.
    pub info: Option<u64>,
    looked_at: Mutex<Known>,
}

impl Level {
    /// Planes, rows and columns of a chunk.
    pub fn chunk(&self) -> Option<[u64; 3]> {
        chunk_sides(&self.pattern)
    }

    /// Must chunks be decoded whole?
    pub fn is_packed(&self) -> bool {
        self.chunk().is_some() && !self.pattern.filters.is_empty()
    }

    /// Bytes of a chunk.
    pub fn chunk_bytes(&self) -> u64 {
        let sides = self.chunk().unwrap_or([0; 3]);
        sides.iter().fold(self.pattern.datatype.size() as u64, |n, s| n.saturating_mul(*s))
    }
}

/// The number behind a name such as "TimePoint 12".
fn numbered<'a>(links: &'a Links, name: &'a str) -> impl Iterator<Item = (u64, u64)> + 'a {
    links.iter().filter_map(move |(key, address)| {
        let number = key.strip_prefix(name)?.strip_prefix(' ')?.parse().ok()?;
        Some((number, *address))
    })
}

/// One more than the largest number; numbers that leave out more than they name are not believed.
fn count(numbers: impl Iterator<Item = u64>, what: &str) -> Result<u64> {
    let (named, count) = numbers.fold((0_u64, 0_u64), |(n, most), last| (n + 1, most.max(last.saturating_add(1))));
    if count > named.saturating_mul(1000) {
        return Err(Error::malformed(format!("{named} {what}, the last with number {}", count - 1)));
    }
    Ok(count)
}

/// A size of the image as an attribute says it.
fn said(attributes: &Attributes, name: &str) -> Option<u64> {
    attributes.get(name)?.trim().parse().ok().filter(|n| *n > 0)
}

impl Volumes {
    /// Reads the lists of time points, and a channel of each resolution.
    ///
    /// # Errors
    /// Any kind.
    pub fn open(hdf: &Hdf5, watch: &Watch, warnings: &mut Vec<String>) -> Result<Self> {
        let root = hdf.root()?;
        let names = hdf.attributes(&root, watch)?;
        let links = hdf.links(&root, watch)?;
        let named = |attribute: &str, usual: &str| {
            let name = names.get(attribute).map(|n| n.trim()).filter(|n| links.contains_key(*n)).unwrap_or(usual);
            links.get(name).copied()
        };
        let data = named("DataSetDirectoryName", "DataSet");
        let data = data.ok_or_else(|| Error::unsupported("an HDF5 file without the group DataSet of Imaris"))?;
        let info = named("DataSetInfoDirectoryName", "DataSetInfo");
        if links.contains_key("DataSet1") {
            warnings.push("only the first of several datasets is shown".to_owned());
        }
        let resolutions = hdf.links(&hdf.object(data)?, watch).map_err(|e| e.at("DataSet"))?;
        let mut found: Vec<(u64, u64)> = numbered(&resolutions, "ResolutionLevel").collect();
        found.sort_unstable();
        let mut volumes = Volumes {
            levels: Vec::new(),
            channels: 0,
            datatype: Datatype::Other(0, 1),
            info,
            looked_at: Mutex::new(LruCache::new(REMEMBERED)),
        };
        for (number, address) in found.into_iter().filter(|(n, _)| *n < MOST_LEVELS) {
            watch.check()?;
            let level = volumes
                .level(hdf, number, address, watch, warnings)
                .map_err(|e| e.at(format!("ResolutionLevel {number}")));
            match level {
                Ok(level) => volumes.levels.push(level),
                // The full resolution is what must be there.
                Err(e) if e.about_content() && number > 0 => {
                    warnings.push(format!("a resolution is left out: {}", e.reason()))
                }
                Err(e) => return Err(e),
            }
            watch.tick();
        }
        if volumes.levels.is_empty() {
            return Err(Error::malformed("no ResolutionLevel"));
        }
        Ok(volumes)
    }

    fn level(
        &mut self,
        hdf: &Hdf5,
        number: u64,
        address: u64,
        watch: &Watch,
        warnings: &mut Vec<String>,
    ) -> Result<Level> {
        let links = hdf.links(&hdf.object(address)?, watch)?;
        let times: HashMap<u64, u64> = numbered(&links, "TimePoint").collect();
        let points = count(times.keys().copied(), "time points")?;
        let first = times.iter().min().ok_or_else(|| Error::malformed("no time point"))?;
        let channels = hdf.links(&hdf.object(*first.1)?, watch)?;
        let counted = count(numbered(&channels, "Channel").map(|(n, _)| n), "channels")?;
        let channel = numbered(&channels, "Channel").min();
        let (_, channel) = channel.ok_or_else(|| Error::malformed("no channel"))?;
        let group = hdf.object(channel)?;
        let attributes = hdf.attributes(&group, watch)?;
        let pattern = volume(hdf, &group, watch)?.ok_or_else(|| Error::malformed("a channel without Data"))?;
        let stored = sides(&pattern)?;
        let mut size = stored;
        for ((side, name), most) in size.iter_mut().zip(["ImageSizeZ", "ImageSizeY", "ImageSizeX"]).zip(stored) {
            let Some(said) = said(&attributes, name) else { continue };
            if said > most {
                warnings.push(format!("{name} of resolution {number} is {said}, {most} are stored"));
            }
            *side = said.min(most);
        }
        if size.contains(&0) {
            return Err(Error::malformed(format!("a volume of {stored:?} elements")));
        }
        pattern.filters.check()?;
        if self.levels.is_empty() {
            (self.datatype, self.channels) = (pattern.datatype.clone(), counted);
            self.number()?;
        } else if pattern.datatype.size() != self.datatype.size() {
            return Err(Error::malformed("samples of another size than in the full resolution"));
        }
        Ok(Level { size, points, times, pattern: Arc::new(pattern) })
    }

    /// What the samples are.
    ///
    /// # Errors
    /// `Unsupported` for what is no number.
    pub fn number(&self) -> Result<Number> {
        match &self.datatype {
            Datatype::Number(number, size, _)
                if dtype(*number, 8 * *size as u32).is_some_and(|d| d.size() == *size) =>
            {
                Ok(*number)
            }
            other => Err(Error::unsupported(format!("elements of type {other:?}"))),
        }
    }

    /// A volume; `None` if it was never stored.
    ///
    /// # Errors
    /// Any kind.
    pub fn find(&self, hdf: &Hdf5, (level, t, c): (usize, u64, u64), watch: &Watch) -> Result<Option<Arc<Dataset>>> {
        if let Some(known) = lock(&self.looked_at).get(&(level, t, c)) {
            return Ok(known.clone());
        }
        let Some(time) = self.levels.get(level).and_then(|l| l.times.get(&t)) else { return Ok(None) };
        // Read without the lock: a slow disk must not hold up those that are known.
        let channels = hdf.links(&hdf.object(*time)?, watch)?;
        let found = match numbered(&channels, "Channel").find(|(number, _)| *number == c) {
            Some((_, address)) => volume(hdf, &hdf.object(address)?, watch)?,
            None => None,
        };
        let found = found.map(Arc::new);
        if let Some(dataset) = &found {
            if dataset.datatype != self.datatype {
                return Err(Error::malformed(format!(
                    "samples of type {:?} among those of {:?}",
                    dataset.datatype, self.datatype
                )));
            }
            dataset.filters.check()?;
        }
        lock(&self.looked_at).put((level, t, c), found.clone());
        Ok(found)
    }

    /// Bytes of the chunks that hold the planes beside one: units of the next plane want them again.
    pub fn kept_bytes(&self) -> u64 {
        let slab = |level: &Level| {
            let [deep, tall, wide] = level.chunk().filter(|_| level.is_packed())?;
            let [_, height, width] = level.size;
            let chunks = height.div_ceil(tall).saturating_mul(width.div_ceil(wide));
            (deep > 1).then(|| chunks.saturating_mul(level.chunk_bytes()))
        };
        let slab = self.levels.iter().filter_map(slab).max().unwrap_or(0);
        slab.saturating_mul(self.channels.min(TOGETHER))
    }

    /// Bytes of memory held.
    pub fn heap_bytes(&self) -> u64 {
        let levels: usize = self.levels.iter().map(|l| size_of::<Level>() + 40 * l.times.len()).sum();
        let volumes = self.levels.iter().map(|l| l.points.saturating_mul(self.channels)).fold(0, u64::saturating_add);
        // Few have more than sizes: those that are stored in their headers.
        levels as u64 + volumes.min(REMEMBERED.get() as u64) * 512
    }
}

/// The array "Data" of a channel.
fn volume(hdf: &Hdf5, channel: &Object, watch: &Watch) -> Result<Option<Dataset>> {
    let links = hdf.links(channel, watch)?;
    let Some(address) = links.get("Data") else { return Ok(None) };
    hdf.dataset(&hdf.object(*address)?).map(Some).map_err(|e| e.at("Data"))
}
