//! Which pixels a shape covers.
//!
//! Those of level 0 whose centre lies in it. Rectangles and polygons include their left and upper edge and not their right
//! and lower one, so that neighbours neither overlap nor leave gaps; polygons are filled by the even-odd rule; ellipses and
//! bitmaps include what the formula gives. Points and lines cover the pixels that they touch, one pixel wide: a point the
//! pixel that holds it, a line those of Bresenham's line between the pixels that hold its ends. A shape with a transform is
//! transformed first. Captions cover nothing.

use super::canvas::{Canvas, Side};
use crate::error::Result;
use crate::model::{Affine, Figure, Mask, RoiShape};

/// A part of level 0, in its coordinates, edges included.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Extent {
    pub top: f64,
    pub bottom: f64,
    pub left: f64,
    pub right: f64,
}

impl Extent {
    fn around(points: impl Iterator<Item = [f64; 2]>) -> Option<Self> {
        points.map(|[x, y]| Extent { top: y, bottom: y, left: x, right: x }).reduce(Extent::with)
    }

    /// Both, and what lies between.
    pub fn with(self, other: Extent) -> Extent {
        Extent {
            top: self.top.min(other.top),
            bottom: self.bottom.max(other.bottom),
            left: self.left.min(other.left),
            right: self.right.max(other.right),
        }
    }

    /// The pixels of two sides, with one more around them: points and lines cover pixels whose centre is elsewhere.
    pub fn of(rows: &Side, columns: &Side) -> Option<Self> {
        let (last_row, last_column) = (rows.len().checked_sub(1)?, columns.len().checked_sub(1)?);
        Some(Extent {
            top: rows.centre(0) - 1.5,
            bottom: rows.centre(last_row) + 1.5,
            left: columns.centre(0) - 1.5,
            right: columns.centre(last_column) + 1.5,
        })
    }

    /// Do they touch?
    pub fn meets(self, other: Extent) -> bool {
        self.top <= other.bottom && other.top <= self.bottom && self.left <= other.right && other.left <= self.right
    }
}

/// What a shape may cover; `None`: nothing.
pub(super) fn extent(shape: &RoiShape) -> Option<Extent> {
    let moved = |p: [f64; 2]| shape.transform.as_ref().map_or(p, |t| t.apply(p));
    let corners = |x: f64, y: f64, w: f64, h: f64| {
        Extent::around([[x, y], [x + w, y], [x, y + h], [x + w, y + h]].into_iter().map(moved))
    };
    match &shape.figure {
        Figure::Rectangle { width, height, .. } if !(*width > 0.0 && *height > 0.0) => None,
        Figure::Ellipse { radius_x, radius_y, .. } if !(*radius_x > 0.0 && *radius_y > 0.0) => None,
        Figure::Rectangle { x, y, width, height } => corners(*x, *y, *width, *height),
        Figure::Ellipse { x, y, radius_x: rx, radius_y: ry } => corners(x - rx, y - ry, 2.0 * rx, 2.0 * ry),
        Figure::Mask(m) => corners(m.x, m.y, m.width, m.height),
        Figure::Point { x, y } => corners(*x, *y, 0.0, 0.0),
        Figure::Line { x1, y1, x2, y2 } => Extent::around([[*x1, *y1], [*x2, *y2]].into_iter().map(moved)),
        Figure::Polyline(points) | Figure::Polygon(points) => Extent::around(points.iter().map(|p| moved(*p))),
        Figure::Label { .. } | Figure::Unreadable(_) => None,
    }
}

/// Paints what a shape covers.
///
/// # Errors
/// `Interrupted` if nobody waits any more.
pub(super) fn draw(shape: &RoiShape, value: u32, canvas: &mut Canvas<'_>) -> Result<()> {
    let transform = shape.transform.as_deref();
    let moved = |p: [f64; 2]| transform.map_or(p, |t| t.apply(p));
    match &shape.figure {
        Figure::Rectangle { x, y, width, height } => match transform {
            None => rectangle([*y, y + height, *x, x + width], value, canvas),
            Some(_) => {
                let (right, lower) = (x + width, y + height);
                let corners = [[*x, *y], [right, *y], [right, lower], [*x, lower]].map(moved);
                polygon(&corners, |p| p, value, canvas)
            }
        },
        Figure::Ellipse { x, y, radius_x, radius_y } => ellipse([*x, *y], [*radius_x, *radius_y], shape, value, canvas),
        Figure::Point { x, y } => {
            let at = moved([*x, *y]);
            line(at, at, value, canvas)
        }
        Figure::Line { x1, y1, x2, y2 } => line(moved([*x1, *y1]), moved([*x2, *y2]), value, canvas),
        Figure::Polyline(points) => {
            if let [only] = points[..] {
                return line(moved(only), moved(only), value, canvas);
            }
            points.windows(2).try_for_each(|pair| line(moved(pair[0]), moved(pair[1]), value, canvas))
        }
        Figure::Polygon(points) => polygon(points, moved, value, canvas),
        Figure::Mask(mask) => bitmap(mask, shape, value, canvas),
        Figure::Label { .. } | Figure::Unreadable(_) => Ok(()),
    }
}

fn rectangle([top, bottom, left, right]: [f64; 4], value: u32, canvas: &mut Canvas<'_>) -> Result<()> {
    let (from, to) = (canvas.columns.from(left), canvas.columns.from(right));
    for row in canvas.rows.from(top)..canvas.rows.from(bottom) {
        canvas.span(row, from, to, value)?;
    }
    Ok(())
}

/// Even-odd: a row runs inside behind an odd number of edges.
fn polygon(
    points: &[[f64; 2]],
    moved: impl Fn([f64; 2]) -> [f64; 2],
    value: u32,
    canvas: &mut Canvas<'_>,
) -> Result<()> {
    let Some(mut from) = points.last().map(|p| moved(*p)) else { return Ok(()) };
    let (mut first, mut last) = (usize::MAX, 0);
    for to in points.iter().map(|p| moved(*p)) {
        // Always downwards, so that an edge shared by two polygons is the same in both.
        let ([x, y], [to_x, to_y]) = if from[1] <= to[1] { (from, to) } else { (to, from) };
        let rows = canvas.rows.from(y)..canvas.rows.from(to_y);
        canvas.pace.step(1 + rows.len() as u64)?;
        if !rows.is_empty() {
            (first, last) = (first.min(rows.start), last.max(rows.end));
        }
        for row in rows {
            if !canvas.is_row_full(row) {
                let across = x + (canvas.rows.centre(row) - y) * (to_x - x) / (to_y - y);
                canvas.cross(row, canvas.columns.from(across));
            }
        }
        from = to;
    }
    for row in first..last {
        if !canvas.is_row_full(row) {
            canvas.fill_crossed(row, value)?;
        }
    }
    Ok(())
}

fn ellipse(centre: [f64; 2], radii: [f64; 2], shape: &RoiShape, value: u32, canvas: &mut Canvas<'_>) -> Result<()> {
    let Some(Extent { top, bottom, .. }) = extent(shape) else { return Ok(()) };
    let back = match shape.transform.as_deref() {
        None => Affine([1.0, 0.0, 0.0, 0.0, 1.0, 0.0]),
        Some(t) => match t.inverse() {
            Some(back) => back,
            None => return Ok(()),
        },
    };
    let is_transformed = shape.transform.is_some();
    // In units of the radii, from the centre.
    let unit = |x: f64, y: f64| {
        let [x, y] = if is_transformed { back.apply([x, y]) } else { [x, y] };
        ((x - centre[0]) / radii[0], (y - centre[1]) / radii[1])
    };
    let is_inside = |x: f64, y: f64| {
        let (u, v) = unit(x, y);
        u * u + v * v <= 1.0
    };
    let [middle, _] = shape.transform.as_ref().map_or(centre, |t| t.apply(centre));
    let (du, dv) = (back.0[0] / radii[0], back.0[3] / radii[1]);
    for row in canvas.rows.from(top)..canvas.rows.after(bottom) {
        let y = canvas.rows.centre(row);
        // |(u, v) + s (du, dv)|^2 = 1, s pixels from the middle.
        let (u, v) = unit(middle, y);
        let (a, b, c) = (du * du + dv * dv, u * du + v * dv, u * u + v * v - 1.0);
        let root = (b * b - a * c).max(0.0).sqrt();
        let (left, right) = (middle + (-b - root) / a, middle + (-b + root) / a);
        if !(left.is_finite() && right.is_finite()) {
            continue;
        }
        // The roots are rounded; the formula decides.
        let (mut from, mut to) = (canvas.columns.from(left), canvas.columns.after(right));
        from = from.saturating_sub(1);
        to = (to + 1).min(canvas.columns.len());
        for _ in 0..2 {
            from += usize::from(from < to && !is_inside(canvas.columns.centre(from), y));
            to -= usize::from(from < to && !is_inside(canvas.columns.centre(to - 1), y));
        }
        if from < to && is_inside(canvas.columns.centre(from), y) {
            canvas.span(row, from, to, value)?;
        }
        canvas.pace.step(1)?;
    }
    Ok(())
}

/// The pixel that holds a coordinate; coordinates are within [`Figure::FARTHEST`].
fn pixel(coordinate: f64) -> i64 {
    #[allow(clippy::cast_possible_truncation)]
    let pixel = coordinate.floor() as i64;
    pixel
}

/// Bresenham's line, row by row: pixel i along the longer side lies floor(i * short / long + 1/2) along the shorter one.
fn line(from: [f64; 2], to: [f64; 2], value: u32, canvas: &mut Canvas<'_>) -> Result<()> {
    let ([x, y], [to_x, to_y]) = (from.map(pixel), to.map(pixel));
    let (wide, tall) = (i128::from(to_x.abs_diff(x)), i128::from(to_y.abs_diff(y)));
    let sign = if to_x < x { -1 } else { 1 };
    let along = |steps: i128| x + sign * i64::try_from(steps).unwrap_or(0);
    canvas.pace.step(1)?;
    for row in canvas.rows.at(y.min(to_y))..canvas.rows.at(y.max(to_y) + 1) {
        let k = i128::from(canvas.rows.pixel(row).abs_diff(y));
        let (first, last) = if tall > wide {
            let step = (2 * k * wide + tall) / (2 * tall);
            (step, step)
        } else if tall == 0 {
            (0, wide)
        } else {
            // All i with floor((2 i tall + wide) / (2 wide)) = k.
            let least = |k: i128| ((2 * k - 1) * wide + 2 * tall - 1).div_euclid(2 * tall);
            (least(k).max(0), (least(k + 1) - 1).min(wide))
        };
        let (a, b) = (along(first), along(last));
        let (from, to) = (canvas.columns.at(a.min(b)), canvas.columns.at(a.max(b) + 1));
        canvas.span(row, from, to, value)?;
    }
    Ok(())
}

fn bitmap(mask: &Mask, shape: &RoiShape, value: u32, canvas: &mut Canvas<'_>) -> Result<()> {
    let Some(Extent { top, bottom, left, right }) = extent(shape) else { return Ok(()) };
    let back = match shape.transform.as_deref().map(Affine::inverse) {
        None => None,
        Some(Some(back)) => Some(back),
        Some(None) => return Ok(()),
    };
    #[allow(clippy::cast_precision_loss)]
    let (across, down) = (mask.columns as f64 / mask.width, mask.rows as f64 / mask.height);
    let cell = |at: f64| {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        (at >= 0.0).then_some(at as u64)
    };
    let is_set = |x: f64, y: f64| {
        let [x, y] = back.map_or([x, y], |back| back.apply([x, y]));
        let (row, column) = (cell((y - mask.y) * down), cell((x - mask.x) * across));
        row.zip(column).is_some_and(|(row, column)| mask.bit(row, column))
    };
    let (from, to) = (canvas.columns.from(left), canvas.columns.after(right));
    for row in canvas.rows.from(top)..canvas.rows.after(bottom) {
        if from >= to || canvas.is_row_full(row) {
            continue;
        }
        let y = canvas.rows.centre(row);
        for word in from / 64..=(to - 1) / 64 {
            let mut bits = 0;
            for column in from.max(word * 64)..to.min(word * 64 + 64) {
                bits |= u64::from(is_set(canvas.columns.centre(column), y)) << (column % 64);
            }
            canvas.paint(row, word, bits, value);
        }
        canvas.pace.step((to - from) as u64)?;
    }
    Ok(())
}
