//! `fuzarr sidecar FILE`: a template for what is missing.

use std::io::Write;

use super::args::SidecarArgs;
use super::{Exit, Failure, metadata, report};
use crate::metadata::tiers::{ImageReport, Reports};

mod template;

/// Opens, writes the template.
pub fn run(args: &SidecarArgs) -> Result<Exit, Failure> {
    let dataset = metadata::open(&args.file, args.root.as_deref(), &args.door)?;
    let images: Vec<ImageReport> = Reports::new(&dataset.record).images().collect();
    let text = template::write(&dataset.record, &images, args.tier);
    if !args.write {
        report::print(text.as_bytes())?;
        return Ok(Exit::Success);
    }
    let mut name = args.file.file_name().unwrap_or_default().to_owned();
    name.push(".meta.yaml");
    let place = args.file.with_file_name(name);
    let fail = |e: std::io::Error| Failure::new(format!("{}: {e}", place.display()));
    let mut file = std::fs::File::create_new(&place).map_err(fail)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(fail)?;
    report::print(format!("{}\n", place.display()).as_bytes())?;
    Ok(Exit::Success)
}
