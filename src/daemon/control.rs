//! The control socket: one request and one answer a connection, each a line of JSON.
//!
//! Requests: `{"request":"status"}`. The answer is the status document, or `{"error":"..."}`. The daemon answers from its
//! counters alone, so it can be asked while a source is stuck.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use super::runtime;
use crate::error::{Error, Kind, Result};

/// How long either side waits for the other.
const PATIENCE: Duration = Duration::from_secs(5);
/// Longest request.
const REQUEST_MAX: u64 = 4096;
/// Longest answer.
const ANSWER_MAX: u64 = 16 << 20;

/// The daemon's end; the socket is removed when it is dropped.
pub struct Control {
    listener: UnixListener,
    socket: PathBuf,
}

impl Control {
    /// Makes the socket of a mountpoint; a dead one left by a killed daemon is replaced.
    ///
    /// # Errors
    /// `Io`; `Invalid` if another daemon answers there.
    pub fn bind(mountpoint: &Path) -> Result<Self> {
        Self::bind_at(runtime::directory()?.join(runtime::socket_name(mountpoint)))
    }

    fn bind_at(socket: PathBuf) -> Result<Self> {
        let fail = |e: std::io::Error| Error::io(&e, "control socket").in_file(&socket);
        if socket.exists() {
            if UnixStream::connect(&socket).is_ok() {
                return Err(Error::new(Kind::Invalid, "another daemon serves this mountpoint").in_file(&socket));
            }
            std::fs::remove_file(&socket).map_err(fail)?;
        }
        let listener = UnixListener::bind(&socket).map_err(fail)?;
        std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o600)).map_err(fail)?;
        Ok(Control { listener, socket })
    }

    /// Answers requests in a thread of its own until the process ends.
    ///
    /// # Errors
    /// `Io` if no thread can be made.
    pub fn answer(&self, status: impl Fn() -> Value + Send + 'static) -> Result<()> {
        let listener = self.listener.try_clone().map_err(|e| Error::io(&e, "control socket"))?;
        let serve = move || {
            for stream in listener.incoming() {
                // Out of descriptors, most likely: do not spin.
                let Ok(stream) = stream else {
                    std::thread::sleep(Duration::from_millis(200));
                    continue;
                };
                if let Err(e) = converse(&stream, &status) {
                    log::debug!("control socket: {e}");
                }
            }
        };
        std::thread::Builder::new().name("control".into()).spawn(serve).map_err(|e| Error::io(&e, "control thread"))?;
        Ok(())
    }
}

impl Control {
    /// Takes the socket away, so that nobody asks any more.
    pub fn remove(&self) {
        let _ = std::fs::remove_file(&self.socket);
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.remove();
    }
}

fn converse(stream: &UnixStream, status: &dyn Fn() -> Value) -> std::io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut line = String::new();
    BufReader::new(stream.take(REQUEST_MAX)).read_line(&mut line)?;
    let request: Value = serde_json::from_str(&line).unwrap_or(Value::Null);
    let answer = match request["request"].as_str() {
        Some("status") => status(),
        _ => json!({"error": "unknown request; known is status"}),
    };
    let mut text = answer.to_string();
    text.push('\n');
    (&*stream).write_all(text.as_bytes())
}

/// Asks the daemon behind a socket.
///
/// # Errors
/// `NotFound` if none is there, `Stuck` if it does not answer in time, `Malformed` if it talks nonsense.
pub fn ask(socket: &Path, request: &str) -> Result<Value> {
    let absent = |e: std::io::Error| Error::new(Kind::NotFound, format!("no daemon: {e}")).in_file(socket);
    let silent =
        |e: std::io::Error| Error::new(Kind::Stuck, format!("the daemon does not answer: {e}")).in_file(socket);
    let stream = UnixStream::connect(socket).map_err(absent)?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(silent)?;
    stream.set_write_timeout(Some(PATIENCE)).map_err(silent)?;
    let mut text = json!({ "request": request }).to_string();
    text.push('\n');
    (&stream).write_all(text.as_bytes()).map_err(silent)?;
    let mut line = String::new();
    BufReader::new((&stream).take(ANSWER_MAX)).read_line(&mut line).map_err(silent)?;
    serde_json::from_str(&line).map_err(|e| Error::malformed(format!("answer of the daemon: {e}")).in_file(socket))
}

/// Does anybody listen?
pub fn reachable(socket: &Path) -> bool {
    UnixStream::connect(socket).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_question_one_answer_and_nothing_left_behind() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("a.sock");
        let control = Control::bind_at(socket.clone()).unwrap();
        control.answer(|| json!({"uptime": 5})).unwrap();
        assert_eq!(ask(&socket, "status").unwrap()["uptime"], 5);
        assert!(ask(&socket, "dance").unwrap()["error"].is_string());
        assert_eq!(Control::bind_at(socket.clone()).err().map(|e| e.kind()), Some(Kind::Invalid));
        drop(control);
        assert!(!socket.exists());
        assert_eq!(ask(&socket, "status").unwrap_err().kind(), Kind::NotFound);
    }

    #[test]
    fn a_dead_socket_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("a.sock");
        drop(UnixListener::bind(&socket).unwrap());
        assert!(socket.exists() && !reachable(&socket));
        Control::bind_at(socket).unwrap();
    }
}
