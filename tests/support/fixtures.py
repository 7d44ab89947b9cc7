"""Sample images by tifffile and numpy, which share no code with the program under test.

Every image comes with `expected/NAME.json`: for each series its size, dtype, calibration, channel names and the SHA-256 of
every plane of every level (t slowest, then c, z; C order, little-endian), synthesized levels included.
"""
import hashlib
import json
import os
import zlib

import imagecodecs
import numpy as np
import tifffile

from . import levels as brute


def pattern(shape, dtype, seed=0):
    """Pixels that differ from plane to plane and have no period; the whole range of the type for integers."""
    rng = np.random.default_rng(seed)
    dtype = np.dtype(dtype)
    *lead, h, w = shape
    y, x = np.mgrid[0:h, 0:w]
    smooth = (np.sin(x / 17.0) + np.cos(y / 23.0) + 2) / 4
    out = np.empty(shape, dtype)
    for i, index in enumerate(np.ndindex(*lead)):
        v = (smooth * (0.5 + 0.5 * ((i * 37) % 11) / 11) + 0.02 * rng.random((h, w))) % 1.0
        if dtype.kind in "iu":
            info = np.iinfo(dtype)
            v = info.min / 2 + v * (float(info.max) / 2 - info.min / 2)
        elif dtype.kind == "c":
            v = v + 1j * (1 - v)
        out[index] = v.astype(dtype)
    return out


def digest(plane):
    """SHA-256 of a plane as the manifest of a corpus counts it."""
    plane = np.ascontiguousarray(plane)
    return hashlib.sha256(plane.astype(plane.dtype.newbyteorder("<"), copy=False).tobytes()).hexdigest()


def series(data, stored=(), indices=False, name=None, physical=None, channels=None, tolerance=0):
    """What to expect of one image. `data` is t, c, z, y, x; `stored` are its smaller stored levels in the same axes."""
    whole = [data, *stored]
    planes = [[digest(d[i]) for i in np.ndindex(*d.shape[:3])] for d in whole]
    sizes = [list(d.shape[3:]) for d in whole]
    below = [brute.pyramid(whole[-1][i], indices) for i in np.ndindex(*data.shape[:3])]
    for k in range(len(below[0])):
        planes.append([digest(p[k]) for p in below])
        sizes.append(list(below[0][k].shape))
    return {
        "size": dict(zip("tczyx", data.shape)), "dtype": data.dtype.newbyteorder("=").name, "levels": sizes, "stored": len(whole),
        "planes": planes, "name": name, "physical_um": physical or {}, "channels": channels or [], "tolerance": tolerance,
    }


def five_d(path):
    """T2 C2 Z3, calibrated, two named channels, Deflate tiles."""
    d = pattern((2, 2, 3, 300, 420), np.uint16, 1)
    meta = {"axes": "TCZYX", "PhysicalSizeX": 0.25, "PhysicalSizeXUnit": "µm", "PhysicalSizeY": 0.25, "PhysicalSizeYUnit": "µm",
            "PhysicalSizeZ": 1.5, "PhysicalSizeZUnit": "µm", "TimeIncrement": 2.0, "TimeIncrementUnit": "s",
            "Channel": {"Name": ["DAPI", "GFP"], "Color": [65535, 16711935]}}
    tifffile.imwrite(path, d, ome=True, metadata=meta, compression="zlib", tile=(128, 128), photometric="minisblack")
    return [series(d, physical={"x": 0.25, "y": 0.25, "z": 1.5}, channels=["DAPI", "GFP"])]


def orders(path):
    """Planes stored with t fastest, big-endian, BigTIFF, strips."""
    d = pattern((3, 2, 2, 61, 83), np.uint16, 2)
    tifffile.imwrite(path, d.transpose(1, 2, 0, 3, 4).copy(), ome=True, metadata={"axes": "CZTYX"}, byteorder=">", bigtiff=True,
                     rowsperstrip=7, photometric="minisblack")
    return [series(d)]


def subifd_pyramid(path):
    """Two stored levels that are no means of the first, so reading them is told from making them."""
    d = pattern((1, 2, 1, 1500, 1201), np.uint16, 3)
    l1, l2 = d[..., 1::2, 1::2], d[..., 3::4, 3::4]
    l1, l2 = np.ascontiguousarray(l1), np.ascontiguousarray(l2)
    with tifffile.TiffWriter(path, ome=True) as t:
        o = {"tile": (256, 256), "compression": "zlib", "predictor": True, "photometric": "minisblack"}
        t.write(d[0, :, 0], subifds=2, metadata={"axes": "CYX"}, **o)
        t.write(l1[0, :, 0], subfiletype=1, **o)
        t.write(l2[0, :, 0], subfiletype=1, **o)
    return [series(d, stored=[l1, l2])]


def several(path):
    """Three images of other sizes and types in one file."""
    ds = [pattern((1, 1, 4, 40, 50), np.uint8, 4), pattern((1, 2, 1, 300, 310), np.int16, 5), pattern((2, 1, 1, 33, 31), np.float32, 6)]
    with tifffile.TiffWriter(path, ome=True) as t:
        t.write(ds[0][0, 0], metadata={"axes": "ZYX", "Name": "first"}, photometric="minisblack")
        t.write(ds[1][0, :, 0], metadata={"axes": "CYX", "Name": "second"}, photometric="minisblack")
        t.write(ds[2][:, 0, 0], metadata={"axes": "TYX", "Name": "third"}, photometric="minisblack")
    return [series(d, name=n) for d, n in zip(ds, ["first", "second", "third"])]


def ome_rgb(path):
    """RGB samples in one OME channel, planar, LZW tiles."""
    d = pattern((1, 3, 1, 290, 270), np.uint8, 7)
    tifffile.imwrite(path, d[0, :, 0], ome=True, metadata={"axes": "SYX"}, photometric="rgb", planarconfig="separate", tile=(64, 64), compression="lzw")
    return [series(d)]


def imagej(path):
    """ImageJ hyperstack TZCYX with its calibration."""
    d = pattern((2, 3, 2, 64, 80), np.uint16, 8)
    tifffile.imwrite(path, d.transpose(0, 2, 1, 3, 4).copy(), imagej=True, resolution=(1 / 0.5, 1 / 0.5),
                     metadata={"axes": "TZCYX", "spacing": 2.0, "unit": "um", "finterval": 3.0, "mode": "composite"})
    return [series(d, physical={"x": 0.5, "y": 0.5, "z": 2.0})]


def pages(path):
    """Plain pages of one shape: a stack along t."""
    d = pattern((5, 1, 1, 70, 90), np.uint8, 9)
    with tifffile.TiffWriter(path) as t:
        for p in d[:, 0, 0]:
            t.write(p, photometric="minisblack", metadata=None, compression="packbits", contiguous=False)
    return [series(d)]


def palette(path):
    """Palette indices, with levels below."""
    d = (pattern((1, 1, 1, 400, 530), np.uint8, 10) // 8).astype(np.uint8)
    cm = np.random.default_rng(1).integers(0, 65536, (3, 256), dtype=np.uint16)
    tifffile.imwrite(path, d[0, 0, 0], photometric="palette", colormap=cm, metadata=None, compression="lzw", rowsperstrip=16)
    return [series(d, indices=True)]


def single(name, dtype, shape, seed, doc, **options):
    """A writer of one plane of one sample."""
    def write(path):
        d = pattern((1, 1, 1, *shape), dtype, seed)
        if name == "nan":
            d[0, 0, 0, 5:40:7, 3:90:11] = np.nan
            d[0, 0, 0, 60, 60] = np.inf
        if name == "bilevel":
            d = (d > 100).astype(np.uint8)
            tifffile.imwrite(path, d[0, 0, 0].astype(bool), metadata=None, **options)
        else:
            tifffile.imwrite(path, d[0, 0, 0], metadata=None, photometric=options.pop("photometric", "minisblack"), **options)
        return [series(d)]
    write.__doc__ = doc
    return write


def rgb(seed, doc, **options):
    """A writer of one chunky RGB plane, lossless or not."""
    def write(path):
        d = pattern((1, 3, 1, 520, 333), np.uint8, seed)[0, :, 0].transpose(1, 2, 0).copy()
        lossy = options.get("compression") == "jpeg"
        if lossy:
            y, x = np.mgrid[0:520, 0:333]
            d = np.stack([128 + 90 * np.sin(x / 40), 128 + 90 * np.cos(y / 50), 60 + 0.3 * x], -1).astype(np.uint8)
        tifffile.imwrite(path, d, metadata=None, **options)
        d = tifffile.imread(path)
        return [series(d.transpose(2, 0, 1)[None, :, None], tolerance=8 if lossy else 0)]
    write.__doc__ = doc
    return write


def sparse(path):
    """Tiles that were never stored read as zero."""
    d = pattern((1, 1, 1, 500, 600), np.uint16, 20)
    d[..., 128:256, :] = 0
    d[..., :128, 256:384] = 0

    def tiles():
        for y in range(0, 500, 128):
            for x in range(0, 600, 128):
                t = d[0, 0, 0, y:y + 128, x:x + 128]
                yield np.pad(t, ((0, 128 - t.shape[0]), (0, 128 - t.shape[1]))) if t.any() else None

    tifffile.imwrite(path, tiles(), shape=(500, 600), dtype=np.uint16, tile=(128, 128), compression="zlib", metadata=None, photometric="minisblack")
    return [series(d)]


def writers():
    """Every small sample by its file name."""
    out = {
        "five_d.ome.tif": five_d, "orders.ome.tiff": orders, "pyramid.ome.tif": subifd_pyramid, "series.ome.tif": several,
        "rgb_planar.ome.tif": ome_rgb, "imagej.tif": imagej, "pages.tif": pages, "palette.tif": palette, "sparse.tif": sparse,
        "rgb_jpeg.tif": rgb(11, "RGB JPEG tiles", compression="jpeg", compressionargs={"level": 92}, tile=(128, 128), photometric="rgb"),
        "ycbcr_jpeg.tif": rgb(12, "YCbCr JPEG tiles", compression="jpeg", compressionargs={"level": 92}, tile=(128, 128), photometric="ycbcr"),
        "rgb_lzw_p2.tif": rgb(13, "chunky RGB, LZW, predictor 2", compression="lzw", predictor=2, rowsperstrip=33, photometric="rgb"),
    }
    one = [
        ("lzw_rows1.tif", np.uint16, (600, 510), {"compression": "lzw", "predictor": 2, "rowsperstrip": 1}, "LZW, one row a strip"),
        ("strip.tif", np.uint16, (1400, 900), {"compression": "zlib", "rowsperstrip": 1400}, "one Deflate strip"),
        ("float32_p3.tif", np.float32, (520, 431), {"compression": "zlib", "predictor": 3, "tile": (128, 128)}, "predictor 3"),
        ("nan.tif", np.float32, (300, 301), {"tile": (64, 64)}, "NaN and infinity"),
        ("float16.tif", np.float16, (260, 270), {"compression": "zstd", "rowsperstrip": 32}, "float16"),
        ("float64_be.tif", np.float64, (257, 259), {"compression": "lzw", "predictor": 3, "byteorder": ">", "rowsperstrip": 20}, "float64, big-endian"),
        ("int8.tif", np.int8, (301, 299), {"compression": "packbits", "rowsperstrip": 10}, "signed bytes"),
        ("int16_zstd.tif", np.int16, (513, 517), {"compression": "zstd", "predictor": 2, "tile": (128, 256)}, "Zstd tiles, predictor 2"),
        ("uint32_be.tif", np.uint32, (270, 280), {"byteorder": ">", "compression": "zlib", "predictor": 2, "tile": (64, 64)}, "big-endian, predictor 2"),
        ("int32.btf", np.int32, (700, 611), {"bigtiff": True, "tile": (256, 256)}, "BigTIFF"),
        ("uint64.tif", np.uint64, (258, 260), {"rowsperstrip": 100}, "64 bits"),
        ("int64.tif", np.int64, (258, 260), {"compression": "zlib", "predictor": 2, "rowsperstrip": 100}, "64 bits, signed"),
        ("complex64.tif", np.complex64, (120, 90), {}, "complex"),
        ("bilevel.tif", np.uint8, (261, 303), {}, "one bit"),
        ("raw_strip.tif", np.uint16, (1100, 1000), {"rowsperstrip": 1100}, "one uncompressed strip"),
        ("one.tif", np.uint8, (1, 1), {}, "one pixel"),
        ("wide.tif", np.uint8, (3, 5000), {}, "much wider than high"),
    ]
    for i, (name, dtype, shape, options, doc) in enumerate(one):
        out[name] = single(name.split(".")[0], dtype, shape, 30 + i, doc, **options)
    return out


def write_all(folder, names=None, expected=True):
    """Write the samples into `folder`; gives what is expected of each."""
    os.makedirs(folder, exist_ok=True)
    out = {}
    for name, write in writers().items():
        if names is not None and name not in names:
            continue
        out[name] = {"about": write.__doc__.splitlines()[0], "series": write(os.path.join(folder, name))}
        if expected:
            os.makedirs(os.path.join(folder, "expected"), exist_ok=True)
            with open(os.path.join(folder, "expected", name + ".json"), "w", encoding="utf-8") as f:
                json.dump(out[name], f, indent=1)
    return out


def large_band(y0, y1, size):
    """Rows y0 to y1 of the large image: no period, and quick to make."""
    y = np.arange(y0, y1, dtype=np.uint16)[:, None]
    x = np.arange(size, dtype=np.uint16)[None, :]
    out = (y >> 1) * (x >> 2)
    out >>= 2
    out ^= y * np.uint16(5)
    return out


def write_large(path, size, layout="strips", band=2048):
    """A size x size uint16 image without pyramid: 8-row Deflate strips, or one Deflate strip."""
    def bands():
        for y in range(0, size, band):
            yield large_band(y, min(y + band, size), size)

    def strips():
        for b in bands():
            for y in range(0, len(b), 8):
                yield bytes(imagecodecs.zlibng_encode(b[y:y + 8], level=1))

    def whole():
        parts, check = [], 1
        for b in bands():
            raw = b.tobytes()
            check = zlib.adler32(raw, check)
            z = zlib.compressobj(1, zlib.DEFLATED, -15)
            parts += [z.compress(raw), z.flush(zlib.Z_FULL_FLUSH)]
        yield b"".join([b"\x78\x01", *parts, b"\x03\x00", check.to_bytes(4, "big")])

    common = {"shape": (size, size), "dtype": np.uint16, "compression": "zlib", "photometric": "minisblack", "bigtiff": True}
    temporary = path + ".part"
    if layout == "strips":
        tifffile.imwrite(temporary, strips(), rowsperstrip=8, metadata=None, **common)
    elif layout == "one-strip":
        tifffile.imwrite(temporary, whole(), rowsperstrip=size, metadata=None, **common)
    else:
        raise ValueError(layout)
    os.rename(temporary, path)


def large_levels(size, band=2048):
    """Its synthesized levels by brute force."""
    return brute.pyramid_of_bands((large_band(y, min(y + band, size), size) for y in range(0, size, band)), size, size)
