//! `fuzarr status [MOUNTPOINT]`: asks daemons over their control sockets, never through a mount.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use super::args::StatusArgs;
use super::exit::one_line;
use super::{Exit, Failure, report};
use crate::daemon::{self, Endpoint};
use crate::error::Kind;

/// What is known of one mount.
struct Mount {
    health: Exit,
    document: Value,
}

/// Asks, prints, judges.
pub fn run(args: &StatusArgs) -> Result<Exit, Failure> {
    let mounts = match &args.mountpoint {
        Some(place) => vec![one(place)?],
        None => all()?,
    };
    let text = if args.json {
        let all: Vec<Value> = mounts.iter().map(|m| m.document.clone()).collect();
        let document = match (&args.mountpoint, all.as_slice()) {
            (Some(_), [one]) => one.clone(),
            _ => Value::Array(all),
        };
        serde_json::to_string_pretty(&document).map_err(Failure::new)? + "\n"
    } else {
        mounts.iter().map(|m| table(&m.document)).collect::<Vec<_>>().join("\n")
    };
    report::print(text.as_bytes())?;
    Ok(mounts.iter().map(|m| m.health).max_by_key(|e| e.code()).unwrap_or(Exit::Success))
}

fn one(place: &Path) -> Result<Mount, Failure> {
    let absolute = daemon::absolute_mountpoint(place).map_err(Failure::new)?;
    let mut silent = false;
    for endpoint in daemon::endpoints_of(&absolute) {
        match asked(&endpoint) {
            Some(mount) if mount.health != Exit::Unhealthy || !mount.document["source"].is_null() => return Ok(mount),
            Some(_) => silent = true,
            None => {}
        }
    }
    if silent || daemon::is_ours(&absolute).map_err(Failure::new)? {
        return Ok(unheard(&absolute));
    }
    let message = format!("{}: nothing of fuzarr is mounted there", place.display());
    Err(Failure { exit: Exit::NotMounted, message })
}

fn all() -> Result<Vec<Mount>, Failure> {
    let mut mounts: Vec<Mount> = daemon::endpoints().iter().filter_map(asked).collect();
    let heard: Vec<PathBuf> =
        mounts.iter().filter_map(|m| m.document["mountpoint"].as_str()).map(PathBuf::from).collect();
    let table = daemon::mounts_of_user().map_err(Failure::new)?;
    mounts.retain(|m| m.document["mountpoint"].is_string());
    mounts.extend(table.iter().filter(|place| !heard.contains(place)).map(|place| unheard(place)));
    Ok(mounts)
}

/// The answer behind a socket; `None` if no daemon is there. A socket that a killed daemon left is removed.
fn asked(endpoint: &Endpoint) -> Option<Mount> {
    match daemon::ask(&endpoint.socket, "status") {
        Ok(mut document) => {
            let stuck = is_stuck(&document);
            document["health"] = Value::from(if stuck { "stuck source" } else { "ok" });
            Some(Mount { health: if stuck { Exit::Unhealthy } else { Exit::Success }, document })
        }
        Err(e) if e.kind() == Kind::NotFound => {
            if endpoint.own {
                let _ = std::fs::remove_file(&endpoint.socket);
            }
            None
        }
        Err(_) => Some(Mount { health: Exit::Unhealthy, document: json!({}) }),
    }
}

/// A mount whose daemon does not answer.
fn unheard(place: &Path) -> Mount {
    let health = match daemon::pulse(place, Duration::from_secs(2)) {
        daemon::Pulse::Dead => "dead: its daemon is gone; 'fuzarr unmount' or a new mount clears it",
        _ => "its daemon does not answer on the control socket",
    };
    let document = json!({"mountpoint": place.to_string_lossy(), "health": health});
    Mount { health: Exit::Unhealthy, document }
}

/// Does the daemon name sources that make no progress?
fn is_stuck(document: &Value) -> bool {
    document.pointer("/fs/engine/stuck").and_then(Value::as_array).is_some_and(|lanes| !lanes.is_empty())
}

/// A table for people: the fixed part first, then whatever the file system counts.
fn table(document: &Value) -> String {
    let text = |key: &str| document[key].as_str().unwrap_or_default().to_owned();
    let mut out = String::new();
    put(&mut out, "", &text("mountpoint"));
    if !document["source"].is_null() {
        put(&mut out, "  source", &text("source"));
    }
    if document["deidentify"].as_str().is_some_and(|level| level != "off") {
        put(&mut out, "  de-identified", &text("deidentify"));
    }
    put(&mut out, "  health", &text("health"));
    if let Some(seconds) = document["uptime_seconds"].as_u64() {
        put(&mut out, "  uptime", &uptime(seconds));
        put(&mut out, "  daemon", &format!("process {}, version {}", document["pid"], text("version")));
    }
    rows(&mut out, "  ", &document["fs"]);
    out
}

fn put(out: &mut String, label: &str, value: &str) {
    let line = if label.is_empty() { one_line(value) } else { one_line(&format!("{label:<24}{value}")) };
    let _ = writeln!(out, "{line}");
}

/// Numbers by name; keys that end in `bytes` are shown as sizes.
fn rows(out: &mut String, indent: &str, value: &Value) {
    let Some(object) = value.as_object() else { return };
    for (key, value) in object {
        let label = format!("{indent}{}", key.replace('_', " "));
        match value {
            Value::Object(inner) if inner.is_empty() => put(out, &label, "none"),
            Value::Object(_) => {
                put(out, &label, "");
                rows(out, &format!("{indent}  "), value);
            }
            Value::Array(items) if items.is_empty() => put(out, &label, "none"),
            Value::Array(items) => {
                for item in items {
                    put(out, &label, &item.as_str().map_or_else(|| item.to_string(), str::to_owned));
                }
            }
            Value::Number(n) if key.ends_with("bytes") || key.starts_with("budget") => {
                put(out, &label, &bytes(n.as_f64().unwrap_or(0.0)));
            }
            Value::String(text) => put(out, &label, text),
            other => put(out, &label, &other.to_string()),
        }
    }
}

fn bytes(n: f64) -> String {
    let units = ["bytes", "KiB", "MiB", "GiB", "TiB"];
    let mut value = n;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < units.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{value} bytes") } else { format!("{value:.1} {}", units[unit]) }
}

fn uptime(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {} s", seconds % 60),
        (0, _, _) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stuck_source_is_unhealthy() {
        assert!(is_stuck(&json!({"fs": {"engine": {"stuck": ["plate7"]}}})));
        assert!(!is_stuck(&json!({"fs": {"engine": {"stuck": []}}})));
        assert!(!is_stuck(&json!({"fs": {}})));
    }

    #[test]
    fn numbers_for_people() {
        assert_eq!(bytes(512.0), "512 bytes");
        assert_eq!(bytes(1536.0 * 1024.0), "1.5 MiB");
        assert_eq!(uptime(59), "59 s");
        assert_eq!(uptime(3660), "1 h 1 min");
        assert_eq!(uptime(200_000), "2 d 7 h");
    }

    #[test]
    fn the_table_has_every_counter() {
        let text = table(&json!({
            "mountpoint": "/m", "source": "/s", "health": "ok", "uptime_seconds": 5, "pid": 7, "version": "0.1.0",
            "fs": {"images_open": 2, "engine": {"cache_bytes": 1048576, "errors": {"malformed": 3}, "stuck": []}},
        }));
        for row in ["/m\n", "source ", "uptime ", "images open ", "1.0 MiB", "malformed ", "stuck "] {
            assert!(text.contains(row), "{row}: {text}");
        }
    }
}
