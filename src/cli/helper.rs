//! `fuzarr helper`: what a pool of helpers starts. Hidden, since nobody else has a use for it.

use super::args::{HelperArgs, HelperKind};
use super::{Exit, Failure};
use crate::codec::jpegxr;
use crate::format::bioformats;

/// Works until the one that started it is gone.
pub fn run(args: HelperArgs) -> Result<Exit, Failure> {
    let HelperArgs { parent, scratch, kind } = args;
    match kind {
        HelperKind::Jpegxr => jpegxr::help(parent, scratch).map_err(Failure::from)?,
        HelperKind::Bioformats { jar, library, java_home, readable, memory } => {
            let with = bioformats::Helper { parent, jar, library, java_home, readable, scratch, memory };
            bioformats::help(&with).map_err(Failure::from)?;
        }
    }
    Ok(Exit::Success)
}
