use super::*;
use crate::config::{Ngff, TreeOptions, ViewOptions};
use crate::zarr::View;
use std::os::unix::fs::symlink;

fn listing(files: &[&str], options: &TreeOptions) -> (tempfile::TempDir, Source, Listing) {
    let dir = tempfile::tempdir().unwrap();
    for file in files {
        let path = dir.path().join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        if file.ends_with('/') {
            std::fs::create_dir_all(path).unwrap();
        } else {
            std::fs::write(path, b"x").unwrap();
        }
    }
    let source = Source::open(dir.path(), Path::new("/nonexistent")).unwrap();
    let filter = Filter::new(options).unwrap();
    let listing = Listing::read(&source, Path::new(""), &filter, &Watch::default()).unwrap();
    (dir, source, listing)
}

fn names(ngff: &[Ngff]) -> Names {
    Names::new(&View::all(&ViewOptions { ngff: ngff.to_vec(), ..ViewOptions::default() }))
}

/// Everything listed; checks that what is listed resolves to the same thing and that no name comes twice.
fn all(listing: &Listing, names: &Names, sources: bool) -> Vec<String> {
    let mut cursor = 0;
    let mut found = Vec::new();
    while let Some((entry, next)) = listing.next(names, sources, cursor) {
        assert_eq!(listing.find(names, &entry.name), Some(entry.found.clone()), "{entry:?}");
        found.push(String::from_utf8(entry.name).unwrap());
        cursor = next;
    }
    let mut unique = found.clone();
    unique.sort();
    unique.dedup();
    assert_eq!(unique.len(), found.len(), "{found:?}");
    found
}

fn image(listing: &Listing, names: &Names, name: &str) -> Option<(String, usize)> {
    match listing.find(names, name.as_bytes())? {
        Found::Image { source, view } => Some((String::from_utf8(source).unwrap(), view)),
        Found::Real(_) | Found::Folder(_) => None,
    }
}

#[test]
fn images_are_directories_and_the_rest_is_as_it_is() {
    let files = ["a.tif", "b.OME.TIFF", "notes.txt", ".hidden.tif", "dir.tif/", "sub/c.tif"];
    let (_dir, _source, listing) = listing(&files, &TreeOptions::default());
    let one = names(&[Ngff::V05]);
    assert_eq!(all(&listing, &one, false), [".hidden.tif", "dir.tif", "notes.txt", "sub", "a.ome.zarr", "b.ome.zarr"]);
    assert_eq!(all(&listing, &one, true).len(), 8);
    assert_eq!(listing.find(&one, b"a.tif"), Some(Found::Real(EntryKind::File)));
    assert_eq!(image(&listing, &one, "b.OME.TIFF.ome.zarr"), Some(("b.OME.TIFF".into(), 0)));
    for absent in
        ["dir.ome.zarr", "dir.tif.ome.zarr", ".hidden.ome.zarr", "notes.ome.zarr", "a.v04.ome.zarr", "A.ome.zarr"]
    {
        assert_eq!(listing.find(&one, absent.as_bytes()), None, "{absent}");
    }
}

#[test]
fn names_that_would_collide_are_shown_whole() {
    let files = ["a.tif", "a.ome.tif", "b.tif", "b.ome.zarr/", "c.tif", "c.tif.tif", "d.tif", "d.TIF"];
    let (_dir, _source, listing) = listing(&files, &TreeOptions::default());
    let one = names(&[Ngff::V05]);
    let shown = all(&listing, &one, false);
    for name in
        ["a.tif.ome.zarr", "a.ome.tif.ome.zarr", "b.ome.zarr", "b.tif.ome.zarr", "d.tif.ome.zarr", "d.TIF.ome.zarr"]
    {
        assert!(shown.iter().any(|n| n == name), "{name} {shown:?}");
    }
    assert_eq!(image(&listing, &one, "a.ome.zarr"), None);
    assert_eq!(listing.find(&one, b"b.ome.zarr"), Some(Found::Real(EntryKind::Directory)));
    assert_eq!(image(&listing, &one, "c.tif.ome.zarr"), Some(("c.tif".into(), 0)));
    assert_eq!(image(&listing, &one, "c.tif.tif.ome.zarr"), Some(("c.tif.tif".into(), 0)));
    assert_eq!(shown.len(), 8);
}

#[test]
fn further_views_never_take_another_image_s_name() {
    let files = ["x.tif", "x.v04.tif", "y.v04.tif"];
    let (_dir, _source, listing) = listing(&files, &TreeOptions::default());
    let both = names(&[Ngff::V05, Ngff::V04]);
    let shown = all(&listing, &both, false);
    assert_eq!(image(&listing, &both, "x.v04.ome.zarr"), Some(("x.tif".into(), 1)));
    assert_eq!(image(&listing, &both, "x.v04.tif.ome.zarr"), Some(("x.v04.tif".into(), 0)));
    assert_eq!(image(&listing, &both, "y.v04.ome.zarr"), Some(("y.v04.tif".into(), 0)));
    assert_eq!(shown.len(), 6);
}

#[test]
fn cut_names_resolve() {
    let long = format!("{}.tif", "é".repeat(124));
    let near = format!("{}e.tif", "é".repeat(123));
    let (_dir, _source, listing) = listing(&[&long, &near, "z.tif"], &TreeOptions::default());
    let both = names(&[Ngff::V05, Ngff::V04]);
    let shown = all(&listing, &both, false);
    assert_eq!(shown.len(), 6);
    assert!(shown.iter().all(|n| n.len() <= 255));
}

#[test]
fn a_zarr_tree_and_globs_keep_images_from_being_converted() {
    let (_dir, source, top) = listing(
        &["a.tif", "b.tif", "t.zarr/c.tif"],
        &TreeOptions { exclude: vec!["b*".into()], ..TreeOptions::default() },
    );
    let one = names(&[Ngff::V05]);
    assert_eq!(all(&top, &one, false), ["b.tif", "t.zarr", "a.ome.zarr"]);
    let filter = Filter::new(&TreeOptions::default()).unwrap();
    let inner = Listing::read(&source, Path::new("t.zarr"), &filter, &Watch::default()).unwrap();
    assert_eq!(all(&inner, &one, false), ["c.tif"]);
}

#[test]
fn links_to_images_inside_are_images() {
    let (dir, source, _) = listing(&["a.tif", "dir/"], &TreeOptions::default());
    symlink("a.tif", dir.path().join("in.tif")).unwrap();
    symlink("/etc/passwd", dir.path().join("out.tif")).unwrap();
    symlink("dir", dir.path().join("to_dir.tif")).unwrap();
    let filter = Filter::new(&TreeOptions::default()).unwrap();
    let listing = Listing::read(&source, Path::new(""), &filter, &Watch::default()).unwrap();
    let one = names(&[Ngff::V05]);
    assert_eq!(all(&listing, &one, false), ["dir", "out.tif", "to_dir.tif", "a.ome.zarr", "in.ome.zarr"]);
    assert_eq!(listing.find(&one, b"in.tif"), Some(Found::Real(EntryKind::Link)));
}

#[test]
fn one_file_is_alone_in_its_mount() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("a.tif"), b"x").unwrap();
    std::fs::write(dir.path().join("b.tif"), b"x").unwrap();
    let source = Source::open(&dir.path().join("a.tif"), Path::new("/nonexistent")).unwrap();
    let filter = Filter::new(&TreeOptions::default()).unwrap();
    let listing = Listing::read(&source, Path::new(""), &filter, &Watch::default()).unwrap();
    let one = names(&[Ngff::V05]);
    assert_eq!(all(&listing, &one, false), ["a.ome.zarr"]);
    assert_eq!(listing.find(&one, b"b.tif"), None);
}
