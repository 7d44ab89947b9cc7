//! `fuzarr mount SOURCE MOUNTPOINT`.

use super::args::MountArgs;
use super::{Exit, Failure, settings};
use crate::daemon;

/// Resolves the settings, checks the places, mounts.
pub fn run(args: &MountArgs) -> Result<Exit, Failure> {
    if !args.foreground {
        daemon::close_inherited();
    }
    let settings = settings::with_file(&args.settings)?;
    let (source, mountpoint, cleared) = daemon::checked_places(&args.source, &args.mountpoint).map_err(plain)?;
    let door = settings::door(&settings.door, settings.engine.deadline)?;
    let (mut options, mut log) = settings::resolve(settings, source, mountpoint)?;
    if let Some(disk) = &mut options.engine.disk {
        disk.folder =
            daemon::checked_disk_cache(&disk.folder, &options.source, Some(&options.mountpoint)).map_err(plain)?;
    }
    if let Some(file) = &mut log.file {
        // The daemon changes its working directory.
        *file = std::path::absolute(&*file).map_err(|e| Failure::new(format!("{}: {e}", file.display())))?;
    }
    daemon::start(&options, door.as_ref(), &log, args.foreground, cleared).map_err(plain)?;
    Ok(Exit::Success)
}

/// Whatever keeps a mount from serving is an ordinary failure; the kind says nothing about a file here.
pub(super) fn plain(error: crate::Error) -> Failure {
    Failure::new(match error.file() {
        Some(file) => format!("{}: {}", file.display(), error.what()),
        None => error.what().to_owned(),
    })
}
