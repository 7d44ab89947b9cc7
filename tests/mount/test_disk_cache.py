"""What is kept on disk from one mount to the next: the same bytes with and without, nothing stale, nothing without end."""
import contextlib
import glob
import os
import shutil
import signal
import subprocess

import numpy as np
import pytest
import tifffile
import zarr

from support import levels, mounts

OLD = 1_500_000_000 * 10**9  # what was written just now is not kept


def write(path, data, ago=0, **options):
    path = os.fspath(path)
    tifffile.imwrite(path, data, **{"metadata": None, "photometric": "minisblack", **options})
    os.utime(path, ns=(OLD - ago, OLD - ago))
    return data


def noise(shape, seed=0, dtype=np.uint16):
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, shape, dtype=dtype)


LAYOUTS = {
    "tiles": (noise((1300, 1601), 1), {"compression": "zlib", "tile": (256, 256)}),
    "strips": (noise((1300, 1601), 2), {"compression": "zlib", "rowsperstrip": 16}),
    "rgb": (noise((1100, 900, 3), 3, np.uint8), {"photometric": "rgb", "compression": "zlib", "tile": (128, 128)}),
    "stack": (noise((3, 2, 600, 500), 4), {"ome": True, "metadata": {"axes": "ZCYX"}, "compression": "zlib"}),
}


def planes(data, name):
    """Planes of level 0 in the order t, c, z."""
    if name == "rgb":
        return list(np.moveaxis(data, -1, 0))
    return [data[z, c] for c in range(2) for z in range(3)] if name == "stack" else [data]


def right(m, name, data):
    """Reads every level of an image and its documents; compares with numpy."""
    group = zarr.open_group(m.join(f"{name}.ome.zarr"), mode="r")
    below = [levels.pyramid(p, False) for p in planes(data, name)]
    for k in range(len(below[0])):
        array = group[str(k + 1)][...]
        shown = array.reshape(-1, *array.shape[3:])
        for got, plane in zip(shown, below, strict=True):
            np.testing.assert_array_equal(got, plane[k])
    with open(m.join(f"{name}.ome.zarr/zarr.json"), "rb") as f:
        return f.read()


def entries(folder):
    return sorted(glob.glob(os.path.join(folder, "??", "*")))


def held(folder):
    return sum(-(-os.path.getsize(e) // 4096) * 4096 for e in entries(folder))


def disk(m):
    return m.status()["fs"]["engine"]["disk"]


@pytest.fixture
def place(tmp_path):
    source, cache = tmp_path / "source", tmp_path / "cache"
    source.mkdir()
    return source, cache


def filled(place, mount, names=LAYOUTS):
    """Writes images, reads them through a mount that keeps everything; gives their documents."""
    source, cache = place
    for name in names:
        data, options = LAYOUTS[name]
        write(source / f"{name}.tif", data, **options)
    with mounts.Mount(source, "--disk-cache", cache) as m:
        return {name: right(m, name, LAYOUTS[name][0]) for name in names}


def test_after_a_remount_nothing_is_decoded_and_nothing_differs(place, mount):
    source, cache = place
    documents = filled(place, mount)
    m = mount(source, "--disk-cache", cache)
    for name, (data, _) in LAYOUTS.items():
        assert right(m, name, data) == documents[name]
    assert m.counter("decoded_units") == 0 and m.counter("reduced_chunks") == 0
    stats = disk(m)
    assert stats["misses"] <= 2 and stats["damaged"] == 0 and stats["written"] == 0, "small files are opened without an entry"
    assert stats["hits"] > len(LAYOUTS) and stats["state"] == "in use"
    without = mount(source)
    for name, (data, _) in LAYOUTS.items():
        assert right(without, name, data) == documents[name]
    assert without.counter("decoded_units") > 0
    assert os.stat(cache).st_mode & 0o777 == 0o700


def test_a_coarser_level_is_made_from_what_is_kept_of_a_finer_one(place, mount):
    source, cache = place
    for name in ("tiles", "rgb"):
        data, options = LAYOUTS[name]
        write(source / f"{name}.tif", data, **options)
    with mounts.Mount(source, "--disk-cache", cache) as m:
        for name in ("tiles", "rgb"):
            zarr.open_group(m.join(f"{name}.ome.zarr"), mode="r")["1"][...]
    m = mount(source, "--disk-cache", cache)
    for name in ("tiles", "rgb"):
        right(m, name, LAYOUTS[name][0])
    assert m.counter("decoded_units") == 0


def test_options_that_change_pixels_have_entries_of_their_own(place, mount):
    source, cache = place
    filled(place, mount, ["tiles"])
    data = LAYOUTS["tiles"][0]
    for options in (["--chunk", "128,200"], ["--ngff", "0.4", "--chunk", "256,256"], ["--shard", "512,512"]):
        with mounts.Mount(source, "--disk-cache", cache, *options) as m:
            group = zarr.open_group(m.join("tiles.ome.zarr"), mode="r")
            np.testing.assert_array_equal(np.squeeze(group["1"][...]), levels.pyramid(data, False)[0])
            assert (m.counter("reduced_chunks") > 0) == (options[-1] == "128,200"), options
    palette = np.arange(3 * 256, dtype=np.uint16).reshape(3, 256) * 85
    indices = noise((700, 700), 9, np.uint8)
    write(source / "p.tif", indices, photometric="palette", colormap=palette)
    for how, level in (("index", indices), ("rgb", None), ("index", indices), ("rgb", None)):
        with mounts.Mount(source, "--disk-cache", cache, "--palette", how) as m:
            got = zarr.open_group(m.join("p.ome.zarr"), mode="r")["1"][...][0]
            assert got.shape[0] == (1 if how == "index" else 3)
            if level is not None:
                np.testing.assert_array_equal(got[0, 0], levels.pyramid(level, True)[0])


@pytest.mark.parametrize("how", ["in place", "renamed"])
def test_a_changed_source_shows_nothing_of_the_old_one(place, mount, how):
    source, cache = place
    filled(place, mount, ["tiles"])
    data, options = LAYOUTS["tiles"]
    path = source / "tiles.tif"
    new = data[::-1, ::-1].copy()
    if how == "renamed":
        write(source / "new", new, ago=0, **options)
        os.rename(source / "new", path)
    else:
        size = os.path.getsize(path)
        write(path, new, ago=10**6, **options)
        assert abs(os.path.getsize(path) - size) < size
    m = mount(source, "--disk-cache", cache)
    right(m, "tiles", new)
    assert m.counter("decoded_units") > 0


def test_what_was_written_just_now_is_not_kept(place, mount):
    source, cache = place
    data, options = LAYOUTS["tiles"]
    write(source / "tiles.tif", data, **options)
    os.utime(source / "tiles.tif")
    m = mount(source, "--disk-cache", cache)
    right(m, "tiles", data)
    m.close()
    assert not entries(cache)


def test_damaged_cut_and_exchanged_entries_are_not_believed(place, mount, tmp_path):
    source, cache = place
    documents = filled(place, mount)

    def flip(path):
        with open(path, "r+b") as f:
            f.seek(os.path.getsize(path) - 1)
            last = f.read(1)
            f.seek(-1, 1)
            f.write(bytes([last[0] ^ 0x40]))

    def cut(path):
        os.truncate(path, os.path.getsize(path) // 2)

    all_of_them = entries(cache)
    shutil.copytree(cache, tmp_path / "whole")
    for spoil in (flip, cut, lambda path: os.truncate(path, 0), None):
        shutil.copytree(tmp_path / "whole", cache, dirs_exist_ok=True)
        assert entries(cache) == all_of_them
        if spoil:
            for path in all_of_them:
                spoil(path)
        else:
            contents = [open(p, "rb").read() for p in all_of_them]
            for path, other in zip(all_of_them, contents[1:] + contents[:1], strict=True):
                with open(path, "wb") as f:
                    f.write(other)
        with mounts.Mount(source, "--disk-cache", cache) as m:
            for name, (data, _) in LAYOUTS.items():
                assert right(m, name, data) == documents[name]
            assert len(LAYOUTS) < disk(m)["damaged"] <= len(all_of_them)
    # What others put there stays, and does no harm.
    stranger = os.path.join(cache, "00", "note.txt")
    os.makedirs(os.path.dirname(stranger), exist_ok=True)
    with open(stranger, "w") as f:
        f.write("mine")
    os.symlink("/dev/zero", os.path.join(cache, "00", "00" * 16 + ".fuzarr"))
    m = mount(source, "--disk-cache", cache)
    right(m, "tiles", LAYOUTS["tiles"][0])
    assert os.path.exists(stranger)


def test_the_bound_is_kept(place, mount):
    source, cache = place
    images = {f"i{n}": noise((2400, 2400), n) for n in range(6)}
    for name, data in images.items():
        write(source / f"{name}.tif", data, tile=(512, 512))
    m = mount(source, "--disk-cache", cache, "--disk-cache-size", "16MiB")
    for name, data in images.items():
        right(m, name, data)
        assert held(cache) <= 16 << 20
    m.close()
    assert 8 << 20 < held(cache) <= 16 << 20
    m = mount(source, "--disk-cache", cache, "--disk-cache-size", "16MiB")
    right(m, "i5", images["i5"])
    assert m.counter("reduced_chunks") == 0, "the last one is there"
    right(m, "i0", images["i0"])
    assert m.counter("reduced_chunks") > 0, "the first one went"


def test_a_full_disk_is_told_once_and_costs_nothing(place, mount, tmp_path):
    source, cache = place
    cache.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m,mode=0700", "cache", cache], capture_output=True, check=False)
    if done.returncode:
        pytest.skip("only root may mount a file system that is full soon")
    try:
        for name in ("tiles", "strips"):
            data, options = LAYOUTS[name]
            write(source / f"{name}.tif", data, **options)
        m = mount(source, "--disk-cache", cache)
        for name in ("tiles", "strips"):
            right(m, name, LAYOUTS[name][0])
        assert disk(m)["state"].startswith("not written: No space left")
        assert m.log().count("disk cache") == 1, m.log()
        assert not os.listdir(cache / "parts")
        m.close()
    finally:
        subprocess.run(["umount", "-l", cache], check=True)


def test_a_cache_that_fails_or_hangs_is_done_without(place, mount, tmp_path):
    """The cache lies in a mount of the program, which cannot be written, and whose daemon is stopped."""
    source, cache = place
    documents = filled(place, mount, ["tiles", "strips"])
    write(source / "new.tif", LAYOUTS["tiles"][0], tile=(256, 256))
    outer = mount(tmp_path / "cache")
    m = mount(source, "--disk-cache", outer.path)
    assert right(m, "tiles", LAYOUTS["tiles"][0]) == documents["tiles"]
    assert m.counter("decoded_units") == 0, "it is read"
    zarr.open_group(m.join("new.ome.zarr"), mode="r")["1"][...]
    assert disk(m)["state"].startswith("not written: Read-only")
    assert m.log().count("disk cache") == 1, m.log()
    outer.signal(signal.SIGSTOP)
    try:
        assert right(m, "strips", LAYOUTS["strips"][0]) == documents["strips"]
        assert m.counter("decoded_units") > 0 and disk(m)["state"] == "does not answer"
    finally:
        outer.signal(signal.SIGCONT)


def test_two_mounts_share_a_folder(place, mount):
    source, cache = place
    for name, (data, options) in LAYOUTS.items():
        write(source / f"{name}.tif", data, **options)
    both = [mount(source, "--disk-cache", cache) for _ in range(2)]
    for name, (data, _) in LAYOUTS.items():
        assert right(both[0], name, data) == right(both[1], name, data)
    for m in both:
        m.close()
    assert not os.listdir(cache / "parts")
    m = mount(source, "--disk-cache", cache)
    for name, (data, _) in LAYOUTS.items():
        right(m, name, data)
    assert m.counter("decoded_units") == 0


def run(*words, **more):
    return subprocess.run([mounts.binary(), *map(str, words)], capture_output=True, text=True, timeout=120, check=False, **more)


def test_places_where_it_may_not_be(place, tmp_path):
    source, cache = place
    at = tmp_path / "at"
    at.mkdir()
    (source / "x").mkdir()
    shared = tmp_path / "shared"
    shared.mkdir(mode=0o755)
    (tmp_path / "link").symlink_to(source / "x")
    for folder, word in ((source / "c", "SOURCE"), (source / "x", "SOURCE"), (tmp_path / "link", "SOURCE"), (at, "mountpoint"),
                         (at / "c", "mountpoint"), (shared, "chmod 700"), (tmp_path / "no" / "c", "No such file")):
        p = run("mount", "--disk-cache", folder, source, at)
        assert p.returncode == 1 and word in p.stderr, (folder, p.stderr)
        assert not mounts.is_mounted(str(at))
    p = run("mount", "--disk-cache-size", "1GiB", source, at)
    assert p.returncode == 2 and "--disk-cache" in p.stderr
    assert os.listdir(source / "x") == [] and os.listdir(source) == ["x"]


def test_what_was_read_to_open_a_file_is_not_read_again(place, mount):
    source, cache = place
    write(source / "many.tif", noise((400, 8, 8)), metadata={}, ome=True)
    # Every field of every IFD.
    with mounts.Mount(source, "--disk-cache", cache) as m:
        first = zarr.open_group(m.join("many.ome.zarr"), mode="r")["0"][...]
        opened = m.status()["fs"]["source_calls"]["bytes_read"]
    m = mount(source, "--disk-cache", cache)
    with open(m.join("many.ome.zarr/zarr.json"), "rb") as f:
        assert b"multiscales" in f.read()
    assert m.status()["fs"]["source_calls"]["bytes_read"] == 0 < opened
    np.testing.assert_array_equal(zarr.open_group(m.join("many.ome.zarr"), mode="r")["0"][...], first)


def test_nothing_of_a_header_is_kept_for_a_de_identified_mount(place, mount):
    source, cache = place
    secret = "Jane Q. Public"
    data = noise((40, 600, 300))
    meta = {"axes": "ZYX", "Name": secret, "Description": secret}
    write(source / f"{secret}.tif", data, ome=True, metadata=meta, tile=(64, 64))
    with mounts.Mount(source, "--disk-cache", cache, "--deidentify", "standard") as m:
        group = zarr.open_group(glob.glob(m.join("*.ome.zarr"))[0], mode="r")
        below = group["1"][...]
    assert entries(cache)

    def told():
        return [e for e in entries(cache) if secret.encode() in open(e, "rb").read() or secret in e]

    assert not told()
    m = mount(source, "--disk-cache", cache)
    np.testing.assert_array_equal(zarr.open_group(glob.glob(m.join("*.ome.zarr"))[0], mode="r")["1"][...], below)
    assert m.counter("decoded_units") == 0
    m.close()
    assert told(), "the header is kept where nothing is to be hidden"


def test_warm_does_it_all_ahead(place, mount, tmp_path):
    source, cache = place
    (source / "deep").mkdir()
    for name, (data, options) in LAYOUTS.items():
        write(source / "deep" / f"{name}.tif", data, **options)
    (source / "bad.tif").write_bytes(b"II*\0 not an image at all")
    os.utime(source / "bad.tif", ns=(OLD, OLD))
    p = run("warm", "--disk-cache", cache, source)
    assert p.returncode == 3 and f"{source}/bad.tif: " in p.stderr, p.stderr
    kept = entries(cache)
    assert f"4 images in 5 files with 47 chunks below what is stored; {len(kept)} entries written, 1 files failed" in p.stderr
    p = run("warm", "--disk-cache", cache, source / "deep", env={**os.environ, "FUZARR_THREADS": "1"})
    assert p.returncode == 0 and "47 chunks below what is stored; 0 entries written, 0 files failed" in p.stderr, p.stderr
    assert entries(cache) == kept
    for root, under in ((source, "deep/"), (source / "deep", "")):
        with mounts.Mount(root, "--disk-cache", cache) as m:
            with contextlib.ExitStack():
                for name, (data, _) in LAYOUTS.items():
                    right(m, under + name, data) if not under else zarr.open_group(m.join(f"{under}{name}.ome.zarr"), mode="r")["1"][...]
            assert m.counter("decoded_units") == 0 and m.counter("reduced_chunks") == 0
    # One file, written just now; other options, other entries.
    data, options = LAYOUTS["tiles"]
    write(source / "late.tif", data, **options)
    os.utime(source / "late.tif")
    p = run("warm", "--quiet", "--disk-cache", cache, "--chunk", "64,96", source / "late.tif")
    assert p.returncode == 0 and p.stderr == "", p.stderr
    m = mount(source, "--disk-cache", cache, "--chunk", "64,96")
    right(m, "late", data)
    assert m.counter("decoded_units") == 0
    assert run("warm", source).returncode == 2
    p = run("warm", "--disk-cache", cache, m.join("late.ome.zarr"))
    assert p.returncode == 2 and "name the files" in p.stderr


def test_warm_reads_each_tile_once(place):
    source, cache = place
    data = noise((4096, 4096), 5)
    write(source / "big.tif", data, tile=(256, 256), compression="zlib")
    size = os.path.getsize(source / "big.tif")
    trace = shutil.which("strace")
    if not trace:
        pytest.skip("strace counts what is read")
    out = cache.parent / "trace"
    p = subprocess.run([trace, "-f", "-e", "trace=pread64", "-o", out, mounts.binary(), "warm", "--cache-size", "32MiB",
                        "--disk-cache", cache, source], capture_output=True, text=True, timeout=200, check=False)
    assert p.returncode == 0, p.stderr
    read = sum(int(line.rsplit("= ", 1)[1]) for line in out.read_text().splitlines() if " = " in line and "= -1" not in line)
    assert read < 1.3 * size, f"{read} bytes of {size}"
