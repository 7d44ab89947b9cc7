"""Files that the benchmark reads: made once in a folder and found there again."""
import os

import numpy as np
import tifffile

EDGE = 4096


def plane(seed, shape, dtype=np.uint16):
    """What a microscope's camera sees: smooth structure, and noise that keeps a codec from packing it to nothing."""
    rng = np.random.default_rng(seed)
    coarse = rng.random((shape[0] // 64 + 2, shape[1] // 64 + 2))
    rows, columns = (np.linspace(0, n - 1.001, s) for n, s in zip(coarse.shape, shape))
    y, x = rows.astype(int), columns.astype(int)
    fy, fx = (rows - y)[:, None], (columns - x)[None, :]
    smooth = ((coarse[y][:, x] * (1 - fy) + coarse[y + 1][:, x] * fy) * (1 - fx)
              + (coarse[y][:, x + 1] * (1 - fy) + coarse[y + 1][:, x + 1] * fy) * fx)
    top = 3000 if np.dtype(dtype).itemsize > 1 else 200
    noise = rng.integers(0, 16, shape, dtype=np.uint16) if top > 255 else rng.integers(0, 4, shape, dtype=np.uint16)
    return (smooth * top + noise).astype(dtype)


def stack(count=3, edge=EDGE):
    return np.stack([plane(n, (edge, edge)) for n in range(count)])


def once(folder, name, make):
    path = os.path.join(folder, name)
    if not os.path.exists(path):
        make(path + ".part")
        os.rename(path + ".part", path)
    return path


def deflate_tiles(folder, name="tiles.ome.tif", seed=0):
    def make(path):
        pixels = np.stack([plane(seed * 10 + n, (EDGE, EDGE)) for n in range(3)])
        tifffile.imwrite(path, pixels, ome=True, metadata={"axes": "ZYX"}, tile=(512, 512), compression="deflate",
                         predictor=True)
    return once(folder, name, make)


def lzw_rows(folder):
    def make(path):
        tifffile.imwrite(path, stack(), ome=True, metadata={"axes": "ZYX"}, rowsperstrip=1, compression="lzw")
    return once(folder, "rows.ome.tif", make)


def raw(folder):
    return once(folder, "raw.ome.tif", lambda path: tifffile.imwrite(path, stack(), ome=True, metadata={"axes": "ZYX"}))


def slide(folder, edge=16384):
    """An RGB slide in JPEG tiles with its levels."""
    def make(path):
        block = np.stack([plane(n, (4096, 4096), np.uint8) for n in range(3)], axis=-1)
        pixels = np.tile(block, (edge // 4096, edge // 4096, 1))
        options = {"tile": (256, 256), "compression": "jpeg", "compressionargs": {"level": 85}, "photometric": "rgb"}
        with tifffile.TiffWriter(path, bigtiff=True, ome=True) as f:
            f.write(pixels, subifds=3, metadata={"axes": "YXS"}, **options)
            for level in (1, 2, 3):
                f.write(pixels[:: 2**level, :: 2**level], subfiletype=1, **options)
    return once(folder, "slide.ome.tif", make)


def plain_slide(folder, chunks, edge=4096):
    """Colour pixels as an array on disk, neither compressed nor with levels."""
    path = os.path.join(folder, "plain." + "x".join(map(str, chunks)) + ".ome.zarr")

    def make(path):
        import zarr
        group = zarr.open_group(path, mode="w")
        array = group.create_array("0", shape=(1, 3, 1, edge, edge), dtype="u1", chunks=chunks, compressors=None)
        for c in range(3):
            array[0, c, 0] = plane(c, (edge, edge), np.uint8)
        group.attrs["ome"] = {"version": "0.5", "multiscales": [{"datasets": [{"path": "0"}]}]}
    return once(folder, os.path.basename(path), make)


def flat(folder, edge=20000):
    """One large plane without smaller levels."""
    def make(path):
        block = plane(7, (4000, 4000))
        pixels = np.tile(block, (edge // 4000, edge // 4000))
        tifffile.imwrite(path, pixels, ome=True, metadata={"axes": "YX"}, tile=(512, 512), compression="deflate",
                         predictor=True)
    return once(folder, "flat.ome.tif", make)


def converted(folder, source, codec):
    """The pixels of a TIFF as an OME-Zarr directory on disk: by ngff-zarr with zarr-python's usual codec, or not compressed."""
    path = os.path.join(folder, f"{os.path.basename(source).split('.')[0]}.{codec}.ome.zarr")
    if os.path.exists(os.path.join(path, ".done")):
        return path
    import ngff_zarr
    import zarr
    pixels = tifffile.imread(source)
    image = ngff_zarr.to_ngff_image(pixels[None, None], dims=("t", "c", "z", "y", "x"), name="image")
    multiscales = ngff_zarr.to_multiscales(image, scale_factors=[], chunks={"t": 1, "c": 1, "z": 1, "y": 512, "x": 512})
    ngff_zarr.to_ngff_zarr(path, multiscales, version="0.5", overwrite=True)
    if codec == "raw":
        group = zarr.open_group(path, mode="a")
        first = group.attrs["ome"]["multiscales"][0]["datasets"][0]["path"]
        old = group[first]
        new = group.create_array(first, shape=old.shape, dtype=old.dtype, chunks=(1, 1, 1, 512, 512), compressors=None,
                                 overwrite=True)
        for z in range(pixels.shape[0]):
            new[0, 0, z] = pixels[z]
        # What was consolidated still tells of the array that was replaced.
        zarr.consolidate_metadata(path)
    open(os.path.join(path, ".done"), "w").close()
    return path


def many(folder, count=100_000):
    """A folder of so many small images: links to one file, which cost the source what files cost it."""
    def make(path):
        os.makedirs(path, exist_ok=True)
        first = os.path.join(path, "000000.tif")
        if not os.path.exists(first):
            tifffile.imwrite(first, np.arange(64, dtype=np.uint8).reshape(8, 8))
        for n in range(1, count):
            name = os.path.join(path, f"{n:06}.tif")
            if n % 50_000 == 0:
                tifffile.imwrite(name, np.arange(64, dtype=np.uint8).reshape(8, 8))
                first = name
            elif not os.path.exists(name):
                os.link(first, name)
    return once(folder, "many", make)
