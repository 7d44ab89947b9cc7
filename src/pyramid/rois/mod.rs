//! Regions of interest as label images: one for each series that has any, drawn when it is read.
//!
//! A label image has as many levels as its image. It is 0 where no region is, else the index of the region in the document
//! plus 1, so that the same region has the same value in every image; where regions overlap, the later one is seen. A pixel
//! of a lower level shows pixel (floor(y * Y0 / Yk), floor(x * X0 / Xk)) of level 0, and is drawn directly. The channel axis
//! has length one unless a shape is meant for certain channels; z and t are those of the image.
//!
//! To every layer above, label images are further series of the source, with role [`Role::Regions`].

mod canvas;
mod draw;
#[cfg(test)]
mod tests;

use canvas::{Canvas, Side};
use draw::Extent;

use super::Pyramid;
use super::nearest::source;
use crate::error::{Error, Kind, Result};
use crate::format::{ImageSource, Member, Stored, UnitCost};
use crate::io::Watch;
use crate::model::plate::Plate;
use crate::model::{
    Channel, Dtype, Element, Figure, Level, Reduction, Roi, RoiShape, Rois, Role, Series, Shape, TileId, TileSize,
};
use crate::sync::Arc;
use std::path::Path;

/// The source, with a label image behind its own series for each of them that has regions.
pub fn with_labels(inner: Arc<dyn ImageSource>) -> Arc<dyn ImageSource> {
    let Some(rois) = inner.rois() else { return inner };
    let outlines: Vec<Outline> = rois.all.iter().map(Outline::new).collect();
    let mut series = inner.series().to_vec();
    let mut labels = Vec::new();
    for (image, number) in inner.series().iter().zip(0u32..) {
        if image.role == Role::Image && rois.of(number).next().is_some() {
            let label = Labels::new(rois, &outlines, number, image);
            series.push(label.series(image));
            labels.push(label);
        }
    }
    if labels.is_empty() { inner } else { Arc::new(Labelled { inner, series, outlines, labels }) }
}

/// What is asked of a region again and again. Found once for each, because many images may show the same one.
struct Outline {
    /// Where it lies.
    extent: Option<Extent>,
    /// Where each of its shapes does.
    shapes: Box<[Option<Extent>]>,
    /// Some shape is meant for a certain channel.
    by_channel: bool,
    /// Some shape cannot be drawn.
    unreadable: bool,
}

impl Outline {
    fn new(roi: &Roi) -> Self {
        let shapes: Box<[Option<Extent>]> = roi.shapes.iter().map(draw::extent).collect();
        Outline {
            extent: shapes.iter().flatten().copied().reduce(Extent::with),
            shapes,
            by_channel: roi.shapes.iter().any(|s| s.c != RoiShape::ANY),
            unreadable: roi.shapes.iter().any(|s| matches!(s.figure, Figure::Unreadable(_))),
        }
    }

    fn bytes(&self) -> usize {
        size_of::<Outline>() + size_of_val(&self.shapes[..])
    }
}

/// The label image of one series.
struct Labels {
    /// The series.
    of: u32,
    /// Size of the label image.
    full: Shape,
    levels: Vec<Level>,
    dtype: Dtype,
    /// Channels of the series that are one channel as the source counts them.
    samples: u64,
}

impl Labels {
    fn new(rois: &Rois, outlines: &[Outline], of: u32, image: &Series) -> Self {
        let own = || rois.of(of).filter_map(|(index, _)| Some((index, outlines.get(index as usize)?)));
        let pyramid = Pyramid::new(image, None);
        let unit = TileSize { y: pyramid.chunk.0, x: pyramid.chunk.1 };
        let by_channel = own().any(|(_, outline)| outline.by_channel);
        let shaped = |s: Shape| if by_channel { s } else { Shape { c: 1, ..s } };
        let level = |shape: Shape| Level { shape: shaped(shape), unit, native_tile: Some(unit) };
        Labels {
            of,
            full: shaped(image.shape()),
            levels: pyramid.levels.iter().map(|l| level(l.shape)).collect(),
            dtype: match own().next_back().map_or(0, |(index, _)| index) {
                0..0xFF => Dtype::U8,
                0xFF..0xFFFF => Dtype::U16,
                _ => Dtype::U32,
            },
            samples: image.samples.max(1),
        }
    }

    /// What the label image is to the layers above.
    fn series(&self, image: &Series) -> Series {
        Series {
            name: "rois".into(),
            role: Role::Regions(self.of),
            dtype: self.dtype,
            significant_bits: 8 * u32::try_from(self.dtype.size()).unwrap_or(4),
            samples: 1,
            rgb: false,
            levels: self.levels.clone(),
            channels: vec![Channel::default(); usize::try_from(self.full.c).unwrap_or(1)],
            physical: image.physical.clone(),
            reduction: Reduction::Nearest,
            colormap: None,
            acquired: None,
            description: None,
            objective: None,
        }
    }

    fn level(&self, id: TileId) -> Result<&Level> {
        self.levels.get(id.level as usize).ok_or_else(|| Error::new(Kind::Internal, "no such level of labels"))
    }

    fn draw(&self, rois: &Rois, outlines: &[Outline], id: TileId, watch: &Watch) -> Result<Vec<u8>> {
        let level = self.level(id)?;
        let (height, width) = level.unit_size(id.ty, id.tx);
        let rows = Side::new(id.ty * level.unit.y, height, level.shape.y, self.full.y);
        let columns = Side::new(id.tx * level.unit.x, width, level.shape.x, self.full.x);
        let Some(here) = Extent::of(&rows, &columns) else {
            return Err(Error::new(Kind::Internal, "a unit of labels without pixels"));
        };
        // Planes too are those of level 0.
        let z = source(id.z, self.full.z, level.shape.z.max(1));
        let t = source(id.t, self.full.t, level.shape.t.max(1));
        let c = id.g / self.samples;
        let own = || rois.of(self.of).filter_map(|(n, roi)| Some((n, roi, outlines.get(n as usize)?)));
        let mut canvas = Canvas::new(rows, columns, self.dtype, watch);
        for (index, roi, _) in own().filter(|(_, _, outline)| outline.unreadable) {
            for (number, shape) in roi.shapes.iter().enumerate().filter(|(_, s)| s.is_on(t, c, z)) {
                canvas.pace.step(1)?;
                if let Figure::Unreadable(why) = &shape.figure {
                    let place = format!("region {index}, shape {number}");
                    return Err(Error::malformed(format!("{why}: which pixels it covers is not known")).at(place));
                }
            }
        }
        for (index, roi, outline) in own().rev() {
            if canvas.is_full() {
                break;
            }
            canvas.pace.step(1)?;
            if !outline.extent.is_some_and(|e| e.meets(here)) {
                continue;
            }
            for (shape, extent) in roi.shapes.iter().zip(&outline.shapes).rev() {
                canvas.pace.step(1)?;
                if extent.is_some_and(|e| e.meets(here)) && shape.is_on(t, c, z) {
                    draw::draw(shape, index.saturating_add(1), &mut canvas)?;
                }
            }
        }
        Ok(canvas.finish())
    }

    fn heap_bytes(&self) -> usize {
        2 * self.levels.len() * size_of::<Level>() + size_of::<Labels>()
    }
}

/// A source whose regions are shown as further series.
struct Labelled {
    inner: Arc<dyn ImageSource>,
    /// Its own, then one for each of `labels`.
    series: Vec<Series>,
    /// One for each region.
    outlines: Vec<Outline>,
    labels: Vec<Labels>,
}

impl Labelled {
    fn label(&self, series: u32) -> Option<&Labels> {
        self.labels.get((series as usize).checked_sub(self.inner.series().len())?)
    }
}

// Every method is passed on, those with a default too.
impl ImageSource for Labelled {
    fn series(&self) -> &[Series] {
        &self.series
    }

    fn members(&self) -> &[Member] {
        self.inner.members()
    }

    fn canonical(&self) -> Option<&Path> {
        self.inner.canonical()
    }

    fn series_members(&self, series: u32) -> Vec<u32> {
        self.inner.series_members(self.label(series).map_or(series, |label| label.of))
    }

    fn plane_member(&self, series: u32, t: u64, g: u64, z: u64) -> Result<Option<u32>> {
        match self.label(series) {
            // Drawn from what the documents say, which is everybody's who may read all of the files.
            Some(_) => Ok(Some(Member::EVERY)),
            None => self.inner.plane_member(series, t, g, z),
        }
    }

    fn verify(&self, id: TileId) -> Result<()> {
        let Some(label) = self.label(id.series) else { return self.inner.verify(id) };
        let first = TileId { series: label.of, level: 0, t: 0, g: 0, z: 0, ty: 0, tx: 0 };
        match self.inner.verify(first) {
            Err(e) if e.kind() == Kind::Changed => Err(e),
            // Whether a plane can be read does not matter here.
            _ => Ok(()),
        }
    }

    fn fetch(&self, id: TileId, watch: &Watch) -> Result<Stored> {
        let Some(label) = self.label(id.series) else { return self.inner.fetch(id, watch) };
        let rois = self.inner.rois().ok_or_else(|| Error::new(Kind::Internal, "labels without regions"))?;
        // Here and not in `decode`, because a million shapes take their time: it can be watched and ended.
        label.draw(rois, &self.outlines, id, watch).map(Stored::Decoded)
    }

    fn decode(&self, id: TileId, stored: Stored) -> Result<Vec<u8>> {
        match (self.label(id.series), stored) {
            (None, stored) => self.inner.decode(id, stored),
            (Some(_), Stored::Decoded(samples)) => Ok(samples),
            (Some(_), _) => Err(Error::new(Kind::Internal, "labels are never encoded")),
        }
    }

    fn cost(&self, id: TileId) -> UnitCost {
        let Some(label) = self.label(id.series) else { return self.inner.cost(id) };
        let (rows, columns) = label.level(id).map_or((0, 0), |l| l.unit_size(id.ty, id.tx));
        let decoded = rows.saturating_mul(columns).saturating_mul(label.dtype.size() as u64);
        UnitCost { decoded, scratch: Canvas::scratch(rows, columns) }
    }

    fn random_access(&self, series: u32, level: u32) -> bool {
        self.label(series).is_some() || self.inner.random_access(series, level)
    }

    fn native_unit_bytes(&self, series: u32, level: u32) -> u64 {
        if self.label(series).is_some() { 0 } else { self.inner.native_unit_bytes(series, level) }
    }

    fn document(&self) -> Option<(&'static str, Arc<[u8]>)> {
        self.inner.document()
    }

    fn details(&self) -> Option<Element> {
        self.inner.details()
    }

    fn plates(&self) -> &[Plate] {
        self.inner.plates()
    }

    fn rois(&self) -> Option<&Rois> {
        self.inner.rois()
    }

    fn warnings(&self) -> &[String] {
        self.inner.warnings()
    }

    fn heap_bytes(&self) -> u64 {
        let labels: usize = self.labels.iter().map(Labels::heap_bytes).sum();
        let outlines: usize = self.outlines.iter().map(Outline::bytes).sum();
        // Its series were copied.
        let series = self.series.iter().map(|s| size_of::<Series>() + s.channels.len() * 2 * size_of::<Channel>());
        self.inner.heap_bytes() + (labels + outlines + series.sum::<usize>()) as u64
    }
}
