"""JPEG XR is decoded in helper processes: what goes wrong there costs a tile."""
import errno
import os
import signal
import threading
import time

import imagecodecs
import numpy as np
import pytest
import tifffile
from support import bioformats


def source(folder):
    y, x = np.mgrid[:1024, :1024]
    pixels = (30000 * (1 + np.sin(x / 40) * np.cos(y / 60))).astype("u2")
    tifffile.imwrite(folder / "a.tif", pixels, tile=(256, 256), compression="jpegxr", compressionargs={"level": 100})
    return pixels


def chunk(m, row, column):
    """As one request: what fails in the page cache, the kernel tries again."""
    fd = os.open(m.join("a.ome.zarr", "0", "c", "0", "0", "0", str(row), str(column)), os.O_RDONLY | os.O_DIRECT)
    try:
        return np.frombuffer(os.pread(fd, 2 << 16, 0), "u2").reshape(256, 256)
    finally:
        os.close(fd)


def test_a_decoder_that_is_killed_costs_its_tile(tmp_path, mount):
    pixels = source(tmp_path)
    m = mount(tmp_path)
    assert bioformats.helpers(m.pid) == []
    assert np.array_equal(chunk(m, 0, 0), pixels[:256, :256])
    [helper] = bioformats.helpers(m.pid)
    with open(f"/proc/{helper}/status", encoding="ascii") as f:
        assert "NoNewPrivs:\t1" in f.read()
    os.kill(helper, signal.SIGSTOP)
    seen = []

    def read():
        try:
            seen.append(chunk(m, 1, 0))
        except OSError as e:
            seen.append(e.errno)

    reader = threading.Thread(target=read)
    reader.start()
    time.sleep(0.3)
    assert not seen
    os.kill(helper, signal.SIGKILL)
    reader.join(30)
    assert seen == [errno.EIO]
    assert np.array_equal(chunk(m, 1, 0), pixels[256:512, :256])
    # One that dies while nobody needs it costs nothing.
    for helper in bioformats.helpers(m.pid):
        os.kill(helper, signal.SIGKILL)
    time.sleep(0.2)
    assert np.array_equal(chunk(m, 2, 3), pixels[512:768, 768:])


def test_a_program_that_can_start_no_helper_says_so(tmp_path, mount):
    (tmp_path / "s").mkdir()
    source(tmp_path / "s")
    m = mount(tmp_path / "s", env={"TMPDIR": str(tmp_path / "nowhere")})
    with pytest.raises(OSError) as e:
        chunk(m, 0, 0)
    assert e.value.errno == errno.EIO and m.alive() and "helper" in m.log()


@pytest.mark.parametrize("seed", range(2))
def test_damaged_streams_leave_the_daemon_alone(tmp_path, mount, seed):
    """Three hundred tiles with some bytes of theirs changed: each is an error or a picture, and a whole one still decodes."""
    rng = np.random.default_rng(seed)
    tiles = []
    for n in range(300):
        data = bytearray(imagecodecs.jpegxr_encode(rng.integers(0, 255, (64, 64), "u1"), level=80))
        for _ in range(int(rng.integers(1, 6)) if n else 0):
            data[rng.integers(60, len(data))] = rng.integers(256)
        tiles.append(bytes(data))
    tifffile.imwrite(tmp_path / "a.tif", iter(tiles), shape=(20 * 64, 15 * 64), dtype="u1", tile=(64, 64), compression="jpegxr")
    m = mount(tmp_path, "--chunk", "64,64")
    good = 0
    for row in range(20):
        for column in range(15):
            try:
                with open(m.join("a.ome.zarr", "0", "c", "0", "0", "0", str(row), str(column)), "rb") as f:
                    good += len(f.read()) == 4096
            except OSError as e:
                assert e.errno == errno.EIO
    assert good and m.alive()
    with open(m.join("a.ome.zarr", "0", "c", "0", "0", "0", "0", "0"), "rb") as f:
        assert np.array_equal(np.frombuffer(f.read(), "u1"), imagecodecs.jpegxr_decode(tiles[0]).ravel())
