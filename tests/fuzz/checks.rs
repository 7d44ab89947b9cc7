//! What must hold for any bytes whatever: one function for each fuzz target. `tests/fuzz.rs` replays the kept inputs with the
//! same functions, so that what was mended stays mended.

use std::ffi::OsStr;
use std::io::{BufReader, Read};
use std::path::Path;
use std::sync::Arc;

use fuzarr::codec::picture::{Color, Wanted};
use fuzarr::codec::raster::{Number, Predictor, Raster, Target, dtype};
use fuzarr::codec::{bits, fax, jpeg, jpeg_rows, jpeg2000, jpegxl, jpegxr, lerc, lzw, packbits, png, webp};
use fuzarr::config::{Damaged, Deidentify};
use fuzarr::error::Result;
use fuzarr::format::tiff::{header::TiffFile, page::Page};
use fuzarr::format::{self, ImageSource, Limits, Member, Place, Stored, UnitCost, omexml};
use fuzarr::io::{MemoryFile, ReadAt, Watch};
use fuzarr::metadata::sidecar::{Beside, Sidecars, gather};
use fuzarr::metadata::{self, Source};
use fuzarr::model::{Channel, Dtype, Level, Physical, Reduction, Role, Series, Shape, TileId, TileSize};
use fuzarr::pyramid::OpenImage;

/// The target of this name.
pub fn by_name(name: &str) -> Option<fn(&[u8])> {
    Some(match name {
        "ifd" => ifd,
        "omexml" => ome_xml,
        "sidecars" => sidecars,
        "packing" => packing,
        "samples" => samples,
        "jpeg" => jpeg_stream,
        "pictures" => pictures,
        "helper" => helper,
        // Told apart by what they begin with.
        "image" | "czi" | "nd2" | "lif" | "mrc" | "imaris" | "nrrd" | "nifti" | "oib" | "oir" | "dicom" => image,
        _ => return None,
    })
}

/// Small enough that an unbounded allocation shows.
fn limits() -> Limits {
    Limits { unit_bytes: 4 << 20, index_bytes: 8 << 20, palette_rgb: false }
}

/// A sidecar in every form, the crate that is written from it, and the same again from what was written.
pub fn sidecars(data: &[u8]) {
    struct Folder<'a>(&'a str, &'a [u8]);
    impl Beside for Folder<'_> {
        fn has(&self, directory: &Path, name: &OsStr) -> fuzarr::Result<bool> {
            Ok(directory.as_os_str().is_empty() && name == self.0)
        }
        fn read(&self, file: &Path, limit: u64) -> fuzarr::Result<Vec<u8>> {
            if self.1.len() as u64 > limit {
                return Err(fuzarr::Error::over_limit("length"));
            }
            let own = file == Path::new(self.0) || file == Path::new("a.qc.yaml");
            if own { Ok(self.1.to_vec()) } else { Err(fuzarr::Error::malformed("no such file")) }
        }
    }
    for name in ["dataset.meta.yaml", "a.tif.meta.json", "dataset.meta.csv"] {
        let found = gather(&Folder(name, data), Path::new("a.tif"));
        assert!(found.problems.len() <= 1000, "{} problems", found.problems.len());
        assert!(found.problems.iter().all(|p| !p.reason.contains('\n')), "{:?}", found.problems);
        let again =
            gather(&Folder("a.tif.meta.json", found.dataset.to_json().to_string().as_bytes()), Path::new("a.tif"));
        assert!(again.files.len() == 1 || !again.problems.is_empty());
        let mut record = metadata::Record { sidecars: found, ..Default::default() };
        record.ome.name = "OME".into();
        record.ome.children.push(fuzarr::model::Element::new("Image"));
        record.images.push(metadata::Mounted::default());
        metadata::sidecar::apply(&mut record);
        let written = metadata::crates::write(&record);
        let document: serde_json::Value = serde_json::from_slice(&written).expect("a crate is JSON");
        assert_eq!(document["@graph"][0]["@id"], "./");
        assert_eq!(written, metadata::crates::write(&record));
    }
}

/// Walks the directories and reads every entry in every way.
pub fn ifd(data: &[u8]) {
    let Ok(file) = TiffFile::open(Arc::new(MemoryFile(data.to_vec()))) else { return };
    let mut chain = file.chain(1000);
    let mut offsets = vec![file.first_ifd];
    while let Ok(Some(ifd)) = chain.next_ifd() {
        offsets.push(ifd.next);
        for tag in [254, 256, 258, 270, 273, 279, 282, 320, 324, 325, 330, 347, 33629, 34412, 65420] {
            let _ = (ifd.u64(tag), ifd.f64(tag));
            let list = ifd.u64s(tag, 1 << 12);
            assert!(list.map_or(0, |l| l.map_or(0, |l| l.len())) <= 1 << 12);
            let bytes = ifd.bytes(tag, 1 << 12);
            assert!(bytes.map_or(0, |b| b.map_or(0, |b| b.len())) <= 1 << 12);
            let _ = (ifd.text(tag, 1 << 12), ifd.f64s(tag, 1 << 10));
            if let Ok(Some(table)) = ifd.table(tag) {
                let _ = (table.get(0), table.get(table.len() / 2), table.get(table.len().wrapping_sub(1)));
                assert!(table.get(table.len()).is_err(), "a value beyond the table");
                assert!(table.present() <= table.len());
            }
        }
    }
    for offset in offsets.into_iter().take(50) {
        if let Ok(page) = Page::parse(&file, offset, &limits()) {
            let _ = (page.description(1 << 16), page.colormap(), page.resolution(), page.date_time(), page.sub_ifds());
        }
    }
}

/// Parses a document, and what stands in it twice gives the same.
pub fn ome_xml(data: &[u8]) {
    let _ = omexml::looks_like(data);
    let (first, second) = (omexml::parse(data), omexml::parse(data));
    assert_eq!(format!("{first:?}"), format!("{second:?}"));
    let Ok(first) = first else { return };
    // Brought to the newest release and fitted to its schema, it is a document that reads back.
    let shape = Shape { t: 2, c: 2, z: 2, y: 5, x: 7 };
    let one = Series {
        name: String::new(),
        role: Role::Image,
        dtype: Dtype::U16,
        significant_bits: 16,
        samples: 1,
        rgb: false,
        levels: vec![Level { shape, unit: TileSize { y: 5, x: 7 }, native_tile: None }],
        channels: vec![Channel::default(); 2],
        physical: Physical::default(),
        reduction: Reduction::Mean,
        colormap: None,
        acquired: None,
        description: None,
        objective: None,
    };
    let images = first.images.iter().filter(|i| i.pixels.is_some()).count().clamp(1, 4);
    described(Arc::new(Words { series: vec![one; images], document: data.into() }));
}

/// Structure with a document of its own, and no pixels.
struct Words {
    series: Vec<Series>,
    document: Arc<[u8]>,
}

impl ImageSource for Words {
    fn series(&self) -> &[Series] {
        &self.series
    }
    fn members(&self) -> &[Member] {
        &[]
    }
    fn plane_member(&self, _: u32, _: u64, _: u64, _: u64) -> Result<Option<u32>> {
        Ok(None)
    }
    fn verify(&self, _: TileId) -> Result<()> {
        Ok(())
    }
    fn fetch(&self, _: TileId, _: &Watch) -> Result<Stored> {
        Ok(Stored::Absent)
    }
    fn decode(&self, _: TileId, _: Stored) -> Result<Vec<u8>> {
        Ok(Vec::new())
    }
    fn cost(&self, _: TileId) -> UnitCost {
        UnitCost { decoded: 0, scratch: 0 }
    }
    fn random_access(&self, _: u32, _: u32) -> bool {
        true
    }
    fn document(&self) -> Option<(&'static str, Arc<[u8]>)> {
        Some(("source.ome.xml", Arc::clone(&self.document)))
    }
    fn warnings(&self) -> &[String] {
        &[]
    }
    fn heap_bytes(&self) -> u64 {
        0
    }
}

/// The record of a source, and what de-identification leaves of it, are documents that read back, the same each time.
fn described(source: Arc<dyn ImageSource>) {
    let image = OpenImage::new(1, "tiff", source, None, Damaged::Error);
    let paths = || vec![String::new(); image.source.series().len()];
    let source = || Source { name: "x".into(), ..Source::default() };
    let make = || metadata::record(&image, paths(), source(), Sidecars::default());
    let Ok(mut record) = make() else { return };
    let document = metadata::ome::write(&record);
    assert_eq!(make().map(|again| metadata::ome::write(&again)).ok().as_ref(), Some(&document));
    let back = metadata::ome::read(&document).expect("the document reads back").0;
    assert_eq!(back.all("Image").count(), record.images.len());
    metadata::deidentify(&mut record, Deidentify::Strict, None);
    metadata::ome::read(&metadata::ome::write(&record)).expect("it does without names");
}

/// PackBits and LZW: streamed and at once give the same.
pub fn packing(data: &[u8]) {
    let [which, size, rest @ ..] = data else { return };
    let mut whole = vec![0; usize::from(*size) * 64];
    let mut streamed = vec![0; whole.len()];
    let (at_once, in_pieces) = if which & 1 == 0 {
        let mut reader = packbits::reader(BufReader::with_capacity(7, rest));
        (packbits::decode(rest, &mut whole), reader.read_exact(&mut streamed))
    } else {
        let mut reader = lzw::reader(BufReader::with_capacity(7, rest));
        (lzw::decode(rest, &mut whole), reader.read_exact(&mut streamed))
    };
    if at_once.is_ok() && in_pieces.is_ok() {
        assert_eq!(whole, streamed, "streamed differs");
    }
}

/// Samples of any width, order and predictor become rows as shown.
pub fn samples(data: &[u8]) {
    let [kind, width, depth, count, flags, rest @ ..] = data else { return };
    let numbers = [Number::Unsigned, Number::Signed, Number::Float, Number::ComplexInt, Number::ComplexFloat];
    let number = numbers[usize::from(*kind) % numbers.len()];
    let bits = u32::from(*depth) % 129;
    let Some(shown) = dtype(number, bits) else { return };
    let whole = matches!(bits, 8 | 16 | 32 | 64);
    let predictor = match (flags >> 1) & 3 {
        1 if !matches!(number, Number::ComplexFloat) => Predictor::Horizontal,
        2 if number == Number::Float && bits >= 16 => Predictor::Float,
        _ => Predictor::None,
    };
    let raster = Raster {
        width: usize::from(*width) % 64 + 1,
        samples: usize::from(*count) % 4 + 1,
        bits,
        number,
        big_endian: flags & 1 == 1 && (whole || bits % 8 == 0),
        predictor,
        palette: None,
    };
    let rows = (rest.len() / raster.row_bytes().max(1)).min(8);
    let mut raw = rest[..rows * raster.row_bytes()].to_vec();
    let columns = raster.width - usize::from(flags >> 4) % raster.width;
    let plane = rows * columns * shown.size();
    let mut out = vec![0xa5; plane * raster.planes()];
    raster.spread(&mut raw, &mut Target { out: &mut out, plane, columns, row: 0 });
    if bits <= 64 {
        let packed = rest.get(..64).unwrap_or(rest);
        let mut wide = vec![0; (packed.len() * 8 / bits.max(1) as usize) * bits::container(bits)];
        bits::unpack(packed, bits.max(1), &mut wide);
    }
}

/// A JPEG stream, whatever process it names; the first two bytes bound its frame. Then the same row by row.
pub fn jpeg_stream(data: &[u8]) {
    let [w, h, rest @ ..] = data else { return };
    if let Ok(mut rows) = jpeg_rows::Rows::new(rest) {
        let (width, height, samples) = rows.size();
        let mut row = vec![0; width * samples];
        let whole = (0..height).take_while(|_| rows.read_exact(&mut row).is_ok()).count();
        assert!(whole < height || rows.read(&mut row).is_ok_and(|n| n == 0), "more rows than the frame has");
    }
    let most = (usize::from(*w) + 1, usize::from(*h) + 1);
    for color in [Color::Stored, Color::YCbCr] {
        let samples = rest.len() % 4 + 1;
        let wanted = Wanted { color, ..Wanted::plain(most.0, most.1, samples, 8) };
        if let Ok(image) = (jpeg::CODEC.decode)(rest, &wanted) {
            assert!(image.width <= most.0 && image.height <= most.1, "a frame larger than allowed");
            assert!(image.data.len() >= image.width * image.height * image.samples, "too few samples");
        }
    }
}

/// The decoders of pictures with a size of their own, by the first byte; the next ones say what is wanted of them.
pub fn pictures(data: &[u8]) {
    let [which, width, height, samples, bits, option, rest @ ..] = data else { return };
    let codecs = [
        &fax::ROWS,
        &fax::WORD_ROWS,
        &fax::GROUP3,
        &fax::GROUP4,
        &jpeg2000::CODEC,
        &jpegxl::CODEC,
        &jpegxr::HERE,
        &lerc::CODEC,
        &png::CODEC,
        &webp::CODEC,
        &jpeg::CODEC,
    ];
    let codec = codecs[usize::from(*which) % codecs.len()];
    let (width, height) = (usize::from(*width) + 1, usize::from(*height) + 1);
    let (samples, bits) = (usize::from(*samples) % 4 + 1, u32::from(*bits) % 32 + 1);
    let wanted = Wanted { option: u64::from(*option), ..Wanted::plain(width, height, samples, bits) };
    if let Ok(picture) = (codec.decode)(rest, &wanted) {
        assert!(
            picture.width <= width.next_multiple_of(16) && picture.height <= height.next_multiple_of(16),
            "{}: too large",
            codec.name
        );
        let row = (picture.width * picture.samples * picture.bits as usize).div_ceil(8);
        assert!(picture.data.len() >= row * picture.height, "{}: too few samples", codec.name);
    }
}

/// What a helper process says of a file: series that are sound, or an error.
pub fn helper(data: &[u8]) {
    let limits = limits();
    let Ok(found) = format::bioformats::described(data, &limits) else { return };
    for series in &found {
        assert_eq!(series.channels.len() as u64, series.shape().c, "one channel for each");
        for level in &series.levels {
            let bytes = level.unit.y * level.unit.x * series.samples * series.dtype.size() as u64;
            assert!(bytes > 0 && bytes <= limits.unit_bytes, "a unit of {bytes} bytes");
        }
    }
    assert!(found.iter().map(Series::heap_bytes).sum::<u64>() <= limits.index_bytes, "more than may be kept");
}

/// Opens a file as an image and reads some units of every level: each has the size that was promised.
/// Every other file of the dataset is the file itself, so sets that name themselves are tried too.
pub fn image(data: &[u8]) {
    let file: Arc<dyn ReadAt> = Arc::new(MemoryFile(data.to_vec()));
    let again = Arc::clone(&file);
    let place = Place { path: Path::new("x.ome.tif"), open: Arc::new(move |_| Ok(Arc::clone(&again))) };
    let watch = Watch::default();
    let Ok((_, source)) = format::open(file, &place, &limits(), &watch) else { return };
    assert!(source.heap_bytes() < 64 << 20, "{} bytes kept of {}", source.heap_bytes(), data.len());
    described(Arc::clone(&source));
    for (s, series) in source.series().iter().enumerate().take(4) {
        assert_eq!(series.channels.len() as u64, series.shape().c, "one channel for each");
        for (l, level) in series.levels.iter().enumerate().take(4) {
            let (rows, columns) = level.grid();
            let groups = level.shape.c / series.samples;
            for (t, g, z, ty, tx) in [
                (0, 0, 0, 0, 0),
                (level.shape.t - 1, groups - 1, level.shape.z - 1, rows - 1, columns - 1),
                (level.shape.t / 2, groups / 2, level.shape.z / 2, rows / 2, columns / 2),
            ] {
                unit(source.as_ref(), TileId { series: s as u32, level: l as u32, t, g, z, ty, tx });
            }
        }
    }
}

fn unit(source: &dyn ImageSource, id: TileId) {
    let series = &source.series()[id.series as usize];
    let cost = source.cost(id);
    if cost.decoded.saturating_add(cost.scratch) > 64 << 20 {
        return; // Workers lease before they read; the lease would be refused.
    }
    let _ = source.plane_member(id.series, id.t, id.g, id.z);
    let stored = match source.fetch(id, &Watch::default()) {
        Ok(Stored::Absent) | Err(_) => return,
        Ok(stored) => stored,
    };
    if let Ok(samples) = source.decode(id, stored) {
        let (rows, columns) = series.levels[id.level as usize].unit_size(id.ty, id.tx);
        let want = rows * columns * series.samples * series.dtype.size() as u64;
        assert_eq!(samples.len() as u64, want, "bytes of unit {id:?}");
    }
}
