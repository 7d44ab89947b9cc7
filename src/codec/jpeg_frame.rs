//! What the headers of a JPEG stream say of the picture in it, without decoding anything.

/// The frame header (ITU-T T.81, B.2.2) and what tells colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    /// Columns.
    pub width: u16,
    /// Rows.
    pub height: u16,
    /// Components.
    pub samples: u8,
    /// Three components are red, green and blue, by Adobe's marker or by their own names; else they are YCbCr.
    pub rgb: bool,
}

impl Frame {
    /// The first frame header of a stream.
    pub fn find(stream: &[u8]) -> Option<Self> {
        let mut rest = stream.strip_prefix(&[0xff, 0xd8])?;
        let mut adobe = None;
        loop {
            let [0xff, marker, tail @ ..] = rest else { return None };
            match marker {
                0xff => rest = rest.get(1..)?,
                0xd9 | 0xda => return None,
                0x01 | 0xd0..=0xd7 => rest = tail,
                _ => {
                    let length = usize::from(u16::from_be_bytes([*tail.first()?, *tail.get(1)?]));
                    let segment = tail.get(2..length)?;
                    if matches!(marker, 0xc0..=0xcf) && !matches!(marker, 0xc4 | 0xc8 | 0xcc) {
                        let [_, y1, y0, x1, x0, samples, names @ ..] = segment else { return None };
                        let (height, width) = (u16::from_be_bytes([*y1, *y0]), u16::from_be_bytes([*x1, *x0]));
                        let named = names.iter().step_by(3).take(3).eq(b"RGB");
                        let rgb = *samples == 3 && adobe.map_or(named, |transform| transform == 0);
                        return (width > 0 && height > 0).then_some(Frame { width, height, samples: *samples, rgb });
                    }
                    if *marker == 0xee && segment.starts_with(b"Adobe") {
                        adobe = segment.get(11).copied();
                    }
                    rest = tail.get(length..)?;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_found_behind_other_segments() {
        let stream =
            [&[0xff, 0xd8, 0xff, 0xe0, 0, 4, 9, 9, 0xff, 0xff, 0xc0, 0, 17, 8][..], &[0, 60, 0, 80, 3], &[0; 9]]
                .concat();
        assert_eq!(Frame::find(&stream), Some(Frame { width: 80, height: 60, samples: 3, rgb: false }));
        let adobe = [&b"\xff\xd8\xff\xee\0\x0eAdobe\0\x64\0\0\0\0\0"[..], &stream[2..]].concat();
        assert_eq!(Frame::find(&adobe).map(|f| f.rgb), Some(true));
        assert_eq!(Frame::find(&[0xff, 0xd8, 0xff, 0xe0, 0, 0]), None);
        assert_eq!(Frame::find(b"GIF"), None);
    }
}
