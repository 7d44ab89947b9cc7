"""First inputs of the fuzz targets: small images of every kind that tifffile writes, and pieces of them."""
import gzip
import io
import json
import os
import pathlib

import imagecodecs
import nibabel
import numpy as np
import tifffile

from . import containers, dicom, olympus, volumes

PIXELS = (np.arange(24 * 20).reshape(24, 20) * 37 % 251).astype(np.uint8)


def _images():
    rgb = np.stack([PIXELS, PIXELS[::-1], PIXELS[:, ::-1]], -1)
    for name in ("zlib", "lzw", "packbits", "zstd", "jpeg", "jpeg2000", "jpegxr", "png", "webp", "lzma", "lerc", "jpegxl", None):
        yield f"code-{name}", rgb, {"compression": name, "photometric": "rgb", "tile": (16, 16)}
    for dtype in ("u1", "i2", "u4", "f2", "f4", "f8", "c8"):
        for byteorder in "<>":
            yield f"type-{dtype}{ord(byteorder)}", PIXELS.astype(dtype), {"byteorder": byteorder, "rowsperstrip": 5}
    for dtype, predictor in (("u1", 2), ("u2", 2), ("f4", 3)):
        yield f"pred-{dtype}", PIXELS.astype(dtype), {"compression": "zlib", "predictor": predictor}
    yield "big", PIXELS, {"bigtiff": True}
    yield "planar", rgb.transpose(2, 0, 1), {"planarconfig": "separate", "photometric": "rgb"}
    stack = np.stack([PIXELS] * 12).reshape(2, 3, 2, 24, 20)
    yield "ome", stack, {"ome": True, "metadata": {"axes": "TCZYX", "PhysicalSizeX": 0.5, "Channel": {"Name": ["a", "b", "c"]}}}
    yield "imagej", stack.transpose(0, 2, 1, 3, 4), {"imagej": True, "metadata": {"axes": "TZCYX"}}
    yield "pages", stack[0, :, 0], {"metadata": None}
    yield "palette", PIXELS, {"colormap": np.arange(768, dtype=np.uint16).reshape(3, 256) * 80, "photometric": "palette"}


def _containers(folder):
    """Small files of other kinds than TIFF: (target, name, bytes)."""
    stack = containers.count([2, 2, 4, 3, 2])
    two = [("a", 0xFF), ("b", 0xFF00)]
    for name, loops, options in (("loops", "PT", {}), ("packed", "TZ", {"compressed": True, "padding": 4}), ("missing", "ZP", {"missing": {1}})):
        containers.nd2(folder / "one", stack, [(axis, 2) for axis in loops], two, block=8, **options)
        yield "nd2", name, (folder / "one").read_bytes()
    for version in (1, 2):
        containers.lif(folder / "one", [("p", stack, "TZCYX"), ("c", containers.count([4, 3, 3], np.uint8), "YXS"), ("m", stack[0], "MZYX")], version)
        yield "lif", f"version-{version}", (folder / "one").read_bytes()
    containers.lof(folder / "one", "o", stack[0], "TCYX")
    yield "lif", "lof", (folder / "one").read_bytes()
    for sequence, order in (("ZTW", "<"), ("WZT", ">"), ("ZWT", "<")):
        containers.deltavision(folder / "one", stack, sequence, [457, 528], order)
        yield "mrc", sequence, (folder / "one").read_bytes()
    for order, dtype in (("<", np.float32), (">", np.int16)):
        containers.mrc(folder / "one", containers.count([3, 6, 5], dtype), order)
        yield "mrc", f"volume-{np.dtype(dtype).name}", (folder / "one").read_bytes()
    small = stack[..., 0]
    for version in (3, 4):
        olympus.oib(folder / "one", small, "ZCYX", version, scattered=version == 3)
        yield "oib", f"version-{version}", (folder / "one").read_bytes()
    for axes, parts in (("TCYX", 2), ("LZYX", 1)):
        olympus.oir(str(folder / "one"), small, axes, parts)
        yield "oir", axes, (folder / "one").read_bytes()
    gray, pixels = containers.count([8, 8]).tobytes(), bytes(range(192))
    hilo = containers.count([8, 8]).reshape(-1, 1).view(np.uint8).T.tobytes()
    packed = {0: gray, 2: imagecodecs.lzw_encode(gray), 4: imagecodecs.jpegxr_encode(containers.count([8, 8]), level=100),
              5: imagecodecs.zstd_encode(gray), 6: b"\3\1\1" + imagecodecs.zstd_encode(hilo)}
    sides = containers.czi_sides
    xml = b"<ImageDocument><Metadata><Scaling><Items><Distance Id='X'><Value>1E-07</Value></Distance></Items></Scaling></Metadata></ImageDocument>"
    czi = {f"code-{c}": [(1, c, sides(6 * m, 0, 8, 8, ("M", m)), data) for m in range(2)] for c, data in packed.items()}
    czi["levels"] = [(1, 0, sides(0, 0, 8, 8, ("S", s)), gray) for s in range(2)]
    czi["levels"] += [(1, 0, sides(0, 0, 8, 8, ("S", s), reduced=2), gray[:32]) for s in range(2)]
    czi["colors"] = [(3, 0, sides(0, 0, 8, 8, ("T", t), ("H", 1)), pixels) for t in range(3)]
    for name, blocks in czi.items():
        containers.czi(folder / "one", blocks, xml)
        yield "czi", name, (folder / "one").read_bytes()
    yield from _dicom(folder / "one")
    (folder / "one").unlink()
    yield from _volumes(folder)


def _volumes(folder):
    stack = containers.count([1, 2, 3, 6, 7])
    for libver, options in (("earliest", {"compression": "gzip"}), ("v110", {"fletcher32": True, "shuffle": True}), ("latest", {"maxshape": (None, 8, 8)})):
        volumes.ims(folder / "one", stack[:, :1] if libver == "earliest" else stack, (2, 4, 4), libver=libver, **options)
        yield "imaris", libver, (folder / "one").read_bytes()
    (folder / "one").unlink()
    colours = {"kinds": ["RGB-color", "domain", "domain", "time"]}
    for encoding in ("raw", "gzip", "bzip2", "ascii"):
        volumes.nrrd(folder / "one.nrrd", containers.count([3, 4, 5, 2], np.uint8), {"encoding": encoding} | colours)
        yield "nrrd", encoding, (folder / "one.nrrd").read_bytes()
    (folder / "one.nrrd").unlink()
    for name, kind, order in (("first", "Nifti1Image", "<"), ("second", "Nifti2Image", ">")):
        volumes.nifti(folder / "one.nii", stack[0].T, (0.5, 0.5, 2, 1), getattr(nibabel, kind), order=order)
        yield "nifti", name, (folder / "one.nii").read_bytes()
        yield "nifti", f"{name}-packed", gzip.compress((folder / "one.nii").read_bytes(), mtime=0)
        (folder / "one.nii").unlink()


def _dicom(path):
    gray, colors = PIXELS[None, :8, :12], np.stack([PIXELS[:8, :12]] * 3, -1)[None]
    for syntax in ("implicit", "explicit", "deflated", "big", "rle", "jpeg", "ljpeg", "jpegls", "j2k", "jxl", "frames"):
        dicom.image(path, colors if syntax in ("jpeg", "jpegls") else gray, syntax)
        yield "dicom", syntax, path.read_bytes()
    dicom.image(path, np.concatenate([gray] * 4), "rle", table="none")
    yield "dicom", "walk", path.read_bytes()
    dicom.image(path, np.concatenate([gray] * 4), "rle", table="extended")
    yield "dicom", "extended", path.read_bytes()
    data = containers.count([2, 2, 9, 13], np.uint8)
    dicom.slide(path, data, (4, 6), names=("a", "b"))
    yield "dicom", "slide", path.read_bytes()
    dicom.slide(path, data, (4, 6), names=("a", "b"), sparse=lambda p, z, n: n % 2)
    yield "dicom", "sparse", path.read_bytes()
    dicom.image(path, containers.count([6, 4, 5]), change=dicom.dimensions(3, 2))
    yield "dicom", "dimensions", path.read_bytes()


def write(folder):
    """Writes FOLDER/<target>/<name> for every target."""
    os.makedirs(folder, exist_ok=True)

    def put(target, name, data):
        os.makedirs(os.path.join(folder, target), exist_ok=True)
        with open(os.path.join(folder, target, name), "wb") as f:
            f.write(bytes(data))

    for name, data, options in _images():
        path = os.path.join(folder, "one.tif")
        try:
            tifffile.imwrite(path, data, **options)
        except (ValueError, RuntimeError, TypeError) as e:
            print(f"no seed {name}: {e}")
            continue
        with open(path, "rb") as f:
            whole = f.read()
        os.unlink(path)
        put("image", name, whole)
        put("ifd", name, whole)
        if name == "ome":
            with tifffile.TiffFile(io.BytesIO(whole)) as t:
                put("omexml", name, t.ome_metadata.encode())
    for target, name, data in _containers(pathlib.Path(folder)):
        put(target, name, data)
    shapes = ("<Rectangle ID='Shape:0' X='1' Y='2' Width='3' Height='4'/><Polygon ID='Shape:1' Points='1,2 3,4 5,1'/>"
              "<Mask ID='Shape:2' X='0' Y='0' Width='8' Height='2'><BinData Length='4' BigEndian='true'>qlU=</BinData></Mask>")
    put("omexml", "plate", (
        "<OME xmlns='http://www.openmicroscopy.org/Schemas/OME/2016-06'><Plate ID='Plate:0' Rows='2' Columns='3' RowNamingConvention='letter'>"
        "<Well ID='Well:0' Row='0' Column='1'><WellSample ID='WellSample:0' Index='0'><ImageRef ID='Image:0'/></WellSample></Well>"
        "<PlateAcquisition ID='PlateAcquisition:0'><WellSampleRef ID='WellSample:0'/></PlateAcquisition></Plate>"
        "<Image ID='Image:0'><Pixels ID='Pixels:0' SizeX='4' SizeY='4' SizeZ='1' SizeC='1' SizeT='1' Type='uint8' DimensionOrder='XYZCT'>"
        "<TiffData IFD='0'><UUID FileName='a.tif'>urn:uuid:0</UUID></TiffData></Pixels><ROIRef ID='ROI:0'/></Image>"
        f"<ROI ID='ROI:0'><Union>{shapes}</Union></ROI></OME>").encode())
    level = {"t": 1, "c": 2, "z": 3, "y": 40, "x": 50, "tile_y": 40, "tile_x": 50}
    series = {"levels": [level, {**level, "y": 20, "x": 25}], "samples": 3, "interleaved": True, "little": False, "kind": 3, "bits": 12,
              "thumbnail": False, "palette": None}
    indexed = {**series, "levels": [level], "samples": 1, "kind": 1, "bits": 8, "palette": [list(range(256))] * 3}
    put("helper", "two", json.dumps({"format": "x", "used": ["/a/b"], "xml": (
        "<OME><Image ID='Image:0' Name='label image'><Pixels ID='Pixels:0' DimensionOrder='XYZCT' Type='uint16' SizeX='50' SizeY='40' SizeZ='3' SizeC='6'"
        " SizeT='1' PhysicalSizeX='0.5'><Channel ID='Channel:0:0' Name='c' SamplesPerPixel='3'/></Pixels></Image></OME>"),
        "series": [series, indexed]}).encode())
    put("omexml", "binaryonly", b"<OME UUID='urn:uuid:1'><BinaryOnly MetadataFile='x.companion.ome' UUID='urn:uuid:2'/></OME>")
    flat = PIXELS.tobytes()
    put("packing", "packbits", bytes([0, 7]) + imagecodecs.packbits_encode(flat))
    put("packing", "lzw", bytes([1, 7]) + imagecodecs.lzw_encode(flat))
    for kind in range(5):
        for bits in (1, 4, 10, 12, 16, 24, 32, 64):
            put("samples", f"{kind}-{bits}", bytes([kind, 9, bits, 2, 0x13]) + flat)
    for name, options in {"base": {}, "rgb": {"colorspace": "RGB"}, "progressive": {"optimize": True}}.items():
        put("jpeg", name, bytes([255, 255]) + imagecodecs.jpeg8_encode(np.stack([PIXELS] * 3, -1), **options))
    for dtype in (np.uint8, np.uint16):
        put("jpeg", f"lossless-{np.dtype(dtype)}", bytes([255, 255]) + imagecodecs.ljpeg_encode(PIXELS.astype(dtype)))
    head = bytes([23 - 4, 23, 2, 7, 0])  # 20 x 24 pixels, 3 samples of 8 bits
    rgb = np.ascontiguousarray(np.stack([PIXELS] * 3, -1))
    made = [(4, imagecodecs.jpeg2k_encode(rgb, codecformat="J2K", level=0)), (5, imagecodecs.jpegxl_encode(rgb, lossless=True)),
            (6, imagecodecs.jpegxr_encode(rgb)), (7, imagecodecs.lerc_encode(rgb)), (8, imagecodecs.png_encode(rgb)),
            (9, imagecodecs.webp_encode(rgb, lossless=True)), (10, imagecodecs.jpeg8_encode(rgb))]
    for which, stream in made:
        put("pictures", f"codec-{which}", bytes([which]) + head + bytes(stream))
    for which in range(4):
        put("pictures", f"fax-{which}", bytes([which, 63, 15, 0, 0, which & 1]) + bytes([0x26, 0xA0, 0x4D, 0x9B, 0x35, 0xA8]) * 9)
