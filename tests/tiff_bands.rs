//! Bands of rows out of one large compressed strip: the same bytes in any order, at the cost of one pass in order.

use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use fuzarr::error::Result;
use fuzarr::format::tiff::header::TiffFile;
use fuzarr::format::tiff::page::Page;
use fuzarr::format::{Limits, Stored};
use fuzarr::io::{Fingerprint, MemoryFile, ReadAt, Watch};

const WIDTH: u32 = 700;
const HEIGHT: u32 = 9000;

/// Counts the bytes that are read.
struct Counting(MemoryFile, AtomicU64);

impl ReadAt for Counting {
    fn len(&self) -> u64 {
        self.0.len()
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.1.fetch_add(buf.len() as u64, Ordering::Relaxed);
        self.0.read_exact_at(offset, buf)
    }

    fn verify(&self) -> Result<()> {
        Ok(())
    }

    fn fingerprint(&self) -> Fingerprint {
        self.0.fingerprint()
    }
}

/// A little-endian TIFF with one strip of 16-bit samples.
fn tiff(compression: u16, predictor: u16, strip: &[u8]) -> Vec<u8> {
    let mut file = b"II*\0".to_vec();
    file.extend((8 + strip.len() as u32).to_le_bytes());
    file.extend(strip);
    let entries: [(u16, u16, u32); 9] = [
        (256, 4, WIDTH),
        (257, 4, HEIGHT),
        (258, 3, 16),
        (259, 3, u32::from(compression)),
        (262, 3, 1),
        (273, 4, 8),
        (278, 4, HEIGHT),
        (279, 4, strip.len() as u32),
        (317, 3, u32::from(predictor)),
    ];
    file.extend((entries.len() as u16).to_le_bytes());
    for (tag, kind, value) in entries {
        file.extend(tag.to_le_bytes());
        file.extend(kind.to_le_bytes());
        file.extend(1_u32.to_le_bytes());
        file.extend(value.to_le_bytes());
    }
    file.extend([0; 4]);
    file
}

fn samples() -> Vec<u16> {
    (0..WIDTH * HEIGHT).map(|i| (i.wrapping_mul(2_654_435_761) >> 22) as u16 + (i / WIDTH) as u16).collect()
}

fn bytes(samples: &[u16]) -> Vec<u8> {
    samples.iter().flat_map(|v| v.to_le_bytes()).collect()
}

fn differences(samples: &[u16]) -> Vec<u16> {
    let rows = samples.chunks_exact(WIDTH as usize);
    rows.flat_map(|row| (0..row.len()).map(|x| row[x].wrapping_sub(if x == 0 { 0 } else { row[x - 1] }))).collect()
}

fn packbits(data: &[u8]) -> Vec<u8> {
    data.chunks(128).flat_map(|c| [&[c.len() as u8 - 1], c].concat()).collect()
}

/// (compression, predictor, encoded strip) for every codec that streams.
fn strips(samples: &[u16]) -> Vec<(u16, u16, Vec<u8>)> {
    let (plain, differenced) = (bytes(samples), bytes(&differences(samples)));
    let mut deflate = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    deflate.write_all(&differenced).unwrap();
    let lzw = weezl::encode::Encoder::with_tiff_size_switch(weezl::BitOrder::Msb, 8).encode(&plain).unwrap();
    vec![
        (8, 2, deflate.finish().unwrap()),
        (5, 1, lzw),
        (32773, 1, packbits(&plain)),
        (50000, 2, zstd::stream::encode_all(differenced.as_slice(), 1).unwrap()),
    ]
}

/// Resting decoders share one small pool, so tests that count take turns.
static ALONE: Mutex<()> = Mutex::new(());

fn band(page: &Page, ty: u64) -> Vec<u8> {
    let stored = page.fetch(ty, 0, 0, &Watch::default()).unwrap();
    assert!(matches!(stored, Stored::Decoded(_)));
    page.decode(ty, 0, stored).unwrap()
}

#[test]
fn bands_are_the_rows_in_any_order() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let samples = samples();
    let whole = bytes(&samples);
    let limits = Limits { unit_bytes: 1 << 20, ..Limits::default() };
    for (compression, predictor, strip) in strips(&samples) {
        let file = Arc::new(Counting(MemoryFile(tiff(compression, predictor, &strip)), AtomicU64::new(0)));
        let tiff = TiffFile::open(Arc::clone(&file) as Arc<dyn ReadAt>).unwrap();
        let page = Page::parse(&tiff, tiff.first_ifd, &limits).unwrap();
        assert!(!page.random_access());
        let bands = u64::from(HEIGHT).div_ceil(page.unit().y);
        assert!(bands > 10);
        let size = page.unit().y as usize * WIDTH as usize * 2;
        let expected = |ty: u64| &whole[ty as usize * size..whole.len().min((ty as usize + 1) * size)];

        file.1.store(0, Ordering::Relaxed);
        for ty in 0..bands {
            assert_eq!(band(&page, ty), expected(ty), "compression {compression}, band {ty}");
        }
        let read = file.1.load(Ordering::Relaxed);
        assert!(read as f64 <= strip.len() as f64 * 1.05, "compression {compression}: {read} of {}", strip.len());

        // Neighbours that swapped places, as several threads cause, cost nothing more.
        file.1.store(0, Ordering::Relaxed);
        for ty in (0..bands).map(|ty| (ty ^ 1).min(bands - 1)) {
            assert_eq!(band(&page, ty), expected(ty));
        }
        let read = file.1.load(Ordering::Relaxed);
        assert!(read as f64 <= strip.len() as f64 * 1.05, "compression {compression}: {read} of {}", strip.len());

        for ty in [bands - 1, 0, 7, 3, 8] {
            assert_eq!(band(&page, ty), expected(ty));
        }
    }
}

#[test]
fn threads_share_one_pass() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let samples = samples();
    let whole = bytes(&samples);
    let limits = Limits { unit_bytes: 1 << 20, ..Limits::default() };
    let (compression, predictor, strip) = strips(&samples).remove(0);
    let file = Arc::new(Counting(MemoryFile(tiff(compression, predictor, &strip)), AtomicU64::new(0)));
    let tiff = TiffFile::open(Arc::clone(&file) as Arc<dyn ReadAt>).unwrap();
    let page = Page::parse(&tiff, tiff.first_ifd, &limits).unwrap();
    let bands = u64::from(HEIGHT).div_ceil(page.unit().y);
    let next = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                loop {
                    let ty = next.fetch_add(1, Ordering::Relaxed);
                    if ty >= bands {
                        return;
                    }
                    let size = page.unit().y as usize * WIDTH as usize * 2;
                    let rows = &whole[ty as usize * size..whole.len().min((ty as usize + 1) * size)];
                    assert_eq!(band(&page, ty), rows);
                }
            });
        }
    });
    let read = file.1.load(Ordering::Relaxed);
    assert!(read as f64 <= strip.len() as f64 * 1.2, "{read} of {}", strip.len());
}

#[test]
fn what_cannot_stream_names_the_cache_size() {
    let limits = Limits { unit_bytes: 4 << 20, ..Limits::default() };
    // PNG, as one strip of the whole image.
    let file = TiffFile::open(Arc::new(MemoryFile(tiff(34933, 1, &[0; 100])))).unwrap();
    let page = Page::parse(&file, file.first_ifd, &limits).unwrap();
    let error = page.fetch(0, 0, 0, &Watch::default()).err().unwrap();
    assert_eq!(error.kind(), fuzarr::Kind::OverLimit);
    assert!(error.what().contains("--cache-size 52MiB"), "{error}");
}
