//! Limits of the process, and its program in memory.

use std::ffi::c_void;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the number of files that may be open to what is permitted: every open image holds at least one.
pub fn raise_open_files() {
    let now = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: now.maximum, maximum: now.maximum });
}

/// Most bytes of a mapping that are brought into memory.
const MAPPING: usize = 32 << 20;

/// Brings the program's code and constants into memory, on a thread of its own. The first look at an image runs through much
/// of them for the first time; from a cold disk, piece by piece, that would take longer than the look.
pub fn load_program() {
    let _ = std::thread::Builder::new().name("program".into()).stack_size(64 << 10).spawn(|| {
        let (Ok(maps), Ok(program)) =
            (std::fs::read_to_string("/proc/self/maps"), std::fs::read_link("/proc/self/exe"))
        else {
            return;
        };
        let program = program.to_string_lossy();
        for (start, end) in maps.lines().filter(|l| l.ends_with(&*program)).filter_map(lasting) {
            if end.saturating_sub(start) <= MAPPING {
                let at = start as *mut c_void;
                // SAFETY: the range is a mapping of this program, which stays; it is only read. Kernels before 5.14 refuse.
                let _ = unsafe { rustix::mm::madvise(at, end - start, rustix::mm::Advice::LinuxPopulateRead) };
            }
        }
    });
}

/// The range of a line of `/proc/self/maps` that is never written to.
fn lasting(line: &str) -> Option<(usize, usize)> {
    let (range, rest) = line.split_once(' ')?;
    let (start, end) = range.split_once('-')?;
    let range = (usize::from_str_radix(start, 16).ok()?, usize::from_str_radix(end, 16).ok()?);
    ((rest.starts_with("r-x") || rest.starts_with("r--")) && range.0 < range.1).then_some(range)
}

/// Closes whatever the caller left open beside standard input, output and error: a daemon would keep its pipes and files
/// for as long as the mount lives. Call it before anything is opened.
pub fn close_inherited() {
    // SAFETY: nothing in this process has opened a descriptor above 2 yet, so none is closed under an owner.
    unsafe { libc::close_range(3, libc::c_uint::MAX, 0) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lasts_is_code_and_constants() {
        assert_eq!(lasting("1000-3000 r-xp 00000000 fe:00 12 /usr/bin/fuzarr"), Some((0x1000, 0x3000)));
        assert_eq!(lasting("1000-3000 r--p 00000000 fe:00 12 /usr/bin/fuzarr"), Some((0x1000, 0x3000)));
        assert_eq!(lasting("1000-3000 rw-p 00000000 fe:00 12 /usr/bin/fuzarr"), None);
        assert_eq!(lasting("garbage"), None);
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        let here = what_lasts_is_code_and_constants as *const () as usize;
        assert!(maps.lines().filter_map(lasting).any(|(start, end)| (start..end).contains(&here)));
    }
}
