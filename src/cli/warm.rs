//! `fuzarr warm PATH...`: puts what a mount would compute into the disk cache ahead.

use std::io::IsTerminal;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::args::WarmArgs;
use super::mount::plain;
use super::{Exit, Failure, settings};
use crate::catalog::{Found, Walk};
use crate::config::MountOptions;
use crate::daemon;
use crate::error::Error;
use crate::format::bioformats;
use crate::fs::{Events, Fs, Level};
use crate::tree::{Filter, Source};

/// There is no mount that could lie inside.
const NO_MOUNT: &str = "/proc/self/no-mountpoint";

/// Messages go to standard error, above the bar.
struct Said(Option<ProgressBar>);

impl Said {
    fn line(&self, text: &str) {
        let line = format!("fuzarr: {}", super::exit::one_line(text));
        match &self.0 {
            Some(bar) => bar.println(line),
            None => eprintln!("{line}"),
        }
    }
}

impl Events for Said {
    /// It comes back as the result of the file, too.
    fn image_error(&self, _: &Path, _: &Error) {}

    fn note(&self, level: Level, message: &str) {
        if level <= Level::Warn {
            self.line(message);
        }
    }
}

/// What all paths came to.
#[derive(Default)]
struct Totals {
    files: u64,
    images: u64,
    chunks: u64,
    written: u64,
    failed: u64,
}

/// Walks, computes, counts.
pub fn run(args: &WarmArgs) -> Result<Exit, Failure> {
    let settings = settings::with_file(&args.settings)?;
    if settings.engine.disk_cache.is_none() {
        return Err(Failure::usage("warm: name the folder to put it in: --disk-cache"));
    }
    let door = settings::door(&settings.door, settings.engine.deadline)?;
    let bar = bar(args.quiet);
    let said = Arc::new(Said(bar.clone()));
    let mut totals = Totals::default();
    for path in &args.paths {
        let source = path.canonicalize().map_err(|e| Failure::new(format!("{}: {e}", path.display())))?;
        refuse_mounts(path, &source)?;
        let (mut options, _) = settings::resolve(settings.clone(), source, NO_MOUNT.into())?;
        if let Some(disk) = &mut options.engine.disk {
            disk.folder = daemon::checked_disk_cache(&disk.folder, &options.source, None).map_err(plain)?;
        }
        if let Some(door) = &door {
            let folder = if options.source.is_file() { options.source.parent() } else { None };
            bioformats::install(door, folder.unwrap_or(&options.source)).map_err(|e| Failure::new(e.what()))?;
        }
        one(&options, &said, bar.as_ref(), &mut totals)?;
    }
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    let Totals { files, images, chunks, written, failed } = totals;
    if !args.quiet {
        eprintln!(
            "{images} images in {files} files with {chunks} chunks below what is stored; {written} entries written, \
             {failed} files failed"
        );
    }
    Ok(if failed > 0 { Exit::BadFile } else { Exit::Success })
}

/// What a mount shows is another name of files that have to be known by their own.
fn refuse_mounts(named: &Path, source: &Path) -> Result<(), Failure> {
    for place in source.ancestors() {
        if daemon::is_ours(place).map_err(Failure::new)? {
            let what = "lies in a mount of fuzarr; name the files that are mounted there";
            return Err(Failure::usage(format!("{}: {what}", named.display())));
        }
    }
    Ok(())
}

fn one(
    options: &MountOptions,
    said: &Arc<Said>,
    bar: Option<&ProgressBar>,
    totals: &mut Totals,
) -> Result<(), Failure> {
    let events: Arc<dyn Events> = Arc::clone(said) as Arc<dyn Events>;
    let fs = Fs::without_mount(options, events).map_err(plain)?;
    let source = Source::open(&options.source, &options.mountpoint).map_err(plain)?;
    let filter = Filter::new(&options.tree).map_err(Failure::usage)?;
    for found in Walk::new(&source, &filter) {
        let shown = match found {
            Found::Image(shown) => shown,
            Found::Unread(folder, error) => {
                totals.failed += 1;
                said.line(&format!("{}: {}", source.canonical().join(folder).display(), error.reason()));
                continue;
            }
        };
        totals.files += 1;
        show(bar, &shown.file);
        let step = |done, all| {
            if let Some(bar) = bar {
                bar.set_length(all);
                bar.set_position(done);
            }
        };
        match fs.warm(&shown.file, &shown.image, &step) {
            Ok(None) => {}
            Ok(Some(warmed)) => {
                totals.images += warmed.images;
                totals.chunks += warmed.chunks;
                totals.written += warmed.written;
            }
            Err(error) => {
                totals.failed += 1;
                said.line(&format!("{}: {}", source.canonical().join(&shown.file).display(), error.reason()));
            }
        }
        if let Some(why) = fs.disk_failure() {
            return Err(Failure::new(format!("the disk cache cannot be written: {why}")));
        }
    }
    Ok(())
}

/// A bar on standard error, if that is a terminal.
fn bar(quiet: bool) -> Option<ProgressBar> {
    if quiet || !std::io::stderr().is_terminal() {
        return None;
    }
    let style = ProgressStyle::with_template("{spinner} {msg}  {pos} of {len} chunks  {wide_bar} {elapsed}").ok()?;
    let bar = ProgressBar::new(0).with_style(style);
    bar.enable_steady_tick(Duration::from_millis(200));
    Some(bar)
}

fn show(bar: Option<&ProgressBar>, file: &Path) {
    if let Some(bar) = bar {
        bar.set_length(0);
        bar.set_position(0);
        bar.set_message(super::exit::one_line(&file.to_string_lossy()));
    }
}
