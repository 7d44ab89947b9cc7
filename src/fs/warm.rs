//! Preparing images ahead: everything of them that the disk cache can hold is put there.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use super::images::Parsed;
use super::node::ImageNode;
use super::{Core, Events, Fs};
use crate::config::MountOptions;
use crate::error::{Error, Kind, Result};
use crate::exec::{Class, Reader};
use crate::io::Watch;
use crate::model::{Role, Shape};
use crate::pyramid::{ChunkId, Origin, Pyramid};
use crate::sync::{Arc, AtomicU64, Mutex, Ordering, lock};

/// What came of one file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Warmed {
    /// Images in it.
    pub images: u64,
    /// Chunks of synthesized levels that they have.
    pub chunks: u64,
    /// Entries written to the disk cache, of chunks and everything else: 0 if all was there.
    pub written: u64,
}

/// A file that was just written is not kept: its next state could look the same. After so long it is.
const SETTLED: Duration = Duration::from_millis(2100);
/// The last entries of a file may take a while to be written.
const WRITTEN: Duration = Duration::from_secs(600);

impl Fs {
    /// As [`Fs::new`], for a process that mounts nothing: what is to be kept on disk is never dropped.
    ///
    /// # Errors
    /// As [`Fs::new`].
    pub fn without_mount(options: &MountOptions, events: Arc<dyn Events>) -> Result<Arc<Fs>> {
        Fs::build(options, events, true)
    }

    /// Puts contrast, what is read to open it, and all synthesized levels of an image file into the disk cache; `None` for a
    /// file of a dataset that goes by another file. `file` and `name`, that of its directory in the mount, lie beneath SOURCE;
    /// `step` gets chunks done and chunks in all. Blocks; never call it where a mount is served.
    ///
    /// # Errors
    /// The first failure that left something out; the rest is there.
    pub fn warm(&self, file: &Path, name: &Path, step: &(dyn Fn(u64, u64) + Sync)) -> Result<Option<Warmed>> {
        let core = &self.0;
        let written = || core.engine.disk().map_or(0, |disk| disk.stats().written);
        let before = written();
        let mut opened = core.opened(file, name)?;
        if opened.1.image.on_disk.is_none() {
            std::thread::sleep(SETTLED);
            core.drop_image(&opened.0);
            opened = core.opened(file, name)?;
        }
        let (node, parsed) = opened;
        let source = &parsed.image.source;
        if source.canonical().is_some_and(|canonical| canonical != file) {
            return Ok(None);
        }
        if parsed.image.on_disk.is_none() {
            let what = "nothing of it can be kept: the state of its files is not known before they are read";
            return Err(Error::unsupported(what));
        }
        let mut first = Ok(());
        let (mut images, mut stages) = (0, Vec::new());
        for (series, number) in source.series().iter().zip(0u32..) {
            if !matches!(series.role, Role::Regions(_)) {
                images += 1;
                let (parsed, of) = (Arc::clone(&parsed), Arc::clone(&node));
                let sample = move |core: &Core, watch: &Arc<Watch>| core.windows(&of, &parsed, number, watch);
                let found = core.now(&node, Class::Data, sample);
                first = first.and(found.map(drop));
            }
            if let Some(pyramid) = parsed.image.pyramids.get(number as usize) {
                stages.extend(plan(pyramid, number, series.samples.max(1), core.engine.threads()));
            }
        }
        let total = stages.iter().map(Stage::chunks).fold(0, u64::saturating_add);
        let (done, failed) = (AtomicU64::new(0), Mutex::new(None));
        let warming = Warming { core, node: &node, parsed: &parsed, total, done, failed, step };
        // What lies under the chunks of a stage is made by those before it.
        for stage in &stages {
            warming.run(stage);
        }
        if let Some(disk) = core.engine.disk() {
            disk.wait_written(WRITTEN);
        }
        core.drop_image(&node);
        let failed = lock(&warming.failed).take();
        first.and(failed.map_or(Ok(()), Err))?;
        Ok(Some(Warmed { images, chunks: total, written: written() - before }))
    }
}

impl Fs {
    /// Why the disk cache is not written any more.
    pub fn disk_failure(&self) -> Option<String> {
        self.0.engine.disk().and_then(|disk| disk.failure())
    }
}

impl Core {
    /// Runs a job on the lane of an image and waits for it.
    fn now<T: Send + 'static>(
        self: &Arc<Self>,
        node: &ImageNode,
        class: Class,
        job: impl FnOnce(&Core, &Arc<Watch>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let core = Arc::clone(self);
        let (send, receive) = crossbeam::channel::bounded(1);
        let done = move |result| drop(send.send(result));
        self.engine.submit(&node.lane(), class, Reader::default(), move |watch| job(&core, watch), done);
        receive.recv().unwrap_or_else(|_| Err(Error::new(Kind::Internal, "an answer was lost")))
    }

    fn opened(self: &Arc<Self>, file: &Path, name: &Path) -> Result<(Arc<ImageNode>, Arc<Parsed>)> {
        let bytes = |path: &Path| path.file_name().map_or(&[][..], OsStr::as_bytes).to_vec();
        let (directory, source, name) = (file.parent().unwrap_or(Path::new("")).to_owned(), bytes(file), bytes(name));
        let core = Arc::clone(self);
        let (send, receive) = crossbeam::channel::bounded(1);
        let lane = directory.clone();
        let job = move |watch: &Arc<Watch>| {
            let node = Arc::new(core.image_node(&directory, &source, 0, &name, watch)?);
            let parsed = core.image_now(&node, watch)?;
            Ok((node, parsed))
        };
        self.run(&lane, Class::Meta, Reader::default(), job, move |result| drop(send.send(result)));
        receive.recv().unwrap_or_else(|_| Err(Error::new(Kind::Internal, "an answer was lost")))
    }
}

/// Chunks of one level, each with everything under it down to another level. They can be done in any order.
struct Stage {
    series: u32,
    level: u32,
    finest: u32,
    /// Channels that lie in one unit.
    samples: u64,
    /// Chunks along the axes of the level, channel groups for channels.
    grid: Shape,
    /// Chunks of all levels of the stage.
    chunks: u64,
}

/// Trees under enough chunks of one level keep all processors busy; the few chunks above them come level by level.
fn plan(pyramid: &Pyramid, series: u32, samples: u64, threads: usize) -> Vec<Stage> {
    let Some(finest) = pyramid.levels.iter().position(|l| l.origin == Origin::Synthesized) else { return Vec::new() };
    let grid = |l: usize| {
        let all = pyramid.grid(l);
        Shape { c: all.c / samples, ..all }
    };
    let last = pyramid.levels.len() - 1;
    let split = (finest..=last).rev().find(|l| count(&grid(*l)) >= 4 * threads as u64).unwrap_or(finest);
    let number = |l: usize| u32::try_from(l).unwrap_or(u32::MAX);
    let stage = |level: usize| {
        let finest = if level == split { finest } else { level };
        let chunks = (finest..=level).map(|l| count(&pyramid.grid(l))).fold(0, u64::saturating_add);
        Stage { series, level: number(level), finest: number(finest), samples, grid: grid(level), chunks }
    };
    (split..=last).map(stage).collect()
}

fn count(grid: &Shape) -> u64 {
    grid.tczyx().into_iter().fold(1, u64::saturating_mul)
}

impl Stage {
    fn chunks(&self) -> u64 {
        self.chunks
    }

    /// Chunk number `n`, planes apart, in rows.
    fn top(&self, n: u64) -> ChunkId {
        let Shape { c, z, y, x, .. } = self.grid;
        let (plane, at) = (n / (y * x), n % (y * x));
        let (t, c, z) = (plane / (c * z), plane / z % c * self.samples, plane % z);
        ChunkId { series: self.series, level: self.level, t, c, z, y: at / x, x: at % x }
    }
}

struct Warming<'a> {
    core: &'a Arc<Core>,
    node: &'a Arc<ImageNode>,
    parsed: &'a Parsed,
    total: u64,
    done: AtomicU64,
    /// The first failure, or a later one that is the end.
    failed: Mutex<Option<Error>>,
    step: &'a (dyn Fn(u64, u64) + Sync),
}

impl Warming<'_> {
    fn run(&self, stage: &Stage) {
        let source = &self.parsed.image.source;
        let base = source.series().get(stage.series as usize).map_or(0, |s| s.levels.len().saturating_sub(1));
        // Bands of one long strip are cheap only in their order.
        let side_by_side = source.random_access(stage.series, u32::try_from(base).unwrap_or(0));
        let threads = if side_by_side { self.core.engine.threads() } else { 1 };
        let (next, all) = (AtomicU64::new(0), count(&stage.grid));
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    loop {
                        let n = next.fetch_add(1, Ordering::Relaxed);
                        if n >= all || self.is_over() {
                            return;
                        }
                        self.tree(stage, stage.top(n));
                    }
                });
            }
        });
    }

    /// Did anything fail that will fail again with every chunk?
    fn is_over(&self) -> bool {
        lock(&self.failed).as_ref().is_some_and(|e| !e.about_content() && e.kind() != Kind::Missing)
    }

    /// Makes a chunk, those under it first: each is reduced while they are in memory.
    fn tree(&self, stage: &Stage, id: ChunkId) {
        if id.level > stage.finest {
            self.under(id).for_each(|finer| self.tree(stage, finer));
        }
        for c in id.c..id.c + stage.samples {
            self.chunk(ChunkId { c, ..id });
        }
    }

    /// Chunks of the next finer level under a chunk.
    fn under(&self, id: ChunkId) -> impl Iterator<Item = ChunkId> {
        let level = id.level.saturating_sub(1);
        let grid = self.parsed.image.pyramids.get(id.series as usize).map(|p| p.grid(level as usize));
        let (rows, columns) = grid.map_or((0, 0), |g| (g.y, g.x));
        let all = (2 * id.y..(2 * id.y + 2).min(rows))
            .flat_map(move |y| (2 * id.x..(2 * id.x + 2).min(columns)).map(move |x| (y, x)));
        all.map(move |(y, x)| ChunkId { level, y, x, ..id })
    }

    fn chunk(&self, id: ChunkId) {
        if self.is_over() {
            return;
        }
        let kept = self.core.engine.is_chunk_kept(&self.parsed.image, id);
        let read = if kept { Ok(()) } else { self.read(id) };
        if let Err(e) = read {
            let mut failed = lock(&self.failed);
            if failed.as_ref().is_none_or(|first| first.about_content() && !e.about_content()) {
                *failed = Some(e);
            }
        }
        (self.step)(self.done.fetch_add(1, Ordering::Relaxed) + 1, self.total);
    }

    fn read(&self, id: ChunkId) -> Result<()> {
        let (send, receive) = crossbeam::channel::bounded(1);
        let done = Box::new(move |result: Result<&[u8]>| drop(send.send(result.map(drop))));
        self.core.engine.read_chunk(&self.node.lane(), &self.parsed.image, id, 0..1, Reader::default(), done);
        receive.recv().unwrap_or_else(|_| Err(Error::new(Kind::Internal, "an answer was lost")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pyramid::PyramidLevel;

    #[test]
    fn every_chunk_of_every_synthesized_level_has_its_place_in_one_stage() {
        let shape = |y, x| Shape { t: 2, c: 6, z: 3, y, x };
        let level = |y, x, origin| PyramidLevel { shape: shape(y, x), origin };
        let levels = vec![
            level(4000, 3000, Origin::Stored(0)),
            level(2000, 1500, Origin::Synthesized),
            level(1000, 750, Origin::Synthesized),
            level(500, 375, Origin::Synthesized),
        ];
        let pyramid = Pyramid { levels, chunk: (256, 256) };
        for threads in [1, 16, 100] {
            let stages = plan(&pyramid, 0, 3, threads);
            let mut seen = std::collections::HashSet::new();
            for stage in &stages {
                for n in 0..count(&stage.grid) {
                    assert!(seen.insert(stage.top(n)));
                }
            }
            let wanted: u64 = (1..4).map(|l| count(&pyramid.grid(l))).sum();
            assert_eq!(stages.iter().map(Stage::chunks).sum::<u64>(), wanted);
            assert_eq!(stages[0].finest, 1);
            assert!(seen.iter().all(|id| id.c == 0 || id.c == 3) && seen.iter().any(|id| id.t == 1 && id.z == 2));
        }
        assert_eq!(plan(&pyramid, 0, 3, 1)[0].level, 3);
        assert_eq!(plan(&pyramid, 0, 3, 100)[0].level, 1);
    }
}
