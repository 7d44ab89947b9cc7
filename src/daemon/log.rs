//! The log: one line an event, as text or JSON, to a file or to standard error.
//!
//! A reader that asks again and again for the same damaged tile must not fill a disk: the same line is written once a
//! minute with a count, no more than a few hundred lines a second are written at all, and a file that has grown large is
//! set aside once.

use std::collections::HashMap;
use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value};

use crate::config::{LogFormat, LogLevel, LogOptions};
use crate::error::{Error, Kind, Result};
use crate::fs::{Events, Level};
use crate::sync::{Arc, Mutex, OnceLock, lock};

/// How long an identical line is held back.
const REPEAT: Duration = Duration::from_secs(60);
/// Different lines that are remembered.
const REMEMBERED_MAX: usize = 1024;
/// Lines that are written in one second.
const PER_SECOND_MAX: u32 = 200;
/// Size at which a file is renamed to `NAME.1`.
const FILE_MAX: u64 = 16 << 20;
/// Longest message: what comes out of a damaged file can be any size.
const MESSAGE_MAX: usize = 2000;

/// The log of this process.
pub struct Log {
    level: LogLevel,
    format: LogFormat,
    /// Under systemd, a line begins with its priority.
    journal: bool,
    /// What libraries and panics say stays unsaid: it may come out of a file.
    discreet: bool,
    state: Mutex<State>,
}

struct State {
    file: Option<(PathBuf, File, u64)>,
    seen: HashMap<String, Seen>,
    second: Instant,
    in_second: u32,
    dropped: u64,
}

struct Seen {
    first: Instant,
    held_back: u64,
}

static LOG: OnceLock<Arc<Log>> = OnceLock::new();

impl Log {
    /// Opens the log. Nothing is written yet.
    ///
    /// # Errors
    /// `Io` if the file cannot be made or appended to.
    pub fn open(options: &LogOptions) -> Result<Arc<Self>> {
        let file = match &options.file {
            None => None,
            Some(path) => {
                let (file, size) = append(path).map_err(|e| {
                    let what = format!("log file: {e}; name another with --log-file");
                    Error::new(Kind::Io, what).in_file(path)
                })?;
                Some((path.clone(), file, size))
            }
        };
        let now = Instant::now();
        let state = State { file, seen: HashMap::new(), second: now, in_second: 0, dropped: 0 };
        let journal = options.file.is_none() && std::env::var_os("JOURNAL_STREAM").is_some();
        Ok(Arc::new(Log {
            level: options.level,
            format: options.format,
            journal,
            discreet: options.discreet,
            state: Mutex::new(state),
        }))
    }

    /// Makes this the log of the process: for the `log` macros here and in libraries, and for panics.
    pub fn install(self: &Arc<Self>) {
        if LOG.set(Arc::clone(self)).is_err() || log::set_logger(&Bridge).is_err() {
            return;
        }
        log::set_max_level(match self.level {
            LogLevel::Error => log::LevelFilter::Error,
            LogLevel::Warn => log::LevelFilter::Warn,
            LogLevel::Info => log::LevelFilter::Info,
            LogLevel::Debug => log::LevelFilter::Debug,
            LogLevel::Trace => log::LevelFilter::Trace,
        });
        let discreet = self.discreet;
        std::panic::set_hook(Box::new(move |panic| {
            let thread = std::thread::current();
            let place = panic.location().map(ToString::to_string).unwrap_or_default();
            let what = panic.payload_as_str().filter(|_| !discreet).unwrap_or("no message");
            log::error!("panic in thread {} at {place}: {what}", thread.name().unwrap_or("without name"));
        }));
    }

    /// One event. `fields` are shown as they are in JSON; text shows the message alone.
    pub fn event(&self, level: LogLevel, message: &str, fields: &[(&str, &str)]) {
        if level > self.level {
            return;
        }
        let message = clean(message);
        let mut state = lock(&self.state);
        let now = Instant::now();
        let repeats = match state.admit(&message, now) {
            Some(repeats) => repeats,
            None => return,
        };
        if state.dropped > 0 && state.in_second == 1 {
            let dropped = std::mem::take(&mut state.dropped);
            let text = format!("{dropped} lines were dropped: more than {PER_SECOND_MAX} in one second");
            self.write(&mut state, LogLevel::Warn, &text, &[], 0);
        }
        self.write(&mut state, level, &message, fields, repeats);
    }

    fn write(&self, state: &mut State, level: LogLevel, message: &str, fields: &[(&str, &str)], repeats: u64) {
        let time = rfc3339(SystemTime::now());
        let line = match self.format {
            LogFormat::Json => {
                let mut object = Map::new();
                object.insert("time".into(), Value::from(time));
                object.insert("level".into(), Value::from(name(level)));
                object.insert("message".into(), Value::from(message));
                for (key, value) in fields {
                    object.insert((*key).to_owned(), Value::from(*value));
                }
                if repeats > 0 {
                    object.insert("repeated".into(), Value::from(repeats));
                }
                format!("{}\n", Value::Object(object))
            }
            LogFormat::Text => {
                let again = if repeats > 0 { format!(" ({repeats} times more since)") } else { String::new() };
                let (head, time) = if self.journal {
                    (format!("<{}>", priority(level)), String::new())
                } else {
                    (String::new(), format!("{time} "))
                };
                format!("{head}{time}{:<5} {message}{again}\n", name(level))
            }
        };
        state.put(line.as_bytes());
    }
}

impl Events for Log {
    fn image_error(&self, path: &Path, error: &Error) {
        let message = match error.file() {
            Some(file) if file == path => error.to_string(),
            Some(_) => format!("{}: {error}", path.display()),
            None => format!("{}: {}", path.display(), error.reason()),
        };
        let path = path.to_string_lossy();
        self.event(
            LogLevel::Warn,
            &message,
            &[("path", &path), ("kind", error.kind().name()), ("reason", &error.reason())],
        );
    }

    fn note(&self, level: Level, message: &str) {
        let level = match level {
            Level::Error => LogLevel::Error,
            Level::Warn => LogLevel::Warn,
            Level::Info => LogLevel::Info,
            Level::Debug => LogLevel::Debug,
        };
        self.event(level, message, &[]);
    }
}

impl State {
    /// May this line be written now? If so, how often it was held back since it was written last.
    fn admit(&mut self, message: &str, now: Instant) -> Option<u64> {
        let mut repeats = 0;
        if let Some(seen) = self.seen.get_mut(message) {
            if now.duration_since(seen.first) < REPEAT {
                seen.held_back += 1;
                return None;
            }
            repeats = seen.held_back;
        }
        if now.duration_since(self.second) >= Duration::from_secs(1) {
            self.second = now;
            self.in_second = 0;
        }
        if self.in_second >= PER_SECOND_MAX {
            self.dropped += 1;
            return None;
        }
        self.in_second += 1;
        if self.seen.len() >= REMEMBERED_MAX && !self.seen.contains_key(message) {
            self.seen.retain(|_, s| now.duration_since(s.first) < REPEAT);
            if self.seen.len() >= REMEMBERED_MAX {
                self.seen.clear();
            }
        }
        self.seen.insert(message.to_owned(), Seen { first: now, held_back: 0 });
        Some(repeats)
    }

    /// A log that cannot be written is no reason to stop serving.
    fn put(&mut self, line: &[u8]) {
        let Some((path, file, size)) = &mut self.file else {
            let _ = std::io::stderr().lock().write_all(line);
            return;
        };
        if *size >= FILE_MAX {
            let mut aside = path.clone().into_os_string();
            aside.push(".1");
            if let Ok((fresh, length)) = std::fs::rename(&*path, aside).and_then(|()| append(path)) {
                // Standard error of a daemon goes to the same file.
                let both = rustix::fs::fstat(&*file).ok().zip(rustix::fs::fstat(std::io::stderr().as_fd()).ok());
                if both.is_some_and(|(a, b)| (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino)) {
                    let _ = rustix::stdio::dup2_stderr(&fresh);
                }
                (*file, *size) = (fresh, length);
            }
        }
        if file.write_all(line).is_ok() {
            *size += line.len() as u64;
        }
    }
}

/// Opens for appending; makes the folder if need be. The log names files of the source, so it is the user's own.
fn append(path: &Path) -> std::io::Result<(File, u64)> {
    use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
    if let Some(folder) = path.parent().filter(|f| !f.as_os_str().is_empty()) {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    let file = File::options().append(true).create(true).mode(0o600).open(path)?;
    let size = file.metadata()?.len();
    Ok((file, size))
}

fn name(level: LogLevel) -> &'static str {
    match level {
        LogLevel::Error => "error",
        LogLevel::Warn => "warn",
        LogLevel::Info => "info",
        LogLevel::Debug => "debug",
        LogLevel::Trace => "trace",
    }
}

/// The priority of `syslog(3)`.
fn priority(level: LogLevel) -> u8 {
    match level {
        LogLevel::Error => 3,
        LogLevel::Warn => 4,
        LogLevel::Info => 6,
        LogLevel::Debug | LogLevel::Trace => 7,
    }
}

/// One line, without control characters, of bounded length.
fn clean(message: &str) -> String {
    let mut out: String = message.chars().take(MESSAGE_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if message.chars().nth(MESSAGE_MAX).is_some() {
        out.push('…');
    }
    out
}

/// `2026-01-31T23:59:59.123Z`.
fn rfc3339(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let seconds = since.as_secs();
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // Years that begin in March have the leap day at their end, so months follow a fixed pattern.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_index = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_index + 2) / 5 + 1;
    let month = if month_index < 10 { month_index + 3 } else { month_index - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", since.subsec_millis())
}

/// What the `log` macros write to.
struct Bridge;

impl log::Log for Bridge {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &log::Record<'_>) {
        let Some(log) = LOG.get() else { return };
        if log.discreet && !record.target().starts_with("fuzarr") {
            return;
        }
        let level = match record.level() {
            log::Level::Error => LogLevel::Error,
            // The life of a library is not news to the user: fuser warns at every unmount from outside.
            log::Level::Warn | log::Level::Info if !record.target().starts_with("fuzarr") => LogLevel::Debug,
            log::Level::Warn => LogLevel::Warn,
            log::Level::Info => LogLevel::Info,
            log::Level::Debug => LogLevel::Debug,
            log::Level::Trace => LogLevel::Trace,
        };
        log.event(level, &record.args().to_string(), &[]);
    }

    fn flush(&self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log_to(path: &Path, format: LogFormat, level: LogLevel) -> Arc<Log> {
        Log::open(&LogOptions { level, format, file: Some(path.to_owned()), discreet: false }).unwrap()
    }

    #[test]
    fn times() {
        let at = |s| rfc3339(UNIX_EPOCH + Duration::from_millis(s));
        assert_eq!(at(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(at(951_782_400_123), "2000-02-29T00:00:00.123Z");
        assert_eq!(at(1_704_067_199_999), "2023-12-31T23:59:59.999Z");
        assert_eq!(at(4_107_542_400_000), "2100-03-01T00:00:00.000Z");
    }

    #[test]
    fn one_line_an_event_and_repeats_are_held_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("new/a.log");
        let log = log_to(&path, LogFormat::Text, LogLevel::Info);
        for _ in 0..100 {
            log.event(LogLevel::Warn, "bad\ntile\u{1b}[0m", &[]);
        }
        log.event(LogLevel::Debug, "unheard", &[]);
        log.event(LogLevel::Info, "other", &[]);
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(text.contains("Z warn  bad tile [0m\n"), "{text}");
    }

    #[test]
    fn a_repeat_is_counted_when_it_comes_through_again() {
        let now = Instant::now();
        let mut state = State { file: None, seen: HashMap::new(), second: now, in_second: 0, dropped: 0 };
        assert_eq!(state.admit("a", now), Some(0));
        assert_eq!(state.admit("a", now), None);
        assert_eq!(state.admit("a", now), None);
        assert_eq!(state.admit("a", now + REPEAT), Some(2));
        for n in 0..2 * REMEMBERED_MAX as u32 {
            state.admit(&n.to_string(), now + REPEAT + Duration::from_millis(6 * u64::from(n)));
        }
        assert!(state.seen.len() <= REMEMBERED_MAX);
        let later = now + 10 * REPEAT;
        let written = (0..1000).filter(|n| state.admit(&format!("x{n}"), later).is_some()).count();
        assert_eq!(written, PER_SECOND_MAX as usize);
        assert_eq!(state.dropped, 1000 - u64::from(PER_SECOND_MAX));
    }

    #[test]
    fn json_lines_parse_and_long_messages_are_cut() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.log");
        let log = log_to(&path, LogFormat::Json, LogLevel::Trace);
        log.event(LogLevel::Error, &"x\"".repeat(5000), &[("path", "a/b\n.tif")]);
        let text = std::fs::read_to_string(&path).unwrap();
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["level"], "error");
        assert_eq!(value["path"], "a/b\n.tif");
        assert!(value["message"].as_str().unwrap().chars().count() <= MESSAGE_MAX + 1);
        assert_eq!(text.lines().count(), 1);
    }

    #[test]
    fn a_large_file_is_set_aside() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.log");
        std::fs::write(&path, vec![b'\n'; FILE_MAX as usize]).unwrap();
        log_to(&path, LogFormat::Text, LogLevel::Info).event(LogLevel::Info, "fresh", &[]);
        assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 1);
        assert_eq!(std::fs::metadata(dir.path().join("a.log.1")).unwrap().len(), FILE_MAX);
    }
}
