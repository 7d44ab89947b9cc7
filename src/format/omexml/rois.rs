//! `ROI` elements: of OME-XML 2010-04 and later beneath `OME` with a `ROIRef` in the image, of 2008 and 2009 beneath the
//! image itself, with their `Shape` wrappers, `Rect`, `Circle` and lower-case attributes.
//!
//! Nothing that is wrong with a region keeps an image from being shown. A shape that cannot be read stays in its place as
//! [`Figure::Unreadable`], because which pixels it covers is not known; when regions take too much memory, all are left out.

use std::collections::HashMap;

use quick_xml::events::BytesStart;

use super::bindata::{BinData, Compression};
use super::shapes::{Common, Given, bitmap, figure, figure_points, transform_element};
use crate::model::{Figure, Mask, Roi, RoiShape, Rois};

/// Most bytes that all regions may hold.
const MAX_HELD: usize = 64 << 20;
/// Most bytes of the regions of all images together; a region that many images have counts for each of them.
const MAX_DRAWN: usize = 2 * MAX_HELD;
/// What else is kept of each shape and region above the parser.
const BESIDE: usize = 64;
/// No more messages than this.
const MAX_WARNINGS: usize = 8;
/// Longest name or caption kept.
const MAX_NAME: usize = 4096;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tag {
    Roi,
    Union,
    /// `Shape` before 2012-06: its attributes hold for the figure inside.
    Wrapper,
    Figure,
    BinData,
    Other,
}

/// A mask whose bitmap is not known yet.
struct PendingMask {
    place: [f64; 4],
    /// Columns and rows, where they are said apart from the size on the image.
    size: Option<(f64, f64)>,
    data: Option<BinData>,
}

/// Reads regions as their elements come.
#[derive(Default)]
pub(super) struct RoiParser {
    all: Vec<Roi>,
    /// Image and name of a region, by `ROIRef`.
    references: Vec<(u32, Box<str>)>,
    /// Image and index of a region inside its image.
    inside: Vec<(u32, u32)>,
    stack: Vec<Tag>,
    wrapper: Common,
    mask: Option<PendingMask>,
    /// What was wrong with the shape at hand.
    fault: Option<String>,
    faults: Vec<String>,
    held: usize,
    over_limit: bool,
}

impl RoiParser {
    /// Inside of a region?
    pub fn is_open(&self) -> bool {
        !self.stack.is_empty()
    }

    /// `ROIRef` of an image.
    pub fn refer(&mut self, image: u32, e: &BytesStart<'_>) {
        if let Some(id) = Given::of(e).ok().and_then(|g| g.text("ID")) {
            self.hold(size_of::<(u32, Box<str>)>() + 2 * id.len() + BESIDE);
            if !self.over_limit {
                self.references.push((image, id.into()));
            }
        }
    }

    /// An element: `ROI` (of `image`, if it is inside of one), or anything inside of it.
    pub fn open(&mut self, e: &BytesStart<'_>, image: Option<u32>) {
        let local = e.local_name();
        let name: &str = local.as_ref();
        let tag = match self.stack.last() {
            None => self.roi(e, image),
            Some(Tag::Roi) if name == "Union" => Tag::Union,
            Some(Tag::Union | Tag::Roi) if name == "Shape" => {
                let given = Given::of(e);
                self.wrapper = given.and_then(|g| g.common(&Common::default())).unwrap_or_else(|why| {
                    self.fault = Some(why);
                    Common::default()
                });
                Tag::Wrapper
            }
            Some(Tag::Union) => self.figure(name, e),
            Some(Tag::Wrapper) if !matches!(name, "Transform" | "ShapeDisplayOptions" | "Description" | "Channels") => {
                self.figure(name, e)
            }
            Some(Tag::Figure | Tag::Wrapper) if name == "Transform" => self.transform(e),
            Some(Tag::Figure | Tag::Other) if name == "BinData" && self.mask.is_some() => self.bin_data(e),
            Some(Tag::Figure) if name == "MaskPixels" && self.mask.is_some() => self.mask_pixels(e),
            _ => Tag::Other,
        };
        self.stack.push(tag);
    }

    /// The end of the innermost element.
    pub fn close(&mut self) {
        match self.stack.pop() {
            Some(Tag::Figure) => self.complete(),
            Some(Tag::Wrapper) => self.wrapper = Common::default(),
            _ => {}
        }
    }

    /// Text of the innermost element.
    pub fn text(&mut self, text: &str) {
        if self.stack.last() != Some(&Tag::BinData) || self.over_limit || self.fault.is_some() {
            return;
        }
        let Some(data) = self.mask.as_mut().and_then(|m| m.data.as_mut()) else { return };
        if self.held + data.len() + text.len() > MAX_HELD {
            self.give_up();
        } else {
            data.push(text);
        }
    }

    /// The regions of each of `images` images. A document of one image that refers to no region means all of them.
    pub fn finish(mut self, images: usize, warnings: &mut Vec<String>) -> Rois {
        if self.over_limit {
            warnings.push(format!("regions of interest take more than {MAX_HELD} bytes: left out"));
            return Rois::default();
        }
        let mut known: HashMap<&str, u32> = HashMap::new();
        for (roi, index) in self.all.iter().zip(0u32..) {
            if let Some(id) = &roi.id {
                known.entry(id).or_insert(index);
            }
        }
        let mut of_series = vec![Vec::new(); images];
        let mut add = |image: u32, roi: u32| {
            if let Some(list) = of_series.get_mut(image as usize) {
                list.push(roi);
            }
        };
        let mut unknown = 0;
        for (image, id) in &self.references {
            match known.get(&**id) {
                Some(roi) => add(*image, *roi),
                None => unknown += 1,
            }
        }
        self.inside.iter().for_each(|(image, roi)| add(*image, *roi));
        if self.references.is_empty() && self.inside.is_empty() && images == 1 {
            (0u32..).take(self.all.len()).for_each(|roi| add(0, roi));
        }
        for list in &mut of_series {
            list.sort_unstable();
            list.dedup();
            list.shrink_to_fit();
        }
        if unknown > 0 {
            warnings.push(format!("{unknown} references to regions of interest that are not there"));
        }
        warnings.append(&mut self.faults);
        if self.drawn_bytes(&of_series) > MAX_DRAWN {
            warnings.push(format!(
                "regions of interest, each as often as images have it, take more than {MAX_DRAWN} bytes: left out"
            ));
            return Rois::default();
        }
        self.all.shrink_to_fit();
        Rois { all: self.all, of_series }
    }

    /// What showing all regions takes: every image keeps a note of each shape of its regions, and looks at all their points.
    fn drawn_bytes(&self, of_series: &[Vec<u32>]) -> usize {
        let each: Vec<usize> = self.all.iter().map(|r| r.heap_bytes() + BESIDE).collect();
        let all = of_series.iter().flatten().filter_map(|roi| each.get(*roi as usize));
        all.fold(0, |sum, bytes| sum.saturating_add(*bytes))
    }

    fn hold(&mut self, bytes: usize) {
        self.held = self.held.saturating_add(bytes);
        if self.held > MAX_HELD {
            self.give_up();
        }
    }

    fn give_up(&mut self) {
        self.over_limit = true;
        (self.all, self.references, self.inside) = (Vec::new(), Vec::new(), Vec::new());
        (self.mask, self.fault) = (None, None);
    }

    fn roi(&mut self, e: &BytesStart<'_>, image: Option<u32>) -> Tag {
        let given = Given::of(e).unwrap_or_default();
        let text = |name| given.text(name).filter(|t| t.len() <= MAX_NAME).map(Into::into);
        let roi = Roi { id: text("ID"), name: text("Name"), shapes: Vec::new() };
        // A name is kept once more where references are resolved.
        self.hold(size_of::<Roi>() + 2 * roi.heap_bytes() + BESIDE);
        let index = u32::try_from(self.all.len()).unwrap_or(u32::MAX);
        if !self.over_limit {
            self.all.push(roi);
            self.inside.extend(image.map(|image| (image, index)));
        }
        Tag::Roi
    }

    fn figure(&mut self, name: &str, e: &BytesStart<'_>) -> Tag {
        if self.over_limit {
            return Tag::Other;
        }
        let mut common = self.wrapper.clone();
        let made = Given::of(e).and_then(|given| {
            common = given.common(&self.wrapper)?;
            if name == "Mask" {
                let place = [given.number("X")?, given.number("Y")?, given.number("Width")?, given.number("Height")?];
                self.mask = Some(PendingMask { place, size: None, data: None });
                return Ok(Figure::Label { x: 0.0, y: 0.0 });
            }
            figure(name, &given, (MAX_HELD - self.held) / 16)
        });
        let figure = made.unwrap_or_else(|why| {
            self.fault.get_or_insert(why);
            Figure::Label { x: 0.0, y: 0.0 }
        });
        let text = common.text.filter(|t| t.len() <= MAX_NAME);
        let shape = RoiShape {
            figure,
            transform: common.transform,
            z: common.z,
            c: common.c,
            t: common.t,
            stroke: common.stroke,
            fill: common.fill,
            text,
        };
        if let Some(roi) = self.all.last_mut() {
            roi.shapes.push(shape);
        }
        Tag::Figure
    }

    fn transform(&mut self, e: &BytesStart<'_>) -> Tag {
        match Given::of(e).and_then(|given| transform_element(&given)) {
            Err(why) => self.fault = Some(why),
            Ok(affine) => {
                if self.stack.last() == Some(&Tag::Wrapper) {
                    self.wrapper.transform = Some(Box::new(affine));
                }
                let shape = self.all.last_mut().and_then(|roi| roi.shapes.last_mut());
                if let (Some(Tag::Figure), Some(shape)) = (self.stack.last(), shape) {
                    shape.transform = Some(Box::new(affine));
                }
            }
        }
        Tag::Other
    }

    fn mask_pixels(&mut self, e: &BytesStart<'_>) -> Tag {
        let size = Given::of(e).and_then(|given| {
            match given.text("ExtendedPixelType").or_else(|| given.text("Type")) {
                Some(kind) if !kind.eq_ignore_ascii_case("bit") => return Err(format!("a mask of type {kind:.40}")),
                _ => {}
            }
            Ok((given.number("SizeX")?, given.number("SizeY")?))
        });
        match (size, &mut self.mask) {
            (Ok(size), Some(mask)) => mask.size = Some(size),
            (Err(why), _) => self.fault = Some(why),
            _ => {}
        }
        Tag::Other
    }

    fn bin_data(&mut self, e: &BytesStart<'_>) -> Tag {
        let Some(mask) = &mut self.mask else { return Tag::Other };
        let text = Given::of(e).map(|g| g.text("Compression").unwrap_or_default());
        match text.map(|t| Compression::parse(&t).ok_or(t)) {
            Ok(Ok(compression)) if mask.data.is_none() => mask.data = Some(BinData::new(compression)),
            Ok(Ok(_)) => self.fault = Some("a mask with more than one BinData".into()),
            Ok(Err(name)) => self.fault = Some(format!("BinData compressed as {name:.40}")),
            Err(why) => self.fault = Some(why),
        }
        Tag::BinData
    }

    /// The figure at hand has everything that belongs to it.
    fn complete(&mut self) {
        let left = MAX_HELD.saturating_sub(self.held);
        let mask = self.mask.take().map(|mask| finish_mask(mask, left));
        let fault = self.fault.take();
        let (regions, number) = (self.all.len(), self.all.last().map_or(0, |r| r.shapes.len()));
        let Some(shape) = self.all.last_mut().and_then(|roi| roi.shapes.last_mut()) else { return };
        let made = match (fault, mask) {
            (Some(why), _) | (None, Some(Err(why))) => Err(why),
            (None, Some(Ok(mask))) => {
                shape.figure = Figure::Mask(Box::new(mask));
                Ok(())
            }
            (None, None) => Ok(()),
        };
        let near = |v: f64| v.is_finite() && v.abs() <= Figure::FARTHEST;
        let made = made.and_then(|()| {
            let there = |p| shape.transform.as_ref().map_or(p, |t| t.apply(p));
            match figure_points(&shape.figure)
                .map(|p| (p, there(p)))
                .find(|(p, q)| !p.iter().chain(q).all(|v| near(*v)))
            {
                None => Ok(()),
                Some(([x, y], _)) => Err(format!("coordinates {x}, {y} are out of reach")),
            }
        });
        if let Err(why) = made {
            if self.faults.len() < MAX_WARNINGS {
                self.faults.push(format!("region {}, shape {}: {why}", regions - 1, number - 1));
            }
            shape.figure = Figure::Unreadable(why.into());
        }
        let bytes = size_of::<RoiShape>() + shape.heap_bytes() + BESIDE;
        self.hold(bytes);
    }
}

fn finish_mask(mask: PendingMask, most: usize) -> Result<Mask, String> {
    let [x, y, width, height] = mask.place;
    let (columns, rows) = mask.size.unwrap_or((width, height));
    let data = mask.data.ok_or("a mask without BinData")?;
    let (columns, rows, bits) = bitmap(columns, rows, data, most)?;
    if !(width > 0.0 && height > 0.0) {
        return Err(format!("a mask of {width} x {height}"));
    }
    Ok(Mask { x, y, width, height, columns, rows, bits })
}
