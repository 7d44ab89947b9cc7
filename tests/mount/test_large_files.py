"""BigTIFF past 4 GiB, in a sparse file, and files that grow while they are mounted."""
import os
import time

import numpy as np
import pytest
import tifffile

from support import fixtures, readers

FAR = 5 << 30


def move_far(path):
    """Moves the pixels of every page beyond 4 GiB; the file stays sparse."""
    with tifffile.TiffFile(path) as t:
        moves, at = [], FAR
        for page in t.pages:
            tag = page.tags["TileOffsets" if page.is_tiled else "StripOffsets"]
            assert tag.dtype == 16, "offsets of 64 bits"
            for i, (offset, count) in enumerate(zip(page.dataoffsets, page.databytecounts)):
                moves.append((tag.valueoffset + 8 * i, offset, count, at))
                at += count + 4096
    with open(path, "r+b") as f:
        for place, offset, count, to in moves:
            data = os.pread(f.fileno(), count, offset)
            os.pwrite(f.fileno(), bytes(count), offset)
            os.pwrite(f.fileno(), data, to)
            os.pwrite(f.fileno(), to.to_bytes(8, "little"), place)


@pytest.mark.parametrize("options", [{}, {"tile": (64, 64), "compression": "zlib"}], ids=["strips", "tiles"])
def test_bigtiff_beyond_4_gib(tmp_path, mount, options):
    data = fixtures.pattern((2, 3, 150, 170), np.uint16)
    path = str(tmp_path / "far.ome.tif")
    tifffile.imwrite(path, data, bigtiff=True, byteorder="<", ome=True, metadata={"axes": "TCYX"}, **options)
    move_far(path)
    assert os.path.getsize(path) > FAR and os.stat(path).st_blocks * 512 < 64 << 20, "a sparse file"
    m = mount(tmp_path)
    assert np.array_equal(readers.by_zarr(m.join("far.ome.zarr/0"))[:, :, 0], data)
    with open(m.join("far.ome.tif"), "rb") as ours, open(path, "rb") as theirs:
        assert os.pread(ours.fileno(), 4096, FAR) == os.pread(theirs.fileno(), 4096, FAR), "the file itself, past 4 GiB"


def test_a_growing_file_shows_what_it_holds_by_now(tmp_path, mount):
    path = str(tmp_path / "a.tif")
    plane = fixtures.pattern((60, 70), np.uint8)
    tifffile.imwrite(path, plane, metadata=None)
    m = mount(tmp_path)
    root = m.join("a.ome.zarr")
    for planes in range(1, 5):
        until = time.monotonic() + 15
        while True:
            try:
                seen = readers.by_zarr(root + "/0")
            except OSError:
                seen = np.empty(0)  # between two states
            if seen.shape == (planes, 1, 1, 60, 70):
                break
            assert time.monotonic() < until, f"{seen.shape}, {planes} planes are in the file"
            time.sleep(0.05)
        assert (seen[:, 0, 0] == plane).all()
        tifffile.imwrite(path, plane, metadata=None, append=True)
