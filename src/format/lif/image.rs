//! An image from its description: which dimension is what, how far its steps are apart, and which channels lie together.

use super::metadata;
use crate::codec::raster::Number;
use crate::error::{Error, Result};
use crate::format::Limits;
use crate::format::strided::{Layout, Stage};
use crate::format::xml::Element;
use crate::model::{Quantity, Series};

/// A dimension of planes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Axis {
    pub count: u64,
    /// Bytes from one step to the next.
    pub step: u64,
}

const NONE: Axis = Axis { count: 1, step: 0 };

/// Images of one description: one, or one for each position.
#[derive(Debug, Clone)]
pub(super) struct Image {
    /// What they have in common.
    pub series: Series,
    pub layout: Layout,
    /// Offset of each channel group.
    pub groups: Vec<u64>,
    pub t: Axis,
    pub z: Axis,
    /// Positions of the stage: an image each.
    pub positions: Axis,
    /// Dimensions that multiply into channels, the first one slowest.
    pub extra: Vec<Axis>,
    /// Where the stage was for each position.
    pub stages: Vec<Stage>,
}

/// `DimensionDescription`.
#[derive(Debug, Clone)]
struct Dimension {
    id: u64,
    count: u64,
    step: u64,
    /// From the first to the last.
    length: Option<f64>,
    unit: String,
}

/// `ChannelDescription`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Channel {
    /// Number in the description.
    index: usize,
    number: Number,
    bits: u32,
    resolution: u32,
    /// 1 red, 2 green, 3 blue.
    tag: u64,
    offset: u64,
}

/// Identifiers of dimensions.
mod id {
    pub const X: u64 = 1;
    pub const Y: u64 = 2;
    pub const Z: u64 = 3;
    pub const T: u64 = 4;
    /// Emission wavelength.
    pub const LAMBDA: u64 = 5;
    pub const ROTATION: u64 = 6;
    /// Excitation wavelength.
    pub const EXCITATION: u64 = 9;
    /// Tiles and positions of the stage.
    pub const POSITION: u64 = 10;
}

/// Longest distance inside of a memory block.
const FARTHEST: u128 = 1 << 60;

impl Image {
    /// Reads an `Element` that holds an `Image`; channels of different types become images of their own.
    ///
    /// # Errors
    /// `Malformed`, `Unsupported`, `OverLimit`.
    pub fn read(element: &Element, name: &str, limits: &Limits) -> Result<Vec<Self>> {
        let image = element.path(&["Data", "Image"]).ok_or_else(|| Error::malformed("no image in the element"))?;
        let description = image.child("ImageDescription").ok_or_else(|| Error::malformed("no ImageDescription"))?;
        let list = |outer: &str, inner: &'static str| {
            description.child(outer).map(|o| o.all(inner).collect::<Vec<_>>()).unwrap_or_default()
        };
        let dimensions = list("Dimensions", "DimensionDescription");
        let dimensions = dimensions.into_iter().map(Dimension::read).collect::<Result<Vec<_>>>()?;
        let channels = list("Channels", "ChannelDescription");
        let channels = channels.iter().enumerate().map(|(i, c)| Channel::read(c, i)).collect::<Result<Vec<_>>>()?;
        let mut types: Vec<(Number, u32)> = Vec::new();
        for channel in &channels {
            if !types.contains(&(channel.number, channel.bits)) {
                types.push((channel.number, channel.bits));
            }
        }
        if types.is_empty() {
            return Err(Error::malformed("an image without channels"));
        }
        let about = metadata::channels(image, channels.len());
        let of_type = |(number, bits): &(Number, u32)| {
            let alike: Vec<Channel> =
                channels.iter().filter(|c| (c.number, c.bits) == (*number, *bits)).cloned().collect();
            let mut one = Self::of_channels(&alike, &dimensions, limits)?;
            one.series.name = name.to_owned();
            let repeated = one.extra.iter().map(|a| a.count).product::<u64>();
            one.series.channels = metadata::repeated(&about, &one.order(&alike), one.series.rgb, repeated);
            metadata::describe(&mut one.series, image);
            one.stages = metadata::stages(image, one.positions.count);
            Ok(one)
        };
        types.iter().map(of_type).collect()
    }

    /// Indices of the channels in the order in which they are shown.
    fn order(&self, channels: &[Channel]) -> Vec<usize> {
        let mut order = Vec::new();
        for group in &self.groups {
            for sample in &self.layout.samples {
                let offset = group.checked_add_signed(*sample);
                order.extend(channels.iter().find(|c| Some(c.offset) == offset).map(|c| c.index));
            }
        }
        order
    }

    fn of_channels(channels: &[Channel], dimensions: &[Dimension], limits: &Limits) -> Result<Self> {
        let first = channels.first().ok_or_else(|| Error::malformed("an image without channels"))?;
        // The dimension stored closest is that of columns, the next one that of rows, whatever they are: an x-z scan is shown
        // as it was stored.
        let mut stored: Vec<&Dimension> =
            dimensions.iter().filter(|d| d.count > 1 || matches!(d.id, id::X | id::Y)).collect();
        stored.sort_by_key(|d| d.step);
        let element = u64::from(first.bits / 8);
        let column = stored.first().map_or(Dimension::none(element), |d| (*d).clone());
        let row = stored.get(1).map_or(Dimension::none(column.step.saturating_mul(column.count)), |d| (*d).clone());
        let mut image = Image {
            series: Layout::chunky(1, 1, 1, first.bits, first.number).series((1, 1, 1), limits),
            layout: Layout::chunky(column.count, row.count, 1, first.bits, first.number),
            groups: Vec::new(),
            t: NONE,
            z: NONE,
            positions: NONE,
            extra: Vec::new(),
            stages: Vec::new(),
        };
        let (mut focus, mut time) = (None, None);
        for dimension in stored.iter().skip(2) {
            let axis = Axis { count: dimension.count, step: dimension.step };
            match dimension.id {
                id::T if image.t == NONE => (image.t, time) = (axis, dimension.spacing("s")),
                id::Z if image.z == NONE => (image.z, focus) = (axis, dimension.spacing("m")),
                id::POSITION if image.positions == NONE => image.positions = axis,
                _ => image.extra.push(axis),
            }
        }
        // Steps of an x-z scan along y, where there is no other z.
        if image.z == NONE
            && let Some(y) = stored.iter().skip(2).find(|d| matches!(d.id, id::X | id::Y))
        {
            let axis = Axis { count: y.count, step: y.step };
            image.extra.retain(|e| *e != axis);
            (image.z, focus) = (axis, y.spacing("m"));
        }
        // The farthest multiplies slowest.
        image.extra.sort_by_key(|a| std::cmp::Reverse(a.step));
        image.layout.pixel = signed(column.step)?;
        image.layout.row = signed(row.step)?;
        let rgb = image.group(channels)?;
        image.layout.check()?;
        image.check_reach()?;
        let repeated = image.extra.iter().map(|a| a.count).fold(1, u64::saturating_mul);
        let groups = (image.groups.len() as u64).saturating_mul(repeated);
        image.series = image.layout.series((image.t.count, groups, image.z.count), limits);
        image.series.rgb = rgb;
        let resolution = channels.iter().map(|c| c.resolution).max().unwrap_or(first.bits);
        image.series.significant_bits = resolution.min(image.series.significant_bits);
        let micrometers =
            |spacing: Option<f64>| spacing.and_then(|m| Quantity::checked(m * 1e6, Quantity::micrometer(1.0).unit));
        image.series.physical.x = micrometers(column.spacing("m"));
        image.series.physical.y = micrometers(row.spacing("m"));
        image.series.physical.z = micrometers(focus);
        image.series.physical.t = time.and_then(|s| Quantity::checked(s, Quantity::second(1.0).unit));
        Ok(image)
    }

    /// Puts channels that lie inside of one pixel together; says whether they are colours.
    fn group(&mut self, channels: &[Channel]) -> Result<bool> {
        let pixel = self.layout.pixel.unsigned_abs();
        let mut sorted: Vec<&Channel> = channels.iter().collect();
        sorted.sort_by_key(|c| c.offset);
        let (low, high) = (sorted.first().map_or(0, |c| c.offset), sorted.last().map_or(0, |c| c.offset));
        let together = sorted.len() > 1 && high - low < pixel;
        let mut tags: Vec<u64> = channels.iter().map(|c| c.tag).collect();
        tags.sort_unstable();
        let rgb = together && tags == [1, 2, 3];
        if !together {
            // As they are listed.
            self.groups = channels.iter().map(|c| c.offset).collect();
            return Ok(false);
        }
        if rgb {
            sorted.sort_by_key(|c| c.tag);
        }
        self.groups = vec![low];
        self.layout.samples = sorted.iter().map(|c| signed(c.offset - low)).collect::<Result<_>>()?;
        Ok(rgb)
    }

    /// No address inside of the memory block overflows.
    fn check_reach(&self) -> Result<()> {
        let axes = self.extra.iter().chain([&self.t, &self.z, &self.positions]);
        let far: u128 =
            axes.map(|a| u128::from(a.step).saturating_mul(u128::from(a.count))).fold(0, u128::saturating_add);
        let group = u128::from(self.groups.iter().copied().max().unwrap_or(0));
        if far.saturating_add(group) > FARTHEST {
            return Err(Error::over_limit("dimensions that reach farther than any memory block"));
        }
        Ok(())
    }

    /// Where a plane begins in the memory block.
    pub fn plane(&self, position: u64, t: u64, g: u64, z: u64) -> u64 {
        let groups = self.groups.len() as u64;
        let group = usize::try_from(g % groups.max(1)).ok().and_then(|g| self.groups.get(g)).copied().unwrap_or(0);
        let mut left = g / groups.max(1);
        let mut extra = 0_u64;
        for axis in self.extra.iter().rev() {
            extra = extra.saturating_add(left % axis.count.max(1) * axis.step);
            left /= axis.count.max(1);
        }
        let part = |axis: &Axis, step: u64| axis.step.saturating_mul(step);
        [group, extra, part(&self.t, t), part(&self.z, z), part(&self.positions, position)]
            .iter()
            .fold(0, |sum, v| sum.saturating_add(*v))
    }
}

fn signed(step: u64) -> Result<i64> {
    i64::try_from(step).map_err(|_| Error::malformed(format!("samples {step} bytes apart")))
}

fn count(element: &Element, name: &str) -> Result<u64> {
    let text = element.attribute(name).unwrap_or("0").trim();
    text.parse().map_err(|_| Error::malformed(format!("{name} {text:.40}")))
}

impl Dimension {
    fn read(element: &Element) -> Result<Self> {
        let (id, elements, step) =
            (count(element, "DimID")?, count(element, "NumberOfElements")?, count(element, "BytesInc")?);
        if elements == 0 || elements > u64::from(u32::MAX) || !(id::X..=64).contains(&id) {
            return Err(Error::malformed(format!("dimension {id} with {elements} elements")));
        }
        let length = element.number("Length").map(f64::abs).filter(|l| *l > 0.0);
        let unit = element.attribute("Unit").unwrap_or_default().trim().to_owned();
        Ok(Dimension { id, count: elements, step, length, unit })
    }

    /// A dimension that is not described.
    fn none(step: u64) -> Self {
        Dimension { id: 0, count: 1, step, length: None, unit: String::new() }
    }

    /// From one element to the next, in metres or seconds.
    fn spacing(&self, base: &str) -> Option<f64> {
        let steps = self.count.checked_sub(1).filter(|n| *n > 0)?;
        let spacing = self.length? / steps as f64;
        match crate::model::Unit::parse(&self.unit) {
            Some(unit) if unit.0.ends_with(base) || base == "m" && !unit.0.ends_with('s') => {
                Some(spacing * unit.factor())
            }
            Some(_) => None,
            None => (self.unit.is_empty() && !matches!(self.id, id::LAMBDA | id::ROTATION | id::EXCITATION))
                .then_some(spacing),
        }
    }
}

impl Channel {
    fn read(element: &Element, index: usize) -> Result<Self> {
        let resolution = count(element, "Resolution")?;
        let bits = match resolution {
            1..=8 => 8,
            9..=16 => 16,
            17..=32 => 32,
            33..=64 => 64,
            _ => return Err(Error::malformed(format!("a channel of {resolution} bits"))),
        };
        let number = match count(element, "DataType")? {
            0 => Number::Unsigned,
            1 => Number::Float,
            n => return Err(Error::unsupported(format!("samples of type {n}"))),
        };
        if number == Number::Float && bits == 8 {
            return Err(Error::malformed(format!("floating-point numbers of {resolution} bits")));
        }
        Ok(Channel {
            index,
            number,
            bits,
            resolution: resolution as u32,
            tag: count(element, "ChannelTag")?,
            offset: count(element, "BytesInc")?,
        })
    }
}
