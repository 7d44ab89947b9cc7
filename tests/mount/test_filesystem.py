"""The mount as a file system: names, sizes, errors, links, attributes, life and death."""
import errno
import hashlib
import io
import os
import shutil
import signal
import socket
import stat
import subprocess
import time

import numpy as np
import pytest
import tifffile

from support import mounts, readers

PROBES = [".zgroup", ".zattrs", ".zarray", ".zmetadata", "attributes.json", "info", "manifest.ocdbt", "labels", ".DS_Store", "nosuchfile"]


def image(path, value=1, shape=(40, 50)):
    """A small image whose every pixel is `value`."""
    os.makedirs(os.path.dirname(path) or b".", exist_ok=True)
    content = io.BytesIO()
    tifffile.imwrite(content, np.full(shape, value, np.uint8), photometric="minisblack", metadata=None)
    with open(path, "wb") as f:
        f.write(content.getvalue())


def value_of(root):
    data = readers.by_zarr(os.path.join(root, "0"))
    assert (data == data.flat[0]).all()
    return int(data.flat[0])


def fails_with(number, call, *arguments, **more):
    with pytest.raises(OSError) as e:
        call(*arguments, **more)
    assert e.value.errno == number, os.strerror(e.value.errno)


@pytest.fixture
def folder(tmp_path):
    image(str(tmp_path / "src/a.tif"), 7)
    image(str(tmp_path / "src/sub/b.ome.tiff"), 8)
    (tmp_path / "src/notes.txt").write_text("ordinary\n")
    return tmp_path / "src"


def test_tree(folder, mount):
    m = mount(folder)
    assert sorted(os.listdir(m.path)) == ["a.ome.zarr", "notes.txt", "sub"]
    assert os.listdir(m.join("sub")) == ["b.ome.zarr"]
    assert value_of(m.join("a.ome.zarr")) == 7 and value_of(m.join("sub/b.ome.zarr")) == 8
    assert value_of(m.join("sub/b.ome.tiff.ome.zarr")) == 8, "the whole-file-name form always resolves"


def test_ordinary_files_pass_through(folder, mount):
    blob = os.urandom(3_000_001)
    (folder / "blob.bin").write_bytes(blob)
    os.chmod(folder / "blob.bin", 0o640)
    os.utime(folder / "blob.bin", (1_000_000_000, 1_234_567_890.5))
    m = mount(folder)
    s = os.stat(m.join("blob.bin"))
    assert (s.st_size, stat.S_IMODE(s.st_mode) & 0o222, s.st_mtime) == (len(blob), 0o200 & s.st_mode & 0o222, 1_234_567_890.5)
    with open(m.join("blob.bin"), "rb") as f:
        assert f.read() == blob
        assert os.pread(f.fileno(), 1000, 2_999_999) == blob[2_999_999:]
        assert os.pread(f.fileno(), 10, len(blob)) == b""


def test_real_zarr_trees_are_untouched(folder, mount):
    import zarr
    zarr.save_array(str(folder / "real.ome.zarr"), np.arange(12).reshape(3, 4))
    image(str(folder / "real.ome.zarr/inside.tif"))
    image(str(folder / "real.tif"), 3)
    m = mount(folder)
    assert readers.by_zarr(m.join("real.ome.zarr")).tolist() == np.arange(12).reshape(3, 4).tolist()
    assert "inside.tif" in os.listdir(m.join("real.ome.zarr")), "nothing inside a real Zarr is converted"
    assert not any(n.startswith("inside") and n.endswith(".zarr") for n in os.listdir(m.join("real.ome.zarr")))
    assert value_of(m.join("real.tif.ome.zarr")) == 3, "real entries win over virtual ones"


def test_hidden_and_shown_sources(folder, mount):
    m = mount(folder)
    assert "a.tif" not in os.listdir(m.path)
    with open(m.join("a.tif"), "rb") as f, open(folder / "a.tif", "rb") as g:
        assert f.read() == g.read(), "a hidden source is reachable under its own name"
    m2 = mount(folder, "--show-sources")
    assert {"a.tif", "a.ome.zarr"} <= set(os.listdir(m2.path))


def test_include_and_exclude(folder, mount):
    image(str(folder / "c.tif"))
    m = mount(folder, "--exclude", "c.*")
    assert "c.tif" in os.listdir(m.path) and "a.ome.zarr" in os.listdir(m.path)
    m = mount(folder, "--include", "**/b*")
    assert {"a.tif", "c.tif"} <= set(os.listdir(m.path)) and os.listdir(m.join("sub")) == ["b.ome.zarr"]


def test_collisions_show_whole_names(folder, mount):
    image(str(folder / "x.tif"), 1)
    image(str(folder / "x.tiff"), 2)
    image(str(folder / "x.ome.tif"), 3)
    m = mount(folder)
    names = set(os.listdir(m.path))
    assert {"x.tif.ome.zarr", "x.tiff.ome.zarr", "x.ome.tif.ome.zarr"} <= names and "x.ome.zarr" not in names
    assert [value_of(m.join(n + ".ome.zarr")) for n in ("x.tif", "x.tiff", "x.ome.tif")] == [1, 2, 3]
    assert not os.path.exists(m.join("x.ome.zarr"))


def test_odd_names(folder, mount):
    names = [b"latin1 \xe9.tif", "日本 µ.tif".encode(), b"new\nline.tif", b"quote'\"\\.tif", b"%41.tif", b" lead.tif", b"CAPS.TIF"]
    for i, n in enumerate(names):
        image(os.path.join(os.fsencode(folder), n), i + 10)
    image(str(folder / ".hidden.tif"))
    m = mount(folder)
    listed = os.listdir(os.fsencode(m.path))
    assert b".hidden.ome.zarr" not in listed
    for i, n in enumerate(names):
        virtual = n[:-4] + b".ome.zarr"
        assert virtual in listed, n
        inside = os.path.join(os.fsencode(m.path), virtual)
        assert set(os.listdir(inside)) >= {b"zarr.json", b"0", b"OME"}
        with open(inside + b"/0/c/0/0/0/0/0", "rb") as f:
            assert f.read(1) == bytes([i + 10])
        with open(inside + b"/zarr.json", "rb") as f:
            f.read().decode("utf-8")


def test_long_names(folder, mount):
    long = "n" * 251 + ".tif"
    twin = "n" * 250 + "m.tif"
    image(str(folder / long), 21)
    image(str(folder / twin), 22)
    m = mount(folder)
    virtual = [n for n in os.listdir(m.path) if n.startswith("nnn")]
    assert len(virtual) == 2 and all(len(n) <= 255 and n.endswith(".ome.zarr") for n in virtual)
    assert sorted(value_of(m.join(n)) for n in virtual) == [21, 22]


def test_negative_lookups(folder, mount):
    m = mount(folder)
    for base in ("", "a.ome.zarr", "a.ome.zarr/0", "a.ome.zarr/OME"):
        for name in PROBES:
            if name not in os.listdir(m.join(base)):
                fails_with(errno.ENOENT, os.stat, m.join(base, name))
    for wrong in ("0/c/0/0/0/0/1", "0/c/0/0/0/1/0", "0/c/1", "0/c/00", "0/c/-1", "0/c/0/0/0/0/0x", "1", "99", "0/c/0/0/0/0/99999999999999999999"):
        fails_with(errno.ENOENT, os.stat, m.join("a.ome.zarr", wrong))
    fails_with(errno.ENOTDIR, os.stat, m.join("a.ome.zarr/0/c/0/0/0/0/0/0"))
    fails_with(errno.ENOTDIR, os.stat, m.join("a.ome.zarr/zarr.json/x"))


def test_every_mutating_call_is_erofs(folder, mount):
    m = mount(folder)
    for base in (m.path, m.join("sub"), m.join("a.ome.zarr"), m.join("a.ome.zarr/0")):
        new = os.path.join(base, "new")
        fails_with(errno.EROFS, os.open, new, os.O_CREAT | os.O_WRONLY)
        fails_with(errno.EROFS, os.mkdir, new)
        fails_with(errno.EROFS, os.mknod, new)
        fails_with(errno.EROFS, os.symlink, "x", new)
        fails_with(errno.EROFS, os.chmod, base, 0o777)
        fails_with(errno.EROFS, os.chown, base, 1, 1)
        fails_with(errno.EROFS, os.utime, base)
    for target in ("notes.txt", "a.tif", "a.ome.zarr/zarr.json", "a.ome.zarr/0/c/0/0/0/0/0"):
        t = m.join(target)
        for flags in (os.O_WRONLY, os.O_RDWR, os.O_WRONLY | os.O_TRUNC, os.O_RDWR | os.O_APPEND):
            fails_with(errno.EROFS, os.open, t, flags)
        fails_with(errno.EROFS, os.truncate, t, 0)
        fails_with(errno.EROFS, os.unlink, t)
        fails_with(errno.EROFS, os.rename, t, m.join("other"))
        fails_with(errno.EROFS, os.link, t, m.join("other"))
        fails_with(errno.EROFS, os.chmod, t, 0o600)
        fails_with(errno.EROFS, os.utime, t)
        fails_with(errno.EROFS, os.setxattr, t, "user.x", b"y")
        fails_with(errno.EROFS, os.removexattr, t, "user.x")
    fails_with(errno.EROFS, os.rmdir, m.join("a.ome.zarr"))
    fails_with(errno.EROFS, shutil.copy, folder / "notes.txt", m.join("copy.txt"))
    assert (folder / "notes.txt").read_text() == "ordinary\n" and (folder / "a.tif").stat().st_size > 0


def test_modes_owners_times_and_sizes(folder, mount):
    os.chmod(folder / "a.tif", 0o640)
    os.chown(folder / "a.tif", 1234, 2345)
    os.utime(folder / "a.tif", (1_000_000_000, 1_000_000_001))
    m = mount(folder)
    top, chunk, doc = (os.stat(m.join("a.ome.zarr", p)) for p in ("", "0/c/0/0/0/0/0", "zarr.json"))
    assert stat.S_IMODE(top.st_mode) == 0o550 and stat.S_ISDIR(top.st_mode)
    assert stat.S_IMODE(chunk.st_mode) == stat.S_IMODE(doc.st_mode) == 0o440
    for s in (top, chunk, doc):
        assert (s.st_uid, s.st_gid, int(s.st_mtime)) == (1234, 2345, 1_000_000_001)
        assert s.st_blocks == 0
    assert chunk.st_size == 512 * 512
    assert subprocess.run(["du", "-s", m.join("a.ome.zarr")], capture_output=True, text=True, check=True).stdout.split()[0] == "0"


def test_extended_attributes(folder, mount):
    m = mount(folder)
    root = m.join("a.ome.zarr")
    assert {"user.fuzarr.source", "user.fuzarr.version"} <= set(os.listxattr(root))
    os.listdir(root)
    assert "user.fuzarr.format" in os.listxattr(root), "what depends on the content is listed once it is known"
    assert os.getxattr(root, "user.fuzarr.source").decode().endswith("a.tif")
    assert os.getxattr(root, "user.fuzarr.format") == b"tiff"
    fails_with(errno.ENODATA, os.getxattr, root, "user.fuzarr.error")
    fails_with(errno.ENODATA, os.getxattr, root, "user.nosuch")


def test_broken_image_says_why(folder, mount):
    (folder / "broken.tif").write_bytes(b"not an image")
    m = mount(folder)
    assert "broken.ome.zarr" in os.listdir(m.path)
    assert stat.S_ISDIR(os.stat(m.join("broken.ome.zarr")).st_mode)
    fails_with(errno.EIO, os.listdir, m.join("broken.ome.zarr"))
    fails_with(errno.EIO, os.stat, m.join("broken.ome.zarr/zarr.json"))
    fails_with(errno.EIO, os.stat, m.join("broken.ome.zarr/.zgroup"))
    assert os.getxattr(m.join("broken.ome.zarr"), "user.fuzarr.error")
    with open(m.join("broken.tif"), "rb") as f:
        assert f.read() == b"not an image"
    assert value_of(m.join("a.ome.zarr")) == 7


def test_statfs(folder, mount):
    m = mount(folder)
    s = os.statvfs(m.path)
    assert s.f_flag & os.ST_RDONLY and s.f_namemax >= 255
    assert s.f_bfree == 0 or s.f_blocks >= s.f_bfree


def test_links(folder, mount, tmp_path):
    image(str(tmp_path / "outside/secret.tif"), 99)
    os.symlink("sub", folder / "dirlink")
    os.symlink("a.tif", folder / "alias.tif")
    os.symlink(tmp_path / "outside/secret.tif", folder / "leak.tif")
    os.symlink("../../outside/secret.tif", folder / "sub/leak2.tif")
    os.symlink(tmp_path / "outside", folder / "outdir")
    os.symlink("loop.tif", folder / "loop.tif")
    os.symlink("missing.tif", folder / "dangling.tif")
    m = mount(folder)
    assert os.path.islink(m.join("dirlink")) and os.readlink(m.join("dirlink")) == "sub"
    assert value_of(m.join("dirlink/b.ome.zarr")) == 8
    assert value_of(m.join("alias.ome.zarr")) == 7, "a link to an image inside is an image"
    for leak in ("leak.ome.zarr", "leak.tif.ome.zarr", "sub/leak2.ome.zarr", "loop.ome.zarr", "dangling.ome.zarr"):
        with pytest.raises(OSError):
            os.listdir(m.join(leak))
        with pytest.raises(OSError):
            open(m.join(leak, "0/c/0/0/0/0/0"), "rb")
    assert m.alive() and value_of(m.join("a.ome.zarr")) == 7


def test_files_that_are_none(folder, mount):
    os.mkfifo(folder / "fifo.tif")
    os.mkfifo(folder / "fifo")
    os.mknod(folder / "null.tif", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    image(str(folder / "dir.tif/inner.tif"), 5)
    s = socket.socket(socket.AF_UNIX)
    s.bind(str(folder / "sock.tif"))
    m = mount(folder)
    started = time.monotonic()
    assert stat.S_ISDIR(os.stat(m.join("dir.tif")).st_mode) and value_of(m.join("dir.tif/inner.ome.zarr")) == 5
    for n in ("fifo", "null", "sock"):
        with pytest.raises(OSError):
            os.listdir(m.join(n + ".ome.zarr"))
    os.listdir(m.path)
    assert time.monotonic() - started < 15, "a file that is none was waited for"
    assert value_of(m.join("a.ome.zarr")) == 7
    s.close()


def test_one_file(folder, mount):
    m = mount(folder / "a.tif")
    assert os.listdir(m.path) == ["a.ome.zarr"]
    assert value_of(m.join("a.ome.zarr")) == 7
    fails_with(errno.ENOENT, os.stat, m.join("notes.txt"))


def test_a_large_sparse_bigtiff(folder, mount):
    """Offsets above 4 GiB."""
    path = folder / "sparse.tif"
    far = 5 << 30
    block = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64)
    tifffile.imwrite(path, block, bigtiff=True, metadata=None, photometric="minisblack")
    with tifffile.TiffFile(path) as t:
        offset_at = t.pages[0].tags["StripOffsets"].valueoffset
        size = t.pages[0].tags["StripOffsets"].dtype
    with open(path, "r+b") as f:
        f.seek(offset_at)
        f.write(far.to_bytes(8 if size == 16 else 4, "little") if size == 16 else b"")
        f.seek(far)
        f.write(block.tobytes())
    if size != 16:
        pytest.skip("tifffile wrote a short offset")
    m = mount(folder)
    assert os.stat(path).st_blocks * 512 < 1 << 20
    assert (readers.by_zarr(m.join("sparse.ome.zarr/0"))[0, 0, 0] == block).all()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_unmount(folder, mount, number):
    m = mount(folder)
    assert value_of(m.join("a.ome.zarr")) == 7
    m.signal(number)
    assert m.process.wait(10) == 0
    assert not mounts.is_mounted(m.path)


def test_background_unmount_and_status(folder, tmp_path):
    at = tmp_path / "mnt"
    at.mkdir()
    program = mounts.binary()
    subprocess.run([program, "mount", folder, at], check=True, timeout=90, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        assert mounts.is_mounted(str(at)) and value_of(str(at / "a.ome.zarr")) == 7
        assert subprocess.run([program, "status", at], timeout=60, capture_output=True).returncode == 0
        with open(at / "notes.txt", "rb"):
            busy = subprocess.Popen([program, "unmount", at], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(0.5)
            assert mounts.is_mounted(str(at)), "an open file keeps the mount"
        assert busy.wait(20) == 0
        assert not mounts.is_mounted(str(at))
        assert subprocess.run([program, "status", at], timeout=60, capture_output=True).returncode != 0
    finally:
        subprocess.run(["umount", "-l", at], stderr=subprocess.DEVNULL, check=False)


def test_lazy_unmount(folder, mount):
    m = mount(folder)
    with open(m.join("notes.txt"), "rb") as f:
        subprocess.run([mounts.binary(), "unmount", "--lazy", m.path], check=True, timeout=90)
        assert not mounts.is_mounted(m.path)
        assert f.read() == b"ordinary\n"
    m.process.wait(15)


def test_a_stale_mount_is_cleared(folder, tmp_path, mount):
    at = tmp_path / "mnt"
    at.mkdir()
    m = mount(folder, at=at)
    m.signal(signal.SIGKILL)
    m.process.wait(10)
    assert mounts.is_mounted(str(at))
    fails_with(errno.ENOTCONN, os.listdir, at)
    m2 = mount(folder, at=at)
    assert value_of(m2.join("a.ome.zarr")) == 7


def test_refused(folder, tmp_path):
    program = mounts.binary()

    def refused(*arguments):
        p = subprocess.run([program, "mount", "--foreground", *map(str, arguments)], capture_output=True, text=True, timeout=90, stdin=subprocess.DEVNULL)
        assert p.returncode != 0 and p.stderr.strip(), arguments
        return p.returncode

    (tmp_path / "mnt").mkdir()
    refused(folder, tmp_path / "nosuch")
    refused(tmp_path / "nosuch", tmp_path / "mnt")
    refused(folder, folder)
    refused(folder / "sub", folder)
    refused(folder, tmp_path / "mnt", "--chunk", "0,1")
    refused(folder, tmp_path / "mnt", "--ngff", "0.9")
    (tmp_path / "c.toml").write_text("no-such-key = 1\n")
    refused(folder, tmp_path / "mnt", "--config", tmp_path / "c.toml")
    assert not mounts.is_mounted(str(tmp_path / "mnt")) and not mounts.is_mounted(str(folder))


def test_config_file_and_environment(folder, tmp_path, mount):
    (tmp_path / "c.toml").write_text('ngff = "0.4"\nshow-sources = true\n')
    m = mount(folder, "--config", tmp_path / "c.toml")
    assert os.path.exists(m.join("a.ome.zarr/.zattrs")) and "a.tif" in os.listdir(m.path)
    m = mount(folder, env={"FUZARR_NGFF": "0.4"})
    assert os.path.exists(m.join("a.ome.zarr/.zattrs"))


def test_inspect(samples):
    p = subprocess.run([mounts.binary(), "inspect", "--json", samples[0] / "series.ome.tif"], capture_output=True, text=True, check=True)
    assert "second" in p.stdout
    p = subprocess.run([mounts.binary(), "inspect", samples[0] / "five_d.ome.tif"], capture_output=True, text=True, check=True)
    assert "GFP" in p.stdout and "420" in p.stdout


def test_hidden_files_of_an_image_have_stable_inodes(folder, mount):
    m = mount(folder)
    first = {f: os.stat(m.join("a.ome.zarr", f)).st_ino for f in readers.files(m.join("a.ome.zarr"))}
    mounts.drop_caches()
    again = {f: os.stat(m.join("a.ome.zarr", f)).st_ino for f in readers.files(m.join("a.ome.zarr"))}
    assert first == again and len(set(first.values())) == len(first)


def test_every_read_size_and_place(samples, mount):
    """Whatever pieces a reader takes, they are the pieces of one file."""
    m = mount(samples[0])
    path = m.join("lzw_rows1.ome.zarr/0/c/0/0/0/0/0")
    with open(path, "rb") as f:
        whole = f.read()
    rng = np.random.default_rng(0)
    with readers.opened(path) as fd:
        for _ in range(200):
            at, n = int(rng.integers(0, len(whole))), int(rng.integers(1, 70000))
            assert os.pread(fd, n, at) == whole[at:at + n]
    assert hashlib.sha256(whole).digest()
