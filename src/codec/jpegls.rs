//! JPEG-LS (ITU-T T.87), lossless and near-lossless, samples of 2 to 16 bits, components by plane, line or pixel.
//!
//! Written from the recommendation; names of variables are its own. Where it leaves the run interruption of components by
//! pixel open, this follows the reference implementation: the first run context for all.

mod scan;

use self::scan::{Parameters, Scan};
use super::picture::{Codec, Picture, Wanted};
use super::raster::Number;
use crate::error::{Error, Result};

/// JPEG-LS.
pub const CODEC: Codec = Codec::new("JPEG-LS", memory, decode);

/// Samples of 16 bits, and those of the caller.
fn memory(decoded: u64) -> u64 {
    decoded.saturating_mul(4).saturating_add(64 << 10)
}

/// How components follow each other in a scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Interleave {
    None,
    Line,
    Sample,
}

#[derive(Debug, Clone, Copy)]
struct Frame {
    width: usize,
    height: usize,
    samples: usize,
    precision: u32,
    first_id: u8,
}

/// What an LSE segment sets; 0 is the default (C.2.4.1.1).
#[derive(Debug, Clone, Copy, Default)]
struct Preset {
    maxval: u16,
    thresholds: [u16; 3],
    reset: u16,
}

fn short() -> Error {
    Error::truncated("the JPEG-LS data end in their headers")
}

fn word(bytes: &[u8], at: usize) -> Result<u16> {
    bytes.get(at..at + 2).map(|b| u16::from(b[0]) << 8 | u16::from(b[1])).ok_or_else(short)
}

fn decode(data: &[u8], wanted: &Wanted<'_>) -> Result<Picture> {
    let mut rest = data.strip_prefix(b"\xff\xd8").ok_or_else(|| Error::malformed("no JPEG-LS data"))?;
    let (mut frame, mut preset) = (None::<Frame>, Preset::default());
    let mut out = Vec::new();
    let mut done = 0;
    while frame.is_none_or(|f| done < f.samples) {
        let [0xff, marker, tail @ ..] = rest else { return Err(short()) };
        if *marker == 0xff {
            rest = &rest[1..];
            continue;
        }
        if *marker == 0xd9 {
            return Err(Error::truncated(format!("the JPEG-LS data end after {done} components")));
        }
        let length = usize::from(word(tail, 0)?);
        let body = tail.get(2..length).ok_or_else(short)?;
        rest = &tail[length..];
        match marker {
            0xf7 if frame.is_none() => {
                let found = header(body)?;
                wanted.check_size("JPEG-LS", found.width, found.height)?;
                wanted.check_samples("JPEG-LS", found.samples)?;
                let (bits, room) = (found.precision, wanted.container_bits().min(16));
                if bits > room {
                    return Err(Error::malformed(format!(
                        "JPEG-LS samples of {bits} bits where at most {room} belong"
                    )));
                }
                out = vec![0_u16; found.width * found.height * found.samples];
                frame = Some(found);
            }
            0xf8 => preset.read(body)?,
            // A restart after so many lines.
            0xdd if body.iter().any(|b| *b != 0) => {
                return Err(Error::unsupported("JPEG-LS with restart intervals"));
            }
            0xe8 if body.starts_with(b"mrfx") && body.get(4).is_some_and(|b| *b != 0) => {
                return Err(Error::unsupported("JPEG-LS with a colour transform of HP"));
            }
            0xda => {
                let frame = frame.ok_or_else(|| Error::malformed("a JPEG-LS scan before its frame"))?;
                let (count, near, interleave) = scan_header(body, &frame, done)?;
                let parameters = preset.parameters(&frame, near)?;
                let mut scan = Scan::new(rest, parameters, frame.width, count);
                for y in 0..frame.height {
                    let row = &mut out[y * frame.width * frame.samples..][..frame.width * frame.samples];
                    if interleave == Interleave::Sample && count > 1 {
                        scan.pixels(row)?;
                    } else {
                        for c in 0..count {
                            scan.line(c, &mut row[done + c..], frame.samples)?;
                        }
                    }
                }
                rest = scan.rest();
                done += count;
            }
            _ => {}
        }
    }
    let frame = frame.ok_or_else(|| Error::malformed("no JPEG-LS frame"))?;
    let picture = |data, bits| Picture {
        width: frame.width,
        height: frame.height,
        samples: frame.samples,
        bits,
        number: Number::Unsigned,
        data,
    };
    Ok(match wanted.container_bits() {
        8 => picture(out.iter().map(|v| *v as u8).collect(), 8),
        16 => picture(out.iter().flat_map(|v| v.to_le_bytes()).collect(), 16),
        _ => picture(out.iter().flat_map(|v| u32::from(*v).to_le_bytes()).collect(), 32),
    })
}

/// The frame header (C.2.2).
fn header(body: &[u8]) -> Result<Frame> {
    let [precision, _, _, _, _, count, components @ ..] = body else { return Err(short()) };
    let (height, width, samples) = (word(body, 1)?.into(), word(body, 3)?.into(), usize::from(*count));
    if !(2..=16).contains(precision) || samples == 0 || components.len() < 3 * samples {
        return Err(Error::malformed(format!("a JPEG-LS frame of {samples} components, {precision} bits")));
    }
    if components.as_chunks::<3>().0.iter().take(samples).any(|c| c[1] != 0x11) {
        return Err(Error::unsupported("JPEG-LS with subsampled components"));
    }
    if width == 0 || height == 0 {
        return Err(Error::unsupported("JPEG-LS that does not say its size in its frame"));
    }
    Ok(Frame { width, height, samples, precision: u32::from(*precision), first_id: components[0] })
}

/// The scan header (C.2.3): number of components, NEAR, order.
fn scan_header(body: &[u8], frame: &Frame, done: usize) -> Result<(usize, u16, Interleave)> {
    let count = usize::from(*body.first().ok_or_else(short)?);
    let parts = body.get(1..1 + 2 * count).ok_or_else(short)?.as_chunks::<2>().0;
    let [near, interleave, transform, ..] = body[1 + 2 * count..] else { return Err(short()) };
    if count == 0 || done + count > frame.samples {
        return Err(Error::malformed(format!("a JPEG-LS scan of {count} components after {done}")));
    }
    let expected = |i: usize| frame.first_id.wrapping_add((done + i) as u8);
    if (frame.samples > 1 && count == 1 && parts[0][0] != expected(0)) || parts.iter().any(|p| p[1] != 0) {
        return Err(Error::unsupported("JPEG-LS with mapping tables or components out of order"));
    }
    if transform & 15 != 0 {
        return Err(Error::unsupported("JPEG-LS with a point transform"));
    }
    let interleave = match interleave {
        0 if count == 1 => Interleave::None,
        1 => Interleave::Line,
        2 => Interleave::Sample,
        other => return Err(Error::malformed(format!("JPEG-LS interleave {other} with {count} components"))),
    };
    Ok((count, near.into(), interleave))
}

impl Preset {
    /// An LSE segment.
    fn read(&mut self, body: &[u8]) -> Result<()> {
        match body.first() {
            Some(1) => {
                self.maxval = word(body, 1)?;
                self.thresholds = [word(body, 3)?, word(body, 5)?, word(body, 7)?];
                self.reset = word(body, 9)?;
                Ok(())
            }
            Some(2 | 3) => Err(Error::unsupported("JPEG-LS with mapping tables")),
            Some(4) => Err(Error::unsupported("JPEG-LS with sizes beyond 65,535")),
            _ => Err(Error::malformed("an unknown JPEG-LS parameter segment")),
        }
    }

    /// Coding parameters: those set, else the defaults (C.2.4.1.1.1).
    fn parameters(&self, frame: &Frame, near: u16) -> Result<Parameters> {
        let most = (1_i32 << frame.precision) - 1;
        let maxval = if self.maxval == 0 { most } else { i32::from(self.maxval) };
        let near = i32::from(near);
        if maxval > most || near > 255.min(maxval / 2) {
            return Err(Error::malformed(format!("JPEG-LS with MAXVAL {maxval}, NEAR {near}")));
        }
        let clamp = |i: i32, j: i32| if i > maxval || i < j { j } else { i };
        let [b1, b2, b3] = if maxval >= 128 {
            let factor = (maxval.min(4095) + 128) / 256;
            [factor + 2 + 3 * near, factor * 4 + 3 + 5 * near, factor * 17 + 4 + 7 * near]
        } else {
            let factor = 256 / (maxval + 1);
            [(3 / factor + 3 * near).max(2), (7 / factor + 5 * near).max(3), (21 / factor + 7 * near).max(4)]
        };
        let t1 = clamp(b1, near + 1);
        let t2 = clamp(b2, t1);
        let defaults = [t1, t2, clamp(b3, t2)];
        let mut thresholds = [0; 3];
        for ((t, set), default) in thresholds.iter_mut().zip(self.thresholds).zip(defaults) {
            *t = if set == 0 { default } else { i32::from(set) };
        }
        let ordered = near < thresholds[0] && thresholds.is_sorted() && thresholds[2] <= maxval.max(thresholds[2]);
        let reset = if self.reset == 0 { 64 } else { i32::from(self.reset) };
        if !ordered || reset < 3 {
            return Err(Error::malformed(format!("JPEG-LS with thresholds {thresholds:?}, RESET {reset}")));
        }
        Ok(Parameters::new(maxval, near, thresholds, reset))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of annex H.3: 4 x 4 samples of 8 bits, in this order of bytes.
    const EXAMPLE: &[u8] = b"\xff\xd8\xff\xf7\x00\x0b\x08\x00\x04\x00\x04\x01\x01\x11\x00\xff\xda\x00\x08\x01\x01\x00\
        \x00\x00\x00\xc0\x00\x00\x6c\x80\x20\x8e\x01\xc0\x00\x00\x57\x40\x00\x00\x6e\xe6\x00\x00\x01\xbc\x18\x00\x00\x05\
        \xd8\x00\x00\x91\x60\xff\xd9";

    #[test]
    fn the_example_of_the_recommendation() {
        let picture = (CODEC.decode)(EXAMPLE, &Wanted::plain(4, 4, 1, 8)).unwrap();
        assert_eq!(picture.data, [0, 0, 90, 74, 68, 50, 43, 205, 64, 145, 145, 145, 100, 145, 145, 145]);
    }

    #[test]
    fn no_prefix_and_no_flipped_bit_does_harm() {
        for end in 0..EXAMPLE.len() - 4 {
            assert!((CODEC.decode)(&EXAMPLE[..end], &Wanted::plain(4, 4, 1, 8)).is_err(), "{end}");
        }
        for bit in 0..EXAMPLE.len() * 8 {
            let mut data = EXAMPLE.to_vec();
            data[bit / 8] ^= 1 << (bit % 8);
            let _ = (CODEC.decode)(&data, &Wanted::plain(64, 64, 1, 8));
        }
    }

    #[test]
    fn sizes_are_checked_before_anything_is_decoded() {
        let error = (CODEC.decode)(EXAMPLE, &Wanted::plain(3, 4, 1, 8)).unwrap_err();
        assert!(error.reason().contains("a JPEG-LS picture of 4 x 4 pixels where 3 x 4 belong"), "{error}");
        assert!((CODEC.decode)(EXAMPLE, &Wanted::plain(4, 4, 3, 8)).is_err());
    }
}
