"""Every compression of TIFF, in files written here by other programs' encoders, read through a mount and by their decoders."""
import io
import os
import subprocess

import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image
from support import mounts

SHAPE = (150, 203)  # no multiple of a tile
TILE = (64, 48)


def picture(dtype, samples=1, seed=0):
    """Smooth shapes with some noise, over most of the range of integers."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    noise = np.random.default_rng(seed).normal(0, 0.02, (*SHAPE, samples))
    parts = [0.5 + 0.3 * np.sin(x / (9 + s)) * np.cos(y / (7 + 2 * s)) + 0.1 * (x > 100) for s in range(samples)]
    values = np.clip(np.stack(parts, -1) + noise, 0, 1)
    dtype = np.dtype(dtype)
    if dtype.kind != "f":
        info = np.iinfo(dtype)
        values = np.round(values * (float(info.max) - float(info.min)) * 0.9 + float(info.min))
    values = values.astype(dtype)
    return values[..., 0] if samples == 1 else values


def shown(root, level=0):
    """Y, X or Y, X, samples."""
    data = zarr.open_array(os.path.join(root, str(level)), mode="r")[...]
    assert data.shape[0] == data.shape[2] == 1
    return data[0, 0, 0] if data.shape[1] == 1 else np.moveaxis(data[0, :, 0], 0, -1)


# Compression, its arguments, types, samples; those of lossy ones with the distance allowed from the other decoder.
LOSSLESS = [
    ("lzma", {}, "u1 u2 i4 f4 f8", (1, 3)),
    ("png", {}, "u1 u2", (1, 3, 4)),
    ("webp", {"lossless": True}, "u1", (3, 4)),
    ("lerc", {}, "u1 i2 u2 i4 u4 f4 f8", (1,)),
    ("jpeg2000", {"reversible": True, "level": 0}, "u1 u2 i2", (1, 3)),
    ("jpegxl", {"lossless": True}, "u1 u2", (1, 3, 4)),
    ("jpegxr", {}, "u1 u2 f2 f4", (1, 3)),
]
LOSSY = [
    ("webp", {"level": 80}, "u1", (3,), 0),
    ("jpeg2000", {"level": 40}, "u1 u2", (1, 3), 1),
    ("jpegxl", {"lossless": False, "distance": 1.0}, "u1 u2", (1, 3), 1),
    ("jpegxr", {"level": 0.8}, "u1 u2", (1, 3), 0),
    ("lerc", {"level": 0.01}, "f4", (1,), 0),
    ("jpeg", {"level": 90}, "u1", (1, 3), 4),
]
CASES = [(c, a, d, n, 0) for c, a, ds, ns in LOSSLESS for d in ds.split() for n in ns]
CASES += [(c, a, d, n, t) for c, a, ds, ns, t in LOSSY for d in ds.split() for n in ns]


def test_as_other_decoders_see_them(tmp_path, mount):
    wrong = []
    for i, (name, args, dtype, samples, _) in enumerate(CASES):
        data = picture(dtype, samples, i)
        photometric = "minisblack" if samples == 1 else "rgb"
        extra = ["unassalpha"] if samples == 4 else None
        for tile in (None, TILE):
            more = {"tile": tile} if tile else {"rowsperstrip": 32}
            path = tmp_path / f"{i}{'t' if tile else 's'}.tif"
            tifffile.imwrite(path, data, compression=name, compressionargs=args, photometric=photometric, extrasamples=extra, **more)
    m = mount(tmp_path)
    for i, (name, args, dtype, samples, most) in enumerate(CASES):
        for way in "st":
            want = tifffile.imread(tmp_path / f"{i}{way}.tif")
            got = shown(m.join(f"{i}{way}.ome.zarr"))
            assert got.dtype == want.dtype and got.shape == want.shape
            far = np.abs(got.astype("f8") - want.astype("f8")).max()
            if most == 0 and args.get("lossless", True):
                far = far or int(not np.array_equal(got, want))
            if not far <= most:
                wrong.append((name, args, dtype, samples, way, far))
    assert not wrong


def test_fax(tmp_path, mount):
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    black = ((x * x + y * 3) // 97 % 3 == 0) & (y > 5)
    for name in ("group3", "group4", "tiff_ccitt"):
        Image.fromarray(~black).save(tmp_path / f"{name}.tif", compression=name)
    m = mount(tmp_path)
    for name in ("group3", "group4", "tiff_ccitt"):
        want = np.asarray(Image.open(tmp_path / f"{name}.tif"))
        stored = tifffile.TiffFile(tmp_path / f"{name}.tif").pages[0]
        assert np.array_equal(want, ~black)
        got = shown(m.join(f"{name}.ome.zarr"))
        assert np.array_equal(got.astype(bool), black if stored.photometric == 0 else ~black), name


@pytest.mark.parametrize("outer", ["deflate", "zstd"])
def test_lerc_packed_once_more(tmp_path, mount, outer):
    data = picture("u2")
    tifffile.imwrite(tmp_path / "a.tif", data, compression="lerc", compressionargs={"compression": outer}, tile=TILE)
    with tifffile.TiffFile(tmp_path / "a.tif") as t:
        assert t.pages[0].tags[50674].value[1] == {"deflate": 1, "zstd": 2}[outer]
    assert np.array_equal(shown(mount(tmp_path).join("a.ome.zarr")), data)


def test_resolutions_inside_of_jpeg_2000_tiles(tmp_path, mount):
    data = picture("u1", 3)
    args = {"reversible": True, "level": 0, "resolutions": 4}
    tifffile.imwrite(tmp_path / "a.tif", data, compression=33005, compressionargs=args, photometric="rgb", tile=(64, 64))
    root = mount(tmp_path).join("a.ome.zarr")
    assert np.array_equal(shown(root), data)
    tiles = np.zeros((192, 256, 3), "u1")
    with tifffile.TiffFile(tmp_path / "a.tif") as t:
        page = t.pages[0]
        streams = []
        for offset, count in zip(page.dataoffsets, page.databytecounts):
            t.filehandle.seek(offset)
            streams.append(t.filehandle.read(count))
    for level in (1, 2, 3):
        size = 64 >> level
        for i, stream in enumerate(streams):
            y, x = divmod(i, 4)
            tiles[y * size : (y + 1) * size, x * size : (x + 1) * size] = openjpeg(stream, level)
        h, w = ((side + (1 << level) // 2) >> level for side in SHAPE)
        assert np.array_equal(shown(root, level), tiles[:h, :w]), level


def openjpeg(stream, level):
    """A tile at a lower resolution, by the OpenJPEG in Pillow."""
    image = Image.open(io.BytesIO(stream))
    image.reduce = level
    return np.asarray(image)


def test_jpeg_of_12_bits(tmp_path, mount):
    cases = [(samples, sub) for samples, subs in ((1, [None]), (3, [(1, 1), (2, 1), (2, 2)])) for sub in subs]
    for i, (samples, subsampling) in enumerate(cases):
        data = picture("u2", samples, i) >> 4
        photometric = "minisblack" if samples == 1 else "ycbcr"
        tifffile.imwrite(tmp_path / f"{i}.tif", data, compression="jpeg", compressionargs={"level": 90, "bitspersample": 12},
                         bitspersample=12, photometric=photometric, subsampling=subsampling, tile=(64, 48))
    m = mount(tmp_path)
    for i, (samples, subsampling) in enumerate(cases):
        want = tifffile.imread(tmp_path / f"{i}.tif").astype(int)
        far = np.abs(shown(m.join(f"{i}.ome.zarr")).astype(int) - want)
        assert far.max() <= 4, (samples, subsampling, far.max(), far.mean())


def test_orientation_is_stated(tmp_path, mount):
    tifffile.imwrite(tmp_path / "a.tif", picture("u1"), extratags=[(274, "H", 1, 6, True)])
    root = mount(tmp_path).join("a.ome.zarr")
    assert np.array_equal(shown(root), picture("u1"))
    out = subprocess.run([mounts.binary(), "inspect", tmp_path / "a.tif"], capture_output=True, text=True, check=True).stdout
    assert "Orientation 6 (to be rotated by 90 degrees clockwise)" in out


@pytest.mark.parametrize("number, name", [(6, "old-style JPEG"), (34676, "SGI LogLuv"), (50013, "unknown")])
def test_what_is_not_read_is_refused_by_name(tmp_path, mount, number, name):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, picture("u1"))
    with tifffile.TiffFile(path, mode="r+") as t:
        t.pages[0].tags["Compression"].overwrite(number)
    m = mount(tmp_path)
    root = m.join("a.ome.zarr")
    with pytest.raises(OSError):
        os.listdir(root)
    reason = os.getxattr(root, "user.fuzarr.error").decode()
    assert f"compression {number} ({name})" in reason
