//! Is the reader of a request about to die? The kernel waits for an answer even if it was killed, so we look.

use crate::io::now_ms;

/// Who asked: the thread that waits, if the kernel named one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reader {
    /// The `pid` of the FUSE request, which is a thread id; none or 0 if unknown.
    pub tid: Option<u32>,
}

const SIGKILL: u64 = 1 << (libc::SIGKILL - 1);

/// Signals that end nothing when nobody catches them: they are ignored, or they stop and continue.
const HARMLESS: u64 = 1 << (libc::SIGCHLD - 1)
    | 1 << (libc::SIGURG - 1)
    | 1 << (libc::SIGWINCH - 1)
    | 1 << (libc::SIGCONT - 1)
    | 1 << (libc::SIGSTOP - 1)
    | 1 << (libc::SIGTSTP - 1)
    | 1 << (libc::SIGTTIN - 1)
    | 1 << (libc::SIGTTOU - 1);

/// Has the thread ended, or a signal pending that will end it?
pub(crate) fn is_dying(tid: u32) -> bool {
    match std::fs::read_to_string(format!("/proc/{tid}/status")) {
        Ok(status) => dies(&status),
        Err(e) => e.kind() == std::io::ErrorKind::NotFound || e.raw_os_error() == Some(libc::ESRCH),
    }
}

fn dies(status: &str) -> bool {
    let field = |name: &str| status.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(':')).map(str::trim);
    if field("State").is_some_and(|s| s.starts_with(['Z', 'X'])) {
        return true;
    }
    let mask = |name| field(name).and_then(|v| u64::from_str_radix(v, 16).ok()).unwrap_or(0);
    let pending = mask("SigPnd") | mask("ShdPnd");
    let harmless = mask("SigBlk") | mask("SigIgn") | mask("SigCgt") | HARMLESS;
    pending & SIGKILL != 0 || pending & !harmless != 0
}

/// Requests younger than this are not looked at: most are answered by then.
pub(crate) const LOOK_AFTER_MS: u64 = 40;

/// Is a request that old?
pub(crate) fn old_enough(submitted: u64) -> bool {
    now_ms().saturating_sub(submitted) >= LOOK_AFTER_MS
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(pending: u64, blocked: u64, ignored: u64, caught: u64) -> String {
        format!(
            "Name:\tcat\nState:\tD (disk sleep)\nSigPnd:\t{pending:016x}\nShdPnd:\t0000000000000000\nSigBlk:\t{blocked:016x}\nSigIgn:\t{ignored:016x}\nSigCgt:\t{caught:016x}\n"
        )
    }

    #[test]
    fn kill_is_fatal_whatever_the_masks_say() {
        assert!(dies(&status(SIGKILL, u64::MAX, u64::MAX, u64::MAX)));
        assert!(!dies(&status(0, 0, 0, 0)));
    }

    #[test]
    fn other_signals_are_fatal_unless_blocked_ignored_caught_or_harmless() {
        let term = 1 << (libc::SIGTERM - 1);
        assert!(dies(&status(term, 0, 0, 0)));
        assert!(!dies(&status(term, term, 0, 0)));
        assert!(!dies(&status(term, 0, term, 0)));
        assert!(!dies(&status(term, 0, 0, term)));
        assert!(!dies(&status(1 << (libc::SIGCHLD - 1), 0, 0, 0)));
        assert!(!dies(&status(1 << (libc::SIGTSTP - 1), 0, 0, 0)));
    }

    #[test]
    fn zombies_and_the_gone_are_dying_and_we_are_not() {
        assert!(dies("State:\tZ (zombie)\n"));
        assert!(is_dying(0x3fff_fff0));
        assert!(!is_dying(std::process::id()));
    }
}
