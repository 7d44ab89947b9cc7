//! SIGTERM, SIGINT and SIGHUP end the mount cleanly.

use std::path::{Path, PathBuf};
use std::time::Duration;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::mounts::{self, Unmount};
use super::notify;
use crate::error::{Error, Result};
use crate::sync::{Arc, AtomicBool, Ordering};

/// How long a busy mount is waited for before it is detached.
const BUSY_MAX: Duration = Duration::from_secs(5);
/// How long the session may take to end after that; a lane that hangs in a dead file server never ends.
const END_MAX: Duration = Duration::from_secs(3);

/// Watches for signals in a thread of its own. A first one unmounts; a second one, or files that stay open too long,
/// detach the mount. The process then ends even if something hangs; `leave` is called before.
///
/// # Errors
/// `Io`.
pub fn watch(mountpoint: &Path, leave: impl Fn() + Send + 'static) -> Result<()> {
    let fail = |e: std::io::Error| Error::io(&e, "signal handlers");
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP]).map_err(fail)?;
    let mountpoint: PathBuf = mountpoint.to_owned();
    let run = move || {
        let Some(signal) = signals.forever().next() else { return };
        log::info!("signal {signal}: unmounting {}", mountpoint.display());
        notify::tell("STOPPING=1");
        let hurry = Arc::new(AtomicBool::new(false));
        let again = Arc::clone(&hurry);
        let listen = move || {
            for _ in signals.forever() {
                again.store(true, Ordering::Relaxed);
            }
        };
        let _ = std::thread::Builder::new().name("signals".into()).spawn(listen);
        take_down(&mountpoint, &hurry);
        std::thread::sleep(END_MAX);
        log::warn!("the session did not end by itself: leaving");
        leave();
        std::process::exit(0);
    };
    std::thread::Builder::new().name("end".into()).spawn(run).map_err(fail)?;
    Ok(())
}

fn take_down(mountpoint: &Path, hurry: &AtomicBool) {
    match mounts::is_ours(mountpoint) {
        Ok(true) => {}
        Ok(false) => return log::warn!("{}: the mount is gone already, or another covers it", mountpoint.display()),
        Err(e) => return log::error!("{e}"),
    }
    let outcome = mounts::unmount_patiently(mountpoint, BUSY_MAX, || hurry.load(Ordering::Relaxed));
    let outcome = match outcome {
        Ok(Unmount::Busy) => {
            log::warn!("{}: files are open; detaching", mountpoint.display());
            mounts::unmount(mountpoint, true)
        }
        other => other,
    };
    if let Err(e) = outcome {
        log::error!("{e}");
    }
}
