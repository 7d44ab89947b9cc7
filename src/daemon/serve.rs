//! The life of a mount, from checked options to the end of the session.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use serde_json::{Value, json};

use super::background::{self, Side};
use super::control::Control;
use super::log::Log;
use super::{check, limits, notify, runtime, signals};
use crate::config::{Deidentify, LogOptions, MountOptions};
use crate::error::Result;
use crate::format::bioformats;
use crate::fs::Fs;
use crate::fuse;

/// How [`start`] came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// In the process that was called: the mount serves in the background.
    Serving,
    /// In the process that served: the mount is gone.
    Unmounted,
}

/// Mounts, in the background or here. In the background, the process that was called returns when the mount serves.
///
/// # Errors
/// Whatever kept it from serving; a daemon's own failure is passed on to the process that was called.
pub fn start(
    options: &MountOptions,
    door: Option<&bioformats::Options>,
    log: &LogOptions,
    foreground: bool,
    cleared: usize,
) -> Result<Ended> {
    check::fuse_is_usable(options.allow_other)?;
    if let Some(file) = &log.file {
        check::outside(&options.mountpoint, file, "--log-file")?;
    }
    if foreground {
        let log = Log::open(log)?;
        log.install();
        serve(options, door, &log, cleared, || notify::tell("READY=1"))?;
        return Ok(Ended::Unmounted);
    }
    let file = match &log.file {
        Some(file) => file.clone(),
        None => runtime::default_log_file(&options.mountpoint)?,
    };
    let log = Log::open(&LogOptions { file: Some(file.clone()), ..log.clone() })?;
    match background::split()? {
        Side::Parent(parent) => {
            parent.wait(&options.mountpoint, &file)?;
            Ok(Ended::Serving)
        }
        Side::Daemon(reporter) => {
            log.install();
            // The reporter leaves by whichever comes first: ready, or the error.
            let reporter = std::cell::Cell::new(Some(reporter));
            let detached = reporter.take().map_or(Ok(()), |r| {
                let done = r.detach(&file);
                reporter.set(Some(r));
                done
            });
            let ready = || reporter.take().into_iter().for_each(background::Reporter::ready);
            let served = detached.and_then(|()| serve(options, door, &log, cleared, ready));
            if let (Err(e), Some(reporter)) = (&served, reporter.take()) {
                reporter.failed(e);
            }
            served.map(|()| Ended::Unmounted)
        }
    }
}

/// Serves until the mount is gone.
fn serve(
    options: &MountOptions,
    door: Option<&bioformats::Options>,
    log: &Arc<Log>,
    cleared: usize,
    ready: impl FnOnce(),
) -> Result<()> {
    let started = Instant::now();
    limits::raise_open_files();
    limits::load_program();
    if cleared > 0 {
        log::warn!("{}: a mount whose daemon was gone has been cleared", options.mountpoint.display());
    }
    if let Some(door) = door {
        let folder = if options.source.is_file() { options.source.parent() } else { None };
        bioformats::install(door, folder.unwrap_or(&options.source))?;
    }
    let control = Arc::new(Control::bind(&options.mountpoint)?);
    let fs = Fs::new(options, Arc::clone(log) as Arc<dyn crate::fs::Events>)?;
    {
        let (fs, options) = (Arc::clone(&fs), options.clone());
        control.answer(move || document(&options, started, fs.status()))?;
    }
    {
        let control = Arc::clone(&control);
        signals::watch(&options.mountpoint, move || control.remove())?;
    }
    let at = options.mountpoint.display();
    let served = fuse::serve(Arc::clone(&fs), options, || {
        let source = match options.view.deidentify {
            Deidentify::Off => options.source.display().to_string(),
            level => format!("a source de-identified ({})", level.name()),
        };
        log::info!("serving {source} at {at}, version {}", env!("CARGO_PKG_VERSION"));
        ready();
    });
    control.remove();
    fs.finish();
    match &served {
        Ok(()) => log::info!("{at} was unmounted after {} s", started.elapsed().as_secs()),
        Err(e) => log::error!("{e}"),
    }
    served
}

/// What the control socket tells.
fn document(options: &MountOptions, started: Instant, fs: Value) -> Value {
    let level = options.view.deidentify;
    json!({
        "mountpoint": lossy(&options.mountpoint),
        // Those who may ask need not be those who may know.
        "source": (level == Deidentify::Off).then(|| lossy(&options.source)),
        "deidentify": level.name(),
        "version": env!("CARGO_PKG_VERSION"),
        "pid": std::process::id(),
        "uptime_seconds": started.elapsed().as_secs(),
        "fs": fs,
    })
}

fn lossy(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
