//! A FUSE mount that shows a folder as it is: the ceiling that a mount which decodes is held against, and, slowed down, a stand-in
//! for a distant file server.
//!
//!     passthrough SOURCE MOUNTPOINT [--latency-ms 5] [--megabytes-per-second 50] [--count FILE]
//!
//! Runs in the foreground until unmounted. With a latency or a bandwidth, reads go past the page cache (no read-ahead of the kernel
//! counts), and FILE always holds how many bytes were read so far.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::{File, Metadata};
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use clap::Parser;
use fuser::{
    Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo, InitFlags, KernelConfig,
    LockOwner, MountOption, OpenFlags, ReplyAttr, ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyOpen, Request,
};

const TTL: Duration = Duration::from_secs(3600);

#[derive(Parser)]
struct Args {
    source: PathBuf,
    mountpoint: PathBuf,
    /// Every read takes so long at least.
    #[arg(long, default_value_t = 0)]
    latency_ms: u64,
    /// All reads together; 0: as fast as it goes.
    #[arg(long, default_value_t = 0)]
    megabytes_per_second: u64,
    /// Where the number of bytes read stands.
    #[arg(long)]
    count: Option<PathBuf>,
}

#[derive(Default)]
struct Nodes {
    paths: HashMap<u64, PathBuf>,
    ids: HashMap<PathBuf, u64>,
}

struct Passthrough {
    args: Args,
    nodes: Mutex<Nodes>,
    files: Mutex<HashMap<u64, std::sync::Arc<File>>>,
    next: AtomicU64,
    bytes: AtomicU64,
    /// When the line is free again.
    free: Mutex<Instant>,
}

fn errno(e: &std::io::Error) -> Errno {
    Errno::from_i32(e.raw_os_error().unwrap_or(libc::EIO))
}

fn time(seconds: i64, nanoseconds: i64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::new(seconds.try_into().unwrap_or(0), nanoseconds.try_into().unwrap_or(0))
}

fn attr(id: u64, of: &Metadata) -> FileAttr {
    let kind = of.file_type();
    FileAttr {
        ino: INodeNo(id),
        size: of.size(),
        blocks: of.blocks(),
        atime: time(of.atime(), of.atime_nsec()),
        mtime: time(of.mtime(), of.mtime_nsec()),
        ctime: time(of.ctime(), of.ctime_nsec()),
        crtime: SystemTime::UNIX_EPOCH,
        kind: match () {
            () if kind.is_dir() => FileType::Directory,
            () if kind.is_symlink() => FileType::Symlink,
            () if kind.is_fifo() => FileType::NamedPipe,
            () => FileType::RegularFile,
        },
        perm: (of.mode() & 0o7777) as u16,
        nlink: of.nlink() as u32,
        uid: of.uid(),
        gid: of.gid(),
        rdev: 0,
        blksize: 4096,
        flags: 0,
    }
}

impl Passthrough {
    fn path(&self, id: INodeNo) -> Option<PathBuf> {
        if id.0 == 1 { Some(self.args.source.clone()) } else { self.nodes.lock().unwrap().paths.get(&id.0).cloned() }
    }

    fn is_slow(&self) -> bool {
        self.args.latency_ms > 0 || self.args.megabytes_per_second > 0
    }

    fn wait(&self, bytes: u64) {
        let now = Instant::now();
        let mut ready = now + Duration::from_millis(self.args.latency_ms);
        if let Some(nanoseconds) = (bytes * 1000).checked_div(self.args.megabytes_per_second) {
            let mut free = self.free.lock().unwrap();
            *free = (*free).max(now) + Duration::from_nanos(nanoseconds);
            ready = ready.max(*free + Duration::from_millis(self.args.latency_ms));
        }
        std::thread::sleep(ready.saturating_duration_since(Instant::now()));
    }
}

impl Filesystem for Passthrough {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> std::io::Result<()> {
        for flag in [InitFlags::FUSE_PARALLEL_DIROPS, InitFlags::FUSE_ASYNC_READ] {
            let _ = config.add_capabilities(flag);
        }
        if let Err(most) = config.set_max_readahead(1 << 20) {
            let _ = config.set_max_readahead(most);
        }
        Ok(())
    }

    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let Some(path) = self.path(parent).map(|p| p.join(name)) else { return reply.error(Errno::ENOENT) };
        match path.symlink_metadata() {
            Ok(found) => {
                let mut nodes = self.nodes.lock().unwrap();
                let id = nodes.ids.get(&path).copied().unwrap_or_else(|| {
                    let id = self.next.fetch_add(1, Ordering::Relaxed);
                    nodes.ids.insert(path.clone(), id);
                    nodes.paths.insert(id, path);
                    id
                });
                reply.entry(&TTL, &attr(id, &found), Generation(0));
            }
            Err(e) => reply.error(errno(&e)),
        }
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match self.path(ino).ok_or(Errno::ENOENT).and_then(|p| p.symlink_metadata().map_err(|e| errno(&e))) {
            Ok(found) => reply.attr(&TTL, &attr(ino.0, &found)),
            Err(e) => reply.error(e),
        }
    }

    fn open(&self, _: &Request, ino: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        match self.path(ino).ok_or(Errno::ENOENT).and_then(|p| File::open(p).map_err(|e| errno(&e))) {
            Ok(file) => {
                let handle = self.next.fetch_add(1, Ordering::Relaxed);
                self.files.lock().unwrap().insert(handle, file.into());
                let flags =
                    if self.is_slow() { FopenFlags::FOPEN_DIRECT_IO } else { FopenFlags::FOPEN_KEEP_CACHE };
                reply.opened(FileHandle(handle), flags);
            }
            Err(e) => reply.error(e),
        }
    }

    fn read(
        &self,
        _: &Request,
        _: INodeNo,
        fh: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let Some(file) = self.files.lock().unwrap().get(&fh.0).cloned() else { return reply.error(Errno::EBADF) };
        let mut buffer = vec![0; size as usize];
        let mut filled = 0;
        while filled < buffer.len() {
            match file.read_at(&mut buffer[filled..], offset + filled as u64) {
                Ok(0) => break,
                Ok(n) => filled += n,
                Err(e) => return reply.error(errno(&e)),
            }
        }
        self.bytes.fetch_add(filled as u64, Ordering::Relaxed);
        if self.is_slow() {
            self.wait(filled as u64);
            if let Some(count) = &self.args.count {
                let _ = std::fs::write(count, self.bytes.load(Ordering::Relaxed).to_string());
            }
        }
        reply.data(&buffer[..filled]);
    }

    fn release(
        &self,
        _: &Request,
        _: INodeNo,
        fh: FileHandle,
        _: OpenFlags,
        _: Option<LockOwner>,
        _: bool,
        reply: ReplyEmpty,
    ) {
        self.files.lock().unwrap().remove(&fh.0);
        reply.ok();
    }

    fn readdir(&self, _: &Request, ino: INodeNo, _: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let listed = self.path(ino).ok_or(Errno::ENOENT).and_then(|p| names(&p).map_err(|e| errno(&e)));
        match listed {
            Ok(listed) => {
                for (number, (name, kind)) in listed.iter().enumerate().skip(usize::try_from(offset).unwrap_or(0)) {
                    if reply.add(INodeNo(u64::MAX), number as u64 + 1, *kind, name) {
                        break;
                    }
                }
                reply.ok();
            }
            Err(e) => reply.error(e),
        }
    }
}

fn names(path: &Path) -> std::io::Result<Vec<(std::ffi::OsString, FileType)>> {
    let mut all: Vec<_> = std::fs::read_dir(path)?
        .filter_map(Result::ok)
        .map(|e| {
            let folder = e.file_type().is_ok_and(|t| t.is_dir());
            (e.file_name(), if folder { FileType::Directory } else { FileType::RegularFile })
        })
        .collect();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(all)
}

fn main() -> std::io::Result<()> {
    let args = Args::parse();
    let at = args.mountpoint.clone();
    let mut config = Config::default();
    config.mount_options = vec![MountOption::RO, MountOption::FSName("passthrough".into())];
    config.n_threads = Some(8);
    config.clone_fd = true;
    let fs = Passthrough {
        args,
        nodes: Mutex::default(),
        files: Mutex::default(),
        next: AtomicU64::new(2),
        bytes: AtomicU64::new(0),
        free: Mutex::new(Instant::now()),
    };
    fuser::mount(fs, &at, &config)
}
