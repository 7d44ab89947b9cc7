//! Notes what is read of some files while they are opened, and gives back what was noted the last time.
//!
//! Files are opened, looked at and verified as without: only their content comes from the pack, and only as long as the tape
//! runs.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::pack::{Pack, PackBuilder, State};
use super::{Fingerprint, ReadAt};
use crate::error::Result;
use crate::sync::{Arc, AtomicBool, Mutex, Ordering, Weak, lock};

/// Asks for room for so many more bytes.
type Room = Box<dyn FnMut(u64) -> bool + Send>;

/// Room is asked for in steps.
const STEP: u64 = 256 << 10;
/// An open that read less, and less often, is not worth an entry.
const WORTH: (u64, u64) = (64 << 10, 8);

struct Inner {
    played: Option<Pack>,
    noted: PackBuilder,
    /// Files that are open still.
    files: Vec<Weak<Taped>>,
    granted: u64,
    most: u64,
    room: Room,
    /// Not to be kept: too much, or a file changed meanwhile.
    spoiled: bool,
}

/// See the module.
pub struct Tape {
    runs: AtomicBool,
    inner: Mutex<Inner>,
}

impl Tape {
    /// Gives what `played` holds, notes at most `most` bytes of the rest in what `room` grants.
    pub fn new(played: Option<Pack>, most: u64, room: impl FnMut(u64) -> bool + Send + 'static) -> Arc<Self> {
        let inner = Inner {
            played,
            noted: PackBuilder::default(),
            files: Vec::new(),
            granted: 0,
            most,
            room: Box::new(room),
            spoiled: false,
        };
        Arc::new(Tape { runs: AtomicBool::new(true), inner: Mutex::new(inner) })
    }

    /// A file in a state, under the name that it has in packs; without a state nothing of it is noted or played.
    pub fn file(self: &Arc<Self>, path: &Path, state: Option<State>, file: Arc<dyn ReadAt>) -> Arc<dyn ReadAt> {
        let Some(state) = state.filter(|_| self.runs()) else { return file };
        let mut inner = lock(&self.inner);
        let played = inner.played.as_ref().and_then(|pack| pack.find(path, &state));
        let noted = inner.noted.file(path, &state);
        let taped = Arc::new(Taped { file, tape: Arc::clone(self), played, noted, read: AtomicBool::new(false) });
        inner.files.push(Arc::downgrade(&taped));
        taped
    }

    /// Is it not stopped yet?
    pub fn runs(&self) -> bool {
        self.runs.load(Ordering::Acquire)
    }

    /// Stops it and lets go of everything: nothing is worth keeping.
    pub fn cancel(&self) {
        self.runs.store(false, Ordering::Release);
        let mut inner = lock(&self.inner);
        inner.files.clear();
        inner.played = None;
        inner.noted = PackBuilder::default();
    }

    /// Stops it and lets go of everything. What was noted, if it is worth keeping and nothing changed meanwhile: a pack that
    /// serves the same open next time.
    pub fn stop(&self) -> Option<Vec<u8>> {
        self.runs.store(false, Ordering::Release);
        let files = std::mem::take(&mut lock(&self.inner).files);
        let changed = files.iter().filter_map(Weak::upgrade).any(|file| file.has_changed());
        let mut inner = lock(&self.inner);
        let (played, mut noted) = (inner.played.take(), std::mem::take(&mut inner.noted));
        let (bytes, reads) = noted.cost();
        if changed || inner.spoiled || reads == 0 {
            return None;
        }
        if played.is_none() && bytes < WORTH.0 && reads < WORTH.1 {
            return None;
        }
        // Twice: while it is put together.
        if !(inner.room)(bytes) {
            return None;
        }
        drop(inner);
        for (path, state, offset, bytes) in played.iter().flat_map(Pack::ranges) {
            let file = noted.file(path, state);
            noted.add(file, offset, bytes);
        }
        noted.encoded()
    }

    fn play(&self, played: Option<usize>, offset: u64, buf: &mut [u8]) -> bool {
        let inner = lock(&self.inner);
        played.zip(inner.played.as_ref()).is_some_and(|(part, pack)| pack.read(part, offset, buf))
    }

    fn note(&self, file: usize, offset: u64, bytes: &[u8]) {
        let mut inner = lock(&self.inner);
        if inner.spoiled || !self.runs() {
            return;
        }
        let need = inner.noted.cost().0 + bytes.len() as u64 + PackBuilder::RANGE;
        while need > inner.most.min(inner.granted) {
            let granted = need <= inner.most && (inner.room)(STEP);
            if !granted {
                inner.spoiled = true;
                inner.noted = PackBuilder::default();
                return;
            }
            inner.granted += STEP;
        }
        inner.noted.add(file, offset, bytes);
    }
}

/// A file on the tape.
struct Taped {
    file: Arc<dyn ReadAt>,
    tape: Arc<Tape>,
    played: Option<usize>,
    noted: usize,
    /// Was anything noted of it?
    read: AtomicBool,
}

impl Taped {
    fn has_changed(&self) -> bool {
        self.read.load(Ordering::Relaxed) && self.file.verify().is_err()
    }
}

impl Drop for Taped {
    fn drop(&mut self) {
        // What was read of a file that changed meanwhile is of no state at all.
        if self.tape.runs() && self.has_changed() {
            lock(&self.tape.inner).spoiled = true;
        }
    }
}

impl ReadAt for Taped {
    fn len(&self) -> u64 {
        self.file.len()
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        if !self.tape.runs() {
            return self.file.read_exact_at(offset, buf);
        }
        if self.tape.play(self.played, offset, buf) {
            return Ok(());
        }
        self.file.read_exact_at(offset, buf)?;
        self.read.store(true, Ordering::Relaxed);
        self.tape.note(self.noted, offset, buf);
        Ok(())
    }

    fn verify(&self) -> Result<()> {
        self.file.verify()
    }

    fn fingerprint(&self) -> Fingerprint {
        self.file.fingerprint()
    }

    fn location(&self) -> Option<PathBuf> {
        self.file.location()
    }

    fn beside(&self, most: usize) -> Result<Vec<OsString>> {
        self.file.beside(most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Error, Kind};
    use crate::sync::AtomicU64;

    /// Counts reads; can pretend to have changed.
    struct Counted {
        bytes: Vec<u8>,
        reads: AtomicU64,
        changed: AtomicBool,
    }

    impl ReadAt for Counted {
        fn len(&self) -> u64 {
            self.bytes.len() as u64
        }
        fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
            self.reads.fetch_add(1, Ordering::Relaxed);
            super::super::MemoryFile(self.bytes.clone()).read_exact_at(offset, buf)
        }
        fn verify(&self) -> Result<()> {
            match self.changed.load(Ordering::Relaxed) {
                true => Err(Error::new(Kind::Changed, "changed")),
                false => Ok(()),
            }
        }
        fn fingerprint(&self) -> Fingerprint {
            Fingerprint { dev: 0, ino: 0, size: self.len(), mtime_ns: 0 }
        }
    }

    fn counted() -> Arc<Counted> {
        let bytes = (0..=255u8).cycle().take(1000).collect();
        Arc::new(Counted { bytes, reads: AtomicU64::new(0), changed: AtomicBool::new(false) })
    }

    fn read_all(tape: &Arc<Tape>, file: &Arc<Counted>, state: State) -> Arc<dyn ReadAt> {
        let taped = tape.file(Path::new("f"), Some(state), Arc::clone(file) as Arc<dyn ReadAt>);
        for n in 0..10u64 {
            assert_eq!(taped.read_vec(n * 90, 20).unwrap(), &file.bytes[n as usize * 90..n as usize * 90 + 20]);
        }
        taped
    }

    #[test]
    fn the_second_time_nothing_is_read_and_later_everything() {
        let file = counted();
        let tape = Tape::new(None, 1 << 20, |_| true);
        drop(read_all(&tape, &file, [1; 16]));
        let pack = tape.stop().unwrap();
        assert_eq!(file.reads.swap(0, Ordering::Relaxed), 10);
        let tape = Tape::new(Pack::decode(pack.clone()), 1 << 20, |_| true);
        let taped = read_all(&tape, &file, [1; 16]);
        assert_eq!(file.reads.load(Ordering::Relaxed), 0);
        assert!(tape.stop().is_none(), "nothing new");
        taped.read_vec(0, 20).unwrap();
        assert_eq!(file.reads.swap(0, Ordering::Relaxed), 1, "it stopped");
        // Another state: nothing of the pack is right.
        let tape = Tape::new(Pack::decode(pack.clone()), 1 << 20, |_| true);
        read_all(&tape, &file, [2; 16]);
        assert_eq!(file.reads.swap(0, Ordering::Relaxed), 10);
        // One more range: the next pack has both.
        let tape = Tape::new(Pack::decode(pack), 1 << 20, |_| true);
        read_all(&tape, &file, [1; 16]).read_vec(950, 9).unwrap();
        let tape = Tape::new(Pack::decode(tape.stop().unwrap()), 1 << 20, |_| true);
        file.reads.store(0, Ordering::Relaxed);
        read_all(&tape, &file, [1; 16]).read_vec(950, 9).unwrap();
        assert_eq!(file.reads.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn what_changed_what_is_too_much_and_what_is_little_is_not_kept() {
        let file = counted();
        let tape = Tape::new(None, 1 << 20, |_| true);
        let taped = read_all(&tape, &file, [1; 16]);
        file.changed.store(true, Ordering::Relaxed);
        assert!(tape.stop().is_none(), "changed while it is open");
        drop(taped);
        let tape = Tape::new(None, 1 << 20, |_| true);
        drop(read_all(&tape, &file, [1; 16]));
        assert!(tape.stop().is_none(), "changed before it was closed");
        file.changed.store(false, Ordering::Relaxed);
        for (most, room) in [(500, true), (1 << 20, false)] {
            let tape = Tape::new(None, most, move |_| room);
            read_all(&tape, &file, [1; 16]);
            assert!(tape.stop().is_none());
        }
        let tape = Tape::new(None, 1 << 20, |_| true);
        tape.file(Path::new("f"), Some([1; 16]), Arc::clone(&file) as Arc<dyn ReadAt>).read_vec(0, 9).unwrap();
        assert!(tape.stop().is_none(), "one read is no gain");
    }
}
