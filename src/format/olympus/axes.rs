//! The dimensions of an acquisition, and how the name of a plane's file follows from its place in them.

use super::ini::Ini;
use crate::error::{Error, Result};

/// A dimension, as its section describes it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Axis {
    /// X, Y, Z, T, C (channels), L (wavelengths), A (angle), P (points).
    pub code: char,
    /// Steps, at least 1.
    pub count: u64,
    pub unit: String,
    pub start: Option<f64>,
    pub end: Option<f64>,
    /// From a step to the next, as it was set.
    pub interval: Option<f64>,
}

/// All dimensions, columns and rows first, the others from the fastest to the slowest.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Axes {
    pub all: Vec<Axis>,
}

/// More planes than any acquisition has.
const MAX_PLANES: u64 = 1 << 32;

impl Axes {
    /// Reads the sections of the main text.
    ///
    /// # Errors
    /// `Malformed` if there are none, `OverLimit` for too many planes.
    pub fn read(ini: &Ini) -> Result<Self> {
        let read = |number: u32| {
            let section = format!("Axis {number} Parameters Common");
            let code = ini.text(&section, "AxisCode")?.chars().next()?;
            Some(Axis {
                code,
                count: ini.count(&section, "MaxSize").unwrap_or(0).max(1),
                unit: ini
                    .text(&section, "PixUnit")
                    .or_else(|| ini.text(&section, "UnitName"))
                    .unwrap_or_default()
                    .to_owned(),
                start: ini.number(&section, "StartPosition"),
                end: ini.number(&section, "EndPosition"),
                interval: ini.number(&section, "Interval"),
            })
        };
        let known: Vec<Axis> = (0..16).filter_map(read).collect();
        let order: Vec<char> = match ini.text("Axis Parameter Common", "AxisOrder") {
            Some(order) => order.chars().collect(),
            None => known.iter().filter(|a| a.count > 1 || "XY".contains(a.code)).map(|a| a.code).collect(),
        };
        let mut all: Vec<Axis> = Vec::new();
        for code in order {
            let axis = known.iter().find(|a| a.code == code);
            let axis = axis.ok_or_else(|| Error::malformed(format!("axis {code} has no section")))?;
            if all.iter().all(|a| a.code != code) {
                all.push(axis.clone());
            }
        }
        // Channels are never the rows, wherever a scan of a line has them in its order.
        let is_rows = |code: &char| all.iter().skip(1).position(|a| a.code == *code);
        let rows = is_rows(&'Y').or_else(|| all.iter().skip(1).position(|a| !matches!(a.code, 'C' | 'L')));
        match rows {
            Some(rows) => all[1..=rows + 1].rotate_right(1),
            None => return Err(Error::malformed("an acquisition without rows and columns")),
        }
        let axes = Axes { all };
        let planes = axes.planes().iter().try_fold(1_u64, |n, a| n.checked_mul(a.count));
        if planes.is_none_or(|n| n > MAX_PLANES) {
            return Err(Error::over_limit(format!("more than {MAX_PLANES} planes")));
        }
        Ok(axes)
    }

    /// Those that tell planes apart.
    pub fn planes(&self) -> &[Axis] {
        self.all.get(2..).unwrap_or_default()
    }

    /// Steps of one of those.
    pub fn count(&self, code: char) -> u64 {
        self.planes().iter().find(|a| a.code == code).map_or(1, |a| a.count)
    }

    /// Those that are shown as channels, from the fastest to the slowest.
    pub fn in_channels(&self) -> impl Iterator<Item = &Axis> {
        self.planes().iter().filter(|a| !matches!(a.code, 'Z' | 'T'))
    }

    /// Groups of channels.
    pub fn groups(&self) -> u64 {
        self.in_channels().map(|a| a.count).product()
    }

    /// The step along each dimension of planes.
    pub fn steps(&self, t: u64, group: u64, z: u64) -> Vec<(char, u64)> {
        let mut left = group;
        let step = |axis: &Axis| match axis.code {
            'Z' => ('Z', z),
            'T' => ('T', t),
            code => {
                let step = left % axis.count;
                left /= axis.count;
                (code, step)
            }
        };
        self.planes().iter().map(step).collect()
    }
}

/// How files of planes are named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Naming {
    prefix: String,
    /// Letter and digits of each dimension.
    parts: Vec<(char, usize)>,
}

impl Naming {
    /// From the pattern in the main text ("x.oif.files\s_C%03dZ%03d.pty"), else the name of its first plane
    /// ("...\s_C001Z001.pty").
    pub fn read(ini: &Ini) -> Option<Self> {
        let value = |key: &str| ini.text("ProfileSaveInfo", key).map(file_name);
        let pattern = value("PtyFileNameT2").and_then(Self::of_pattern);
        pattern.or_else(|| value("PtyFileNameS").map(|name| Self::of_name(name).0))
    }

    fn of_pattern(name: &str) -> Option<Self> {
        let stem = stem(name);
        let first = stem.find('%')?.checked_sub(1)?;
        let mut naming = Naming { prefix: stem.get(..first)?.to_owned(), parts: Vec::new() };
        let mut rest = stem.get(first..)?;
        while !rest.is_empty() {
            let letter = rest.chars().next()?;
            let after = rest.get(letter.len_utf8()..)?.strip_prefix('%')?;
            let digits = after.find('d')?;
            let width = after.get(..digits)?.trim_start_matches('0').parse().ok().filter(|w| *w < 10)?;
            naming.parts.push((letter, width));
            rest = after.get(digits + 1..)?;
        }
        Some(naming)
    }

    /// From the name of a plane, with the steps that it names, which count from zero.
    pub fn of_name(name: &str) -> (Self, Vec<(char, u64)>) {
        let stem = stem(name);
        let mut head = stem;
        let (mut parts, mut steps) = (Vec::new(), Vec::new());
        loop {
            let before = head.trim_end_matches(|c: char| c.is_ascii_digit());
            let digits = head.get(before.len()..).unwrap_or_default();
            let Some(letter) = before.chars().last().filter(|c| c.is_ascii_uppercase()) else { break };
            let Some(step) = digits.parse::<u64>().ok().filter(|n| *n > 0 && digits.len() < 10) else { break };
            parts.insert(0, (letter, digits.len()));
            steps.insert(0, (letter, step - 1));
            head = before.get(..before.len() - 1).unwrap_or_default();
        }
        (Naming { prefix: head.to_owned(), parts }, steps)
    }

    /// Does the name of a plane say where it is along a dimension?
    pub fn tells(&self, code: char) -> bool {
        self.parts.iter().any(|(letter, _)| *letter == code)
    }

    /// The name of a plane's file, without its ending.
    pub fn name(&self, steps: &[(char, u64)]) -> String {
        let mut name = self.prefix.clone();
        for (letter, width) in &self.parts {
            let step = steps.iter().find(|(code, _)| code == letter).map_or(0, |(_, step)| *step);
            name.push_str(&format!("{letter}{:0width$}", step + 1));
        }
        name
    }
}

/// The last part of a path, whatever system it is of.
pub(super) fn file_name(path: &str) -> &str {
    path.rsplit(['\\', '/']).next().unwrap_or(path)
}

/// All of a path but its last part.
pub(super) fn folder_name(path: &str) -> Option<&str> {
    path.rsplit_once(['\\', '/']).map(|(folder, _)| file_name(folder)).filter(|f| !f.is_empty())
}

fn stem(name: &str) -> &str {
    name.rsplit_once('.').map_or(name, |(stem, _)| stem)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(order: &str, sizes: &[(char, u64)]) -> Vec<u8> {
        let section = |(i, (code, n)): (usize, &(char, u64))| {
            format!("[Axis {i} Parameters Common]\nAxisCode=\"{code}\"\nMaxSize={n}\nPixUnit=\"um\"\n")
        };
        let axes: String = sizes.iter().enumerate().map(section).collect();
        format!("{axes}[Axis Parameter Common]\nAxisOrder=\"{order}\"\n").into_bytes()
    }

    #[test]
    fn further_dimensions_go_into_channels_the_first_one_fastest() {
        let sizes = [('X', 9), ('Y', 8), ('C', 2), ('Z', 3), ('T', 0), ('L', 4)];
        let axes = Axes::read(&Ini::parse(&text("XYCLZ", &sizes)).unwrap()).unwrap();
        assert_eq!((axes.count('Z'), axes.count('T'), axes.groups()), (3, 1, 8));
        assert_eq!(axes.steps(0, 5, 2), [('C', 1), ('L', 2), ('Z', 2)]);
        // An x-t scan has time along its rows.
        let axes = Axes::read(&Ini::parse(&text("XTC", &[('X', 9), ('C', 2), ('T', 7)])).unwrap()).unwrap();
        assert_eq!((axes.all[1].code, axes.count('T'), axes.groups()), ('T', 1, 2));
        let axes = Axes::read(&Ini::parse(&text("XCT", &[('X', 9), ('C', 2), ('T', 7)])).unwrap()).unwrap();
        assert_eq!((axes.all[1].code, axes.count('T'), axes.groups()), ('T', 1, 2));
        assert!(Axes::read(&Ini::parse(&text("XC", &sizes)).unwrap()).is_err());
        assert!(Axes::read(&Ini::parse(&text("XYQ", &sizes)).unwrap()).is_err());
        let many = [('X', 1), ('Y', 1), ('C', 1 << 20), ('Z', 1 << 20)];
        assert!(Axes::read(&Ini::parse(&text("XYCZ", &many)).unwrap()).is_err());
    }

    #[test]
    fn names_follow_a_pattern_or_the_first_name() {
        let pattern = Naming::of_pattern("s_C%03dZ%03dT%04d.pty").unwrap();
        let steps = [('C', 1), ('T', 1233), ('Z', 0)];
        assert_eq!(pattern.name(&steps), "s_C002Z001T1234");
        let (named, steps) = Naming::of_name("s_C001Z010.tif");
        assert_eq!((named.name(&[('Z', 1)]), steps), ("s_C001Z002".into(), vec![('C', 0), ('Z', 9)]));
        assert_eq!(Naming::of_name("picture.tif").0.name(&[('Z', 1)]), "picture");
        for bad in ["s_C%s.pty", "s_.pty", "%03d", "s_C%3", "s_C%099d"] {
            assert_eq!(Naming::of_pattern(bad), None, "{bad}");
        }
        assert_eq!((file_name("a\\b/c.pty"), folder_name("a.oif.files\\c.pty")), ("c.pty", Some("a.oif.files")));
    }
}
