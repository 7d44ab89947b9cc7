//! Messages between a pool and its helper: a head of fixed size, then bytes. Whatever comes from a helper is checked, since it
//! may have lost its mind: number of the request, length against what was asked for, kind of the error, length of its text.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use crate::error::{Error, Kind, Result};

/// Begins every message.
const MAGIC: u32 = 0x667A_6872;
/// Magic, status, number, length.
const HEAD: usize = 24;
/// Longest text of an error.
const TEXT: u64 = 4096;
/// Between two looks at the clock.
pub(super) const TURN: Duration = Duration::from_millis(100);

/// Statuses of answers; 0 is success.
const KINDS: &[(u32, Kind)] = &[
    (1, Kind::Unsupported),
    (2, Kind::Malformed),
    (3, Kind::Truncated),
    (4, Kind::OverLimit),
    (5, Kind::Missing),
    (6, Kind::Io),
    (7, Kind::Internal),
];
/// Added to a status: the helper ends after this answer.
const LAST: u32 = 0x100;

/// What a helper said.
pub(super) struct Answer {
    pub result: Result<Vec<u8>>,
    pub last: bool,
}

/// The head of a message.
pub(super) fn head(status: u32, number: u64, length: u64) -> [u8; HEAD] {
    let mut head = [0; HEAD];
    head[..4].copy_from_slice(&MAGIC.to_le_bytes());
    head[4..8].copy_from_slice(&status.to_le_bytes());
    head[8..16].copy_from_slice(&number.to_le_bytes());
    head[16..].copy_from_slice(&length.to_le_bytes());
    head
}

/// Status, number and length of a message.
pub(super) fn parse(head: &[u8; HEAD]) -> Result<(u32, u64, u64)> {
    let word = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let long = |at: usize| u64::from(word(at)) | u64::from(word(at + 4)) << 32;
    if word(0) != MAGIC {
        return Err(nonsense("a message without its mark"));
    }
    Ok((word(4), long(8), long(16)))
}

/// The status of an error.
pub(super) fn status(error: &Error, last: bool) -> u32 {
    let known = KINDS.iter().find(|(_, kind)| *kind == error.kind()).map_or(7, |(status, _)| *status);
    known | if last { LAST } else { 0 }
}

/// Text of an error as it is sent.
pub(super) fn text(error: &Error) -> Vec<u8> {
    let mut text = error.what().as_bytes().to_vec();
    text.truncate(TEXT as usize);
    text
}

fn nonsense(what: &str) -> Error {
    Error::new(Kind::Io, format!("a helper process answered with {what}"))
}

/// Something that may happen while waiting: an error ends it.
pub(super) type Turn<'a> = &'a mut dyn FnMut() -> Result<()>;

/// Sends a request. The socket has [`TURN`] as its time limits.
pub(super) fn send(socket: &mut UnixStream, number: u64, body: &[u8], turn: Turn<'_>) -> Result<()> {
    for part in [&head(0, number, body.len() as u64)[..], body] {
        let mut rest = part;
        while !rest.is_empty() {
            match socket.write(rest) {
                Ok(0) => return Err(gone()),
                Ok(n) => rest = &rest[n..],
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => turn()?,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Err(gone()),
            }
        }
    }
    Ok(())
}

/// Reads the answer to request `number`, of at most `most` bytes.
///
/// # Errors
/// Failures of the connection, after which the helper is of no use; its own errors are in the answer.
pub(super) fn answer(socket: &mut UnixStream, number: u64, most: u64, turn: Turn<'_>) -> Result<Answer> {
    let mut head = [0; HEAD];
    fill(socket, &mut head, turn)?;
    let (status, echo, length) = parse(&head)?;
    if echo != number {
        return Err(nonsense("the number of another request"));
    }
    let (last, status) = (status & LAST != 0, status & !LAST);
    if status == 0 && length > most {
        return Err(Error::over_limit(format!("a helper process answers with {length} bytes, {most} are allowed")));
    }
    if status != 0 && length > TEXT {
        return Err(nonsense(&format!("an error of {length} bytes")));
    }
    let mut body = vec![0; usize::try_from(length).map_err(|_| nonsense("more bytes than there can be"))?];
    fill(socket, &mut body, turn)?;
    if status == 0 {
        return Ok(Answer { result: Ok(body), last });
    }
    let kind = KINDS.iter().find(|(known, _)| *known == status).map(|(_, kind)| *kind);
    let kind = kind.ok_or_else(|| nonsense("an unknown status"))?;
    let text = String::from_utf8_lossy(&body).chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>();
    Ok(Answer { result: Err(Error::new(kind, text)), last })
}

fn fill(socket: &mut UnixStream, mut room: &mut [u8], turn: Turn<'_>) -> Result<()> {
    while !room.is_empty() {
        match socket.read(room) {
            Ok(0) => return Err(gone()),
            Ok(n) => room = &mut room[n..],
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => turn()?,
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(_) => return Err(gone()),
        }
    }
    Ok(())
}

fn gone() -> Error {
    Error::new(Kind::Io, "a helper process ended while it worked")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(message: &[u8], most: u64) -> Result<Answer> {
        let (mut near, mut far) = UnixStream::pair().unwrap();
        far.write_all(message).unwrap();
        drop(far);
        answer(&mut near, 7, most, &mut || Ok(()))
    }

    #[test]
    fn answers_are_what_was_sent() {
        let good = [&head(0, 7, 3)[..], b"abc"].concat();
        assert_eq!(heard(&good, 3).unwrap().result.unwrap(), b"abc");
        let error = Error::truncated("no\nmore");
        let bad = [&head(status(&error, true), 7, 7)[..], &text(&error)].concat();
        let answer = heard(&bad, 0).unwrap();
        assert!(answer.last);
        assert_eq!(answer.result.unwrap_err().to_string(), "truncated: no more");
    }

    #[test]
    fn nonsense_is_refused_before_room_is_made_for_it() {
        let mut unmarked = head(0, 7, 0);
        unmarked[0] ^= 1;
        for message in [head(0, 8, 0), head(99, 7, 0), head(1, 7, 4097), unmarked] {
            assert_eq!(heard(&message, 3).err().map(|e| e.kind()), Some(Kind::Io));
        }
        for message in [head(0, 7, 4), head(0, 7, u64::MAX)] {
            assert_eq!(heard(&message, 3).err().map(|e| e.kind()), Some(Kind::OverLimit));
        }
        let short = [&head(0, 7, 3)[..], b"ab"].concat();
        for end in 0..short.len() {
            assert!(heard(&short[..end], 3).is_err());
        }
    }
}
