"""Runs the operations of `worker.py` in turn: cold or warm, over mounts of our own, and prints how they compare."""
import json
import mmap
import os
import select
import statistics
import subprocess
import sys
import time

from support import mounts

# More than a cold read takes.
TOUCHED = 512 << 20

HERE = os.path.dirname(os.path.abspath(__file__))


def drop_caches():
    """Nothing of any file stays in memory; without the right to say so, cold is not cold."""
    os.sync()
    with open("/proc/sys/vm/drop_caches", "w") as f:
        f.write("3")


def touch_memory(size):
    """Has `size` bytes of memory handed over by the host and frees them again, right before the clock starts.

    A virtual machine gets its memory page by page as it is first written to, and gives back what has been free for some
    seconds. Then a page of the page cache costs five times what it costs to read it, and whoever runs right after
    somebody else is the faster.
    """
    with mmap.mmap(-1, size) as memory:
        for at in range(0, size, mmap.PAGESIZE):
            memory[at] = 1


def bffile_python():
    """The Python that has bffile, and nothing else of the peers; none where it could not be installed."""
    return os.environ.get("BFFILE_PYTHON")


def start(operation, **arguments):
    """A worker that has imported what it needs and waits to be told to begin."""
    python = bffile_python() if "bffile" in operation else sys.executable
    command = [python, os.path.join(HERE, "worker.py"), operation, json.dumps(arguments)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True)
    if process.stdout.readline().strip() != "ready":
        raise RuntimeError(f"{operation} does not start")
    return process


def begin(process):
    process.stdin.write("go\n")
    process.stdin.flush()


def finish(process):
    [result] = finish_all([process])
    return result


def finish_all(processes):
    """What each of them measured; none ends before all are done."""
    until = time.monotonic() + 1800
    for process in processes:
        if not select.select([process.stdout], [], [], max(0, until - time.monotonic()))[0]:
            for stuck in processes:
                stuck.kill()
            raise RuntimeError(f"{process.args[2]} does not end")
    lines = [process.stdout.readline() for process in processes]
    for process in processes:
        process.communicate(timeout=1800)
        if process.returncode:
            raise RuntimeError(f"{process.args[2]} failed")
    return [json.loads(line) for line in lines]


def work(operation, **arguments):
    process = start(operation, **arguments)
    begin(process)
    return finish(process)


def work_cold(operation, **arguments):
    """The same with nothing of any file in memory, but for what the worker and the daemon run on."""
    process = start(operation, **arguments)
    touch_memory(TOUCHED)
    drop_caches()
    begin(process)
    return finish(process)


def resident(pid):
    """Most memory that a process held, in bytes."""
    with open(f"/proc/{pid}/status") as f:
        return next(int(line.split()[1]) * 1024 for line in f if line.startswith("VmHWM"))


def processor(pid):
    """Seconds of processor time that a process took so far."""
    with open(f"/proc/{pid}/stat") as f:
        fields = f.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Fuzarr:
    """A mount, with what its daemon held and the processor time that it took since it was there."""

    def __init__(self, source, *options):
        self.mount = mounts.Mount(source, *options)

    def __enter__(self):
        self.began = processor(self.mount.pid)
        return self

    def __exit__(self, *_):
        self.rss, self.processor = resident(self.mount.pid), processor(self.mount.pid) - self.began
        self.mount.close()

    def path(self, file):
        return self.mount.join(os.path.basename(file).split(".")[0] + ".ome.zarr")


class Passthrough:
    """A mount that shows a folder as it is, or as a slow one."""

    def __init__(self, program, source, at, *options):
        os.makedirs(at, exist_ok=True)
        self.path = at
        self.process = subprocess.Popen([program, source, at, *map(str, options)], stdin=subprocess.DEVNULL)
        until = time.monotonic() + 20
        while not os.path.ismount(at):
            if self.process.poll() is not None or time.monotonic() > until:
                raise RuntimeError("the pass-through mount does not come up")
            time.sleep(0.02)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        subprocess.run(["umount", self.path], check=False)
        self.process.wait(timeout=20)


def median(values):
    return statistics.median(values)


class Table:
    """Rows of the report: ours, theirs, and whether the ratio is what it should be."""

    def __init__(self):
        self.rows = []
        self.notes = []

    def add(self, case, against, ours, theirs, unit, least, rss, theirs_rss=None, more_is_better=True):
        ratio = ours / theirs if more_is_better else theirs / ours
        row = {"case": case, "against": against, "ours": ours, "theirs": theirs, "unit": unit, "ratio": ratio, "least": least,
               "rss": rss, "theirs_rss": theirs_rss}
        self.rows.append(row)
        wanted = "" if least is None else f", wanted {least:.2g} x"
        print(f"{case}: {ours:.4g} against {theirs:.4g} {unit} ({against}): {ratio:.2f} x{wanted}", flush=True)

    def explain(self, what, daemon, readers, peers):
        """Where the processor's time went: lists of seconds."""
        ours, inside, theirs = (median(seconds) for seconds in (readers, daemon, peers))
        self.notes.append(f"Processor time, {what}: {inside:.2f} s in the daemon and {ours:.2f} s in zarr-python; {theirs:.2f} s in the peer.")

    def markdown(self):
        def size(n):
            return "" if n is None else f"{n / 2**20:.0f} MiB"

        def wanted(row):
            if row["least"] is None:
                return ""
            return f"{row['least']:.2g} x{'' if row['ratio'] >= row['least'] else ' (missed)'}"
        head = "| case | against | fuzarr | peer | ratio | wanted | memory: daemon | peer |\n|---|---|---|---|---|---|---|---|\n"
        return head + "".join(
            f"| {r['case']} | {r['against']} | {r['ours']:.4g} {r['unit']} | {r['theirs']:.4g} {r['unit']} | {r['ratio']:.2f} x "
            f"| {wanted(r)} | {size(r['rss'])} | {size(r['theirs_rss'])} |\n"
            for r in self.rows)
