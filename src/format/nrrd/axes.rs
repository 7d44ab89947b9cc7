//! Which axis is which.

use super::header::Header;
use crate::error::{Error, Result};
use crate::model::{Quantity, Series, Unit};

/// Samples of a pixel that are read together, at most; more are planes of their own.
const TOGETHER: u64 = 4;

/// Sizes of the axes, and bytes from one element to the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Axes {
    pub x: (u64, i64),
    pub y: (u64, i64),
    pub z: (u64, i64),
    pub t: (u64, i64),
    /// Channels that lie apart.
    pub groups: (u64, i64),
    /// Channels side by side.
    together: (u64, i64),
    rgb: bool,
    /// Number of the axis that each of x, y, z, t is.
    numbers: [Option<usize>; 4],
}

/// What an axis is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    Space,
    Time,
    List,
    Values,
    Colors,
    Unknown,
}

fn of_kind(kind: &str) -> Use {
    match kind.to_lowercase().as_str() {
        "domain" | "space" => Use::Space,
        "time" => Use::Time,
        "list" | "point" => Use::List,
        "rgb-color" | "rgba-color" => Use::Colors,
        "???" | "none" | "" => Use::Unknown,
        _ => Use::Values,
    }
}

impl Axes {
    /// Tells them by their kinds and directions; where those are not given, by their order: x, y, z, t.
    ///
    /// # Errors
    /// `Unsupported`, `OverLimit`.
    pub fn of(header: &Header) -> Result<Self> {
        let mut strides = Vec::with_capacity(header.sizes.len());
        let mut step = u64::from(header.bits / 8);
        for size in &header.sizes {
            strides.push(step);
            step = step
                .checked_mul(*size)
                .filter(|n| *n < 1 << 62)
                .ok_or_else(|| Error::over_limit(format!("an array of {:?}", header.sizes)))?;
        }
        let mut uses = uses(header);
        // Space beyond three axes.
        let space: Vec<usize> = (0..uses.len()).filter(|n| uses[*n] == Use::Space).collect();
        for (n, axis) in space.iter().enumerate().skip(3) {
            uses[*axis] = if n == 3 && !uses.contains(&Use::Time) { Use::Time } else { Use::Values };
        }
        // A list counts frames, if nothing else does.
        if let (Some(list), false) = (uses.iter().position(|u| *u == Use::List), uses.contains(&Use::Time)) {
            uses[list] = Use::Time;
        }
        let find = |wanted: Use, nth: usize| (0..uses.len()).filter(|n| uses[*n] == wanted).nth(nth);
        let numbers = [find(Use::Space, 0), find(Use::Space, 1), find(Use::Space, 2), find(Use::Time, 0)];
        let one = |number: Option<usize>| {
            number.map_or((1, 0), |n| (header.sizes[n], i64::try_from(strides[n]).unwrap_or(i64::MAX)))
        };
        let [x, y, z, t] = numbers.map(one);
        let x = if numbers[0].is_some() { x } else { (1, i64::from(header.bits / 8)) };
        let rest: Vec<usize> =
            (0..uses.len()).filter(|n| !numbers.contains(&Some(*n)) && header.sizes[*n] > 1).collect();
        let (mut together, mut groups) = ((1, 0), (1, 0));
        let mut rgb = false;
        match rest[..] {
            [] => {}
            [axis] => {
                let colors = uses[axis] == Use::Colors && (3..=4).contains(&header.sizes[axis]);
                // What lies inside of a pixel is read with it.
                let inside = strides[axis] < x.1.unsigned_abs() && header.sizes[axis] <= TOGETHER;
                if inside || colors {
                    (together, rgb) = (one(Some(axis)), colors);
                } else {
                    groups = one(Some(axis));
                }
            }
            // Neighbours count as one where they follow each other.
            [first, .., last] => {
                let follow =
                    rest.windows(2).all(|w| strides[w[0]].checked_mul(header.sizes[w[0]]) == Some(strides[w[1]]));
                if !follow {
                    return Err(Error::unsupported(format!("axes {first} and {last} are both neither space nor time")));
                }
                groups = (rest.iter().map(|n| header.sizes[*n]).product(), one(Some(first)).1);
            }
        }
        // Rows of a single line begin where they end.
        let y = if numbers[1].is_some() { y } else { (1, x.1.saturating_mul(i64::try_from(x.0).unwrap_or(i64::MAX))) };
        Ok(Axes { x, y, z, t, groups, together, rgb, numbers })
    }

    /// Offsets of the samples side by side.
    pub fn samples(&self) -> Vec<i64> {
        (0..self.together.0 as i64).map(|s| s.saturating_mul(self.together.1)).collect()
    }

    /// Calibration, colours.
    pub fn describe(&self, series: &mut Series, header: &Header) {
        series.rgb = self.rgb;
        let sizes = self.numbers.map(|number| number.and_then(|n| size(header, n)));
        let [x, y, z, t] = sizes;
        (series.physical.x, series.physical.y, series.physical.z) = (x, y, z);
        series.physical.t =
            t.filter(|q| q.unit.as_ref().is_some_and(|u| Quantity::second(1.0).unit.is_some_and(|s| same_kind(u, &s))));
        super::described(series, header.fields.get("content").map(String::as_str));
        let labels = header.pairs.get("channel names").map(|names| names.split(',').map(str::trim).collect::<Vec<_>>());
        if let Some(labels) = labels.filter(|l| l.len() == series.channels.len()) {
            series.channels.iter_mut().zip(labels).for_each(|(c, name)| c.name = Some(name.to_owned()));
        }
    }
}

/// Do both measure time?
fn same_kind(a: &Unit, second: &Unit) -> bool {
    a == second || a.0.ends_with('s') && a.0 != "as" || ["min", "h", "d"].contains(&a.0.as_str())
}

fn uses(header: &Header) -> Vec<Use> {
    let rank = header.sizes.len();
    let kinds = header.of_axes("kinds").filter(|k| k.len() == rank);
    let mut uses: Vec<Use> =
        kinds.map_or_else(|| vec![Use::Unknown; rank], |kinds| kinds.iter().map(|k| of_kind(k)).collect());
    // An axis with a direction in space is one; one without is none.
    let directions = header.of_axes("space directions").filter(|d| d.len() == rank);
    let spacings = header.of_axes("spacings").filter(|s| s.len() == rank);
    for (n, one) in uses.iter_mut().enumerate().filter(|(_, u)| **u == Use::Unknown) {
        if let Some(directions) = &directions {
            *one = if directions[n].starts_with('(') { Use::Space } else { Use::List };
        } else if spacings.as_ref().is_some_and(|s| s[n].eq_ignore_ascii_case("nan")) && rank > 2 {
            *one = Use::Values;
        }
    }
    uses.iter_mut().filter(|u| **u == Use::Unknown).for_each(|u| *u = Use::Space);
    uses
}

/// The size of an element along an axis.
fn size(header: &Header, axis: usize) -> Option<Quantity> {
    let rank = header.sizes.len();
    let word = |name: &str| header.of_axes(name).filter(|w| w.len() == rank).and_then(|w| w.get(axis).cloned());
    if let Some(direction) = word("space directions").filter(|d| d.starts_with('(')) {
        let parts: Option<Vec<f64>> =
            direction.trim_matches(['(', ')']).split(',').map(|p| p.trim().parse::<f64>().ok()).collect();
        let length = parts?.iter().map(|p| p * p).sum::<f64>().sqrt();
        // Twelve digits: a rotated axis of 0.3 is 0.3 long.
        let length: f64 = format!("{length:.11e}").parse().ok()?;
        let units = header.of_axes("space units");
        // Patients are measured in millimetres, by the definition of their spaces.
        let patient = header.fields.get("space").is_some_and(|s| {
            let s = s.to_lowercase();
            s.contains("left")
                || s.contains("right")
                || s.contains("scanner")
                || ["ras", "las", "lps"].contains(&s.as_str())
        });
        let unit = match units.as_deref().and_then(|u| u.first()) {
            Some(unit) => Unit::parse(unit),
            None => patient.then(|| Unit("mm".to_owned())),
        };
        return Quantity::checked(length, unit);
    }
    let spacing: f64 = word("spacings")?.parse().ok()?;
    Quantity::checked(spacing.abs(), word("units").and_then(|u| Unit::parse(&u)))
}
