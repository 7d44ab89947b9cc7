//! A table of all images below a folder: one row for each image of each dataset.
//!
//! A dataset of several files counts once, under the file that it goes by. Rows come in the order of the walk, whichever thread
//! was first, so two runs over the same files write the same bytes.

mod dataset;
mod describe;
mod row;
mod shelf;
mod tables;
mod walk;

use std::collections::BTreeMap;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;

use crossbeam::channel::{Receiver, Sender, bounded};

pub use dataset::{Dataset, open, opened, recorded};
pub use row::{COLUMNS, Cell, Column, Kind, Row};
pub use tables::{Form, Table, table};
pub use walk::{Found, Walk};

use crate::error::{Error, Result};
use crate::metadata::sidecar::Beneath;
use crate::tree::{Filter, Source};

/// Files that are found and not yet written: what bounds the memory of a run.
const AHEAD: usize = 1024;

/// What to make a table of, and how.
pub struct Options {
    /// Which files become images, as for a mount.
    pub filter: Filter,
    /// Put before the path of each image to make its address.
    pub prefix: String,
    /// Threads that open files.
    pub threads: usize,
}

/// How far a run is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Files that look like images, found so far.
    pub found: u64,
    /// Of these, looked at.
    pub done: u64,
    /// Is the walk over?
    pub complete: bool,
}

/// What a run came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Files looked at.
    pub files: u64,
    /// Rows written.
    pub rows: u64,
    /// Rows that say why there is no image.
    pub errors: u64,
}

/// What a thread made of a file.
struct Answer {
    number: u64,
    /// Of a dataset whose own file is no image file: what stands for it.
    dataset: Option<u64>,
    rows: Vec<Row>,
}

/// Writes a row for every image below `source`.
///
/// # Errors
/// `Io` if the table cannot be written. What is wrong with a file or a folder is a row of its own.
pub fn run<W: Write + Send>(
    source: &Arc<Source>,
    options: &Options,
    table: &mut dyn Table<W>,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<Totals> {
    let known = walk::Members::default();
    let shelf = shelf::Shelf::new(Beneath::new(Arc::clone(source.root())));
    let (work, tasks) = bounded::<(u64, Found)>(64);
    let (answer, answers) = bounded::<Answer>(64);
    // One token for each file that is found and not written: the walk waits for its table.
    let (token, tokens) = bounded::<()>(AHEAD);
    let walked = std::sync::atomic::AtomicU64::new(0);
    let over = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // Moved in, so that the threads see the end of the walk.
            let (work, token) = (work, token);
            for (number, found) in (0u64..).zip(Walk::new(source, &options.filter)) {
                if token.send(()).is_err() || work.send((number, found)).is_err() {
                    return;
                }
                walked.store(number + 1, std::sync::atomic::Ordering::Relaxed);
            }
            over.store(true, std::sync::atomic::Ordering::Relaxed);
        });
        for _ in 0..options.threads.max(1) {
            let (tasks, answer) = (tasks.clone(), answer.clone());
            scope.spawn(|| work_on(source, options, &known, &shelf, tasks, answer));
        }
        drop((tasks, answer));
        let now = || Progress {
            found: walked.load(std::sync::atomic::Ordering::Relaxed),
            complete: over.load(std::sync::atomic::Ordering::Relaxed),
            done: 0,
        };
        write_all(answers, tokens, table, &|done| progress(Progress { done, ..now() }))
    })
}

fn work_on(
    source: &Arc<Source>,
    options: &Options,
    known: &walk::Members,
    shelf: &shelf::Shelf,
    tasks: Receiver<(u64, Found)>,
    answer: Sender<Answer>,
) {
    for (number, found) in tasks {
        // A bug in a reader costs one row, not the table.
        let made = catch_unwind(AssertUnwindSafe(|| describe::rows(source, options, known, shelf, &found)));
        let (dataset, rows) = made.unwrap_or_else(|_| {
            let bug = Error::new(crate::error::Kind::Internal, "the reader of this file failed");
            (None, vec![describe::failed(options, &found, &bug)])
        });
        if answer.send(Answer { number, dataset, rows }).is_err() {
            return;
        }
    }
}

/// Puts answers into the order of the walk and writes them. When it is over, so are the channels: a table that cannot be written
/// ends the threads.
fn write_all<W: Write + Send>(
    answers: Receiver<Answer>,
    tokens: Receiver<()>,
    table: &mut dyn Table<W>,
    progress: &dyn Fn(u64),
) -> Result<Totals> {
    let mut totals = Totals::default();
    let mut waiting: BTreeMap<u64, Answer> = BTreeMap::new();
    let mut written = std::collections::HashSet::new();
    for answer in answers {
        waiting.insert(answer.number, answer);
        while let Some(next) = waiting.remove(&totals.files) {
            totals.files += 1;
            let _ = tokens.try_recv();
            if next.dataset.is_some_and(|dataset| !written.insert(dataset)) {
                continue;
            }
            for row in &next.rows {
                totals.rows += 1;
                totals.errors += u64::from(row.failed());
                table.row(row).map_err(|e| Error::io(&e, "writing the table"))?;
            }
        }
        progress(totals.files);
    }
    Ok(totals)
}

/// Path of a file beneath SOURCE with the name that the mount gives to its image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// The file.
    pub file: PathBuf,
    /// Directory of its image in the mount.
    pub image: PathBuf,
}
