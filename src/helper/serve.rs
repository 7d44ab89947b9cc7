//! The helper's own side: one request after the other until the socket closes.

use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::wire;
use crate::error::{Error, Kind, Result};

/// Why a request was not done.
pub struct Refusal {
    /// What is wrong.
    pub error: Error,
    /// Nothing further should be asked of this process.
    pub last: bool,
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Refusal { error, last: false }
    }
}

/// Largest request.
const REQUEST: u64 = 1 << 30;

/// Starts with `ready`, then answers requests, which come on standard input, until nobody asks any more. `ready` and the
/// requests are done on this thread.
///
/// # Errors
/// The connection fails.
pub fn serve<S>(
    ready: impl FnOnce() -> Result<S>,
    mut answer: impl FnMut(&mut S, &[u8]) -> std::result::Result<Vec<u8>, Refusal>,
) -> Result<()> {
    let failed = |e: std::io::Error| Error::io(&e, "the socket of a helper");
    let socket = std::io::stdin().as_fd().try_clone_to_owned().map_err(failed)?;
    let mut socket = UnixStream::from(socket);
    leave_with(socket.try_clone().map_err(failed)?)?;
    let mut state = match ready() {
        Ok(state) => {
            socket.write_all(&wire::head(0, 0, 0)).map_err(failed)?;
            state
        }
        Err(e) => {
            let text = wire::text(&e);
            socket.write_all(&wire::head(wire::status(&e, true), 0, text.len() as u64)).map_err(failed)?;
            return socket.write_all(&text).map_err(failed);
        }
    };
    loop {
        let mut head = [0; 24];
        if socket.read_exact(&mut head).is_err() {
            return Ok(());
        }
        let (_, number, length) = wire::parse(&head)?;
        if length > REQUEST {
            return Err(Error::over_limit("a request is too long"));
        }
        let mut request = vec![0; usize::try_from(length).unwrap_or(0)];
        socket.read_exact(&mut request).map_err(failed)?;
        let done = catch_unwind(AssertUnwindSafe(|| answer(&mut state, &request))).unwrap_or_else(|_| {
            Err(Refusal { error: Error::new(Kind::Internal, "a helper process panicked"), last: true })
        });
        let (status, body, last) = match done {
            Ok(body) => (0, body, false),
            Err(refusal) => (wire::status(&refusal.error, refusal.last), wire::text(&refusal.error), refusal.last),
        };
        socket.write_all(&wire::head(status, number, body.len() as u64)).map_err(failed)?;
        socket.write_all(&body).map_err(failed)?;
        if last {
            return Ok(());
        }
    }
}

/// Ends this process, whatever it is doing, when the other end of its socket is gone.
fn leave_with(socket: UnixStream) -> Result<()> {
    let watch = move || {
        loop {
            let mut fds = [rustix::event::PollFd::new(&socket, rustix::event::PollFlags::RDHUP)];
            match rustix::event::poll(&mut fds, None) {
                Err(rustix::io::Errno::INTR) => {}
                // SAFETY: ends the process at once; nothing of it is worth an orderly end, which a virtual machine might not come to.
                _ => unsafe { libc::_exit(0) },
            }
        }
    };
    let started = std::thread::Builder::new().name("parent".into()).stack_size(64 << 10).spawn(watch);
    started.map(drop).map_err(|e| Error::io(&e, "a thread of a helper"))
}
