"""The views beside the usual ones: shards, OME-Zarr 0.6, and a single image as a collection."""
import os
import random
import re
import shutil
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
import tifffile
import zarr

from support import fixtures, mounts, readers

NAMES = sorted(fixtures.writers())
STEM = re.compile(r"(?i)\.ome\.(tiff?|btf)$|\.(tiff?|btf)$")


def directory(name, mark=""):
    return STEM.sub("", name) + mark + ".ome.zarr"


def original(samples, name):
    """Planes of a lossy sample as tifffile decodes them."""
    data = tifffile.imread(samples[0] / name)
    return [data[..., i] for i in range(data.shape[-1])] if data.ndim == 3 else [data]


def shards(root):
    """Every file below a directory that holds chunks."""
    return [f for f in readers.files(root) if re.search(r"(^|/)c/[0-9/]+$", f)]


@pytest.fixture(scope="module")
def sharded(samples):
    """Shards of one and a half thousand pixels at most, of chunks that fit no plane evenly; 0.6 beside it."""
    with mounts.Mount(samples[0], "--chunk", "96,160", "--shard", "288,320", "--ngff", "0.5,0.6") as m:
        yield m


@pytest.mark.parametrize("reader", sorted(readers.READERS))
@pytest.mark.parametrize("name", NAMES)
def test_every_plane_of_every_level_in_shards(samples, sharded, name, reader):
    expected = samples[1][name]["series"]
    if reader == "zarrs" and expected[0]["dtype"] == "complex64":
        pytest.skip("zarrs' pipeline for zarr-python has no complex type")
    images = readers.images(sharded.join(directory(name)))
    assert len(images) == len(expected)
    for image, e in zip(images, expected):
        array = zarr.open_array(os.path.join(image, "0"), mode="r")
        assert (array.shards[-2:], array.chunks[-2:]) == ((288, 320), (96, 160))
        want = original(samples, name) if e["tolerance"] else None
        assert not readers.differences(image, e, readers.READERS[reader], want)


@pytest.mark.parametrize("name", ["five_d.ome.tif", "strip.tif", "float32_p3.tif", "pyramid.ome.tif"])
def test_shards_hold_the_chunks_of_the_plain_view(samples, sharded, mount, name):
    """Offsets and lengths of the index, read by hand, lead to the bytes of the chunk files."""
    plain = mount(samples[0], "--chunk", "96,160")
    for level in readers.levels(sharded.join(directory(name))):
        k = os.path.basename(level)
        shape = zarr.open_array(level, mode="r").shape
        grid = (-(-shape[-2] // 96), -(-shape[-1] // 160))
        for f in shards(level):
            with open(os.path.join(level, f), "rb") as h:
                whole = h.read()
            index = struct.unpack("<12Q", whole[-100:-4])
            *plane, sy, sx = map(int, f.split("/")[1:])
            seen = 0
            for i in range(6):
                y, x = sy * 3 + i // 2, sx * 2 + i % 2
                offset, length = index[2 * i:2 * i + 2]
                if y >= grid[0] or x >= grid[1]:
                    assert offset == length == 2**64 - 1
                    continue
                path = plain.join(directory(name), k, "c", *map(str, plane), str(y), str(x))
                with open(path, "rb") as h:
                    assert whole[offset:offset + length] == h.read(), (f, y, x)
                assert offset == seen
                seen += length
            assert len(whole) == seen + 6 * 16 + 4 == os.stat(os.path.join(level, f)).st_size


def test_any_range_of_a_shard(samples, mount):
    """Through the kernel, with nothing cached and with everything cached."""
    m = mount(samples[0], "--shard", "2048,2048")
    rng = random.Random(1)
    for name in ["five_d.ome.tif", "strip.tif", "pyramid.ome.tif"]:
        root = m.join(directory(name))
        for f in shards(root)[:6]:
            with readers.opened(os.path.join(root, f)) as fd:
                size = os.fstat(fd).st_size
                cuts = [(a := rng.randrange(size), rng.randrange(1, size - a + 2)) for _ in range(12)]
                cuts += [(size - 260, 260), (size - 5, 100), (size, 10), (size - 300, 100)]
                parts = [os.pread(fd, n, a) for a, n in cuts]
                whole = b"".join(iter(lambda: os.read(fd, 100_000), b""))
                assert len(whole) == size
                for (a, n), part in zip(cuts, parts):
                    assert part == whole[a:a + n], (f, a, n)
                    assert os.pread(fd, n, a) == part


def test_reading_every_index_decodes_nothing(samples, mount):
    m = mount(samples[0], "--shard", "1024,1024")
    count = 0
    for name in NAMES:
        root = m.join(directory(name))
        for f in shards(root):
            path = os.path.join(root, f)
            level = path[:path.index("/c/", len(root))]
            n = 4 if '"chunk_shape":[1,1,1,512,512]' in open(os.path.join(level, "zarr.json"), encoding="utf-8").read() else 16
            size = os.stat(path).st_size
            fd = os.open(path, os.O_RDONLY)
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_RANDOM)
            data = os.pread(fd, 16 * n + 4, size - 16 * n - 4)
            os.close(fd)
            assert struct.unpack("<Q", data[:8]) == (0,), f
            count += 1
    assert count > 50
    # The kernel reads whole pages. Chunks of the default size end where pages end, so an index shares none with pixels.
    assert m.counter("decoded_units") == 0


def test_one_chunk_of_a_shard_is_one_tile(tmp_path, mount):
    """A plane of 64 tiles in one shard: tensorstore reads the index and the chunks it needs."""
    import tensorstore

    data = np.random.default_rng(3).integers(0, 60000, (2048, 2048), np.uint16)
    tifffile.imwrite(tmp_path / "tiles.tif", data, tile=(256, 256), compression="zlib")
    m = mount(tmp_path, "--shard", "2048,2048")
    path = m.join("tiles.ome.zarr", "0")
    assert os.listdir(os.path.join(path, "c", "0", "0", "0", "0")) == ["0"]
    spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": path}}
    array = tensorstore.open(spec, open=True).result()
    got = array[0, 0, 0, 700:760, 1300:1400].read().result()
    assert np.array_equal(got, data[700:760, 1300:1400])
    # The kernel reads ahead, so some neighbours in the file may come along; never the plane.
    assert m.counter("decoded_units") <= 16
    assert np.array_equal(readers.by_tensorstore(path)[0, 0, 0], data)
    assert np.array_equal(readers.by_zarr(path)[0, 0, 0], data)
    assert np.array_equal(readers.by_zarrs(path)[0, 0, 0], data)


def test_a_shard_of_gigabytes(tmp_path, mount):
    """A whole plane in one file: 30,000 x 40,000 pixels of 16 bits, 2.5 GB, most of them in bands of one number."""
    import tensorstore

    tiles = {v: zlib.compress(np.full((512, 512), v, "<u2").tobytes(), 1) for v in range(59)}
    rows, columns = 59, 79
    tifffile.imwrite(tmp_path / "slide.tif", (tiles[i // columns] for i in range(rows * columns)), bigtiff=True,
                     shape=(30_000, 40_000), dtype=np.uint16, tile=(512, 512), compression="adobe_deflate")
    m = mount(tmp_path, "--shard", "65536,65536", "--cache-size", "64MiB")
    path = m.join("slide.ome.zarr", "0")
    file = os.path.join(path, "c", "0", "0", "0", "0", "0")
    assert os.stat(file).st_size == rows * columns * 512 * 512 * 2 + 128 * 128 * 16 + 4
    spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": path}}
    array = tensorstore.open(spec, open=True).result()
    rng = random.Random(2)
    for _ in range(20):
        y, x = rng.randrange(29_000), rng.randrange(39_000)
        got = array[0, 0, 0, y:y + 700, x:x + 300].read().result()
        want = np.arange(y, y + 700, dtype=np.uint16)[:, None] // 512
        assert np.array_equal(got, np.broadcast_to(want, (700, 300))), (y, x)
    # At most 3 x 2 tiles under a read; the kernel reads ahead into what follows each in the file.
    assert m.counter("decoded_units") <= 20 * 3 * 2 * 5
    assert m.resident() <= (64 + 64) << 20


def test_a_copy_of_a_sharded_image_is_an_ome_zarr(samples, sharded, tmp_path):
    copy = tmp_path / "five_d.ome.zarr"
    subprocess.run(["cp", "-r", sharded.join("five_d.ome.zarr"), copy], check=True)
    assert not readers.differences(copy, samples[1]["five_d.ome.tif"]["series"][0])
    subprocess.run(["chmod", "-R", "u+w", copy], check=True)
    shutil.rmtree(copy)


@pytest.mark.parametrize("name", NAMES)
def test_0_6_by_readers_that_know_it(samples, sharded, name):
    """ngff-zarr validates the metadata of 0.6 and reads it; other readers read its arrays."""
    import ngff_zarr

    root = sharded.join(directory(name, ".v06"))
    expected = samples[1][name]["series"]
    images = readers.images(root)
    assert len(images) == len(expected)
    for image, e in zip(images, expected):
        a = readers.attributes(image)
        assert a["version"] == "0.6" and "axes" not in a["multiscales"][0]
        assert not readers.differences(image, e, original=original(samples, name) if e["tolerance"] else None)
        old = readers.attributes(image.replace(".v06", ""))["multiscales"][0]
        scales = [d["coordinateTransformations"][0]["scale"] for d in old["datasets"]]
        seen = ngff_zarr.from_ome_zarr(image, validate=True)
        assert [[i.scale[x["name"]] for x in old["axes"]] for i in seen.images] == scales
        for k, i in enumerate(seen.images):
            assert np.array_equal(np.asarray(i.data), readers.by_zarr(os.path.join(image, str(k))), equal_nan=i.data.dtype.kind in "fc")


def checked(*arguments):
    checker = mounts.shared("conformance", "check_omezarr.py")
    if not checker:
        pytest.skip("the conformance checker is not here")
    p = subprocess.run([sys.executable, checker, *map(str, arguments), "--dense", "--max-images", "1000", "--quiet"],
                       capture_output=True, text=True, env={**os.environ, "QT_QPA_PLATFORM": "offscreen"})
    assert p.returncode == 0, p.stdout[-3000:] + p.stderr[-1000:]


@pytest.mark.parametrize("name", ["five_d.ome.tif", "series.ome.tif"])
def test_0_6_by_its_schemas(samples, sharded, name):
    readers_of_it = "own,zarr,zarr-array,dask,tensorstore,tensorstore-auto,zarrs,zarrista,ngff-zarr"
    checked(sharded.join(directory(name, ".v06")), "--readers", readers_of_it, "--require", "zarr,tensorstore,zarrs,dask,ngff-zarr")


@pytest.mark.parametrize("options", [[], ["--ngff", "0.4"], ["--shard", "1024,1024"]], ids=["0.5", "0.4", "shard"])
def test_a_single_image_as_a_collection(samples, mount, options):
    m = mount(samples[0], "--layout", "bf2raw", *options)
    for name in ["five_d.ome.tif", "rgb_lzw_p2.tif", "series.ome.tif"]:
        root = m.join(directory(name))
        assert readers.attributes(root)["bioformats2raw.layout"] == 3
        expected = samples[1][name]["series"]
        assert readers.attributes(os.path.join(root, "OME"))["series"] == [str(i) for i in range(len(expected))]
        for image, e in zip(readers.images(root), expected):
            assert not readers.differences(image, e)
        checked(root, "--require", "zarr,tensorstore,zarrs,dask,ome-zarr-models", "--source", samples[0] / name)
