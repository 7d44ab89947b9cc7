//! Prints the OME-XML that a mount would show for a file: `cargo run --example ome_xml -- FILE`.
//! Tests validate it against the schema without mounting anything.

use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fuzarr::config::Damaged;
use fuzarr::format::{self, Limits, Place};
use fuzarr::io::{ReadAt, SourceFile, Watch};
use fuzarr::pyramid::OpenImage;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    for path in std::env::args_os().skip(1).map(PathBuf::from) {
        let directory = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let name = PathBuf::from(path.file_name().ok_or("not a file name")?);
        let root = Arc::new(OwnedFd::from(File::open(directory)?));
        let file: Arc<dyn ReadAt> = Arc::new(SourceFile::open(&root, &name)?);
        let open =
            Arc::new(move |member: &Path| SourceFile::open(&root, member).map(|f| Arc::new(f) as Arc<dyn ReadAt>));
        let place = Place { path: &name, open };
        let (kind, source) = format::open(file, &place, &Limits::default(), &Watch::default())?;
        let image = OpenImage::new(0, kind, source, None, Damaged::Error);
        let mut out = std::io::stdout().lock();
        out.write_all(&fuzarr::metadata::ome_xml(&image, &name.to_string_lossy()))?;
        out.write_all(b"\n")?;
    }
    Ok(())
}
