//! NIfTI-1, NIfTI-2 and Analyze 7.5: a header, and one volume or several in the same file or beside it, also with gzip.

mod header;
#[cfg(test)]
mod tests;

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use self::header::{Header, MOST_HEADER};
use super::strided::{Details, Layout, Members, Planes, Spot, Strided};
use super::unpacked::{self, Compression, Unpacked};
use super::{Format, ImageSource, Limits, Place};
use crate::error::{Error, Result};
use crate::io::{ReadAt, Watch};
use crate::model::{Quantity, Series};

/// NIfTI and Analyze.
pub struct Nifti;

const GZIP: [u8; 3] = [0x1f, 0x8b, 8];

impl Format for Nifti {
    fn name(&self) -> &'static str {
        "nifti"
    }

    fn extensions(&self) -> &'static [&'static str] {
        &[".nii.gz", ".hdr.gz", ".nii", ".hdr"]
    }

    fn sniff(&self, head: &[u8]) -> bool {
        if !head.starts_with(&GZIP) {
            return header::sniff(head);
        }
        let mut start = Vec::new();
        // What is cut off behind the first bytes is no fault here.
        let _ = flate2::bufread::GzDecoder::new(head).take(MOST_HEADER).read_to_end(&mut start);
        header::sniff(&start)
    }

    fn open(
        &self,
        file: Arc<dyn ReadAt>,
        place: &Place<'_>,
        limits: &Limits,
        watch: &Watch,
    ) -> Result<Arc<dyn ImageSource>> {
        let packed = file.read_vec(0, file.len().min(3))? == GZIP;
        // The length of what is packed is only known from the header.
        let plain: Arc<dyn ReadAt> =
            if packed { Arc::new(unpack(Arc::clone(&file), u64::MAX)) } else { Arc::clone(&file) };
        let header = read_header(plain.as_ref())?;
        watch.tick();
        let mut layout = Layout::chunky(header.width(), header.height(), header.samples, header.bits, header.number);
        layout.big_endian = header.big_endian;
        layout.check()?;
        let [t, g, z] = header.planes();
        let plane = layout.unpacked();
        let needed = [t, g, z].iter().try_fold(plane, |n, count| n.checked_mul(*count)).filter(|n| *n < 1 << 62);
        let needed = needed.ok_or_else(|| Error::over_limit("volumes beyond 64 bits"))?;
        let end = header.start.checked_add(needed).ok_or_else(|| Error::malformed("samples beyond 64 bits"))?;
        let (members, member, stored) = if header.paired {
            let (name, packed) = beside(place.path, packed)?;
            let opener = opener(place, packed, end);
            let mut members = Members::new(file, &Place { path: place.path, open: opener });
            let (number, data) = members.add(&name)?;
            (members, number, if packed { None } else { Some(data.len()) })
        } else if packed {
            let unpacked = Arc::new(unpack(file, end));
            (Members::new(unpacked, place), 0, None)
        } else {
            let length = file.len();
            (Members::new(file, place), 0, Some(length))
        };
        let mut warnings = header.warnings.clone();
        if let Some(stored) = stored.map(|length| length.saturating_sub(header.start)).filter(|stored| *stored < needed)
        {
            // A file that was cut off has less than it should, but not a thousandth of it.
            if stored == 0 || needed / stored > 1000 {
                return Err(Error::truncated(format!("{stored} bytes of samples, {needed} belong to the volumes")));
            }
            warnings.push(format!("{stored} of {needed} bytes of samples are stored"));
        }
        let mut series = layout.series((t, g, z), limits);
        describe(&mut series, &header);
        let held = if stored.is_none() { Compression::Gzip.memory(unpacked::BLOCKS) } else { 0 };
        let source = Strided {
            series: vec![series],
            layouts: vec![vec![layout]],
            planes: Box::new(Volumes { member, start: header.start, plane, counts: [t, g, z], held }),
            members,
            document: None,
            details: Details::default(),
            warnings,
            limits: *limits,
        };
        Ok(Arc::new(source.checked()?))
    }
}

fn read_header(file: &dyn ReadAt) -> Result<Header> {
    let mut head = file.read_vec(0, file.len().min(header::NIFTI1))?;
    if header::is_second(&head) {
        head = file.read_vec(0, file.len().min(MOST_HEADER))?;
    }
    Header::read(&head)
}

/// What comes out of a packed file.
fn unpack(file: Arc<dyn ReadAt>, length: u64) -> Unpacked {
    Unpacked::new(file, (0, Compression::Gzip), length, unpacked::BLOCKS)
}

/// The file of the samples beside a header, and whether it is packed.
fn beside(path: &Path, packed: bool) -> Result<(PathBuf, bool)> {
    let name = path.file_name().map(Path::new).ok_or_else(|| Error::malformed("a header without a name"))?;
    let stem = if packed { Path::new(name.file_stem().unwrap_or_default()) } else { name };
    let upper = stem.extension().is_some_and(|e| e == "HDR");
    let data = stem.with_extension(if upper { "IMG" } else { "img" });
    if !packed {
        return Ok((data, false));
    }
    let mut name = data.into_os_string();
    name.push(".gz");
    Ok((PathBuf::from(name), true))
}

/// Opens files beside the header, and unpacks them.
fn opener(place: &Place<'_>, packed: bool, end: u64) -> super::OpenMember {
    let open = Arc::clone(&place.open);
    if !packed {
        return open;
    }
    Arc::new(move |path: &Path| {
        let file = open(path)?;
        Ok(Arc::new(unpack(file, end)) as Arc<dyn ReadAt>)
    })
}

fn describe(series: &mut Series, header: &Header) {
    series.rgb = header.samples >= 3;
    let [x, y, z] = header.pixel;
    let length = |size: f64| Quantity::checked(size, header.length.clone());
    (series.physical.x, series.physical.y, series.physical.z) = (length(x), length(y), length(z));
    series.physical.t = header.interval.clone();
    series.description = header.description.clone();
    let names = &header.names;
    for (channel, name) in series.channels.iter_mut().zip(names) {
        channel.name = Some(name.clone());
    }
    let (low, high) = header.window;
    if high > low && header.samples == 1 {
        series.channels.iter_mut().for_each(|c| c.window = Some((low, high)));
    }
}

/// Volumes one after the other: z, then t, then whatever else.
struct Volumes {
    member: u32,
    start: u64,
    plane: u64,
    /// t, channel groups, z.
    counts: [u64; 3],
    /// Memory of what unpacks the file.
    held: u64,
}

impl Planes for Volumes {
    fn find(&self, _series: usize, _level: usize, t: u64, g: u64, z: u64) -> Result<Option<Spot>> {
        let [times, _, depth] = self.counts;
        let number = g
            .checked_mul(times)
            .and_then(|n| n.checked_add(t))
            .and_then(|n| n.checked_mul(depth))
            .and_then(|n| n.checked_add(z));
        let offset = number.and_then(|n| n.checked_mul(self.plane)).and_then(|o| o.checked_add(self.start));
        let offset = offset.ok_or_else(|| Error::malformed("offset beyond 64 bits"))?;
        Ok(Some(Spot { member: self.member, offset, length: 0 }))
    }

    fn heap_bytes(&self) -> u64 {
        size_of::<Volumes>() as u64 + self.held
    }
}
