"""The cases of the benchmark, one function each. Every one runs ours and its peer in turn, so that a machine that slows down
slows both."""
import math
import os
import shutil
import subprocess
import time

import data
from run import TOUCHED, Fuzarr, Passthrough, begin, drop_caches, finish_all, median, start, touch_memory, work, work_cold

MB = 1e6


def rate(result):
    return result["bytes"] / result["seconds"] / MB


def cold(folder, source, spent=None):
    """One full read of a fresh mount with nothing in memory; `spent` takes the processor time of daemon and reader."""
    with Fuzarr(folder) as mount:
        result = work_cold("read_zarr", path=mount.path(source))
    if spent:
        spent[0].append(mount.processor), spent[1].append(result["processor"])
    return rate(result), mount.rss


def cold_tifffile(source, spent=None):
    result = work_cold("read_tifffile", path=source)
    if spent:
        spent[2].append(result["processor"])
    return rate(result), result["rss"]


def in_turn(run, ours, theirs):
    """What both give, every other time the peer first."""
    if run % 2:
        other = theirs()
        return ours(), other
    return ours(), theirs()


def pairs(runs, ours, theirs):
    """Both in turn, `runs` times: medians of the figures and the most memory of each."""
    mine, other = zip(*(in_turn(run, ours, theirs) for run in range(runs)))
    return median(m for m, _ in mine), max(r for _, r in mine), median(o for o, _ in other), max(r for _, r in other)


def cold_tiles(setup, table):
    """3 x 4096 x 4096 uint16, Deflate tiles of 512 x 512."""
    source = data.deflate_tiles(setup.folder("tiles"))
    spent = [], [], []
    a, ra, b, rb = pairs(setup.runs, lambda: cold(os.path.dirname(source), source, spent), lambda: cold_tifffile(source, spent))
    table.explain("Deflate tiles, cold", *spent)
    table.add("Deflate tiles, cold full read", "tifffile store", a, b, "MB/s", 1.5, ra, rb)


def warm_tiles(setup, table):
    source = data.deflate_tiles(setup.folder("tiles"))
    with Fuzarr(os.path.dirname(source)) as mount:
        path = mount.path(source)
        work("read_zarr", path=path)
        work("read_tifffile", path=source)

        def again(operation, at):
            result = work(operation, path=at)
            return rate(result), result["rss"]
        a, _, b, rb = pairs(setup.runs, lambda: again("read_zarr", path), lambda: again("read_tifffile", source))
    table.add("the same, second read", "tifffile store", a, b, "MB/s", 4, mount.rss, rb)


def cold_rows(setup, table):
    source = data.lzw_rows(setup.folder("rows"))
    a, ra, b, rb = pairs(setup.runs, lambda: cold(os.path.dirname(source), source), lambda: cold_tifffile(source))
    table.add("LZW, one row a strip, cold", "tifffile store", a, b, "MB/s", 3, ra, rb)


def raw_ceiling(setup, table):
    source = data.raw(setup.folder("raw"))

    def ceiling():
        with Passthrough(setup.passthrough, os.path.dirname(source), setup.folder("null")) as mount:
            result = work_cold("read_file", path=os.path.join(mount.path, os.path.basename(source)))
        return rate(result), result["rss"]

    def ours():
        with Fuzarr(os.path.dirname(source)) as mount:
            result = work_cold("read_chunks", path=mount.path(source))
        return rate(result), mount.rss
    a, ra, b, rb = pairs(setup.runs, ours, ceiling)
    table.add("uncompressed, cat of all chunks, cold", "cat of the file through a null FUSE mount", a, b, "MB/s", 0.7, ra, rb)
    zarr, _ = cold(os.path.dirname(source), source)
    table.notes.append(f"zarr-python reads the uncompressed file at {zarr:.0f} MB/s, cold.")


def percentile(seconds, share):
    ordered = sorted(seconds)
    return ordered[min(len(ordered) - 1, math.ceil(share * len(ordered)) - 1)]


def slide_regions(setup, table):
    source = data.slide(setup.folder("slide"))
    mine, other, held, theirs, spent = [], [], 0, 0, ([], [], [])
    for run in range(setup.runs):
        wanted = {"count": 200, "edge": 512, "seed": run}

        def ours():
            with Fuzarr(os.path.dirname(source)) as mount:
                return work_cold("regions_zarr", path=mount.path(source), **wanted), mount

        def tifffile():
            return work_cold("regions_tifffile", path=source, **wanted)
        (result, mount), peer = in_turn(run, ours, tifffile)
        mine.append(result["seconds"]), other.append(peer["seconds"])
        for seconds, took in zip(spent, (mount.processor, result["processor"], peer["processor"])):
            seconds.append(took)
        held, theirs = max(held, mount.rss), max(theirs, peer["rss"])
    for name, share in (("p50", 0.5), ("p99", 0.99)):
        a, b = (median(percentile(s, share) for s in runs) * 1000 for runs in (mine, other))
        table.add(f"JPEG slide, 200 random 512 x 512 regions, {name}", "tifffile store", a, b, "ms", 1.5, held, theirs,
                  more_is_better=False)
    table.explain("200 regions of the slide", *spent)


def slide_floor(setup, table):
    """What zarr-python alone takes for such regions: from a raw copy on disk, in memory already, by shape of the chunks."""
    took = {}
    for chunks in ((1, 1, 1, 256, 256), (1, 1, 1, 512, 512), (1, 3, 1, 256, 256)):
        copy = data.plain_slide(setup.folder("copies"), chunks)
        runs = [work("regions_zarr", path=copy, count=200, edge=512, seed=run)["seconds"] for run in range(setup.runs + 1)][1:]
        took[chunks] = median(percentile(s, 0.5) for s in runs) * 1000
    said = ", ".join(f"{ms:.1f} ms with chunks of {'x'.join(map(str, chunks))}" for chunks, ms in took.items())
    table.notes.append(f"The regions of the slide, p50, read by zarr-python from a raw copy on disk that is in memory already: {said}.")


def first_overview(setup, table):
    source = data.flat(setup.folder("flat"))

    def ours():
        with Fuzarr(os.path.dirname(source)) as mount:
            result = work_cold("overview_zarr", path=mount.path(source))
        return result["seconds"], mount.rss

    def theirs():
        result = work_cold("overview_tifffile", path=source, factor=128)
        return result["seconds"], result["rss"]
    a, ra, b, rb = pairs(setup.runs, ours, theirs)
    table.add("20000 x 20000 without levels, coarsest level, cold", "tifffile and numpy", a, b, "s", 1.5, ra, rb,
              more_is_better=False)


def cold_open(setup, table):
    source = data.deflate_tiles(setup.folder("tiles"))
    copy = data.converted(setup.folder("copies"), source, "zstd")

    def ours():
        with Fuzarr(os.path.dirname(source)) as mount:
            result = work_cold("open_group", path=mount.path(source))
        return result["seconds"] * 1000, mount.rss

    def theirs():
        result = work_cold("open_group", path=copy)
        return result["seconds"] * 1000, result["rss"]
    a, ra, b, rb = pairs(setup.runs, ours, theirs)
    table.add("cold open to parsed multiscales", "converted copy on disk", a, b, "ms", 0.5, ra, rb, more_is_better=False)
    table.notes.append(f"The cold open takes {a - b:+.1f} ms beside that of the copy; 20 ms are allowed.")


def warm_copies(setup, table):
    source = data.deflate_tiles(setup.folder("tiles"))
    copies = {codec: data.converted(setup.folder("copies"), source, codec) for codec in ("zstd", "raw")}
    with Fuzarr(os.path.dirname(source)) as mount:
        path = mount.path(source)

        def again(at):
            result = work("read_zarr", path=at)
            return rate(result), result["rss"]
        for at in (path, *copies.values()):
            again(at)
        results = {c: pairs(setup.runs, lambda: again(path), lambda at=at: again(at)) for c, at in copies.items()}
    for codec, least in (("zstd", 2), ("raw", 0.9)):
        a, _, b, rb = results[codec]
        table.add("full read by zarr-python, warm", f"converted copy, {codec}, warm", a, b, "MB/s", least, mount.rss, rb)


def many_readers(setup, table):
    folder = setup.folder("sixteen")
    sources = [data.deflate_tiles(folder, f"image{n:02}.ome.tif", n) for n in range(16)]

    def together(operation, paths):
        processes = [start(operation, path=p) for p in paths]
        touch_memory(len(paths) * TOUCHED // 2)
        drop_caches()
        begun = time.perf_counter()
        for process in processes:
            begin(process)
        results = finish_all(processes)
        took = max(r["ended"] for r in results) - begun
        return sum(r["bytes"] for r in results) / took / MB, results, sum(r["rss"] for r in results)
    single, slowest, spent = [], [], ([], [], [])

    def ours():
        with Fuzarr(folder) as mount:
            single.append(together("read_zarr", [mount.path(sources[0])])[0])
        with Fuzarr(folder) as mount:
            speed, results, _ = together("read_zarr", [mount.path(s) for s in sources])
        seconds = [r["seconds"] for r in results]
        slowest.append(max(seconds) / median(seconds))
        spent[0].append(mount.processor), spent[1].append(sum(r["processor"] for r in results))
        return speed, mount.rss

    def theirs():
        speed, results, rss = together("read_tifffile", sources)
        spent[2].append(sum(r["processor"] for r in results))
        return speed, rss
    a, held, b, other = pairs(setup.runs, ours, theirs)
    table.add("16 readers of 16 files, together", "a single reader of ours", a, median(single), "MB/s", 0.95, held)
    table.add("the same", "16 tifffile processes", a, b, "MB/s", 1.5, held, other)
    table.explain("16 readers", *spent)
    table.notes.append(f"The slowest of 16 readers takes {median(slowest):.2f} times the median; 2 are allowed.")


def slow_source(setup, table):
    source = data.deflate_tiles(setup.folder("tiles"))
    count = os.path.join(setup.folder("null"), "..", "bytes")
    share = []
    for _ in range(max(1, setup.runs // 2)):
        options = ("--latency-ms", 5, "--megabytes-per-second", 50, "--count", count)
        with Passthrough(setup.passthrough, os.path.dirname(source), setup.folder("null"), *options) as slow:
            drop_caches()
            with Fuzarr(slow.path) as mount:
                result = work("read_zarr", path=mount.path(source))
            with open(count) as f:
                share.append((os.path.getsize(source), int(f.read()), mount.rss, rate(result)))
    need, read, held, speed = share[len(share) // 2]
    # More is better: what the reply needs by what was read.
    table.add("source of 50 MB/s and 5 ms, cold: bytes needed by bytes read", "the file's own size", need / MB, read / MB, "MB",
              1 / 1.1, held)
    table.notes.append(f"Over the slow source the read runs at {speed:.0f} MB/s of pixels.")


def large_folder(setup, table):
    source = data.many(setup.folder("folder"))
    for command, least in ((["ls", "-U"], 3), (["ls", "-l"], 6)):
        def run(at):
            begun = time.perf_counter()
            subprocess.run([*command, at], stdout=subprocess.DEVNULL, check=True)
            return time.perf_counter() - begun, 0

        def ours():
            with Fuzarr(source) as mount:
                drop_caches()
                result = run(mount.mount.path)
            return result[0], mount.rss

        def theirs():
            drop_caches()
            return run(source)
        a, ra, b, _ = pairs(setup.runs, ours, theirs)
        table.add(f"folder of 100,000 images, {' '.join(command)}", "the same on the source", a, b, "s", 1 / least, ra,
                  more_is_better=False)


def first_pixel(setup, table):
    """For the reader, not a bar: how long until the first tile of a large file is there."""
    source = data.flat(setup.folder("flat"))
    to = os.path.join(setup.folder("copies"), "first.ome.zarr")

    def ours():
        with Fuzarr(os.path.dirname(source)) as mount:
            result = work_cold("first_zarr", path=mount.path(source))
        return result["seconds"], mount.rss
    a, ra = ours()
    shutil.rmtree(to, ignore_errors=True)
    peer = work_cold("convert", path=source, to=to)
    shutil.rmtree(to, ignore_errors=True)
    table.add("first 512 x 512 pixels of an 800 MB plane, cold, one run", "conversion by ngff-zarr", a, peer["seconds"], "s", None,
              ra, peer["rss"], more_is_better=False)


ALL = [cold_tiles, warm_tiles, cold_rows, raw_ceiling, slide_regions, slide_floor, first_overview, cold_open, warm_copies, many_readers,
       slow_source, large_folder, first_pixel]
