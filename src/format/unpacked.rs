//! A compressed file as if it were not: bytes at any position, out of streams that only go forward.
//!
//! Files that are compressed as a whole (`.nii.gz`, data of NRRD) have no other way in. A few streams are kept where they
//! stopped, and the blocks that came out last: whoever reads onward never begins again, whoever goes far back does.

use std::io::{BufRead, Read};
use std::num::NonZeroUsize;

use lru::LruCache;

use super::stretch::Stretch;
use crate::codec::stream_error;
use crate::error::{Error, Result};
use crate::io::{Fingerprint, ReadAt};
use crate::sync::{Arc, Mutex, lock};

/// How a file is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compression {
    Gzip,
    Bzip2,
}

/// Bytes that come out of a stream at once.
const BLOCK: usize = 256 << 10;
/// Blocks that are kept of one file.
pub(super) const BLOCKS: usize = 16;
/// Streams that are kept.
const STREAMS: usize = 2;

/// The file.
pub(super) struct Unpacked {
    file: Arc<dyn ReadAt>,
    start: u64,
    compression: Compression,
    length: u64,
    state: Mutex<State>,
}

struct State {
    blocks: LruCache<u64, Arc<Vec<u8>>>,
    /// The one used last is the last.
    streams: Vec<Stream>,
}

struct Stream {
    reader: Box<dyn Read + Send>,
    /// Number of the block that comes next.
    next: u64,
}

impl Compression {
    /// A decoder over a stream; several members one after the other are one stream.
    pub fn reader<R: BufRead + Send + 'static>(self, data: R) -> Box<dyn Read + Send> {
        match self {
            Compression::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(data)),
            Compression::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(data)),
        }
    }

    /// Bytes of memory that a file takes of which so many blocks are kept.
    pub fn memory(self, blocks: usize) -> u64 {
        // The window of gzip and its input; the block of bzip2.
        let stream = if self == Compression::Gzip { 256 << 10 } else { 4 << 20 };
        (BLOCK * (blocks + 1) + STREAMS * stream) as u64
    }

    fn name(self) -> &'static str {
        match self {
            Compression::Gzip => "gzip",
            Compression::Bzip2 => "bzip2",
        }
    }
}

impl Unpacked {
    /// What is compressed in `file` from byte `start` on. Its length is not known before all of it was read: `length` is
    /// what others say it must be.
    pub fn new(file: Arc<dyn ReadAt>, (start, compression): (u64, Compression), length: u64, blocks: usize) -> Self {
        let blocks = NonZeroUsize::new(blocks).unwrap_or(NonZeroUsize::MIN);
        let state = State { blocks: LruCache::new(blocks), streams: Vec::new() };
        Unpacked { file, start, compression, length, state: Mutex::new(state) }
    }

    /// A block of the bytes; the last one may be short.
    fn block(&self, number: u64) -> Result<Arc<Vec<u8>>> {
        let mut state = lock(&self.state);
        if let Some(block) = state.blocks.get(&number) {
            return Ok(Arc::clone(block));
        }
        let nearest = (0..state.streams.len())
            .filter(|i| state.streams[*i].next <= number)
            .max_by_key(|i| state.streams[*i].next);
        let mut stream = match nearest {
            Some(at) => state.streams.remove(at),
            None => {
                let stretch = Stretch::new(Arc::clone(&self.file), self.start..self.file.len(), false);
                Stream { reader: self.compression.reader(stretch), next: 0 }
            }
        };
        loop {
            let mut bytes = Vec::with_capacity(BLOCK);
            // A stream that failed is not gone on with.
            let failed = |e: std::io::Error| stream_error(&e, self.compression.name());
            stream.reader.by_ref().take(BLOCK as u64).read_to_end(&mut bytes).map_err(failed)?;
            let (block, this) = (Arc::new(bytes), stream.next);
            state.blocks.put(this, Arc::clone(&block));
            stream.next += 1;
            if this == number || block.len() < BLOCK {
                if block.len() == BLOCK {
                    if state.streams.len() >= STREAMS {
                        state.streams.remove(0);
                    }
                    state.streams.push(stream);
                }
                let missing = || Error::truncated(format!("the {} data end early", self.compression.name()));
                return if this == number { Ok(block) } else { Err(missing()) };
            }
        }
    }
}

impl ReadAt for Unpacked {
    fn len(&self) -> u64 {
        self.length
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        let mut done = 0;
        while done < buf.len() {
            let at = offset.saturating_add(done as u64);
            let block = self.block(at / BLOCK as u64)?;
            let from = block.get((at % BLOCK as u64) as usize..).unwrap_or_default();
            let rest = buf.get_mut(done..).unwrap_or_default();
            let count = from.len().min(rest.len());
            if count == 0 {
                return Err(Error::truncated(format!("the {} data end at byte {at}", self.compression.name())));
            }
            rest.iter_mut().zip(from).for_each(|(to, byte)| *to = *byte);
            done += count;
        }
        Ok(())
    }

    fn verify(&self) -> Result<()> {
        self.file.verify()
    }

    fn fingerprint(&self) -> Fingerprint {
        self.file.fingerprint()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::io::MemoryFile;

    #[test]
    fn bytes_in_any_order() {
        let data: Vec<u8> = (0..3_000_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let mut gzip = flate2::write::GzEncoder::new(vec![7; 5], flate2::Compression::fast());
        gzip.write_all(&data).unwrap();
        let mut bzip2 = bzip2::write::BzEncoder::new(vec![7; 5], bzip2::Compression::fast());
        bzip2.write_all(&data).unwrap();
        for (compression, packed) in
            [(Compression::Gzip, gzip.finish().unwrap()), (Compression::Bzip2, bzip2.finish().unwrap())]
        {
            let open = |bytes: &[u8]| {
                Unpacked::new(Arc::new(MemoryFile(bytes.to_vec())), (5, compression), data.len() as u64, 4)
            };
            let file = open(&packed);
            for (offset, length) in
                [(0, 10), (2_500_000, 500_000), (262_100, 100), (1_000_000, 1), (2_999_999, 1), (0, 3_000_000)]
            {
                assert_eq!(file.read_vec(offset, length).unwrap(), data[offset as usize..(offset + length) as usize]);
            }
            assert!(file.read_exact_at(2_999_999, &mut [0; 2]).is_err());
            let cut = open(&packed[..packed.len() / 2]);
            assert!(cut.read_vec(0, 100).is_ok());
            assert_eq!(cut.read_vec(2_900_000, 100).unwrap_err().kind(), crate::Kind::Truncated);
            assert!(open(&packed[1..]).read_vec(0, 1).is_err());
        }
    }
}
