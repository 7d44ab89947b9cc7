//! Mounting, tuning, serving until unmounted.

use std::os::unix::fs::MetadataExt;

use fuser::{Config, MountOption, Session, SessionACL};

use super::adapter::Adapter;
use crate::config::MountOptions;
use crate::error::{Error, Kind, Result};
use crate::fs::{Fs, Level};
use crate::sync::Arc;

/// Threads that take requests. None of them ever waits for the source, so few are enough; more than one, so that a slow copy
/// of a reply does not hold up the rest.
const EVENT_THREADS: usize = 4;
/// Buffered reads come in pieces of this many KiB once the device is told.
const READ_AHEAD_KIB: &str = "1024";

/// Mounts `fs` at the mountpoint of `options`, calls `ready` as soon as names resolve there, and serves until somebody
/// unmounts it.
///
/// # Errors
/// `Invalid` if it cannot be mounted there; `Io` if serving ends by anything but an unmount.
pub fn serve(fs: Arc<Fs>, options: &MountOptions, ready: impl FnOnce()) -> Result<()> {
    let at = &options.mountpoint;
    let mut config = Config::default();
    config.mount_options = vec![
        // Both always: nothing is written, and the kernel judges every access by the modes that it is shown.
        MountOption::RO,
        MountOption::DefaultPermissions,
        MountOption::NoDev,
        MountOption::NoSuid,
        MountOption::FSName("fuzarr".into()),
        // As an option of the kernel, because fuser keeps `Subtype` for the mount helper: the mount table says fuse.fuzarr.
        MountOption::CUSTOM("subtype=fuzarr".into()),
    ];
    config.acl = if options.allow_other { SessionACL::All } else { SessionACL::Owner };
    config.n_threads = Some(EVENT_THREADS);
    config.clone_fd = true;
    let failed = |e: std::io::Error| Error::new(Kind::Invalid, format!("mount: {e}")).in_file(at);
    let session = Session::new(Adapter(Arc::clone(&fs)), at, &config).map_err(failed)?;
    let session = session.spawn().map_err(failed)?;
    // The root answers now, from the session's threads. If the source does not, the mount is still there.
    match std::fs::metadata(at) {
        Ok(root) => {
            fs.set_own_device(root.dev());
            tune(&fs, root.dev());
        }
        Err(e) => fs.events().note(Level::Warn, &format!("the root of the mount does not answer yet: {e}")),
    }
    ready();
    session.join().map_err(|e| Error::io(&e, "serving the mount").in_file(at))
}

/// Larger reads, where we may ask for them (root).
fn tune(fs: &Fs, device: u64) {
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    let path = format!("/sys/class/bdi/{major}:{minor}/read_ahead_kb");
    if let Err(e) = std::fs::write(&path, READ_AHEAD_KIB) {
        fs.events().note(Level::Debug, &format!("{path}: {e}"));
    }
}
