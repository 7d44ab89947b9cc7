//! CZI files byte by byte, and a file that counts what is read of it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use fuzarr::error::{Error, Kind, Result};
use fuzarr::format::{self, ImageSource, Limits, Place, Stored};
use fuzarr::io::{Fingerprint, MemoryFile, ReadAt, Watch};
use fuzarr::model::TileId;

/// A dimension: letter, start, size, stored size.
pub type Dimension = (&'static str, i32, i32, i32);

/// A subblock to be written.
#[derive(Clone)]
pub struct Sub {
    pub pixel: i32,
    pub compression: i32,
    pub dimensions: Vec<Dimension>,
    pub data: Vec<u8>,
    /// Bytes of the data, where they are more than `data` has: the rest is a hole.
    pub length: u64,
}

impl Sub {
    /// Grey pixels of 16 bits, stored as they are; `m` as the tile's place in the stack.
    pub fn plain((x, y): (i32, i32), (columns, rows): (i32, i32), m: i32, pixels: &[u16]) -> Self {
        let data: Vec<u8> = pixels.iter().flat_map(|p| p.to_le_bytes()).collect();
        let dimensions = vec![("X", x, columns, 0), ("Y", y, rows, 0), ("C", 0, 1, 0), ("M", m, 1, 0)];
        Sub { pixel: 1, compression: 0, dimensions, length: data.len() as u64, data }
    }

    pub fn zstd(mut self) -> Self {
        self.data = zstd::bulk::compress(&self.data, 1).unwrap();
        self.length = self.data.len() as u64;
        self.compression = 5;
        self
    }

    pub fn at(mut self, letter: &'static str, start: i32) -> Self {
        self.dimensions.retain(|d| d.0 != letter);
        self.dimensions.push((letter, start, 1, 0));
        self
    }

    fn entry(&self, position: u64) -> Vec<u8> {
        let mut bytes = b"DV".to_vec();
        bytes.extend(self.pixel.to_le_bytes());
        bytes.extend((position as i64).to_le_bytes());
        bytes.extend(0_i32.to_le_bytes());
        bytes.extend(self.compression.to_le_bytes());
        bytes.extend([0; 6]);
        bytes.extend((self.dimensions.len() as i32).to_le_bytes());
        for (letter, start, size, stored) in &self.dimensions {
            let mut name = letter.as_bytes().to_vec();
            name.resize(4, 0);
            bytes.extend(name);
            bytes.extend(start.to_le_bytes());
            bytes.extend(size.to_le_bytes());
            bytes.extend(0_f32.to_le_bytes());
            bytes.extend(stored.to_le_bytes());
        }
        bytes
    }
}

/// What a file holds beside its subblocks.
#[derive(Clone, Default)]
pub struct Rest {
    pub xml: Option<&'static str>,
    /// Kind, name, content.
    pub attachments: Vec<(&'static str, &'static str, Vec<u8>)>,
    /// Part of a dataset; parts belong together by their GUIDs.
    pub part: i32,
    /// The directory stands in front of the subblocks.
    pub directory_first: bool,
}

fn segment(id: &str, data: &[u8], length: u64) -> Vec<u8> {
    let mut bytes = id.as_bytes().to_vec();
    bytes.resize(16, 0);
    bytes.extend((length as i64).to_le_bytes());
    bytes.extend((length as i64).to_le_bytes());
    bytes.extend(data);
    bytes
}

/// Pieces of a file by offset, with holes between.
#[derive(Default)]
struct Pieces {
    list: BTreeMap<u64, Vec<u8>>,
    end: u64,
}

impl Pieces {
    fn put(&mut self, bytes: Vec<u8>, length: u64) -> u64 {
        let at = self.end.next_multiple_of(32);
        self.end = at + length.max(bytes.len() as u64);
        self.list.insert(at, bytes);
        at
    }
}

/// A file of these subblocks.
pub fn file(subs: &[Sub], rest: &Rest) -> Counting {
    let mut pieces = Pieces::default();
    pieces.put(vec![0; 544], 544);
    let entries = |at: &[u64]| {
        let mut data = (subs.len() as i32).to_le_bytes().to_vec();
        data.resize(128, 0);
        data.extend(subs.iter().zip(at).flat_map(|(s, at)| s.entry(*at)));
        segment("ZISRAWDIRECTORY", &data, data.len() as u64)
    };
    let size = entries(&vec![0; subs.len()]).len() as u64;
    let early = rest.directory_first.then(|| pieces.put(Vec::new(), size));
    let positions: Vec<u64> = subs
        .iter()
        .map(|sub| {
            let at = pieces.end.next_multiple_of(32);
            let mut data = [0_i32.to_le_bytes(), 0_i32.to_le_bytes()].concat();
            data.extend((sub.length as i64).to_le_bytes());
            data.extend(sub.entry(at));
            data.resize(data.len().max(256), 0);
            let length = data.len() as u64 + sub.length;
            data.extend(&sub.data);
            pieces.put(segment("ZISRAWSUBBLOCK", &data, length), length + 32)
        })
        .collect();
    let directory = match early {
        Some(at) => {
            pieces.list.insert(at, entries(&positions));
            at
        }
        None => pieces.put(entries(&positions), size),
    };
    let metadata = rest.xml.map_or(0, |xml| {
        let mut data = (xml.len() as i32).to_le_bytes().to_vec();
        data.resize(256, 0);
        data.extend(xml.as_bytes());
        pieces.put(segment("ZISRAWMETADATA", &data, data.len() as u64), 0)
    });
    let attached: Vec<u64> = rest
        .attachments
        .iter()
        .map(|(_, _, content)| {
            let mut data = (content.len() as i64).to_le_bytes().to_vec();
            data.resize(256, 0);
            data.extend(content);
            pieces.put(segment("ZISRAWATTACH", &data, data.len() as u64), 0)
        })
        .collect();
    let attachments = if attached.is_empty() { 0 } else { pieces.put(attachment_list(rest, &attached), 0) };
    pieces.list.insert(0, header(rest.part, directory, metadata, attachments));
    Counting { pieces: pieces.list, len: pieces.end, reads: Mutex::default() }
}

fn attachment_list(rest: &Rest, attached: &[u64]) -> Vec<u8> {
    let mut data = (attached.len() as i32).to_le_bytes().to_vec();
    data.resize(256, 0);
    for ((kind, name, _), at) in rest.attachments.iter().zip(attached) {
        let mut entry = vec![0; 128];
        entry[..2].copy_from_slice(b"A1");
        entry[12..20].copy_from_slice(&(*at as i64).to_le_bytes());
        entry[40..40 + kind.len()].copy_from_slice(kind.as_bytes());
        entry[48..48 + name.len()].copy_from_slice(name.as_bytes());
        data.extend(entry);
    }
    segment("ZISRAWATTDIR", &data, data.len() as u64)
}

fn header(part: i32, directory: u64, metadata: u64, attachments: u64) -> Vec<u8> {
    let mut data = [1_i32.to_le_bytes(), [0; 4], [0; 4], [0; 4]].concat();
    data.extend([7; 16]);
    data.extend([7 + part as u8; 16]);
    data.extend(part.to_le_bytes());
    data.extend((directory as i64).to_le_bytes());
    data.extend((metadata as i64).to_le_bytes());
    data.extend([0; 4]);
    data.extend((attachments as i64).to_le_bytes());
    data.resize(512, 0);
    segment("ZISRAWFILE", &data, 512)
}

/// A file with holes, which are zero, that remembers what was read.
#[derive(Default)]
pub struct Counting {
    pieces: BTreeMap<u64, Vec<u8>>,
    len: u64,
    reads: Mutex<Vec<(u64, u64)>>,
}

impl Counting {
    /// Offset and length of every read since the last time.
    pub fn reads(&self) -> Vec<(u64, u64)> {
        std::mem::take(&mut self.reads.lock().unwrap())
    }

    /// All of it.
    pub fn bytes(&self) -> Vec<u8> {
        self.read_vec(0, self.len).unwrap()
    }
}

impl ReadAt for Counting {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        let end = offset + buf.len() as u64;
        if end > self.len {
            return Err(Error::new(Kind::Truncated, "past the end"));
        }
        self.reads.lock().unwrap().push((offset, buf.len() as u64));
        buf.fill(0);
        let first = self.pieces.range(..=offset).next_back().map_or(0, |(at, _)| *at);
        for (at, piece) in self.pieces.range(first..end) {
            let (from, to) = (offset.max(*at), end.min(at + piece.len() as u64));
            if from < to {
                buf[(from - offset) as usize..(to - offset) as usize]
                    .copy_from_slice(&piece[(from - at) as usize..(to - at) as usize]);
            }
        }
        Ok(())
    }

    fn verify(&self) -> Result<()> {
        Ok(())
    }

    fn fingerprint(&self) -> Fingerprint {
        Fingerprint { dev: 0, ino: 0, size: self.len, mtime_ns: 0 }
    }
}

pub type Opened = Result<Arc<dyn ImageSource>>;

/// Opens the first of some files that lie in one folder.
pub fn open_all(files: &[(&str, Arc<dyn ReadAt>)], limits: &Limits) -> Opened {
    let own = Arc::clone(&files[0].1);
    let path = PathBuf::from("folder").join(files[0].0);
    let files: Vec<(PathBuf, Arc<dyn ReadAt>)> = files.iter().map(|(n, f)| (n.into(), Arc::clone(f))).collect();
    let open = move |name: &Path| {
        let found = files.iter().find(|(n, _)| n == name).map(|(_, f)| Arc::clone(f));
        found.ok_or_else(|| Error::new(Kind::Missing, "no such file"))
    };
    let place = Place { path: &path, open: Arc::new(open) };
    format::open(own, &place, limits, &Watch::default()).map(|(name, source)| {
        assert_eq!(name, "czi");
        source
    })
}

/// Opens one file.
pub fn open(file: &Arc<Counting>) -> Arc<dyn ImageSource> {
    let file: Arc<dyn ReadAt> = Arc::clone(file) as Arc<dyn ReadAt>;
    open_all(&[("x.czi", file)], &Limits::default()).unwrap()
}

/// Opens bytes.
pub fn open_bytes(bytes: Vec<u8>) -> Opened {
    open_all(&[("x.czi", Arc::new(MemoryFile(bytes)))], &Limits::default())
}

/// The samples of a unit; nothing stored reads as zero.
pub fn unit(source: &dyn ImageSource, id: TileId) -> Result<Vec<u8>> {
    let cost = source.cost(id);
    match source.fetch(id, &Watch::default())? {
        Stored::Absent => Ok(vec![0; cost.decoded as usize]),
        stored => {
            if let Stored::Encoded { bytes, .. } = &stored {
                assert!(bytes.len() as u64 <= cost.scratch, "{} bytes fetched, {cost:?}", bytes.len());
            }
            let samples = source.decode(id, stored)?;
            assert_eq!(samples.len() as u64, cost.decoded, "{id:?}");
            Ok(samples)
        }
    }
}

/// A plane (all samples of a channel group) of a level, put together from its units.
pub fn plane(source: &dyn ImageSource, series: u32, level: u32, (t, g, z): (u64, u64, u64)) -> Result<Vec<u8>> {
    let s = &source.series()[series as usize];
    let l = &s.levels[level as usize];
    let (width, height, size) = (l.shape.x as usize, l.shape.y as usize, s.dtype.size());
    let mut out = vec![0; width * height * size * s.samples as usize];
    let (rows, columns) = l.grid();
    for (ty, tx) in (0..rows).flat_map(|y| (0..columns).map(move |x| (y, x))) {
        let samples = unit(source, TileId { series, level, t, g, z, ty, tx })?;
        let (h, w) = l.unit_size(ty, tx);
        let (top, left) = ((ty * l.unit.y) as usize, (tx * l.unit.x) as usize);
        for (row, line) in samples.chunks_exact(w as usize * size).enumerate() {
            let (sample, row) = (row / h as usize, row % h as usize);
            let to = ((sample * height + top + row) * width + left) * size;
            out[to..to + line.len()].copy_from_slice(line);
        }
    }
    Ok(out)
}
