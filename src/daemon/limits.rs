//! Limits of the process.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the number of files that may be open to what is permitted: every open image holds at least one.
pub fn raise_open_files() {
    let now = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: now.maximum, maximum: now.maximum });
}

/// Closes whatever the caller left open beside standard input, output and error: a daemon would keep its pipes and files
/// for as long as the mount lives. Call it before anything is opened.
pub fn close_inherited() {
    // SAFETY: nothing in this process has opened a descriptor above 2 yet, so none is closed under an owner.
    unsafe { libc::close_range(3, libc::c_uint::MAX, 0) };
}
