//! What the directory of an open image shows: children by name and by number.

use super::plates::PlateIndex;
use super::{ArrayNodes, Group, Virtual};
use crate::config::Deidentify;
use crate::error::{Error, Kind, Result};
use crate::pyramid::OpenImage;
use crate::zarr::{GroupKind, REGIONS, View, associated_series, loose_series, main_series, region_series};

/// The roles of an open image's series, as its directory shows them.
pub struct Shown {
    root: GroupKind,
    main: Vec<u32>,
    /// Main images in no plate, where there are plates.
    loose: Vec<u32>,
    plates: Vec<PlateIndex>,
    associated: Vec<(String, u32)>,
    /// Series that have regions of interest, each with the series that shows them; in order.
    regions: Vec<(u32, u32)>,
    document: Option<&'static str>,
    /// Are there records of quality control?
    quality: bool,
}

/// An index as it is written in a path: no sign, no leading zero.
fn index(name: &[u8]) -> Option<u64> {
    let canonical = !name.is_empty() && name.iter().all(u8::is_ascii_digit) && (name.len() == 1 || name[0] != b'0');
    canonical.then(|| std::str::from_utf8(name).ok()?.parse().ok()).flatten()
}

fn position(names: &[&str], name: &[u8]) -> Option<u8> {
    names.iter().position(|n| n.as_bytes() == name).and_then(|p| u8::try_from(p).ok())
}

/// Member `i` of a list of series that are called by their number.
fn member(list: &[u32], i: u64) -> Option<Virtual> {
    list.get(usize::try_from(i).ok()?).map(|s| Virtual::Group(Group::Series(*s)))
}

impl Shown {
    /// Of an image; the layout is the same in every view. Where people are left out, so are the pictures beside a slide, any of
    /// which may show its label, and the document of the source.
    pub fn new(view: View, image: &OpenImage, quality: bool) -> Self {
        let covered = view.deidentify != Deidentify::Off;
        let plates = image.source.plates();
        Shown {
            root: view.root(image),
            main: main_series(image),
            loose: if plates.is_empty() { Vec::new() } else { loose_series(image) },
            plates: plates.iter().zip(0u32..).map(|(p, n)| PlateIndex::new(p, n)).collect(),
            associated: if covered { Vec::new() } else { associated_series(image) },
            regions: region_series(image),
            document: image.source.document().map(|(name, _)| name).filter(|_| !covered),
            quality,
        }
    }

    /// What the group of a directory or document says.
    pub fn group(&self, view: View, image: &OpenImage, node: Virtual) -> Option<GroupKind> {
        let (Virtual::Group(group) | Virtual::GroupFile(group, _)) = node else { return None };
        Some(match group {
            Group::Root => self.root,
            Group::Ome => view.ome(image),
            Group::Associated | Group::Images | Group::Plates | Group::Row(..) => GroupKind::Plain,
            Group::Plate(p) => GroupKind::Plate(p),
            Group::Well(p, w) => GroupKind::Well(p, w),
            Group::Labels(_) => GroupKind::Labels,
            Group::Series(s) if self.is_regions(s) => GroupKind::Regions(s),
            Group::Series(s) => GroupKind::Image(s),
        })
    }

    /// The array nodes of a level.
    pub fn array(&self, view: View, image: &OpenImage, series: u32, level: u32) -> Option<ArrayNodes> {
        let pyramid = image.pyramids.get(series as usize)?;
        let known = (level as usize) < pyramid.levels.len();
        known.then(|| ArrayNodes::new(view.array(image, series, level), series, level))
    }

    /// Does the node exist in this image? Ids come from the kernel, so they are not believed.
    pub fn exists(&self, view: View, image: &OpenImage, node: Virtual) -> bool {
        use Virtual as V;
        match node {
            V::Group(group) => self.has(group),
            V::GroupFile(group, f) => usize::from(f) < view.group_files().len() && self.has(group),
            V::Metadata | V::Crate | V::Report => true,
            V::Quality => self.quality,
            V::SourceDocument => self.document.is_some(),
            V::ArrayFile(_, _, f) => usize::from(f) < view.array_files().len(),
            V::Array(s, l) | V::ChunkDirectory(s, l, ..) | V::Chunk(s, l, _) => {
                image.pyramids.get(s as usize).is_some_and(|p| (l as usize) < p.levels.len())
            }
        }
    }

    fn has(&self, group: Group) -> bool {
        let plate = |p: u32| self.plates.get(p as usize);
        match group {
            Group::Root | Group::Ome => true,
            Group::Associated => !self.associated.is_empty(),
            Group::Images => !self.loose.is_empty(),
            Group::Plates => self.plates.len() > 1,
            Group::Plate(p) => p > 0 && plate(p).is_some(),
            Group::Row(p, r) => plate(p).is_some_and(|p| p.columns(r) > 0),
            Group::Well(p, w) => plate(p).is_some_and(|p| !p.fields(w).is_empty()),
            Group::Series(s) => {
                self.root != GroupKind::Image(s)
                    && (self.main.contains(&s)
                        || self.associated.iter().any(|(_, other)| *other == s)
                        || self.is_regions(s))
            }
            Group::Labels(s) => self.regions_of(s).is_some(),
        }
    }

    /// The series that shows the regions of interest of a series.
    fn regions_of(&self, series: u32) -> Option<u32> {
        let at = self.regions.binary_search_by_key(&series, |(of, _)| *of).ok()?;
        Some(self.regions[at].1)
    }

    fn is_regions(&self, series: u32) -> bool {
        self.regions.iter().any(|(_, shows)| *shows == series)
    }

    /// The plate whose rows lie in a directory.
    fn plate_of(&self, group: Group) -> Option<&PlateIndex> {
        match group {
            Group::Root => self.plates.first(),
            Group::Plate(p) => self.plates.get(p as usize),
            _ => None,
        }
    }

    /// The series whose levels lie in a directory.
    fn image_of(&self, group: Group) -> Option<u32> {
        match (group, self.root) {
            (Group::Root, GroupKind::Image(s)) | (Group::Series(s), _) => Some(s),
            _ => None,
        }
    }

    /// The series that a directory calls by numbers from zero.
    fn members(&self, group: Group) -> &[u32] {
        match group {
            Group::Root if self.root == GroupKind::Collection => &self.main,
            Group::Images => &self.loose,
            Group::Well(p, w) => self.plates.get(p as usize).map_or(&[], |plate| plate.fields(w)),
            _ => &[],
        }
    }

    /// Children of a group with names of their own.
    fn named(&self, group: Group) -> Vec<(&'static str, Virtual)> {
        let all = match group {
            Group::Root => vec![
                ("ro-crate-metadata.json", Virtual::Crate),
                ("nbo-tier-report.json", Virtual::Report),
                ("OME", Virtual::Group(Group::Ome)),
                ("associated", Virtual::Group(Group::Associated)),
                ("images", Virtual::Group(Group::Images)),
                ("plates", Virtual::Group(Group::Plates)),
                ("labels", Virtual::Group(Group::Labels(self.image_of(group).unwrap_or(u32::MAX)))),
            ],
            Group::Ome => {
                let own = self.document.map(|name| (name, Virtual::SourceDocument));
                let quality = self.quality.then_some(("qc.json", Virtual::Quality));
                let always = std::iter::once(("METADATA.ome.xml", Virtual::Metadata));
                return always.chain(own).chain(quality).collect();
            }
            Group::Series(s) => vec![("labels", Virtual::Group(Group::Labels(s)))],
            Group::Labels(s) => {
                return self.regions_of(s).map(|s| (REGIONS, Virtual::Group(Group::Series(s)))).into_iter().collect();
            }
            _ => return Vec::new(),
        };
        let is_there = |node: &Virtual| if let Virtual::Group(g) = node { self.has(*g) } else { true };
        all.into_iter().filter(|(_, node)| is_there(node)).collect()
    }

    /// A child of a group that is no document of it and has no name of its own.
    fn numbered(&self, image: &OpenImage, group: Group, name: &[u8]) -> Option<Virtual> {
        if let Some(series) = self.image_of(group) {
            let level = u32::try_from(index(name)?).ok()?;
            let levels = image.pyramids.get(series as usize)?.levels.len();
            return ((level as usize) < levels).then_some(Virtual::Array(series, level));
        }
        if let Some(plate) = self.plate_of(group) {
            return plate.row(name).map(Virtual::Group);
        }
        match group {
            Group::Row(p, row) => self.plates.get(p as usize)?.well(row, index(name)?).map(Virtual::Group),
            Group::Plates => {
                let plate = u32::try_from(index(name)?).ok().map(Group::Plate)?;
                self.has(plate).then_some(Virtual::Group(plate))
            }
            Group::Associated => {
                let found = self.associated.iter().find(|(n, _)| n.as_bytes() == name);
                found.map(|(_, s)| Virtual::Group(Group::Series(*s)))
            }
            _ => member(self.members(group), index(name)?),
        }
    }

    /// Entry `i` of those that [`Shown::numbered`] finds.
    fn numbered_entry(&self, image: &OpenImage, group: Group, i: u64) -> Option<(String, Virtual)> {
        let as_node = |(name, group): (String, Group)| (name, Virtual::Group(group));
        if let Some(series) = self.image_of(group) {
            let levels = image.pyramids.get(series as usize)?.levels.len() as u64;
            return (i < levels)
                .then(|| Some((i.to_string(), Virtual::Array(series, u32::try_from(i).ok()?))))
                .flatten();
        }
        if let Some(plate) = self.plate_of(group) {
            return plate.row_entry(i).map(as_node);
        }
        match group {
            Group::Row(p, row) => self.plates.get(p as usize)?.well_entry(row, i).map(as_node),
            Group::Plates => {
                let plate = u32::try_from(i.checked_add(1)?).ok().map(Group::Plate)?;
                self.has(plate).then(|| ((i + 1).to_string(), Virtual::Group(plate)))
            }
            Group::Associated => {
                let (name, series) = self.associated.get(usize::try_from(i).ok()?)?;
                Some((name.clone(), Virtual::Group(Group::Series(*series))))
            }
            _ => member(self.members(group), i).map(|node| (i.to_string(), node)),
        }
    }

    fn count_numbered(&self, image: &OpenImage, group: Group) -> u64 {
        if let Some(series) = self.image_of(group) {
            return image.pyramids.get(series as usize).map_or(0, |p| p.levels.len() as u64);
        }
        if let Some(plate) = self.plate_of(group) {
            return plate.rows();
        }
        match group {
            Group::Row(p, row) => self.plates.get(p as usize).map_or(0, |plate| plate.columns(row)),
            Group::Plates => (self.plates.len() as u64).saturating_sub(1),
            Group::Associated => self.associated.len() as u64,
            _ => self.members(group).len() as u64,
        }
    }

    /// The child of a directory by name.
    pub fn child(&self, view: View, image: &OpenImage, parent: Virtual, name: &[u8]) -> Option<Virtual> {
        use Virtual as V;
        match parent {
            V::Group(group) => {
                if let Some(f) = position(view.group_files(), name) {
                    return Some(V::GroupFile(group, f));
                }
                let named = self.named(group).into_iter().find(|(n, _)| n.as_bytes() == name);
                named.map(|(_, node)| node).or_else(|| self.numbered(image, group, name))
            }
            V::Array(s, l) => {
                let array = self.array(view, image, s, l)?;
                if let Some(f) = position(view.array_files(), name) {
                    return Some(V::ArrayFile(s, l, f));
                }
                match array.layout.prefix {
                    Some(prefix) => (prefix.as_bytes() == name).then_some(V::ChunkDirectory(s, l, 0, 0)),
                    None => array.below(0, 0, index(name)?),
                }
            }
            V::ChunkDirectory(s, l, depth, n) => self.array(view, image, s, l)?.below(depth, n, index(name)?),
            _ => None,
        }
    }

    /// Entry `i` of a directory: name and node. `None` at the end.
    pub fn entry(&self, view: View, image: &OpenImage, parent: Virtual, i: u64) -> Option<(String, Virtual)> {
        use Virtual as V;
        match parent {
            V::Group(group) => {
                let files = view.group_files();
                if let Some(name) = files.get(usize::try_from(i).ok()?) {
                    return Some(((*name).to_owned(), V::GroupFile(group, u8::try_from(i).ok()?)));
                }
                let named = self.named(group);
                let i = i - files.len() as u64;
                match named.get(usize::try_from(i).ok()?) {
                    Some((name, node)) => Some(((*name).to_owned(), *node)),
                    None => self.numbered_entry(image, group, i - named.len() as u64),
                }
            }
            V::Array(s, l) => {
                let documents = view.array_files();
                if let Some(name) = documents.get(usize::try_from(i).ok()?) {
                    return Some(((*name).to_owned(), V::ArrayFile(s, l, u8::try_from(i).ok()?)));
                }
                let i = i - documents.len() as u64;
                let array = self.array(view, image, s, l)?;
                match array.layout.prefix {
                    Some(prefix) => (i == 0).then(|| (prefix.to_owned(), V::ChunkDirectory(s, l, 0, 0))),
                    None => array.below(0, 0, i).map(|node| (i.to_string(), node)),
                }
            }
            V::ChunkDirectory(s, l, depth, n) => {
                self.array(view, image, s, l)?.below(depth, n, i).map(|node| (i.to_string(), node))
            }
            _ => None,
        }
    }

    /// Directories in a directory, for its link count.
    pub fn directories(&self, view: View, image: &OpenImage, node: Virtual) -> u64 {
        use Virtual as V;
        match node {
            V::Group(group) => {
                let named = self.named(group).into_iter().filter(|(_, n)| n.is_directory()).count() as u64;
                named + self.count_numbered(image, group)
            }
            V::Array(s, l) => self.array(view, image, s, l).map_or(0, |a| match a.layout.prefix {
                Some(_) => 1,
                None if a.layout.grid.len() > 1 => a.children(node),
                None => 0,
            }),
            V::ChunkDirectory(s, l, depth, _) => self
                .array(view, image, s, l)
                .filter(|a| usize::from(depth) + 1 < a.layout.grid.len())
                .map_or(0, |a| a.children(node)),
            _ => 0,
        }
    }

    /// The name of a document as [`View::group_file`] wants it.
    ///
    /// # Errors
    /// `NotFound` if the group has no such document.
    pub fn file_name(view: View, file: u8) -> Result<&'static str> {
        let missing = || Error::new(Kind::NotFound, "no such document");
        view.group_files().get(usize::from(file)).copied().ok_or_else(missing)
    }
}
