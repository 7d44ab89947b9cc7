//! Regions of interest: shapes in the pixel coordinates of the full resolution.
//!
//! Pixel (x, y) spans `x..x+1` by `y..y+1`, as in OME-XML; its centre lies at (x + 0.5, y + 0.5).

/// The regions of a source. A region is known by its place in the document, whichever images it belongs to.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Rois {
    /// All regions, in the order of the document.
    pub all: Vec<Roi>,
    /// For each series, which of `all` belong to it: ascending, each once.
    pub of_series: Vec<Vec<u32>>,
}

impl Rois {
    /// The regions of a series: index in the document, region.
    pub fn of(&self, series: u32) -> impl DoubleEndedIterator<Item = (u32, &Roi)> {
        let of = self.of_series.get(series as usize).map_or(&[][..], Vec::as_slice);
        of.iter().filter_map(|index| Some((*index, self.all.get(*index as usize)?)))
    }

    /// Bytes of memory held.
    pub fn heap_bytes(&self) -> u64 {
        let regions: usize = self.all.iter().map(|r| size_of::<Roi>() + r.heap_bytes()).sum();
        let links: usize = self.of_series.iter().map(|l| size_of::<Vec<u32>>() + size_of_val(&l[..])).sum();
        (regions + links) as u64
    }
}

/// One region: shapes that belong together.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Roi {
    /// The source's own name for it ("ROI:0").
    pub id: Option<Box<str>>,
    /// What a person called it.
    pub name: Option<Box<str>>,
    /// Its shapes, in the order of the document.
    pub shapes: Vec<Shape>,
}

impl Roi {
    /// The colour of its first shape that has an outline colour, else of the first that has a fill colour.
    pub fn color(&self) -> Option<Rgba> {
        self.shapes.iter().find_map(|s| s.stroke).or_else(|| self.shapes.iter().find_map(|s| s.fill))
    }

    /// Bytes of memory held beside the struct itself.
    pub fn heap_bytes(&self) -> usize {
        let text = |t: &Option<Box<str>>| t.as_ref().map_or(0, |t| t.len());
        let shapes: usize = self.shapes.iter().map(|s| size_of::<Shape>() + s.heap_bytes()).sum();
        text(&self.id) + text(&self.name) + shapes
    }
}

/// A colour with its opacity, 255 for opaque.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rgba(pub [u8; 4]);

/// One figure, on the planes it is meant for. Kept small: a slide may have a million of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Shape {
    /// What it looks like.
    pub figure: Figure,
    /// Where its coordinates go before it is drawn.
    pub transform: Option<Box<Affine>>,
    /// Focal plane; [`Shape::ANY`] for all. Likewise the others.
    pub z: u32,
    /// Channel as the source counts them: an RGB image has one.
    pub c: u32,
    /// Time point.
    pub t: u32,
    /// Outline colour.
    pub stroke: Option<Rgba>,
    /// Fill colour.
    pub fill: Option<Rgba>,
    /// A caption.
    pub text: Option<Box<str>>,
}

impl Shape {
    /// Every plane along an axis.
    pub const ANY: u32 = u32::MAX;

    /// Is it on this plane?
    pub fn is_on(&self, t: u64, c: u64, z: u64) -> bool {
        let fits = |own: u32, plane: u64| own == Self::ANY || u64::from(own) == plane;
        fits(self.t, t) && fits(self.c, c) && fits(self.z, z)
    }

    /// Bytes of memory held beside the struct itself.
    pub fn heap_bytes(&self) -> usize {
        let figure = match &self.figure {
            Figure::Polyline(points) | Figure::Polygon(points) => size_of_val(&points[..]),
            Figure::Mask(mask) => size_of::<Mask>() + mask.bits.len(),
            Figure::Unreadable(why) => why.len(),
            _ => 0,
        };
        figure
            + self.transform.as_ref().map_or(0, |_| size_of::<Affine>())
            + self.text.as_ref().map_or(0, |text| text.len())
    }
}

/// A figure in pixel coordinates; every number is finite and at most [`Figure::FARTHEST`] away from zero.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)]
pub enum Figure {
    Rectangle {
        x: f64,
        y: f64,
        width: f64,
        height: f64,
    },
    Ellipse {
        x: f64,
        y: f64,
        radius_x: f64,
        radius_y: f64,
    },
    Point {
        x: f64,
        y: f64,
    },
    Line {
        x1: f64,
        y1: f64,
        x2: f64,
        y2: f64,
    },
    Polyline(Box<[[f64; 2]]>),
    Polygon(Box<[[f64; 2]]>),
    Mask(Box<Mask>),
    /// A caption alone: covers nothing.
    Label {
        x: f64,
        y: f64,
    },
    /// Stands for a shape that cannot be drawn, and says why; nobody knows which pixels it covers.
    Unreadable(Box<str>),
}

impl Figure {
    /// Coordinates beyond this are refused: pixels could not be told from each other any more.
    pub const FARTHEST: f64 = 1e15;

    /// The name of the element in OME-XML; `None` if it is not known.
    pub fn name(&self) -> Option<&'static str> {
        Some(match self {
            Figure::Rectangle { .. } => "Rectangle",
            Figure::Ellipse { .. } => "Ellipse",
            Figure::Point { .. } => "Point",
            Figure::Line { .. } => "Line",
            Figure::Polyline(_) => "Polyline",
            Figure::Polygon(_) => "Polygon",
            Figure::Mask(_) => "Mask",
            Figure::Label { .. } => "Label",
            Figure::Unreadable(_) => return None,
        })
    }
}

/// A bitmap that fills a rectangle.
#[derive(Debug, Clone, PartialEq)]
pub struct Mask {
    /// Left edge.
    pub x: f64,
    /// Upper edge.
    pub y: f64,
    /// Width on the image; positive.
    pub width: f64,
    /// Height on the image; positive.
    pub height: f64,
    /// Columns of the bitmap; at least one.
    pub columns: u64,
    /// Rows of the bitmap; at least one.
    pub rows: u64,
    /// `rows * columns` bits, row after row without gaps, the most significant bit of a byte first.
    pub bits: Box<[u8]>,
}

impl Mask {
    /// The bit at a place of the bitmap; false outside.
    pub fn bit(&self, row: u64, column: u64) -> bool {
        if row >= self.rows || column >= self.columns {
            return false;
        }
        let at = row * self.columns + column;
        let byte = usize::try_from(at / 8).ok().and_then(|i| self.bits.get(i)).copied().unwrap_or(0);
        byte >> (7 - at % 8) & 1 == 1
    }
}

/// x' = a x + b y + c, y' = d x + e y + f.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Affine(pub [f64; 6]);

impl Affine {
    /// Where a point goes.
    pub fn apply(&self, [x, y]: [f64; 2]) -> [f64; 2] {
        let [a, b, c, d, e, f] = self.0;
        [a * x + b * y + c, d * x + e * y + f]
    }

    /// The way back; `None` if everything falls onto a line or a point.
    pub fn inverse(&self) -> Option<Affine> {
        let [a, b, c, d, e, f] = self.0;
        let det = a * e - b * d;
        let inverse = [e / det, -b / det, (b * f - c * e) / det, -d / det, a / det, (c * d - a * f) / det];
        (det != 0.0 && inverse.iter().all(|v| v.is_finite())).then_some(Affine(inverse))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_inverse_leads_back() {
        let there = Affine([2.0, 0.5, 10.0, -1.0, 3.0, -4.0]);
        let back = there.inverse().unwrap();
        let [x, y] = back.apply(there.apply([7.0, 11.0]));
        assert!((x - 7.0).abs() < 1e-12 && (y - 11.0).abs() < 1e-12);
        assert_eq!(Affine([1.0, 2.0, 0.0, 2.0, 4.0, 0.0]).inverse(), None);
    }

    #[test]
    fn mask_bits_run_on_from_row_to_row() {
        // 3 x 3: 101 010 111, most significant bit first.
        let bits = [0b1010_1011, 0b1000_0000].into();
        let mask = Mask { x: 0.0, y: 0.0, width: 3.0, height: 3.0, columns: 3, rows: 3, bits };
        let rows: Vec<Vec<bool>> = (0..3).map(|r| (0..3).map(|c| mask.bit(r, c)).collect()).collect();
        assert_eq!(rows, [[true, false, true], [false, true, false], [true, true, true]]);
        assert!(!mask.bit(3, 0) && !mask.bit(0, 3));
    }
}
