//! `fuzarr catalog SOURCE`: a table of all images below a folder.

use std::fs::File;
use std::io::{BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use indicatif::{ProgressBar, ProgressStyle};

use super::args::CatalogArgs;
use super::{Exit, Failure};
use crate::catalog::{self, Form, Options, Progress, Totals};
use crate::config::TreeOptions;
use crate::tree::{Filter, Source};

/// Somewhere to write.
type Out = Box<dyn Write + Send>;

/// Walks, writes, counts.
pub fn run(args: &CatalogArgs) -> Result<Exit, Failure> {
    let about = std::fs::metadata(&args.source).map_err(|e| named(&args.source, &e))?;
    if !about.is_dir() && !about.is_file() {
        return Err(named(&args.source, &"is neither a folder nor a file"));
    }
    // There is no mount that could lie inside.
    let source = Arc::new(Source::open(&args.source, Path::new("/proc/self/no-mountpoint"))?);
    super::settings::open_door(&args.door, source.canonical())?;
    let tree = TreeOptions { include: args.include.clone(), exclude: args.exclude.clone(), ..TreeOptions::default() };
    let filter = Filter::new(&tree).map_err(Failure::usage)?;
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = args.threads.unwrap_or(2 * processors);
    let options = Options { filter, prefix: args.url_prefix.clone(), threads };
    let target = Target::new(args)?;
    let fail = |e: std::io::Error| Failure::new(format!("{}: {e}", target.name()));
    let out: Out = target.open()?;
    let mut table = catalog::table(form(args), out).map_err(fail)?;
    let bar = bar(args);
    let totals = catalog::run(&source, &options, &mut *table, &|now| show(bar.as_ref(), now))?;
    let mut out = table.finish().map_err(fail)?;
    out.flush().map_err(fail)?;
    drop(out);
    target.done()?;
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    if !args.quiet {
        eprintln!("{}", summary(totals));
    }
    Ok(if totals.errors > 0 { Exit::BadFile } else { Exit::Success })
}

fn named(path: &Path, what: &dyn std::fmt::Display) -> Failure {
    Failure::new(format!("{}: {what}", path.display()))
}

fn summary(totals: Totals) -> String {
    let Totals { files, rows, errors } = totals;
    format!("{} images in {files} files; {errors} cannot be read", rows - errors)
}

/// By the option, else by the name of the file.
fn form(args: &CatalogArgs) -> Form {
    let ending = args.output.as_deref().and_then(Path::extension).and_then(|e| e.to_str()).unwrap_or_default();
    args.format.unwrap_or(match ending.to_ascii_lowercase().as_str() {
        "jsonl" | "ndjson" => Form::JsonLines,
        "parquet" => Form::Parquet,
        _ => Form::Csv,
    })
}

/// Where the table goes: a file appears under its name when it is whole.
enum Target {
    Standard,
    File { name: PathBuf, part: PathBuf },
}

impl Target {
    fn new(args: &CatalogArgs) -> Result<Self, Failure> {
        let Some(name) = &args.output else {
            if form(args) == Form::Parquet && std::io::stdout().is_terminal() {
                return Err(Failure::usage("a Parquet file is no text for a terminal; name a file with --output"));
            }
            return Ok(Target::Standard);
        };
        let mut part = name.file_name().ok_or_else(|| named(name, &"is no name of a file"))?.to_owned();
        part.push(format!(".{}.part", std::process::id()));
        Ok(Target::File { name: name.clone(), part: name.with_file_name(part) })
    }

    fn name(&self) -> String {
        match self {
            Target::Standard => "standard output".to_owned(),
            Target::File { name, .. } => name.display().to_string(),
        }
    }

    fn open(&self) -> Result<Out, Failure> {
        Ok(match self {
            Target::Standard => Box::new(BufWriter::new(std::io::stdout())),
            Target::File { part, .. } => {
                let file = File::create_new(part).map_err(|e| named(part, &e))?;
                Box::new(BufWriter::with_capacity(1 << 20, file))
            }
        })
    }

    fn done(&self) -> Result<(), Failure> {
        match self {
            Target::Standard => Ok(()),
            Target::File { name, part } => std::fs::rename(part, name).map_err(|e| named(name, &e)),
        }
    }
}

impl Drop for Target {
    /// Half a table is none. Once it is whole it has another name.
    fn drop(&mut self) {
        if let Target::File { part, .. } = self {
            let _ = std::fs::remove_file(part);
        }
    }
}

/// A bar on standard error, if that is a terminal.
fn bar(args: &CatalogArgs) -> Option<ProgressBar> {
    if args.quiet || !std::io::stderr().is_terminal() {
        return None;
    }
    let style =
        ProgressStyle::with_template("{spinner} {pos} of {len} files{msg}  {wide_bar} {per_sec}  {elapsed}").ok()?;
    let bar = ProgressBar::new(0).with_style(style);
    bar.enable_steady_tick(std::time::Duration::from_millis(200));
    Some(bar)
}

fn show(bar: Option<&ProgressBar>, now: Progress) {
    let Some(bar) = bar else { return };
    bar.set_length(now.found);
    bar.set_position(now.done);
    bar.set_message(if now.complete { "" } else { " found so far" });
}
