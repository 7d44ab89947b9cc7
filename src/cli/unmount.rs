//! `fuzarr unmount MOUNTPOINT`.

use std::time::{Duration, Instant};

use super::args::UnmountArgs;
use super::{Exit, Failure};
use crate::daemon::{self, Unmount};

/// How long the daemon may take to end after its mount is gone.
const END_MAX: Duration = Duration::from_secs(5);

/// Takes the mount down and waits for its daemon.
pub fn run(args: &UnmountArgs) -> Result<Exit, Failure> {
    let given = args.mountpoint.display();
    let place = daemon::absolute_mountpoint(&args.mountpoint).map_err(Failure::new)?;
    if !daemon::is_ours(&place).map_err(Failure::new)? {
        return Err(Failure::new(format!("{given}: nothing of fuzarr is mounted there")));
    }
    let patience = if args.lazy { Duration::ZERO } else { args.wait };
    let outcome =
        if args.lazy { daemon::unmount(&place, true) } else { daemon::unmount_patiently(&place, patience, || false) };
    match outcome.map_err(Failure::new)? {
        Unmount::Busy => Err(Failure::new(format!(
            "{given}: files in it are open; close them ('fuser -vm {given}' shows who), or detach it with --lazy"
        ))),
        Unmount::Done => {
            if !args.lazy {
                wait_for_end(&place);
            }
            Ok(Exit::Success)
        }
    }
}

/// The mountpoint can be used again at once; this only makes sure that log and memory of the old daemon are done with.
fn wait_for_end(place: &std::path::Path) {
    let end = Instant::now() + END_MAX;
    while Instant::now() < end && daemon::endpoints_of(place).iter().any(|e| daemon::reachable(&e.socket)) {
        std::thread::sleep(Duration::from_millis(20));
    }
}
