//! JPEG with samples of 12 bits: the extended sequential process with Huffman codes (ITU-T T.81, SOF1).

use super::huffman::{Bits, Table, ZIGZAG};
use crate::error::{Error, Result};

/// Decoded components, side by side.
pub struct Image {
    /// `height * width * components` values of 12 bits.
    pub data: Vec<u16>,
}

struct Component {
    id: u8,
    /// Sampling factors across and down.
    factors: (usize, usize),
    quantizer: usize,
    /// Blocks of a row and of a column, padded to whole MCUs.
    blocks: (usize, usize),
    /// Samples, rows of `8 * blocks.0`.
    plane: Vec<u16>,
}

struct Decoder {
    width: usize,
    height: usize,
    most: (usize, usize),
    components: Vec<Component>,
    quantizers: [Option<[u16; 64]>; 4],
    tables: [Option<Table>; 8],
    restart: usize,
}

/// Decodes a stream from its headers on, tables already in front. The caller has checked the size of the frame.
///
/// # Errors
/// `Malformed`, `Truncated`.
pub fn decode(stream: &[u8]) -> Result<Image> {
    let short = || Error::truncated("the JPEG data end in their headers");
    let mut decoder = Decoder {
        width: 0,
        height: 0,
        most: (1, 1),
        components: Vec::new(),
        quantizers: [None; 4],
        tables: [const { None }; 8],
        restart: 0,
    };
    let mut seen = 0;
    let mut rest = stream.strip_prefix(b"\xff\xd8").ok_or_else(|| Error::malformed("no JPEG data"))?;
    while seen == 0 || seen < decoder.components.len() {
        let [0xff, marker, high, low, ..] = *rest else { return Err(short()) };
        let length = usize::from(high) << 8 | usize::from(low);
        let body = rest.get(4..length + 2).ok_or_else(short)?;
        rest = &rest[length + 2..];
        match marker {
            0xc1 if decoder.components.is_empty() => decoder.frame(body)?,
            0xc0..=0xc3 => return Err(Error::malformed("two frame headers in one JPEG stream")),
            0xc4 => Table::parse_all(body, &mut decoder.tables)?,
            0xdb => decoder.quantizers(body)?,
            0xdd => {
                decoder.restart = body.first_chunk().map(|b| usize::from(u16::from_be_bytes(*b))).ok_or_else(short)?
            }
            0xda => {
                let (components, after) = decoder.scan(body, rest)?;
                seen += components;
                rest = after;
            }
            _ => {}
        }
    }
    Ok(decoder.image())
}

impl Decoder {
    fn frame(&mut self, body: &[u8]) -> Result<()> {
        let [12, h1, h0, w1, w0, count, components @ ..] = body else {
            return Err(Error::malformed("a JPEG frame header of another kind"));
        };
        let components = components.as_chunks::<3>().0.get(..usize::from(*count)).filter(|c| !c.is_empty());
        let components = components.ok_or_else(|| Error::truncated("a short JPEG frame header"))?;
        self.height = usize::from(*h1) << 8 | usize::from(*h0);
        self.width = usize::from(*w1) << 8 | usize::from(*w0);
        let factors = |c: &[u8; 3]| (usize::from(c[1] >> 4), usize::from(c[1] & 15));
        if components.iter().any(|c| !(1..=4).contains(&factors(c).0) || !(1..=4).contains(&factors(c).1) || c[2] > 3) {
            return Err(Error::malformed("JPEG sampling factors or tables that do not exist"));
        }
        self.most.0 = components.iter().map(|c| factors(c).0).max().unwrap_or(1);
        self.most.1 = components.iter().map(|c| factors(c).1).max().unwrap_or(1);
        let mcus = (self.width.div_ceil(8 * self.most.0), self.height.div_ceil(8 * self.most.1));
        for c in components {
            let blocks = (mcus.0 * factors(c).0, mcus.1 * factors(c).1);
            let plane = vec![0; blocks.0 * blocks.1 * 64];
            let quantizer = usize::from(c[2]);
            self.components.push(Component { id: c[0], factors: factors(c), quantizer, blocks, plane });
        }
        Ok(())
    }

    fn quantizers(&mut self, mut body: &[u8]) -> Result<()> {
        while let Some((&head, after)) = body.split_first() {
            let size = if head >> 4 == 0 { 1 } else { 2 };
            let values = after.get(..64 * size).ok_or_else(|| Error::truncated("a short quantization table"))?;
            let slot = self.quantizers.get_mut(usize::from(head & 15));
            let slot = slot.ok_or_else(|| Error::malformed("a quantization table of a number above 3"))?;
            let mut table = [0; 64];
            for (place, value) in ZIGZAG.iter().zip(values.chunks_exact(size)) {
                table[*place] = value.iter().fold(0, |n, b| n << 8 | u16::from(*b));
            }
            *slot = Some(table);
            body = &after[64 * size..];
        }
        Ok(())
    }

    /// Decodes a scan; gives its number of components, and what follows it.
    fn scan<'a>(&mut self, header: &[u8], data: &'a [u8]) -> Result<(usize, &'a [u8])> {
        let short = || Error::truncated("a short JPEG scan header");
        let count = header.first().copied().map(usize::from).ok_or_else(short)?;
        let selectors = header.get(1..1 + 2 * count).ok_or_else(short)?.as_chunks::<2>().0;
        if count == 0 || count > 4 || self.components.is_empty() {
            return Err(Error::malformed("a JPEG scan without its frame"));
        }
        let mut parts = Vec::with_capacity(count);
        for [id, tables] in selectors {
            let index = self.components.iter().position(|c| c.id == *id);
            let index = index.ok_or_else(|| Error::malformed("a JPEG scan of a component that does not exist"))?;
            let table = |n: u8| self.tables.get(usize::from(n)).cloned().flatten();
            let tables = table(tables >> 4 & 3).zip(table(4 + (tables & 3)));
            let (dc, ac) = tables.ok_or_else(|| Error::malformed("a JPEG scan without its Huffman tables"))?;
            let quantizer = self.quantizers[self.components[index].quantizer];
            let quantizer = quantizer.ok_or_else(|| Error::malformed("a JPEG scan without its quantization table"))?;
            parts.push((index, dc, ac, quantizer));
        }
        // A component alone in its scan is stored without the padding to whole MCUs.
        let alone = parts.len() == 1;
        let side = |side: usize, factor: usize, most: usize| (side * factor).div_ceil(most).div_ceil(8);
        let mcus = if alone {
            let factors = self.components[parts[0].0].factors;
            (side(self.width, factors.0, self.most.0), side(self.height, factors.1, self.most.1))
        } else {
            (self.width.div_ceil(8 * self.most.0), self.height.div_ceil(8 * self.most.1))
        };
        let mut bits = Bits::new(data);
        let mut before = [0; 4];
        for mcu in 0..mcus.0 * mcus.1 {
            if self.restart > 0 && mcu > 0 && mcu.is_multiple_of(self.restart) {
                bits.restart()?;
                before = [0; 4];
            }
            for ((index, dc, ac, quantizer), before) in parts.iter().zip(&mut before) {
                let component = &mut self.components[*index];
                let (across, down) = if alone { (1, 1) } else { component.factors };
                for block in 0..across * down {
                    let x = mcu % mcus.0 * across + block % across;
                    let y = mcu / mcus.0 * down + block / across;
                    let coefficients = read_block(&mut bits, dc, ac, quantizer, before)?;
                    component.put(x, y, &coefficients);
                }
            }
            bits.check()?;
        }
        Ok((parts.len(), bits.rest()))
    }

    /// Components of the full size, side by side.
    fn image(&self) -> Image {
        let count = self.components.len();
        let mut data = vec![0; self.width * self.height * count];
        for (i, component) in self.components.iter().enumerate() {
            let row = 8 * component.blocks.0;
            let (factors, most) = (component.factors, self.most);
            let columns: Vec<Place> = (0..self.width).map(|x| Place::of(x, factors.0, most.0, self.width)).collect();
            for (y, line) in data.chunks_exact_mut(self.width * count).enumerate() {
                let rows = Place::of(y, factors.1, most.1, self.height);
                let near = &component.plane[rows.near * row..][..row];
                let far = &component.plane[rows.far * row..][..row];
                for ((x, pixel), column) in line.chunks_exact_mut(count).enumerate().zip(&columns) {
                    let value = |at: usize| 3 * u32::from(near[at]) + u32::from(far[at]);
                    let sum = 3 * value(column.near) + value(column.far);
                    // As the reference implementation rounds, alternately up and down.
                    let bias = match (column.near == column.far, rows.near == rows.far) {
                        (true, true) => 0,
                        (false, true) => 4 * (1 + x as u32 % 2),
                        (true, false) => 4 * (1 + y as u32 % 2),
                        (false, false) => 8 - x as u32 % 2,
                    };
                    pixel[i] = ((sum + bias) >> 4) as u16;
                }
            }
        }
        Image { data }
    }
}

/// Where the samples of a smaller component lie beneath one of the full size: a component of half the size is
/// interpolated, three parts of the nearer one and one of the next; others repeat.
#[derive(Clone, Copy)]
struct Place {
    near: usize,
    far: usize,
}

impl Place {
    fn of(at: usize, factor: usize, most: usize, side: usize) -> Self {
        let near = at * factor / most;
        if most != 2 * factor {
            return Place { near, far: near };
        }
        let last = (side * factor).div_ceil(most) - 1;
        let far = if at.is_multiple_of(2) { near.saturating_sub(1) } else { (near + 1).min(last) };
        Place { near, far }
    }
}

/// The coefficients of a block, multiplied by their steps, in rows.
fn read_block(bits: &mut Bits<'_>, dc: &Table, ac: &Table, steps: &[u16; 64], before: &mut i32) -> Result<[f32; 64]> {
    let mut block = [0.0; 64];
    let size = bits.symbol(dc)?;
    if size > 15 {
        return Err(Error::malformed("damaged JPEG data: a difference of more than 15 bits"));
    }
    *before = before.wrapping_add(bits.signed(size));
    block[0] = *before as f32 * f32::from(steps[0]);
    let mut at = 1;
    while at < 64 {
        let symbol = bits.symbol(ac)?;
        let (run, size) = (usize::from(symbol >> 4), symbol & 15);
        match (run, size) {
            (15, 0) => at += 16,
            (_, 0) => break,
            _ => {
                at += run;
                let place = ZIGZAG.get(at).copied();
                let place = place.ok_or_else(|| Error::malformed("damaged JPEG data: more than 64 coefficients"))?;
                block[place] = bits.signed(size) as f32 * f32::from(steps[place]);
                at += 1;
            }
        }
    }
    Ok(block)
}

impl Component {
    fn put(&mut self, x: usize, y: usize, coefficients: &[f32; 64]) {
        let row = 8 * self.blocks.0;
        for (line, samples) in inverse(coefficients).chunks_exact(8).enumerate() {
            let at = (8 * y + line) * row + 8 * x;
            for (o, v) in self.plane[at..at + 8].iter_mut().zip(samples) {
                *o = (v.round_ties_even() + 2048.0).clamp(0.0, 4095.0) as u16;
            }
        }
    }
}

/// The inverse transform (T.81 annex A.3.3), first along columns, then along rows.
fn inverse(block: &[f32; 64]) -> [f32; 64] {
    let basis = basis();
    let mut columns = [0.0; 64];
    for (y, weights) in basis.as_chunks::<8>().0.iter().enumerate() {
        for x in 0..8 {
            columns[8 * y + x] = (0..8).map(|v| weights[v] * block[8 * v + x]).sum();
        }
    }
    let mut out = [0.0; 64];
    for (line, o) in columns.as_chunks::<8>().0.iter().zip(out.as_chunks_mut::<8>().0) {
        for (o, weights) in o.iter_mut().zip(basis.as_chunks::<8>().0) {
            *o = line.iter().zip(weights).map(|(c, w)| c * w).sum();
        }
    }
    out
}

/// For each place, the weights of the eight frequencies.
fn basis() -> &'static [f32; 64] {
    static BASIS: std::sync::OnceLock<[f32; 64]> = std::sync::OnceLock::new();
    BASIS.get_or_init(|| {
        std::array::from_fn(|i| {
            let (place, frequency) = ((i / 8) as f64, (i % 8) as f64);
            let scale = if i % 8 == 0 { (0.125_f64).sqrt() } else { 0.5 };
            (scale * ((2.0 * place + 1.0) * frequency * std::f64::consts::PI / 16.0).cos()) as f32
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One block of 8 x 8: steps of 4, difference categories 0 (`0`) and 8 (`10`), end of block (`0`).
    fn stream(entropy: &[u8]) -> Vec<u8> {
        let mut stream = b"\xff\xd8\xff\xdb\0\x43\0".to_vec();
        stream.extend([4; 64]);
        stream.extend(b"\xff\xc1\0\x0b\x0c\0\x08\0\x08\x01\x01\x11\0");
        stream.extend(b"\xff\xc4\0\x15\0\x01\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x08");
        stream.extend(b"\xff\xc4\0\x14\x10\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
        stream.extend(b"\xff\xda\0\x08\x01\x01\0\0\x3f\0");
        stream.extend(entropy);
        stream
    }

    #[test]
    fn a_flat_block_has_an_eighth_of_its_first_coefficient() {
        // Difference 200: 4 * 200 / 8 above the middle.
        let image = decode(&stream(&[0b1011_0010, 0b0000_1111, 0xff, 0xd9])).unwrap();
        assert_eq!(image.data, [2148; 64]);
        let image = decode(&stream(&[0b0011_1111, 0xff, 0xd9])).unwrap();
        assert_eq!(image.data, [2048; 64]);
    }

    #[test]
    fn an_early_end_is_an_error() {
        let whole = stream(&[0b1011_0010, 0b0000_1111, 0xff, 0xd9]);
        for end in 0..whole.len() - 3 {
            assert!(decode(&whole[..end]).is_err(), "{end}");
        }
    }
}
