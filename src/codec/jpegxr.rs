//! JPEG XR (ITU-T T.832) in its own container (annex A), with samples of whole bytes.
//!
//! The decoder is a translation of the reference one. It trusts its input where it should not, and writes through pointers as the
//! reference does. So it runs in helper processes, where a fault of memory costs one picture; sizes are checked before it sees
//! anything, and its panics end here. It opens its input by name only, which a link to a file in memory provides.

use std::fs::File;
use std::io::{Seek, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::symlink;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jpegxr::{BitDepth, ColorFormat, DecodedImage, Decoder};

use super::picture::{Codec, Picture, Wanted};
use super::raster::Number;
use crate::error::{Error, Kind, Result};
use crate::helper::{Confinement, Patience, Pool, Refusal, Scratch, Spec, confine, serve};
use crate::sync::OnceLock;

/// JPEG XR, decoded by helper processes.
pub const CODEC: Codec = Codec::new("JPEG XR", memory, decode);

/// JPEG XR, decoded in this process: for helpers, and for those who look for faults.
pub const HERE: Codec = Codec::new("JPEG XR", memory, decode_here);

/// A picture takes milliseconds; whoever waits for it has a deadline of his own.
const PATIENCE: Duration = Duration::from_secs(20);
/// What a helper takes beside the picture: stack, tables, the program.
const BESIDE: u64 = 256 << 20;
/// Largest stream.
const STREAM: u64 = 1 << 30;
/// Head of a request: columns, rows and samples wanted, 8 bytes each.
const ASKED: usize = 24;
/// Head of an answer: columns, rows, samples, bits, kind of number, 4 bytes each.
const ANSWERED: usize = 20;

/// The stream, the picture, its conversion, and some rows of coefficients.
fn memory(decoded: u64) -> u64 {
    decoded.saturating_mul(6).saturating_add(1 << 20)
}

/// Has a helper decode a picture, whose headers are looked at before.
fn decode(data: &[u8], wanted: &Wanted<'_>) -> Result<Picture> {
    static POOL: OnceLock<Pool> = OnceLock::new();
    let pool = POOL.get_or_init(|| {
        Pool::new(Spec {
            name: "JPEG XR helper",
            arguments: vec!["jpegxr".into()],
            most: std::thread::available_parallelism().map_or(2, usize::from),
            start: PATIENCE,
        })
    });
    let header = Header::parse(data)?;
    wanted.check_size("JPEG XR", header.container.0 as usize, header.container.1 as usize)?;
    let mut request = Vec::with_capacity(ASKED + data.len());
    for number in [wanted.width, wanted.height, wanted.samples] {
        request.extend((number as u64).to_le_bytes());
    }
    request.extend(data);
    let most = (wanted.width as u64).saturating_mul(wanted.height as u64).saturating_mul(4 * wanted.samples as u64);
    let answer = pool.ask(0, &request, most.saturating_add(64), Patience::strict(PATIENCE), &mut |_| Ok(()))?;
    heard(answer, wanted)
}

/// A picture from an answer, which may be nonsense.
fn heard(mut answer: Vec<u8>, wanted: &Wanted<'_>) -> Result<Picture> {
    let nonsense = || Error::new(Kind::Io, "a JPEG XR helper answered with nonsense");
    let data = answer.split_off(answer.len().min(ANSWERED));
    let word = |i: usize| {
        answer.get(4 * i..4 * i + 4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]])).ok_or_else(nonsense)
    };
    let (width, height, samples) = (word(0)? as usize, word(1)? as usize, word(2)? as usize);
    let number = match word(4)? {
        0 => Number::Unsigned,
        1 => Number::Signed,
        2 => Number::Float,
        _ => return Err(nonsense()),
    };
    let bits = word(3)?;
    wanted.check_size("JPEG XR", width, height)?;
    wanted.check_samples("JPEG XR", samples)?;
    if !matches!(bits, 8 | 16 | 32) || data.len() != width * height * samples * (bits as usize / 8) {
        return Err(nonsense());
    }
    Ok(Picture { width, height, samples, bits, number, data })
}

/// Answers requests on standard input.
///
/// # Errors
/// Whatever keeps it from doing so; nobody may be there to hear it.
pub fn help(parent: u32, scratch: PathBuf) -> Result<()> {
    confine(&Confinement {
        parent,
        readable: Vec::new(),
        writable: Some(scratch.clone()),
        memory: None,
        file: STREAM,
    })?;
    serve(|| Input::new(&scratch), answer)
}

fn answer(input: &mut Input, request: &[u8]) -> std::result::Result<Vec<u8>, Refusal> {
    let none = || Error::new(Kind::Internal, "a request that is none");
    let (head, data) = request.split_at_checked(ASKED).ok_or_else(none)?;
    let number = |i: usize| head.get(8 * i..8 * i + 8).and_then(|b| b.try_into().ok()).map(u64::from_le_bytes);
    let number = |i: usize| number(i).and_then(|n| usize::try_from(n).ok()).ok_or_else(none);
    let wanted = Wanted::plain(number(0)?, number(1)?, number(2)?, 8);
    let decoded = (wanted.width as u64).saturating_mul(wanted.height as u64).saturating_mul(4 * wanted.samples as u64);
    allow(memory(decoded).saturating_add(request.len() as u64));
    let picture = decode_from(input, data, &wanted)?;
    let kind = match picture.number {
        Number::Signed => 1,
        Number::Float => 2,
        _ => 0,
    };
    let mut answer = Vec::with_capacity(ANSWERED + picture.data.len());
    for word in [picture.width, picture.height, picture.samples, picture.bits as usize, kind] {
        answer.extend(u32::try_from(word).map_err(|_| none())?.to_le_bytes());
    }
    answer.extend(&picture.data);
    Ok(answer)
}

/// Bounds the memory of this helper; a decoder that wants more ends with it.
fn allow(bytes: u64) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let maximum = getrlimit(Resource::Data).maximum;
    let current = Some(bytes.saturating_mul(2).saturating_add(BESIDE).min(maximum.unwrap_or(u64::MAX)));
    let _ = setrlimit(Resource::Data, Rlimit { current, maximum });
}

fn decode_here(data: &[u8], wanted: &Wanted<'_>) -> Result<Picture> {
    let scratch = Scratch::new()?;
    decode_from(&mut Input::new(scratch.path())?, data, wanted)
}

fn decode_from(input: &mut Input, data: &[u8], wanted: &Wanted<'_>) -> Result<Picture> {
    let header = Header::parse(data)?;
    let (width, height) = (header.container.0 as usize, header.container.1 as usize);
    wanted.check_size("JPEG XR", width, height)?;
    if header.container != header.stream.size {
        return Err(Error::malformed(format!(
            "a JPEG XR stream of {} x {} pixels in a container of {width} x {height}",
            header.stream.size.0, header.stream.size.1
        )));
    }
    let image = catch_unwind(AssertUnwindSafe(|| run(input, data, &header, wanted)))
        .unwrap_or_else(|_| Err(Error::malformed("damaged JPEG XR data")))?;
    let format = image.pixel_format();
    let (bits, number) = sample(format.bit_depth()).ok_or_else(|| Error::unsupported("JPEG XR with packed samples"))?;
    let row = width * wanted.samples * bits as usize / 8;
    let stride = image.stride();
    let mut pixels = image.into_pixels();
    if stride < row || pixels.len() < stride * height {
        return Err(Error::malformed("a JPEG XR picture of an unexpected size"));
    }
    if stride > row {
        pixels = pixels.chunks_exact(stride).flat_map(|line| &line[..row]).copied().collect();
    }
    if format.is_bgr_order() && wanted.samples >= 3 {
        let size = bits as usize / 8;
        for pixel in pixels.chunks_exact_mut(wanted.samples * size) {
            let (blue, rest) = pixel.split_at_mut(size);
            blue.swap_with_slice(&mut rest[size..2 * size]);
        }
    }
    Ok(Picture { width, height, samples: wanted.samples, bits, number, data: pixels })
}

/// Width and kind of a sample; `None` if several share their bytes.
fn sample(depth: BitDepth) -> Option<(u32, Number)> {
    Some(match depth {
        BitDepth::Eight => (8, Number::Unsigned),
        BitDepth::Sixteen => (16, Number::Unsigned),
        BitDepth::ThirtyTwo => (32, Number::Unsigned),
        BitDepth::SignedSixteen => (16, Number::Signed),
        BitDepth::SignedThirtyTwo => (32, Number::Signed),
        BitDepth::HalfFloat => (16, Number::Float),
        BitDepth::Float => (32, Number::Float),
        _ => return None,
    })
}

/// Runs the decoder, after what it makes of the headers has been compared with ours.
fn run(input: &mut Input, data: &[u8], header: &Header, wanted: &Wanted<'_>) -> Result<DecodedImage> {
    let damaged = |e: jpegxr::Error| Error::malformed(format!("damaged JPEG XR data ({e})"));
    let mut decoder = Decoder::open(input.fill(data)?).map_err(damaged)?;
    let format = decoder.pixel_format().map_err(damaged)?;
    let (bits, _) = sample(format.bit_depth()).ok_or_else(|| Error::unsupported("JPEG XR with packed samples"))?;
    if format.color_format() == ColorFormat::Rgbe {
        return Err(Error::unsupported("JPEG XR with shared exponents"));
    }
    wanted.check_samples("JPEG XR", format.bits_per_pixel() / bits as usize)?;
    header.stream.check(format)?;
    if decoder.dimensions().map_err(damaged)? != header.container {
        return Err(Error::malformed("JPEG XR data that contradict themselves about their size"));
    }
    decoder.decode().map_err(damaged)
}

/// A file in memory, with a name in a folder that only this process uses.
struct Input {
    file: File,
    name: PathBuf,
}

impl Input {
    fn new(folder: &Path) -> Result<Self> {
        let failed = |e: std::io::Error| Error::new(Kind::Io, format!("no place for a decoder's input ({e})"));
        let memory = rustix::fs::memfd_create("jpegxr", rustix::fs::MemfdFlags::CLOEXEC);
        let file = File::from(memory.map_err(|e| failed(e.into()))?);
        let name = folder.join("input.jxr");
        symlink(format!("/proc/self/fd/{}", file.as_raw_fd()), &name).map_err(failed)?;
        Ok(Input { file, name })
    }

    fn fill(&mut self, data: &[u8]) -> Result<&Path> {
        let failed = |e: std::io::Error| Error::new(Kind::Io, format!("no place for a decoder's input ({e})"));
        self.file.set_len(0).map_err(failed)?;
        self.file.rewind().map_err(failed)?;
        self.file.write_all(data).map_err(failed)?;
        Ok(&self.name)
    }
}

/// Sizes as the container says them (tags 0xBC80, 0xBC81), and what the stream inside of it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Header {
    container: (u32, u32),
    stream: Stream,
}

/// The image header of a stream (8.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stream {
    size: (u32, u32),
    /// SPATIAL_XFRM_SUBORDINATE: turned or mirrored.
    turned: bool,
    /// WINDOWING_FLAG: a part of what is coded.
    window: bool,
    /// ALPHA_IMAGE_PLANE_FLAG.
    alpha: bool,
    /// OUTPUT_CLR_FMT.
    color: u8,
    /// OUTPUT_BITDEPTH.
    depth: u8,
}

impl Stream {
    /// The decoder writes samples as the stream says into room that it made as the container says: both must say the same.
    fn check(&self, format: jpegxr::PixelFormat) -> Result<()> {
        let depth = match format.bit_depth() {
            BitDepth::Eight => 1,
            BitDepth::Sixteen => 2,
            BitDepth::SignedSixteen => 3,
            BitDepth::HalfFloat => 4,
            BitDepth::SignedThirtyTwo => 6,
            BitDepth::Float => 7,
            _ => return Err(Error::unsupported("JPEG XR with packed samples")),
        };
        let colors = format.channel_count() - u8::from(format.has_alpha());
        let color = match format.color_format() {
            ColorFormat::Luma => (0, 1),
            ColorFormat::Cmyk => (4, 4),
            ColorFormat::NComponent => (6, colors),
            ColorFormat::Rgb => (7, 3),
            _ => return Err(Error::unsupported("JPEG XR with subsampled or shared samples")),
        };
        if (color, depth, format.has_alpha()) != ((self.color, colors), self.depth, self.alpha) {
            return Err(Error::malformed("a JPEG XR stream of other samples than its container says"));
        }
        if self.turned || self.window {
            return Err(Error::unsupported("JPEG XR that is turned, mirrored or cropped"));
        }
        Ok(())
    }
}

impl Header {
    fn parse(data: &[u8]) -> Result<Self> {
        let short = || Error::truncated("the JPEG XR data end in their headers");
        let word = |at: usize| data.get(at..at + 2).map(|b| usize::from(u16::from_le_bytes([b[0], b[1]])));
        let long = |at: usize| data.get(at..at + 4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]));
        if !data.starts_with(b"II\xbc") {
            return Err(Error::malformed("no JPEG XR data"));
        }
        let directory = long(4).ok_or_else(short)? as usize;
        let count = word(directory).ok_or_else(short)?;
        let value = |wanted: usize| {
            let entry = (0..count).map(|i| directory + 2 + 12 * i).find(|at| word(*at) == Some(wanted))?;
            match word(entry + 2)? {
                1 => data.get(entry + 8).map(|b| u32::from(*b)),
                3 => word(entry + 8).map(|v| v as u32),
                _ => long(entry + 8),
            }
        };
        let missing = || Error::malformed("a JPEG XR container without its sizes");
        let container = (value(0xbc80).ok_or_else(missing)?, value(0xbc81).ok_or_else(missing)?);
        let start = value(0xbcc0).ok_or_else(missing)? as usize;
        Ok(Header { container, stream: Self::stream(data.get(start..).ok_or_else(short)?)? })
    }

    /// The image header of the stream: flags, then sides less one, of 16 or 32 bits.
    fn stream(data: &[u8]) -> Result<Stream> {
        let short = || Error::truncated("the JPEG XR data end in their headers");
        let data =
            data.strip_prefix(b"WMPHOTO\0").ok_or_else(|| Error::malformed("no JPEG XR stream in its container"))?;
        let [_, tiling, flags, output, sides @ ..] = data else { return Err(short()) };
        let size = if flags & 0x80 != 0 { 2 } else { 4 };
        let side = |i: usize| {
            let bytes = sides.get(i * size..(i + 1) * size)?;
            bytes.iter().fold(0_u32, |n, b| n << 8 | u32::from(*b)).checked_add(1)
        };
        Ok(Stream {
            size: side(0).zip(side(1)).ok_or_else(short)?,
            turned: tiling & 0x38 != 0,
            window: flags & 0x20 != 0,
            alpha: flags & 1 != 0,
            color: output >> 4,
            depth: output & 15,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A container of two tags for the size and one for the stream's place, and a stream of 61 x 50 pixels.
    fn container(width: u32) -> Vec<u8> {
        let mut data = b"II\xbc\x01\x08\0\0\0\x03\0".to_vec();
        for (tag, value) in [(0xbc80_u16, width), (0xbc81, 50), (0xbcc0, 50)] {
            data.extend(tag.to_le_bytes());
            data.extend([4, 0, 1, 0, 0, 0]);
            data.extend(value.to_le_bytes());
        }
        data.resize(50, 0);
        data.extend(b"WMPHOTO\0\x11\x01\xc0\x01\0\x3c\0\x31");
        data
    }

    fn wanted() -> Wanted<'static> {
        Wanted::plain(64, 64, 1, 8)
    }

    #[test]
    fn sizes_are_read_from_both_headers() {
        let header = Header::parse(&container(61)).unwrap();
        let stream = Stream { size: (61, 50), turned: false, window: false, alpha: false, color: 0, depth: 1 };
        assert_eq!(header, Header { container: (61, 50), stream });
        for end in 0..66 {
            assert!(Header::parse(&container(61)[..end]).is_err(), "{end}");
        }
    }

    #[test]
    fn what_contradicts_is_refused_before_decoding() {
        for (width, text) in
            [(65, "65 x 50 pixels where 64 x 64 belong"), (60, "61 x 50 pixels in a container of 60 x 50")]
        {
            let error = (HERE.decode)(&container(width), &wanted()).unwrap_err();
            assert!(error.reason().contains(text), "{error}");
        }
        assert!((HERE.decode)(&container(61), &wanted()).is_err());
        assert!((HERE.decode)(b"no picture", &wanted()).is_err());
        let error = (CODEC.decode)(&container(65), &wanted()).unwrap_err();
        assert!(error.reason().contains("65 x 50 pixels where 64 x 64 belong"), "{error}");
    }

    #[test]
    fn answers_of_helpers_are_checked() {
        let answer = |words: [u32; 5], bytes: usize| {
            let mut answer: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
            answer.resize(ANSWERED + bytes, 7);
            heard(answer, &wanted())
        };
        assert_eq!(answer([3, 2, 1, 16, 0], 12).unwrap().data, [7; 12]);
        for (words, bytes) in [
            ([3, 2, 1, 16, 0], 11),
            ([3, 2, 1, 12, 0], 12),
            ([3, 2, 2, 8, 0], 12),
            ([65, 2, 1, 8, 0], 130),
            ([0, 2, 1, 8, 0], 0),
            ([3, 2, 1, 16, 3], 12),
        ] {
            assert!(answer(words, bytes).is_err(), "{words:?}");
        }
        assert!(heard(vec![0; 19], &wanted()).is_err());
    }
}
