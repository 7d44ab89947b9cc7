//! Planes that are packed: whole, or in bands of rows out of a stream too large to hold.

use std::io::Read;

use super::gather::{self, Area};
use super::{Layout, Packing, Spot};
use crate::codec::picture::Wanted;
use crate::codec::raster::{Number, Target};
use crate::codec::{deflate, stream_error};
use crate::error::{Error, Result};
use crate::format::Stored;
use crate::format::stretch::Stretch;
use crate::io::{ReadAt, Watch};
use crate::sync::Arc;

/// Packed bytes may be so much more than the samples: tables and headers, and what deflate adds to noise.
const SLACK: u64 = 64 << 10;
/// Samples made at once.
const STEP: usize = 128 << 10;

/// Reads the packed bytes of a whole plane.
///
/// # Errors
/// `OverLimit` for more than `most` bytes, `Truncated`, failures of the disk.
pub(super) fn fetch(file: &dyn ReadAt, spot: Spot, layout: &Layout, most: u64) -> Result<Stored> {
    let needed = layout.unpacked().max(layout.decoded(layout.width.saturating_mul(layout.height)));
    if needed > most {
        let mebibytes = needed.div_ceil(1 << 20);
        let advice = format!("{mebibytes} MiB must be unpacked at once, which takes --cache-size {}MiB", 4 * mebibytes);
        return Err(Error::over_limit(advice));
    }
    // A made-up length must not be believed.
    let length = spot.length.min(needed.saturating_add(needed / 2).saturating_add(SLACK));
    let bytes = file.read_vec(spot.offset, length)?;
    let all = 0..bytes.len();
    Ok(Stored::Encoded { bytes, parts: vec![all], note: None })
}

/// Unpacks a whole plane.
///
/// # Errors
/// Those of the decoder.
pub(super) fn decode(layout: &Layout, bytes: &[u8]) -> Result<Vec<u8>> {
    let area = Area { rows: 0..layout.height, columns: 0..layout.width };
    if let Packing::Picture(codec) = layout.packing {
        let (width, height) = (layout.width as usize, layout.height as usize);
        let samples = layout.samples.len();
        let wanted = Wanted { number: layout.number, ..Wanted::plain(width, height, samples, layout.bits) };
        let mut picture = (codec.decode)(bytes, &wanted)?;
        let signed = |n: Number| n == Number::Signed;
        if (picture.width, picture.height, picture.samples, picture.bits) != (width, height, samples, layout.bits)
            || signed(picture.number) != signed(layout.number)
        {
            return Err(Error::malformed(format!(
                "a {} picture of {} x {} pixels, {} samples of {} bits, where {width} x {height}, {samples} of {} belong",
                codec.name, picture.width, picture.height, picture.samples, picture.bits, layout.bits
            )));
        }
        let plane = width * height * layout.dtype().size();
        let mut out = vec![0; plane * samples];
        let raster = Layout { big_endian: false, ..layout.clone() }.raster(width, samples);
        raster.spread(&mut picture.data, &mut Target { out: &mut out, plane, columns: width, row: 0 });
        return Ok(out);
    }
    let size = usize::try_from(layout.unpacked()).map_err(|_| Error::over_limit("a plane beyond memory"))?;
    let mut unpacked = vec![0; size];
    deflate::decode(bytes, &mut unpacked, size)?;
    let parts = gather::parts(layout, &area, 0);
    gather::planes(layout, &area, &mut unpacked, &parts)
}

/// Unpacks some rows of a plane, and throws away those before.
///
/// # Errors
/// Those of the decoder and of the disk; `Interrupted`.
pub(super) fn stream(
    file: Arc<dyn ReadAt>,
    spot: Spot,
    layout: &Layout,
    area: &Area,
    watch: &Watch,
) -> Result<Vec<u8>> {
    let end = spot.offset.checked_add(spot.length).ok_or_else(|| Error::malformed("offset beyond 64 bits"))?;
    let failed = |e: std::io::Error| stream_error(&e, "Deflate");
    let mut reader = deflate::reader(Stretch::new(file, spot.offset..end, false));
    let row = layout.row.unsigned_abs();
    let first = area.rows.start * row;
    let mut step = vec![0; STEP];
    let mut skipped = 0;
    while skipped < first {
        watch.check()?;
        let size = (first - skipped).min(STEP as u64);
        reader.read_exact(&mut step[..size as usize]).map_err(failed)?;
        skipped += size;
        watch.tick();
    }
    // The last row of a plane may end before its stride does.
    let size = (area.height() - 1) * row + layout.row_span();
    let mut unpacked = vec![0; usize::try_from(size).map_err(|_| Error::over_limit("a band beyond memory"))?];
    for piece in unpacked.chunks_mut(STEP) {
        watch.check()?;
        reader.read_exact(piece).map_err(failed)?;
        watch.tick();
    }
    let parts = gather::parts(layout, area, first);
    gather::planes(layout, area, &mut unpacked, &parts)
}
