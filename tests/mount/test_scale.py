"""Folders with very many image names cost no opening of any."""
import ctypes
import errno
import os
import struct
import subprocess
import time

import pytest

COUNT = 100_000
IN_OPEN, IN_ACCESS, IN_ISDIR, IN_NONBLOCK = 0x20, 0x1, 0x40000000, 0o4000


class Opens:
    """Counts, by inotify, how often files of a folder are opened or read by anybody."""

    def __init__(self, folder):
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._fd = self._libc.inotify_init1(IN_NONBLOCK)
        assert self._libc.inotify_add_watch(self._fd, os.fsencode(folder), IN_OPEN | IN_ACCESS) >= 0

    def names(self):
        out = []
        while True:
            try:
                data = os.read(self._fd, 1 << 20)
            except BlockingIOError:
                return out
            while data:
                _, mask, _, n = struct.unpack_from("iIII", data)
                if not mask & IN_ISDIR:
                    out.append(data[16:16 + n].rstrip(b"\0").decode())
                data = data[16 + n:]

    def close(self):
        os.close(self._fd)


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    folder = tmp_path_factory.mktemp("many")
    for i in range(COUNT):
        os.mknod(folder / f"img_{i:06}.ome.tif", 0o100644)
    return folder


@pytest.mark.parametrize("command", [["ls"], ["ls", "-l", "--color=always"], ["find", "-maxdepth", "1"]], ids=" ".join)
def test_listing_opens_no_image(many, mount, command):
    m = mount(many)
    opens = Opens(many)
    started = time.monotonic()
    out = subprocess.run([command[0], *([] if command[0] == "find" else command[1:]), m.path, *(command[1:] if command[0] == "find" else [])], capture_output=True, check=True).stdout
    seconds = time.monotonic() - started
    assert out.count(b".ome.zarr") == COUNT
    assert opens.names() == [], "an image was opened"
    with pytest.raises(OSError):
        os.listdir(m.join("img_000007.ome.zarr"))
    assert "img_000007.ome.tif" in opens.names(), "the counter counts"
    opens.close()
    print(f"{' '.join(command)} of {COUNT} names: {seconds:.2f} s, daemon {m.resident() >> 20} MiB")
    assert m.resident() < 576 << 20


def test_mounting_costs_the_same_for_many(many, tmp_path, mount):
    (tmp_path / "few").mkdir()
    times = []
    for folder in (tmp_path / "few", many):
        started = time.monotonic()
        mount(folder)
        times.append(time.monotonic() - started)
    assert times[1] < times[0] + 0.5


def test_a_listing_shows_what_single_looks_show(tmp_path, mount):
    for i in range(2000):
        (tmp_path / f"img_{i:04}.tif").write_bytes(b"x" * i)
    (tmp_path / "folder").mkdir()
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / "img_0007.tif.meta.json").write_text("{}")

    def seen(stat):
        return stat.st_ino, stat.st_mode, stat.st_size, stat.st_nlink, stat.st_uid, stat.st_gid, stat.st_mtime_ns

    listed, single = mount(tmp_path), mount(tmp_path)
    with os.scandir(listed.path) as entries:
        together = {e.name: (seen(e.stat(follow_symlinks=False)), e.is_dir(), e.inode()) for e in entries}
    assert len(together) == 2003
    for name, (stat, is_dir, number) in together.items():
        one = os.lstat(single.join(name))
        assert (stat, is_dir) == (seen(one), os.path.isdir(single.join(name))), name
        assert number != 0, name
    # One look for each entry, and few requests: the rest came with the listing.
    assert listed.status()["fs"]["source_calls"]["stats"] < 2500


def test_attributes_that_are_not_kept_are_asked_for_once(tmp_path, mount):
    (tmp_path / "a.tif").write_bytes(b"x")
    m = mount(tmp_path)
    for name in ("security.selinux", "system.posix_acl_access", "system.posix_acl_default"):
        with pytest.raises(OSError) as e:
            os.getxattr(m.join("a.ome.zarr"), name)
        assert e.value.errno == errno.EOPNOTSUPP, name
