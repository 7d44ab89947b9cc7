"""Sources that change while they are mounted and read: wholly old, wholly new, or an error; the new content in time."""
import errno
import os
import threading
import time

import numpy as np
import pytest
import tifffile
import zarr

from support import readers

SIZE = 700
SOON = 10.0  # one second of ours, one of the kernel's, and a very loaded machine


def write(path, value, how="zlib"):
    options = {"zlib": {"compression": "zlib", "rowsperstrip": 16}, "none": {"rowsperstrip": 16}, "tiles": {"compression": "zlib", "tile": (128, 128)}}[how]
    tifffile.imwrite(path, np.full((SIZE, SIZE), value, np.uint16), metadata=None, photometric="minisblack", **options)


def replace(path, value, how="zlib"):
    write(path + ".new", value, how)
    os.rename(path + ".new", path)


class Loop:
    """Readers of one image in a loop, who judge every chunk they get."""

    def __init__(self, root, fair, count=3):
        self.root, self.fair = root, fair
        self.wrong, self.seen, self.errors, self.done = [], set(), set(), threading.Event()
        self.threads = [threading.Thread(target=self._run, args=(i,)) for i in range(count)]
        for t in self.threads:
            t.start()

    def _run(self, i):
        while not self.done.is_set():
            for level, place in ((0, "0/0"), (0, "1/1"), (1, "0/0"), (2, "0/0")):
                path = f"{self.root}/{level}/c/0/0/0/{place}"
                try:
                    with open(path, "rb") as f:
                        self._judge(path, np.frombuffer(f.read(), np.uint16))
                except OSError as e:
                    self.errors.add(e.errno)
            self.done.wait(0.001 * i)

    def _judge(self, path, data):
        if len(data) != 512 * 512:
            self.wrong.append(f"{path}: {len(data)} pixels")
            return
        values = set(np.unique(data).tolist()) - {0}
        edge = data.reshape(512, 512)
        inside = edge[:SIZE - 512, :SIZE - 512] if path.endswith("0/c/0/0/0/1/1") else edge[:150, :150]
        if len(values) != 1 or not inside.all() or not values <= set(self.fair()):
            self.wrong.append(f"{path}: {sorted(values)[:4]}, zeros inside: {not inside.all()}")
        self.seen |= values

    def stop(self):
        self.done.set()
        for t in self.threads:
            t.join(60)


def value_soon(root, value):
    """The mount shows the value within the time; gives how long it took."""
    started = time.monotonic()
    while True:
        try:
            if (readers.by_zarr(root + "/0") == value).all():
                return time.monotonic() - started
        except (OSError, ValueError, zarr.errors.BaseZarrError, FileNotFoundError):
            pass
        assert time.monotonic() - started < SOON, f"{value} is not there"
        time.sleep(0.02)


@pytest.mark.parametrize("how", ["zlib", "none", "tiles"])
def test_replaced_by_rename(tmp_path, mount, how):
    path = str(tmp_path / "a.tif")
    write(path, 1000, how)
    m = mount(tmp_path)
    root = m.join("a.ome.zarr")
    values = [1000]
    loop = Loop(root, lambda: values)
    try:
        for v in range(1001, 1005):
            values.append(v)
            replace(path, v, how)
            took = value_soon(root, v)
            print(f"{v} after {took:.2f} s")
    finally:
        loop.stop()
    assert loop.wrong == []
    # ESTALE: the kernel looks a path up a second time, and then says that the file changed again under it.
    assert loop.errors <= {errno.EIO, errno.ENOENT, errno.ESTALE} and len(loop.seen) > 2
    assert errno.ENOENT not in loop.errors, "a chunk that exists was said not to exist"


def test_replaced_by_other_geometry(tmp_path, mount):
    path = str(tmp_path / "a.tif")
    write(path, 1000)
    m = mount(tmp_path)
    root = m.join("a.ome.zarr")
    assert readers.by_zarr(root + "/0").shape[-1] == SIZE
    tifffile.imwrite(path + ".new", np.full((2, 90, 80), 5, np.uint8), metadata=None, photometric="minisblack")
    os.rename(path + ".new", path)
    until = time.monotonic() + SOON
    while readers.by_zarr(root + "/0").shape != (2, 1, 1, 90, 80):
        assert time.monotonic() < until
        time.sleep(0.05)
    assert not os.path.exists(root + "/1/zarr.json") and not os.path.exists(root + "/0/c/0/0/0/1/1")


@pytest.mark.parametrize("how", ["zlib", "none"])
def test_rewritten_in_place(tmp_path, mount, how):
    path = str(tmp_path / "a.tif")
    other = str(tmp_path / "x.dat")
    write(path, 1000, how)
    m = mount(tmp_path)
    root = m.join("a.ome.zarr")
    values = [1000]
    loop = Loop(root, lambda: values)
    try:
        for v in range(1001, 1005):
            write(other, v, how)
            with open(other, "rb") as f:
                content = f.read()
            values.append(v)
            with open(path, "r+b") as f:
                os.pwrite(f.fileno(), content, 0)
                f.truncate(len(content))
            value_soon(root, v)
            time.sleep(0.3)
    finally:
        loop.stop()
    assert loop.wrong == []
    assert loop.errors <= {errno.EIO, errno.ESTALE}


def test_truncated(tmp_path, mount):
    path = str(tmp_path / "a.tif")
    write(path, 1000, "none")
    write(str(tmp_path / "b.tif"), 7, "none")
    m = mount(tmp_path)
    root = m.join("a.ome.zarr")
    loop = Loop(root, lambda: [1000])
    time.sleep(0.5)
    os.truncate(path, os.path.getsize(path) // 2)
    time.sleep(3)
    loop.stop()
    assert loop.wrong == [] and 1000 in loop.seen and errno.EIO in loop.errors
    with pytest.raises(OSError):
        readers.by_zarr(root + "/0")
    assert (readers.by_zarr(m.join("b.ome.zarr/0")) == 7).all() and m.alive()
    write(path, 1001, "none")
    value_soon(root, 1001)


def test_deleted_and_back(tmp_path, mount):
    path = str(tmp_path / "a.tif")
    write(path, 1000)
    m = mount(tmp_path)
    root = m.join("a.ome.zarr")
    values = [1000]
    loop = Loop(root, lambda: values)
    time.sleep(0.3)
    os.unlink(path)
    until = time.monotonic() + SOON
    while os.path.exists(root) or "a.ome.zarr" in os.listdir(m.path):
        assert time.monotonic() < until
        time.sleep(0.05)
    values.append(1001)
    write(path, 1001)
    value_soon(root, 1001)
    loop.stop()
    assert loop.wrong == [] and loop.errors <= {errno.ENOENT, errno.EIO}


def test_an_open_handle_never_changes_its_mind(tmp_path, mount):
    path = str(tmp_path / "a.tif")
    write(path, 1000)
    m = mount(tmp_path)
    chunk = m.join("a.ome.zarr/0/c/0/0/0/0/0")
    with open(chunk, "rb", buffering=0) as f:
        assert np.frombuffer(os.pread(f.fileno(), 4096, 0), np.uint16)[0] == 1000
        replace(path, 2000)
        time.sleep(1.5)
        for at in range(0, 512 * 512 * 2, 65536):
            try:
                data = np.frombuffer(os.pread(f.fileno(), 65536, at), np.uint16)
                assert (data == 1000).all()
            except OSError as e:
                assert e.errno == errno.EIO
    value_soon(m.join("a.ome.zarr"), 2000)


def test_new_files_and_folders_appear(tmp_path, mount):
    m = mount(tmp_path)
    assert not os.path.exists(m.join("new.ome.zarr"))
    write(str(tmp_path / "new.tif"), 3)
    (tmp_path / "folder").mkdir()
    write(str(tmp_path / "folder/deep.tif"), 4)
    value_soon(m.join("new.ome.zarr"), 3)
    value_soon(m.join("folder/deep.ome.zarr"), 4)
    assert {"new.ome.zarr", "folder"} <= set(os.listdir(m.path))


def test_a_working_directory_below_an_image_survives(tmp_path, mount):
    path = str(tmp_path / "a.tif")
    write(path, 1000)
    m = mount(tmp_path)
    here = os.getcwd()
    os.chdir(m.join("a.ome.zarr/0"))
    try:
        replace(path, 1001)
        value_soon(m.join("a.ome.zarr"), 1001)
        assert os.getcwd().endswith("a.ome.zarr/0") or not os.path.exists(os.getcwd())
    except FileNotFoundError:
        pass
    finally:
        os.chdir(here)
