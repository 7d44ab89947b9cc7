"""One measurement in a process of its own: `worker.py OPERATION JSON` prints {"seconds", "bytes", "rss", ...} as JSON.

Imports and whatever only prepares come first; then it says "ready", and the clock starts with a line on standard input.
"""
import json
import os
import resource
import sys
import time

import numpy as np


WAITS = True
BEGUN = 0.0


def processor():
    """Seconds of processor time that this process took so far."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def timed(work):
    global WAITS, BEGUN
    if WAITS:
        WAITS = False
        print("ready", flush=True)
        sys.stdin.readline()
        BEGUN = processor()
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def zarr_array(path, level):
    import zarr
    group = zarr.open_group(path, mode="r")
    attributes = group.attrs.get("ome", group.attrs)
    datasets = attributes["multiscales"][0]["datasets"]
    return group[datasets[level]["path"]]


def everything(array):
    """Reads plane by plane, as programs do; gives the bytes."""
    total = 0
    if array.ndim <= 2:
        return np.asarray(array[...]).nbytes
    for index in np.ndindex(*array.shape[:-2]):
        total += np.asarray(array[index]).nbytes
    return total


def zarrs_pipeline():
    """Lets zarr-python read by its pipeline in Rust, as who installs `zarrs` does."""
    import zarr
    import zarrs  # noqa: F401
    zarr.config.set({"codec_pipeline.path": "zarrs.ZarrsCodecPipeline"})


def read_zarr(path, level=0, pipeline=None):
    import zarr  # noqa: F401
    if pipeline:
        zarrs_pipeline()
    return timed(lambda: everything(zarr_array(path, level)))


def tensorstore_array(path):
    import tensorstore as ts
    with open(f"{path}/zarr.json", encoding="utf-8") as f:
        dataset = json.load(f)["attributes"]["ome"]["multiscales"][0]["datasets"][0]["path"]
    spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": f"{path}/{dataset}"}}
    return ts.open(spec, open=True, read=True).result()


def read_tensorstore(path):
    import tensorstore  # noqa: F401
    return timed(lambda: everything_ts(tensorstore_array(path)))


def everything_ts(array):
    return sum(array[index].read().result().nbytes for index in np.ndindex(*array.shape[:-2]))


def tifffile_array(path, level=0):
    import tifffile
    import zarr
    store = tifffile.imread(path, aszarr=True, level=level)
    return zarr.open_array(store, mode="r") if level is not None else zarr.open_group(store, mode="r")


def read_tifffile(path):
    import tifffile  # noqa: F401
    import zarr  # noqa: F401
    return timed(lambda: everything(tifffile_array(path)))


def bffile_array(path, jar, tile):
    """A series as bffile shows it, in tiles of `tile`; starts the JVM."""
    import bffile
    import scyjava
    import zarr
    scyjava.config.endpoints.clear()  # nothing is fetched: the jar and the Java that are there
    scyjava.config.add_classpath(jar)
    scyjava.config.set_java_constraints(fetch="never")
    scyjava.start_jvm()

    def opened():
        image = bffile.BioFile(path, memoize=False).open()
        return zarr.open_array(image.to_zarr_store(series=0, tile_size=(tile, tile)), mode="r")
    return opened


def read_bffile(path, jar):
    opened = bffile_array(path, jar, 512)
    return timed(lambda: everything(opened()))


def regions_bffile(path, jar, count, edge, seed):
    opened = bffile_array(path, jar, 256)
    timed(lambda: None)
    array = opened()
    rows = array.ndim - (3 if array.shape[-1] == 3 else 2)  # the samples come last, if there are any
    at = (slice(None),) * rows
    return regions(lambda y, x: np.asarray(array[(*at, y, x)]), array.shape[rows:rows + 2], count, edge, seed)


def read_file(path):
    def work():
        total, buffer = 0, bytearray(1 << 20)
        with open(path, "rb", buffering=0) as f:
            while n := f.readinto(buffer):
                total += n
        return total
    return timed(work)


def read_chunks(path, level="0"):
    """The chunk files of a level one after the other, as `cat` would."""
    def work():
        total, buffer = 0, bytearray(1 << 20)
        for folder, folders, files in os.walk(os.path.join(path, level)):
            folders.sort(key=lambda n: (not n.isdigit(), int(n) if n.isdigit() else n))
            for name in sorted((n for n in files if n.isdigit()), key=int):
                with open(os.path.join(folder, name), "rb", buffering=0) as f:
                    while n := f.readinto(buffer):
                        total += n
        return total
    return timed(work)


def places(shape, count, edge, seed):
    rng = np.random.default_rng(seed)
    return [(int(rng.integers(0, shape[0] - edge)), int(rng.integers(0, shape[1] - edge))) for _ in range(count)]


def regions(read, shape, count, edge, seed):
    seconds, total = [], 0
    for y, x in places(shape, count, edge, seed):
        took, pixels = timed(lambda y=y, x=x: read(slice(y, y + edge), slice(x, x + edge)))
        seconds.append(took)
        total += pixels.nbytes
    return seconds, total


def regions_zarr(path, count, edge, seed, pipeline=None):
    import zarr  # noqa: F401
    if pipeline:
        zarrs_pipeline()
    timed(lambda: None)
    array = zarr_array(path, 0)
    return regions(lambda y, x: np.asarray(array[0, :, 0, y, x]), array.shape[-2:], count, edge, seed)


def regions_tensorstore(path, count, edge, seed):
    import tensorstore  # noqa: F401
    timed(lambda: None)
    array = tensorstore_array(path)
    return regions(lambda y, x: array[0, :, 0, y, x].read().result(), array.shape[-2:], count, edge, seed)


def regions_tifffile(path, count, edge, seed):
    import tifffile  # noqa: F401
    import zarr  # noqa: F401
    timed(lambda: None)
    array = tifffile_array(path)
    return regions(lambda y, x: np.asarray(array[y, x]), array.shape[:2], count, edge, seed)


def overview_zarr(path):
    import zarr  # noqa: F401
    return timed(lambda: np.asarray(zarr_array(path, -1)[...]).nbytes)


def first_zarr(path):
    import zarr  # noqa: F401
    return timed(lambda: np.asarray(zarr_array(path, 0)[..., :512, :512]).nbytes)


def convert(path, to):
    """The whole file to an OME-Zarr directory with its levels."""
    import ngff_zarr
    import tifffile

    def work():
        pixels = tifffile.imread(path)
        image = ngff_zarr.to_ngff_image(pixels, dims=("y", "x"), name="image")
        factors = [2**n for n in range(1, 8)]
        ngff_zarr.to_ngff_zarr(to, ngff_zarr.to_multiscales(image, scale_factors=factors, chunks=512), version="0.5")
        return pixels.nbytes
    return timed(work)


def overview_tifffile(path, factor):
    def work():
        array = tifffile_array(path)
        bands = []
        for y in range(0, array.shape[0] // factor * factor, factor * 8):
            band = np.asarray(array[y:y + factor * 8])
            band = band[: band.shape[0] // factor * factor, : band.shape[1] // factor * factor]
            parts = band.reshape(band.shape[0] // factor, factor, -1, factor)
            bands.append(parts.mean(axis=(1, 3)).astype(array.dtype))
        return np.concatenate(bands).nbytes
    import tifffile  # noqa: F401
    import zarr  # noqa: F401
    return timed(work)


def open_group(path):
    import zarr

    def work():
        group = zarr.open_group(path, mode="r")
        attributes = group.attrs.get("ome", group.attrs)
        return len(attributes["multiscales"][0]["datasets"])
    return timed(work)


if __name__ == "__main__":
    seconds, size = globals()[sys.argv[1]](**json.loads(sys.argv[2]))
    ended, took = time.perf_counter(), processor() - BEGUN
    with open("/proc/self/status", encoding="utf-8") as f:  # getrusage counts what the parent held
        rss = next(int(line.split()[1]) * 1024 for line in f if line.startswith("VmHWM"))
    print(json.dumps({"seconds": seconds, "bytes": size, "rss": rss, "ended": ended, "processor": took}), flush=True)
    sys.stdin.read()  # its own end takes a processor too: not before everybody is done
