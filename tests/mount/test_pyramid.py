"""A 20000 x 20000 image without pyramid: what its levels hold, cost and weigh with 64 MiB of cache."""
import os
import time

import numpy as np
import pytest
import zarr

from support import fixtures, mounts

SIZE = 20_000
SOURCE = SIZE * SIZE * 2
CACHE = ("--cache-size", "64MiB")
RESIDENT = (64 + 64) << 20
DECODED = ("decoded_bytes", "bytes_decoded")

pytestmark = pytest.mark.seconds(600)


@pytest.fixture(scope="module", params=["strips", "one-strip"])
def large(request, tmp_path_factory):
    path = mounts.cached(f"large-{request.param}-{SIZE}.tif")
    if not os.path.exists(path):
        fixtures.write_large(path, SIZE, request.param)
    folder = tmp_path_factory.mktemp("large")
    os.link(path, folder / "large.tif")
    return request.param, folder


@pytest.fixture(scope="module")
def brute():
    path = mounts.cached(f"large-levels-{SIZE}.npz")
    if not os.path.exists(path):
        levels = fixtures.large_levels(SIZE)
        np.savez(path, *levels[2:])
    with np.load(path) as f:
        return {k + 3: f[f"arr_{k}"] for k in range(len(f.files))}


def chunk(m, level, *index):
    with open(m.join("large.ome.zarr", str(level), "c/0/0/0", *map(str, index)), "rb") as f:
        return np.frombuffer(f.read(), np.uint16).reshape(512, 512)


def test_lists_at_once(large, mount):
    m = mount(large[1], *CACHE)
    assert os.listdir(m.path) == ["large.ome.zarr"]
    names = os.listdir(m.join("large.ome.zarr"))
    assert {str(k) for k in range(8)} <= set(names)
    assert len(os.listdir(m.join("large.ome.zarr/0/c/0/0/0"))) == 40
    assert os.stat(m.join("large.ome.zarr/0/c/0/0/0/39/39")).st_size == 512 * 512 * 2
    assert m.counter(*DECODED) == 0, "listing decodes nothing"


def test_a_chunk_decodes_what_it_needs(large, mount):
    layout, folder = large
    m = mount(folder, *CACHE)
    for index in [(0, 0), (20, 11), (39, 39)]:
        before = m.counter(*DECODED)
        y, x = index
        got = chunk(m, 0, y, x)
        want = np.zeros((512, 512), np.uint16)
        rows = fixtures.large_band(y * 512, min(y * 512 + 512, SIZE), SIZE)[:, x * 512:x * 512 + 512]
        want[:rows.shape[0], :rows.shape[1]] = rows
        assert np.array_equal(got, want)
        cost = m.counter(*DECODED) - before
        print(f"{layout}: chunk {index} decoded {cost >> 20} MiB")
        if layout == "strips":
            assert cost <= (512 + 2 * 64) * SIZE * 2
        else:
            assert cost <= SOURCE * 1.05
    assert m.resident() < RESIDENT


def test_the_coarsest_level_costs_one_sweep(large, brute, mount):
    layout, folder = large
    m = mount(folder, *CACHE)
    with open(m.join("large.ome.zarr/zarr.json"), "rb") as f:
        f.read()
    before, read = m.counter(*DECODED), m.bytes_read()
    m.reset_peak()
    started = time.monotonic()
    got = chunk(m, 7, 0, 0)
    seconds = time.monotonic() - started
    want = brute[7]
    assert np.array_equal(got[:want.shape[0], :want.shape[1]], want)
    assert not got[want.shape[0]:].any() and not got[:, want.shape[1]:].any()
    cost = m.counter(*DECODED) - before
    print(f"{layout}: coarsest level decoded {cost / SOURCE:.3f} of the source in {seconds:.1f} s, resident {m.resident() >> 20} MiB")
    assert cost <= 1.05 * SOURCE
    stored = os.path.getsize(folder / "large.tif")
    assert m.bytes_read() - read <= 1.05 * stored + (8 << 20), "the kernel saw the source read more than once"
    assert m.resident() < RESIDENT
    mounts.drop_caches(m.join("large.ome.zarr/7/c/0/0/0/0/0"))
    before = m.counter(*DECODED)
    assert np.array_equal(chunk(m, 7, 0, 0), got)
    assert m.counter(*DECODED) == before, "the second time costs nothing"


def test_every_level_below_the_fourth_equals_brute_force(large, brute, mount):
    m = mount(large[1], *CACHE)
    for k in (7, 6, 5, 4, 3):
        got = zarr.open_array(m.join("large.ome.zarr", str(k)), mode="r")[0, 0, 0]
        assert np.array_equal(got, brute[k]), f"level {k}"
    assert m.resident() < RESIDENT
