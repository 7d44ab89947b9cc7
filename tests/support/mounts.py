"""Mounts for tests: started on temporary folders, always unmounted, ended by the process id that was started."""
import contextlib
import json
import os
import signal
import subprocess
import tempfile
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
LIVE = {}  # process id -> Mount, for the watchdog and the end of a run


def binary():
    """The program under test: $FUZARR, else the release build."""
    named = os.environ.get("FUZARR")
    target = os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target"))
    return named or os.path.join(target, "release", "fuzarr")


def shared(*parts):
    """A path in the folder of reference material beside the repository, or None."""
    base = os.environ.get("FUZARR_SHARED", os.path.join(ROOT, "..", "shared"))
    path = os.path.abspath(os.path.join(base, *parts))
    return path if os.path.exists(path) else None


def is_mounted(path):
    """Whether something is mounted there, asked of the kernel and not of the mount."""
    path = os.path.realpath(os.path.dirname(path)) + "/" + os.path.basename(path)
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as f:
        return any(line.split()[4].encode().decode("unicode_escape", "surrogateescape") == path for line in f)


class Mount:
    """`fuzarr mount SOURCE` in the foreground, on a temporary mountpoint unless one is given."""

    def __init__(self, source, *options, at=None, env=None, user=None):
        self.source = os.fspath(source)
        self._own = None if at else tempfile.mkdtemp(prefix="fuzarr-mnt-")
        self.path = os.fspath(at or self._own)
        self._log = tempfile.TemporaryFile()
        command = [binary(), "mount", "--foreground", *map(str, options), self.source, self.path]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log,
                                        env={**os.environ, **(env or {})}, user=user, start_new_session=True)
        self.pid = self.process.pid
        LIVE[self.pid] = self
        until = time.monotonic() + 60
        while " serving " not in self.log() or not is_mounted(self.path):
            if self.process.poll() is not None or time.monotonic() > until:
                log = self.log()
                self.close()
                raise RuntimeError(f"no mount after {' '.join(command)}: {log}")
            time.sleep(0.01)

    def log(self):
        """What the daemon wrote so far."""
        return os.pread(self._log.fileno(), 1 << 24, 0).decode(errors="replace")

    def join(self, *parts):
        return os.path.join(self.path, *parts)

    def status(self):
        """`fuzarr status --json`."""
        p = subprocess.run([binary(), "status", "--json", self.path], capture_output=True, text=True, timeout=90)
        return json.loads(p.stdout)

    def counter(self, *names):
        """The first counter of one of these names anywhere in the status."""
        status = self.status()

        def find(node, name):
            if isinstance(node, dict):
                if name in node and isinstance(node[name], (int, float)):
                    return node[name]
                node = list(node.values())
            if isinstance(node, list):
                for v in node:
                    if (r := find(v, name)) is not None:
                        return r
            return None

        for name in names:
            if (r := find(status, name)) is not None:
                return r
        raise KeyError(f"none of {names} in {json.dumps(status)}")

    def resident(self, field="VmHWM"):
        """A memory figure of the daemon in bytes."""
        with open(f"/proc/{self.pid}/status", encoding="ascii") as f:
            return next(int(line.split()[1]) << 10 for line in f if line.startswith(field + ":"))

    def bytes_read(self):
        """What the daemon has read by system calls, as the kernel counts it: the source, and requests."""
        with open(f"/proc/{self.pid}/io", encoding="ascii") as f:
            return next(int(line.split()[1]) for line in f if line.startswith("rchar:"))

    def reset_peak(self):
        with open(f"/proc/{self.pid}/clear_refs", "w", encoding="ascii") as f:
            f.write("5")

    def alive(self):
        return self.process.poll() is None

    def signal(self, number):
        os.kill(self.pid, number)

    def kill(self):
        """End the daemon hard and detach the mount, so that nothing can wait for it."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(10)
        subprocess.run(["umount", "-l", self.path], stderr=subprocess.DEVNULL, check=False)

    def close(self):
        """Unmount by SIGTERM as a service manager would; hard if that does not end it. Gives whether it ended by itself."""
        clean = True
        if self.process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGCONT)
                os.kill(self.pid, signal.SIGTERM)
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                clean = False
        if self.process.poll() is None or is_mounted(self.path):
            self.kill()
            clean = False
        LIVE.pop(self.pid, None)
        if self._own:
            with contextlib.suppress(OSError):
                os.rmdir(self._own)
        return clean

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()


def kill_all():
    """End every daemon that this process started."""
    for m in list(LIVE.values()):
        m.kill()


class Watchdog:
    """Ends the daemons, and so every call that waits for one, when a test takes too long."""

    def __init__(self, seconds):
        self.fired = False
        self._timer = threading.Timer(seconds, self._fire)
        self._timer.daemon = True
        self._timer.start()

    def _fire(self):
        self.fired = True
        kill_all()

    def stop(self):
        self._timer.cancel()


def drop_caches(*paths):
    """Make the kernel forget what it read: everything where that is permitted, else the files given."""
    try:
        with open("/proc/sys/vm/drop_caches", "w", encoding="ascii") as f:
            f.write("3")
    except OSError:
        for path in paths:
            fd = os.open(path, os.O_RDONLY)
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(fd)


def cached(name):
    """A file below target/ that costs much to make and is kept between runs."""
    folder = os.path.join(os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target")), "test-data")
    os.makedirs(folder, exist_ok=True)
    return os.path.join(folder, name)
