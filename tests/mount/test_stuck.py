"""A source that stops answering, and work that takes long, hold up nobody else.

The folder that stops is another mount of the program, which passes its files through and whose daemon is stopped by a
signal: every system call on it waits in the kernel as on a dead file server.
"""
import errno
import os
import shutil
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import tifffile

from support import fixtures, readers

DEADLINE = 5
PROMPT = 4.5  # less than the deadline: what answers sooner did not wait for it


def image(path, value, size=600):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    tifffile.imwrite(path, np.full((size, size), value, np.uint8), compression="zlib", rowsperstrip=8, metadata=None, photometric="minisblack")


class Call(threading.Thread):
    """One call on a thread of its own, with how long it took and how it ended."""

    def __init__(self, call, *arguments):
        super().__init__(daemon=True)
        self.call, self.arguments = call, arguments
        self.result = self.error = self.seconds = None
        self.start()

    def run(self):
        started = time.monotonic()
        try:
            self.result = self.call(*self.arguments)
        except OSError as e:
            self.error = e.errno
        self.seconds = time.monotonic() - started


def prompt(call, *arguments):
    c = Call(call, *arguments)
    c.join(PROMPT)
    assert not c.is_alive(), f"{call.__name__}{arguments} waits"
    assert c.error is None, f"{call.__name__}{arguments}: {os.strerror(c.error)}"
    return c.result


def read(path):
    with open(path, "rb") as f:
        return f.read()


@pytest.fixture
def halves(tmp_path, mount):
    """A source with two live folders and one whose file system can be stopped."""
    back = tmp_path / "back"
    for i in range(4):
        image(str(back / f"d{i}.tif"), 50 + i)
    (back / "plain.txt").write_text("plain")
    src = tmp_path / "src"
    for i in range(3):
        image(str(src / f"top{i}.tif"), 10 + i)
        image(str(src / f"live/l{i}.tif"), 20 + i)
    (src / "dead").mkdir()
    inner = mount(back, "--exclude", "**", at=src / "dead")
    outer = mount(src, "--deadline", f"{DEADLINE}s", "--cache-size", "64MiB")
    yield inner, outer
    inner.signal(signal.SIGCONT)


def test_everything_else_answers(halves):
    inner, m = halves
    assert read(m.join("dead/d0.ome.zarr/0/c/0/0/0/0/0"))[0] == 50, "the folder works before"
    with open(m.join("dead/d1.ome.zarr/0/c/0/0/0/0/0"), "rb") as opened:
        inner.signal(signal.SIGSTOP)
        try:
            time.sleep(1.2)
            affected = [
                Call(os.pread, opened.fileno(), 4096, 0),
                Call(os.stat, m.join("dead/d2.ome.zarr")),
                Call(os.stat, m.join("dead/nosuch")),
                Call(os.listdir, m.join("dead")),
                Call(read, m.join("dead/d3.ome.zarr/0/c/0/0/0/0/0")),
                Call(read, m.join("dead/plain.txt")),
                Call(os.listdir, m.join("dead/d2.ome.zarr")),
            ]
            until = time.monotonic() + DEADLINE - 1
            rounds = 0
            while time.monotonic() < until:
                assert "live" in prompt(os.listdir, m.path)
                assert len(prompt(os.listdir, m.join("live"))) == 3
                for i in range(3):
                    prompt(os.stat, m.join(f"live/l{i}.ome.zarr/zarr.json"))
                    assert prompt(read, m.join(f"live/l{i}.ome.zarr/0/c/0/0/0/0/0"))[0] == 20 + i
                    assert prompt(read, m.join(f"top{i}.ome.zarr/0/c/0/0/0/0/0"))[0] == 10 + i
                prompt(m.status)
                rounds += 1
            for c in affected:
                c.join(DEADLINE + 3)
                assert not c.is_alive(), f"{c.call.__name__}{c.arguments} waits beyond the deadline"
                assert c.error in (None, errno.EIO), os.strerror(c.error or 0)
            ended = [c for c in affected if c.error == errno.EIO]
            assert len(ended) >= 3, [(c.call.__name__, c.arguments, c.error, c.result) for c in affected]
            assert prompt(read, m.join("live/l0.ome.zarr/1/c/0/0/0/0/0"))[0] == 20
            print(f"{rounds} rounds elsewhere, {len(ended)} affected calls ended by EIO after {max(c.seconds for c in ended):.1f} s")
            assert "dead" in str(m.status()), "the stuck folder is named in the status"
        finally:
            inner.signal(signal.SIGCONT)
    until = time.monotonic() + 15
    while True:
        c = Call(read, m.join("dead/d3.ome.zarr/0/c/0/0/0/0/0"))
        c.join(DEADLINE + 3)
        if c.error is None and c.result:
            break
        assert time.monotonic() < until, "the folder does not come back"
        time.sleep(0.3)
    assert c.result[0] == 53


def test_many_stuck_calls_do_not_use_up_the_program(halves):
    inner, m = halves
    inner.signal(signal.SIGSTOP)
    try:
        time.sleep(1.2)
        stuck = [Call(os.stat, m.join(f"dead/d{i % 4}.tif.ome.zarr/{i}")) for i in range(64)]
        time.sleep(0.5)
        for i in range(3):
            prompt(os.listdir, m.join("live"))
            assert prompt(read, m.join(f"live/l{i}.ome.zarr/0/c/0/0/0/0/0"))[0] == 20 + i
        for c in stuck:
            c.join(3 * DEADLINE + 5)
        assert not any(c.is_alive() for c in stuck)
        with open(f"/proc/{m.pid}/status", encoding="ascii") as f:
            threads = next(int(line.split()[1]) for line in f if line.startswith("Threads:"))
        assert threads < 100, f"{threads} threads"
        print(f"{threads} threads")
    finally:
        inner.signal(signal.SIGCONT)


def test_a_killed_reader_is_gone_within_a_second(halves):
    inner, m = halves
    assert read(m.join("dead/d1.ome.zarr/zarr.json"))
    inner.signal(signal.SIGSTOP)
    try:
        time.sleep(1.2)
        p = subprocess.Popen([sys.executable, "-S", "-c", "import sys; open(sys.argv[1], 'rb').read()", m.join("dead/d1.ome.zarr/0/c/0/0/0/0/0")],
                             stderr=subprocess.DEVNULL)
        time.sleep(0.7)
        assert p.poll() is None, "the reader should wait"
        started = time.monotonic()
        p.kill()
        p.wait(5)
        seconds = time.monotonic() - started
        assert seconds < PROMPT, f"gone after {seconds:.1f} s"
        print(f"gone after {seconds:.2f} s")
    finally:
        inner.signal(signal.SIGCONT)


def test_metadata_and_other_reads_pass_20_slow_decodes(tmp_path, mount):
    src = tmp_path / "src"
    (src / "slow").mkdir(parents=True)
    for i in range(3):
        image(str(src / f"live/l{i}.tif"), 30 + i)
    size = 8000
    fixtures.write_large(str(src / "slow/s00.tif"), size, "one-strip")
    for i in range(1, 20):
        shutil.copy(src / "slow/s00.tif", src / f"slow/s{i:02}.tif")
    m = mount(src, "--cache-size", "256MiB", "--threads", 2)
    last = (size - 1) // 512
    slow = [Call(read, m.join(f"slow/s{i:02}.ome.zarr/5/c/0/0/0/0/0")) for i in range(20)]
    worst = rounds = 0
    while any(c.is_alive() for c in slow) and rounds < 400:
        started = time.monotonic()
        assert len(prompt(os.listdir, m.join("slow"))) == 20
        prompt(os.stat, m.join(f"slow/s{rounds % 20:02}.ome.zarr"))
        prompt(os.stat, m.join(f"slow/s{rounds % 20:02}.ome.zarr/0/c/0/0/0/{last}/{last}"))
        prompt(os.listdir, m.join("live"))
        i = rounds % 3
        assert prompt(read, m.join(f"live/l{i}.ome.zarr/0/c/0/0/0/{rounds // 3 % 2}/0"))[0] == 30 + i
        worst = max(worst, time.monotonic() - started)
        rounds += 1
    for c in slow:
        c.join(120)
        assert not c.is_alive() and c.error is None
    want = fixtures.large_levels(size)[4]
    got = np.frombuffer(slow[7].result, np.uint16).reshape(512, 512)
    assert np.array_equal(got[:want.shape[0], :want.shape[1]], want)
    print(f"{rounds} rounds beside 20 decodes of {size}x{size}, the slowest {worst * 1000:.0f} ms; decodes took {max(c.seconds for c in slow):.1f} s")
    assert rounds > 3


def test_a_killed_reader_of_a_slow_decode(tmp_path, mount):
    (tmp_path / "src").mkdir()
    fixtures.write_large(str(tmp_path / "src/s.tif"), 16000, "one-strip")
    m = mount(tmp_path / "src", "--cache-size", "64MiB")
    p = subprocess.Popen([sys.executable, "-S", "-c", "import sys; open(sys.argv[1], 'rb').read()", m.join("s.ome.zarr/6/c/0/0/0/0/0")], stderr=subprocess.DEVNULL)
    time.sleep(0.3)
    if p.poll() is not None:
        pytest.skip("this machine decodes it too fast to be killed in the middle")
    started = time.monotonic()
    p.kill()
    p.wait(5)
    want = fixtures.large_levels(16000)[5]
    assert np.array_equal(readers.by_zarr(m.join("s.ome.zarr/6"))[0, 0, 0], want)
