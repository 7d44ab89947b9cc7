//! Requests of the kernel, handed to the file system. Every handler contains its panics: one that escaped would end its
//! event thread. A reply dropped on the way is answered with EIO by `fuser`.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::SystemTime;

use fuser::{
    BsdFileFlags, CopyFileRangeFlags, Errno, FileHandle, Filesystem, FopenFlags, Generation, INodeNo, InitFlags,
    KernelConfig, LockOwner, OpenAccMode, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory,
    ReplyDirectoryPlus, ReplyEmpty, ReplyEntry, ReplyOpen, ReplyStatfs, ReplyWrite, ReplyXattr, Request, TimeOrNow,
    WriteFlags,
};

use super::reply::{Entries, LookedEntries, absent, attr, errno, name_errno, xattr};
use crate::error::Result;
use crate::exec::Reader;
use crate::fs::{Fs, Level, LookedUp, Opened, Space};
use crate::sync::Arc;

/// How much the kernel may read ahead; buffered reads come in pieces of up to this.
const READ_AHEAD: u32 = 1 << 20;
/// Requests the kernel may have under way besides those somebody waits for.
const BACKGROUND: u16 = 64;

pub(super) struct Adapter(pub Arc<Fs>);

fn reader(request: &Request) -> Reader {
    Reader { tid: Some(request.pid()).filter(|pid| *pid != 0) }
}

impl Adapter {
    fn guard(&self, what: &'static str, handle: impl FnOnce()) {
        if catch_unwind(AssertUnwindSafe(handle)).is_err() {
            self.0.events().note(Level::Error, &format!("a panic in {what} was contained"));
        }
    }
}

fn opened(reply: ReplyOpen, result: Result<Opened>) {
    match result {
        Ok(opened) => {
            let flags = if opened.keep_cache { FopenFlags::FOPEN_KEEP_CACHE } else { FopenFlags::empty() };
            reply.opened(FileHandle(opened.handle), flags);
        }
        Err(e) => reply.error(name_errno(&e)),
    }
}

impl Filesystem for Adapter {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> std::io::Result<()> {
        // Each is worth having and none is needed: an older kernel says which it lacks.
        // With the two of readdirplus the kernel asks for attributes with the first names of a listing, and goes on doing so
        // as long as somebody uses them.
        for flag in [
            InitFlags::FUSE_PARALLEL_DIROPS,
            InitFlags::FUSE_ASYNC_READ,
            InitFlags::FUSE_DO_READDIRPLUS,
            InitFlags::FUSE_READDIRPLUS_AUTO,
        ] {
            let _ = config.add_capabilities(flag);
        }
        if let Err(most) = config.set_max_readahead(READ_AHEAD) {
            let _ = config.set_max_readahead(most);
        }
        let _ = config.set_max_background(BACKGROUND);
        Ok(())
    }

    fn lookup(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let reader = reader(request);
        self.guard("lookup", || {
            self.0.look_up(parent.0, name.as_bytes(), reader, |found| match found {
                Ok(LookedUp { attr: found, ttl }) => {
                    reply.entry(&ttl, &found.map_or_else(absent, |f| attr(&f)), Generation(0));
                }
                Err(e) => reply.error(name_errno(&e)),
            });
        });
    }

    fn forget(&self, _: &Request, ino: INodeNo, nlookup: u64) {
        self.guard("forget", || self.0.forget(ino.0, nlookup));
    }

    fn getattr(&self, request: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        let reader = reader(request);
        self.guard("getattr", || {
            self.0.attr(ino.0, reader, move |found| match found {
                // The root has one id, whatever the source calls it.
                Ok((found, ttl)) => reply.attr(&ttl, &attr(&found)),
                Err(e) => reply.error(name_errno(&e)),
            });
        });
    }

    fn readlink(&self, request: &Request, ino: INodeNo, reply: ReplyData) {
        let reader = reader(request);
        self.guard("readlink", || {
            self.0.read_link(ino.0, reader, |target| match target {
                Ok(target) => reply.data(&target),
                Err(e) => reply.error(name_errno(&e)),
            });
        });
    }

    fn open(&self, request: &Request, ino: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        if flags.acc_mode() != OpenAccMode::O_RDONLY || flags.0 & libc::O_TRUNC != 0 {
            return reply.error(Errno::EROFS);
        }
        let reader = reader(request);
        self.guard("open", || self.0.open(ino.0, reader, |result| opened(reply, result)));
    }

    fn read(
        &self,
        request: &Request,
        _: INodeNo,
        fh: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let reader = reader(request);
        self.guard("read", || {
            let done = Box::new(|bytes: Result<&[u8]>| match bytes {
                Ok(bytes) => reply.data(bytes),
                Err(e) => reply.error(errno(&e)),
            });
            self.0.read(fh.0, offset, size, reader, done);
        });
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        // Nothing is ever written; the kernel asks no more.
        reply.error(Errno::ENOSYS);
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
        self.guard("release", || self.0.release(fh.0));
        reply.ok();
    }

    fn opendir(&self, request: &Request, ino: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        let reader = reader(request);
        self.guard("opendir", || self.0.open_directory(ino.0, reader, |result| opened(reply, result)));
    }

    fn readdir(&self, request: &Request, ino: INodeNo, fh: FileHandle, offset: u64, reply: ReplyDirectory) {
        let reader = reader(request);
        self.guard("readdir", || self.0.read_directory(fh.0, ino.0, offset, reader, Box::new(Entries(reply))));
    }

    fn readdirplus(&self, request: &Request, ino: INodeNo, fh: FileHandle, offset: u64, reply: ReplyDirectoryPlus) {
        let reader = reader(request);
        let sink = Box::new(LookedEntries(reply));
        self.guard("readdirplus", || self.0.read_directory_looked(fh.0, ino.0, offset, reader, sink));
    }

    fn releasedir(&self, _: &Request, _: INodeNo, fh: FileHandle, _: OpenFlags, reply: ReplyEmpty) {
        self.guard("releasedir", || self.0.release(fh.0));
        reply.ok();
    }

    fn statfs(&self, request: &Request, _: INodeNo, reply: ReplyStatfs) {
        let reader = reader(request);
        self.guard("statfs", || {
            self.0.space(reader, |space| match space {
                Ok(Space { blocks, free, available, files, files_free, block_size, fragment_size }) => {
                    reply.statfs(blocks, free, available, files, files_free, block_size, 255, fragment_size);
                }
                Err(e) => reply.error(errno(&e)),
            });
        });
    }

    fn getxattr(&self, request: &Request, ino: INodeNo, name: &OsStr, size: u32, reply: ReplyXattr) {
        let reader = reader(request);
        self.guard("getxattr", || {
            self.0.attribute(ino.0, name.as_bytes(), reader, move |value| xattr(reply, size, value));
        });
    }

    fn listxattr(&self, request: &Request, ino: INodeNo, size: u32, reply: ReplyXattr) {
        let reader = reader(request);
        self.guard("listxattr", || self.0.attributes(ino.0, reader, move |names| xattr(reply, size, names)));
    }

    // The kernel refuses these on a read-only mount; should it ever ask, the answer is the same.

    fn setattr(
        &self,
        _: &Request,
        _: INodeNo,
        _: Option<u32>,
        _: Option<u32>,
        _: Option<u32>,
        _: Option<u64>,
        _: Option<TimeOrNow>,
        _: Option<TimeOrNow>,
        _: Option<SystemTime>,
        _: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        reply.error(Errno::EROFS);
    }

    fn mknod(&self, _: &Request, _: INodeNo, _: &OsStr, _: u32, _: u32, _: u32, reply: ReplyEntry) {
        reply.error(Errno::EROFS);
    }

    fn mkdir(&self, _: &Request, _: INodeNo, _: &OsStr, _: u32, _: u32, reply: ReplyEntry) {
        reply.error(Errno::EROFS);
    }

    fn unlink(&self, _: &Request, _: INodeNo, _: &OsStr, reply: ReplyEmpty) {
        reply.error(Errno::EROFS);
    }

    fn rmdir(&self, _: &Request, _: INodeNo, _: &OsStr, reply: ReplyEmpty) {
        reply.error(Errno::EROFS);
    }

    fn symlink(&self, _: &Request, _: INodeNo, _: &OsStr, _: &Path, reply: ReplyEntry) {
        reply.error(Errno::EROFS);
    }

    fn rename(&self, _: &Request, _: INodeNo, _: &OsStr, _: INodeNo, _: &OsStr, _: RenameFlags, reply: ReplyEmpty) {
        reply.error(Errno::EROFS);
    }

    fn link(&self, _: &Request, _: INodeNo, _: INodeNo, _: &OsStr, reply: ReplyEntry) {
        reply.error(Errno::EROFS);
    }

    fn create(&self, _: &Request, _: INodeNo, _: &OsStr, _: u32, _: u32, _: i32, reply: ReplyCreate) {
        reply.error(Errno::EROFS);
    }

    fn write(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        _: u64,
        _: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        reply.error(Errno::EROFS);
    }

    fn setxattr(&self, _: &Request, _: INodeNo, _: &OsStr, _: &[u8], _: i32, _: u32, reply: ReplyEmpty) {
        reply.error(Errno::EROFS);
    }

    fn removexattr(&self, _: &Request, _: INodeNo, _: &OsStr, reply: ReplyEmpty) {
        reply.error(Errno::EROFS);
    }

    fn fallocate(&self, _: &Request, _: INodeNo, _: FileHandle, _: u64, _: u64, _: i32, reply: ReplyEmpty) {
        reply.error(Errno::EROFS);
    }

    fn copy_file_range(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        _: u64,
        _: INodeNo,
        _: FileHandle,
        _: u64,
        _: u64,
        _: CopyFileRangeFlags,
        reply: ReplyWrite,
    ) {
        reply.error(Errno::EROFS);
    }
}
