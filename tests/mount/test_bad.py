"""Malformed and hostile files: EIO where due, everything else served, the daemon alive, within 256 MiB and without hanging.

How long a case takes is judged by `scripts/conformance`; here the time only tells a hang from a loaded machine."""
import os

import numpy as np
import pytest
import tifffile
import zarr

from support import corpus, mounts, readers

SECONDS, MEMORY = 30.0, 256 << 20
ENTRIES = corpus.manifest()["bad"] if corpus.folder() else []


@pytest.fixture(scope="module")
def bad_mounts():
    live = []
    yield live
    for m in live:
        m.close()


@pytest.fixture
def bad_mount(bad_mounts):
    """One mount for all cases, and another after a case that ended it."""
    if not bad_mounts or not bad_mounts[-1].alive():
        bad_mounts.append(mounts.Mount(os.path.join(corpus.folder(), "bad"), "--cache-size", "64MiB"))
    return bad_mounts[-1]


@pytest.mark.skipif(not ENTRIES, reason="the corpus is not here")
@pytest.mark.parametrize("entry", ENTRIES, ids=lambda e: e["path"])
@pytest.mark.seconds(60)
def test_bad(bad_mount, entry):
    m, path = bad_mount, entry["path"].removeprefix("bad/")
    if entry["expect"] == "skip":
        assert os.path.isdir(m.join(os.path.dirname(path))) and os.path.exists(m.join(path))
        return
    limits = entry.get("limits", {})
    m.reset_peak()
    root = corpus.virtual(m.path, path)
    look = corpus.look_through(root)
    assert m.alive(), m.log()[-2000:]
    assert look.seconds < SECONDS
    assert m.resident() < limits.get("mib", MEMORY >> 20) << 20
    assert corpus.judge(entry, look) is None
    if look.exists and look.outcome() != "error":
        failing_chunks_raise(root, look)
    with open(m.join(path), "rb") as a, open(os.path.join(corpus.folder(), entry["path"]), "rb") as b:
        assert a.read() == b.read(), "the file itself stays reachable"


def failing_chunks_raise(root, look):
    """Where a chunk gives EIO, zarr-python raises and does not answer zeros."""
    for f in look.failed:
        array, slash, index = f.partition("/c/")
        if slash:
            a = zarr.open_array(os.path.join(root, array), mode="r")
            at = [int(i) * c for i, c in zip(index.split("/"), a.chunks)]
            with pytest.raises(OSError):
                a[tuple(slice(s, s + 1) for s in at)]
            return


@pytest.mark.skipif(not ENTRIES, reason="the corpus is not here")
def test_what_is_intact_reads_right(tmp_path, mount):
    """The rows beside a lost strip, with chunks small enough to tell them apart."""
    source = os.path.join(corpus.folder(), "bad", "tiff")
    m = mount(source, "--chunk", "8,64")
    for name in ("strip_past_eof.tif", "deflate_corrupt.tif", "deflate_truncated.tif"):
        a = zarr.open_array(m.join(name + ".ome.zarr", "0"), mode="r") if os.path.exists(m.join(name + ".ome.zarr/zarr.json")) else None
        assert a is not None, name
        good = bad = 0
        with tifffile.TiffFile(os.path.join(source, name)) as t:
            page = t.pages[0]
            for y in range(0, a.shape[-2], 8):
                try:
                    rows = a[0, 0, 0, y:y + 8]
                except OSError:
                    bad += 1
                    continue
                good += 1
                want = rows_of(t, page, y, rows.shape)
                assert want is None or np.array_equal(rows, want), f"{name} rows {y}"
        assert bad, f"{name} reads without an error"
        print(name, good, "bands good", bad, "bad")


def rows_of(t, page, y, shape):
    """Rows of an uncompressed page straight from its strips; None where that is not so simple."""
    if int(page.compression) != 1 or page.is_tiled or page.samplesperpixel != 1:
        return None
    out = bytearray()
    width = page.imagewidth * page.bitspersample // 8
    for r in range(y, y + shape[0]):
        strip, inside = divmod(r, page.rowsperstrip)
        t.filehandle.seek(page.dataoffsets[strip] + inside * width)
        out += t.filehandle.read(width)
    if len(out) != width * shape[0]:
        return None
    return np.frombuffer(bytes(out), page.parent.byteorder + page.dtype.char).reshape(shape)


def damage(path, compression="zlib"):
    """A two-tile image whose second tile no decoder can take for a whole one."""
    y, x = np.mgrid[0:512, 0:1024]
    d = ((y * 3) ^ (x >> 2)).astype(np.uint16)
    tifffile.imwrite(path, d, tile=(512, 512), compression=compression, metadata=None, photometric="minisblack")
    with tifffile.TiffFile(path) as t:
        offset, count = t.pages[0].dataoffsets[1], t.pages[0].databytecounts[1]
    with open(path, "r+b") as f:
        f.seek(offset + (0 if compression == "zstd" else count // 3))
        # Runs that end in a literal without its bytes; codes and headers that do not exist.
        f.write((b"\x80" if compression == "packbits" else b"\xff") * (count - count // 3))
    return d


@pytest.mark.parametrize("compression", ["zlib", "lzw", "zstd", "packbits"])
def test_a_bad_tile_is_an_error_and_stays_one_in_the_levels(tmp_path, mount, compression):
    (tmp_path / "src").mkdir()
    d = damage(str(tmp_path / "src/x.tif"), compression)
    m = mount(tmp_path / "src")
    a = zarr.open_array(m.join("x.ome.zarr/0"), mode="r")
    assert np.array_equal(a[0, 0, 0, :, :512], d[:, :512])
    with pytest.raises(OSError):
        a[0, 0, 0, :, 512:]
    with pytest.raises(OSError):
        readers.by_zarr(m.join("x.ome.zarr/1"))
    assert np.array_equal(a[0, 0, 0, :, :512], d[:, :512]) and m.alive()


def test_damaged_fill_reduces_over_what_is_intact(tmp_path, mount):
    from support import levels
    (tmp_path / "src").mkdir()
    d = damage(str(tmp_path / "src/x.tif"))
    m = mount(tmp_path / "src", "--damaged", "fill")
    with pytest.raises(OSError):
        zarr.open_array(m.join("x.ome.zarr/0"), mode="r")[0, 0, 0, :, 512:]
    got = readers.by_zarr(m.join("x.ome.zarr/1"))[0, 0, 0]
    assert np.array_equal(got[:, :256], levels.mean2x2(d[:, :512]))
    assert os.getxattr(m.join("x.ome.zarr"), "user.fuzarr.damaged")


def test_compression_bomb(tmp_path, mount):
    """A tile that expands far beyond its size."""
    import zlib
    (tmp_path / "src").mkdir()
    path = str(tmp_path / "src/x.tif")
    bomb = zlib.compress(bytes(400 << 20), 9)
    tifffile.imwrite(path, iter([bomb]), shape=(64, 64), dtype=np.uint8, tile=(64, 64), compression="zlib", metadata=None, photometric="minisblack")
    m = mount(tmp_path / "src", "--cache-size", "64MiB")
    m.reset_peak()
    look = corpus.look_through(m.join("x.ome.zarr"))
    assert m.alive() and look.seconds < SECONDS and m.resident() < 128 << 20 and not look.wrong
