"""Entry of scripts/bench: which cases, how often, and the report."""
import argparse
import importlib.metadata
import os
import platform
import shutil
import subprocess
import sys
import tempfile

import cases
import others
from run import Table
from support import mounts

PEERS = ("tifffile", "zarr", "zarrs", "numpy", "imagecodecs", "ngff-zarr", "tensorstore")


ALL = cases.ALL + others.ALL


class Setup:
    def __init__(self, base, runs):
        self.base, self.runs = base, runs
        self.passthrough = os.environ["PASSTHROUGH"]

    def folder(self, name):
        path = os.path.join(self.base, name)
        os.makedirs(path, exist_ok=True)
        return path


def machine():
    with open("/proc/cpuinfo") as f:
        model = next((line.split(":", 1)[1].strip() for line in f if line.startswith("model name")), platform.machine())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{os.cpu_count()} x {model}, {memory:.0f} GiB, Linux {platform.release()}"


def report(table, runs):
    version = subprocess.run([mounts.binary(), "--version"], capture_output=True, text=True, check=True).stdout.strip()
    peers = ", ".join(f"{p} {importlib.metadata.version(p)}" for p in PEERS)
    notes = "".join(f"- {n}\n" for n in table.notes)
    return (f"# Benchmarks\n\nWritten by `scripts/bench`: medians of {runs} runs, ours and the peer in turn on the same files; cold: "
            "fresh mount and empty page cache. Memory is the most that the daemon held, and the peer's process.\n\n"
            f"{machine()}; {version}; Python {platform.python_version()}, {peers}.\n\n{table.markdown()}\n{notes}")


def main():
    parser = argparse.ArgumentParser(prog="scripts/bench")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--only", default="")
    parser.add_argument("--keep")
    parser.add_argument("--out")
    parser.add_argument("--list", action="store_true")
    args = parser.parse_args()
    names = {c.__name__: c for c in ALL}
    if args.list:
        print("\n".join(names))
        return 0
    wanted = [names[n] for n in args.only.split(",")] if args.only else ALL
    out = args.out or (None if args.only else os.path.join(mounts.ROOT, "docs", "benchmarks.md"))
    base = args.keep or tempfile.mkdtemp(prefix="fuzarr-bench-")
    table, failed = Table(), False
    try:
        for case in wanted:
            try:
                case(Setup(base, args.runs), table)
            except (RuntimeError, OSError, subprocess.SubprocessError) as e:
                print(f"FAILED: {case.__name__}: {e}", flush=True)
                table.notes.append(f"`{case.__name__}` failed: {e}.")
                failed = True
    finally:
        if not args.keep:
            shutil.rmtree(base, ignore_errors=True)
    text = report(table, args.runs)
    if out:
        with open(out, "w") as f:
            f.write(text)
    print(text)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
