"""Microscopes' dialects of TIFF: axes, calibration, channels, sets of files, and each one's own way past 4 GiB."""
import json
import os
import random
import struct
import xml.etree.ElementTree as ET

import numpy as np
import pytest
import tifffile
import zarr
from support import dialects

OME = "{http://www.openmicroscopy.org/Schemas/OME/2016-06}"
GIB = 1 << 30


def stored(root, level=0):
    return zarr.open_array(os.path.join(root, str(level)), mode="r")


def about(root):
    """Sizes of a pixel along t, c, z, y, x; units; channels."""
    with open(os.path.join(root, "zarr.json"), encoding="utf-8") as f:
        doc = json.load(f)["attributes"]["ome"]
    ms = doc["multiscales"][0]
    scale = ms["datasets"][0]["coordinateTransformations"][0]["scale"]
    return scale, [a.get("unit") for a in ms["axes"]], [(c["label"], c["color"]) for c in doc["omero"]["channels"]]


def ome(root):
    return ET.parse(os.path.join(root, "OME", "METADATA.ome.xml")).getroot()


def close(a, b):
    """Equal but for the last bits of a JPEG decoder."""
    return a.shape == b.shape and int(np.abs(a.astype(int) - b.astype(int)).max()) <= 4


@pytest.mark.parametrize("base", [64, 5 * GIB], ids=["small", "beyond 4 GiB"])
def test_ndpi(tmp_path, mount, base):
    want = dialects.ndpi(tmp_path / "n.ndpi", base)
    root = mount(tmp_path).join("n.ome.zarr")
    for level, planes in enumerate(want["levels"]):
        data = stored(root, level)[...]
        assert data.shape == (1, 3, 2, *planes[0].shape[:2])
        for z, plane in enumerate(planes):
            assert close(np.moveaxis(data[0, :, z], 0, -1), plane), (level, z)
    macro = stored(os.path.join(root, "associated", "macro"))[0, :, 0]
    assert close(np.moveaxis(macro, 0, -1), want["macro"])
    scale, units, _ = about(root)
    assert scale == [1, 1, 1.5, 0.5, 0.5] and units[2:] == ["micrometer"] * 3
    doc = ome(root)
    assert doc.find(f"{OME}Image/{OME}AcquisitionDate").text == "2020-01-02T03:04:05"
    assert doc.find(f"{OME}Instrument/{OME}Objective").get("NominalMagnification") == "20"


def test_ndpi_reads_decode_the_intervals_under_them_alone(tmp_path, mount):
    size, side, width, rows = 50_000, 512, 2000, 64  # intervals of 2000 x 8, read eight at a time
    color = dialects.huge_ndpi(tmp_path / "h.ndpi", size, width)
    m = mount(tmp_path)
    array = zarr.open_group(m.join("h.ome.zarr"), mode="r")["0"]  # the contrast sample is taken now
    assert array.shape == (1, 3, 1, size, size)
    before, draw, under = m.counter("decoded_units"), random.Random(7), set()
    for _ in range(100):
        # Aligned to the chunks, so that what is read is what was asked for.
        y, x = (draw.randrange(size // side) * side for _ in range(2))
        touched = {(ty, tx) for ty in range(y // rows, (min(y + side, size) - 1) // rows + 1)
                   for tx in range(x // width, (min(x + side, size) - 1) // width + 1)}
        if touched & under:
            continue  # what the kernel still has of the read before is its own affair
        under |= touched
        data = array[0, :, 0, y:y + side, x:x + side]
        for dy, dx in ((0, 0), (200, 300), (data.shape[1] - 1, data.shape[2] - 1)):
            want = color((y + dy) // 8, (x + dx) // width)
            assert max(abs(int(a) - b) for a, b in zip(data[:, dy, dx], want)) <= 3, (y + dy, x + dx)
    decoded = m.counter("decoded_units") - before
    print(f"{decoded} units decoded for reads that touch {len(under)} of {-(-size // rows) * (size // width)}")
    assert decoded == len(under)


def test_ndpi_without_a_table_is_searched_for_its_markers(tmp_path, mount):
    image = dialects.smooth(1200, 1600)
    intervals, shown = dialects.tiles(image, 8, 400)
    stream, _ = dialects.restarts(intervals, 1200, 1600, 50)
    builder = dialects.Builder(tmp_path / "s.ndpi", 16 << 20, ndpi=True)
    dialects.ndpi_page(builder, 64, stream, None, 1200, 1600, 20.0)
    builder.close()
    data = stored(mount(tmp_path).join("s.ome.zarr"))[0, :, 0]
    assert close(np.moveaxis(data, 0, -1), shown)


@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0"])
def test_a_large_ndpi_without_markers_is_read_row_by_row(tmp_path, mount, subsampling):
    image = dialects.smooth(2403, 2501)
    image[::7, ::5] = 255 - image[::7, ::5]
    shown = dialects.ndpi_without_markers(tmp_path / "w.ndpi", image, subsampling)
    m = mount(tmp_path, "--cache-size", "32MiB")  # the whole image takes 18 MiB, of which a unit may take 8
    data = np.moveaxis(stored(m.join("w.ome.zarr"))[0, :, 0], 0, -1)
    assert np.array_equal(data, shown), np.abs(data.astype(int) - shown).max()


@pytest.mark.parametrize("step", [None, 3 * GIB // 2], ids=["small", "beyond 4 GiB"])
def test_lsm(tmp_path, mount, step):
    want = dialects.lsm(tmp_path / "l.lsm", step=step)
    root = mount(tmp_path).join("l.ome.zarr")
    data = stored(root)[...]
    assert data.shape == (3, 2, 2, 40, 48)
    assert np.array_equal(data, want)
    scale, units, channels = about(root)
    assert np.allclose(scale, [2.5, 1, 0.5, 0.2, 0.1]) and units == ["second", None] + ["micrometer"] * 3
    assert len(channels) == 2


def test_stk(tmp_path, mount):
    want = {i: dialects.plane(24, 32, i) for i in range(6)}
    dialects.stk(tmp_path / "z.stk", (24, 32), 6, want)
    dialects.stk(tmp_path / "t.stk", (24, 32), 6, want, z=0)
    m = mount(tmp_path)
    expected = np.stack(list(want.values()))
    assert np.array_equal(stored(m.join("z.ome.zarr"))[0, 0], expected)
    assert np.array_equal(stored(m.join("t.ome.zarr"))[:, 0, 0], expected)
    scale, units, _ = about(m.join("z.ome.zarr"))
    assert scale == [1, 1, 0.5, 0.325, 0.325] and units[2:] == ["micrometer"] * 3
    assert about(m.join("t.ome.zarr"))[0][0] == 0.25
    doc = ome(m.join("z.ome.zarr"))
    assert doc.find(f"{OME}Image/{OME}AcquisitionDate").text == "2006-09-21T01:00:00"
    assert doc.find(f".//{OME}Channel").get("EmissionWavelength") == "525"


def test_stk_beyond_4_gib(tmp_path, mount):
    shape = (2048, 4096)  # 16 MiB
    want = {i: dialects.plane(*shape, i) for i in (0, 255, 256, 330)}
    dialects.stk(tmp_path / "b.stk", shape, 331, want)
    data = stored(mount(tmp_path).join("b.ome.zarr"))
    assert data.shape == (1, 1, 331, *shape)
    for z, plane in want.items():
        assert np.array_equal(data[0, 0, z, 1000:1100, 3000:], plane[1000:1100, 3000:]), z
    assert not data[0, 0, 300, :10].any()


def test_imagej_beyond_4_gib(tmp_path, mount):
    shape, planes = (2048, 4096), 330
    builder = dialects.Builder(tmp_path / "i.tif", 512)
    text = f"ImageJ=1.54f\nimages={planes}\nslices={planes}\nunit=um\nspacing=2\nloop=false\n"
    builder.page(dialects.grey(dialects.plane(*shape), 4096) + [(270, dialects.ASCII, text)])
    want = {i: dialects.plane(*shape, i) for i in (0, 256, 329)}
    for number, image in want.items():
        builder.put(4096 + number * image.nbytes, image.tobytes())
    builder.close()
    data = stored(mount(tmp_path).join("i.ome.zarr"))
    assert data.shape == (1, 1, planes, *shape)
    for z, plane in want.items():
        assert np.array_equal(data[0, 0, z, 1000:1100, 3000:], plane[1000:1100, 3000:]), z


def test_micromanager_stack(tmp_path, mount):
    want = dialects.mmstack(tmp_path)
    m = mount(tmp_path)
    for name in ("run_MMStack", "run_MMStack_1"):  # any file leads to the whole set
        root = m.join(f"{name}.ome.zarr")
        for position in range(2):
            data = stored(os.path.join(root, str(position)))[...]
            assert np.array_equal(data, want[position]), (name, position)
        scale, units, channels = about(os.path.join(root, "0"))
        assert scale == [1, 1, 2, 0.5, 0.5] and units[2:] == ["micrometer"] * 3
        assert channels == [("DAPI", "0000FF"), ("FITC", "00FF00")]
        assert ome(root).find(f"{OME}Image/{OME}AcquisitionDate").text == "2020-01-02T03:04:05"
        assert [i.get("Name") for i in ome(root).findall(f"{OME}Image")] == ["run position 0", "run position 1"]


def test_planes_of_a_damaged_file_of_a_stack_are_errors(tmp_path, mount):
    want = dialects.mmstack(tmp_path, positions=1, files=3)
    with open(tmp_path / "run_MMStack_1.tif", "r+b") as f:
        f.seek(12)
        f.seek(int.from_bytes(f.read(4), "little"))
        f.write(bytes(4))  # no map of its planes any more
    data = stored(mount(tmp_path).join("run_MMStack.ome.zarr"))
    assert data.shape == want[0].shape
    for t, c, z in [(0, 0, 0), (0, 1, 0), (0, 0, 1), (1, 0, 1), (1, 1, 1)]:
        assert np.array_equal(data[t, c, z], want[0][t, c, z]), (t, c, z)
    for t, c, z in [(0, 1, 1), (1, 0, 0), (1, 1, 0)]:
        with pytest.raises(OSError):
            data[t, c, z]


def test_ndtiff(tmp_path, mount):
    want = dialects.ndtiff(tmp_path)
    root = mount(tmp_path).join("run_NDTiffStack.ome.zarr")
    for position in range(2):
        data = stored(os.path.join(root, str(position)))[...]
        assert data.shape == (2, 2, 2, 24, 32)
        for (p, t, c, z), plane in want.items():
            if p == position:
                assert np.array_equal(data[t, c, z], plane), (t, c, z)
    assert not stored(os.path.join(root, "1"))[1, 1, 1].any(), "never taken"
    scale, _, channels = about(os.path.join(root, "0"))
    assert scale == [1, 1, 2, 0.5, 0.5]
    assert [name for name, _ in channels] == ["Cy5", "GFP"]


@pytest.mark.parametrize("version", [1, 2])
def test_separate_files(tmp_path, mount, version):
    folder = tmp_path / "Pos0"
    folder.mkdir()
    want = dialects.separate(str(folder), version)
    m = mount(tmp_path)
    for name in ("img_000000000_DAPI_000", "img_000000001_FITC_001"):
        root = m.join("Pos0", f"{name}.ome.zarr")
        data = stored(root)[...]
        assert data.shape == (2, 2, 2, 24, 32)
        for place, plane in want.items():
            assert np.array_equal(data[place], plane), place
        scale, _, channels = about(root)
        assert scale == [1, 1, 2, 0.5, 0.5] and channels == [("DAPI", "0000FF"), ("FITC", "00FF00")]
        assert os.getxattr(root, "user.fuzarr.dataset") == b"Pos0/metadata.txt", "one name for the whole set"


def test_a_missing_file_of_a_set_is_an_error_and_no_black_plane(tmp_path, mount):
    folder = tmp_path / "Pos0"
    folder.mkdir()
    want = dialects.separate(str(folder), 1)
    os.remove(folder / "img_000000001_DAPI_001.tif")
    data = stored(mount(tmp_path).join("Pos0", "img_000000000_DAPI_000.ome.zarr"))
    assert np.array_equal(data[1, 1, 1], want[1, 1, 1])
    with pytest.raises(OSError):
        data[1, 0, 1]


def test_fluoview(tmp_path, mount):
    want = dialects.fluoview(tmp_path / "f.tif")
    root = mount(tmp_path).join("f.ome.zarr")
    assert np.array_equal(stored(root)[...], want)
    scale, units, _ = about(root)
    assert scale == [5, 1, 2, 0.5, 0.5] and units == ["second", None] + ["micrometer"] * 3
    assert ome(root).find(f"{OME}Image").get("Name") == "sample"


def test_prairie(tmp_path, mount):
    want = dialects.prairie(str(tmp_path))
    root = mount(tmp_path).join("series-1_Cycle00002_Ch3_000002.ome.zarr")
    assert np.array_equal(stored(root)[...], want)
    scale, _, channels = about(root)
    assert scale == [1, 1, 2, 0.25, 0.5]
    assert [name for name, _ in channels] == ["Ch 2", "Ch 3"]
    assert ome(root).find(f"{OME}Instrument/{OME}Objective").get("NominalMagnification") == "20"


def noted(folder, name, tag, text):
    tifffile.imwrite(folder / name, NOTED, extratags=[(tag, "s", 0, text, True)])


NOTED = np.arange(35 * 21, dtype=np.uint8).reshape(35, 21)


def test_electron_microscopes_note_what_they_did(tmp_path, mount):
    noted(tmp_path, "zeiss.tif", 34118, "0\r\n0\r\nDP_SEM\r\nType = SUPRA 55\r\nAP_PIXEL_SIZE\r\nPixel Size = 9 nm\r\nAP_IMAGE_PIXEL_SIZE\r\n"
          "Image Pixel Size = 2.5 nm\r\nAP_DATE\r\nDate :25 Mar 2016\r\nAP_TIME\r\nTime :09:59:51\r\nAP_WD\r\nWD =  4.9 mm\r\n")
    noted(tmp_path, "fei.tif", 34682, "[User]\r\nDate=03/25/2016\r\nTime=09:59:51 PM\r\nUser=\r\n[System]\r\nType=DualBeam\r\n[EScan]\r\n"
          "PixelWidth=1.5e-009\r\nPixelHeight=2e-009\r\nDwell=1e-006\r\n")
    noted(tmp_path, "other.tif", 34118, "nothing that is known")
    m = mount(tmp_path)
    expected = [("zeiss", [2.5, 2.5], "2016-03-25T09:59:51", "SUPRA 55", ("AP_WD", "4.9 mm")),
                ("fei", [2.0, 1.5], "2016-03-25T21:59:51", "DualBeam", ("EScan.Dwell", "1e-006"))]
    for name, pixel, date, model, kept in expected:
        root = m.join(f"{name}.ome.zarr")
        assert (stored(root)[0, 0, 0] == NOTED).all()
        scale, units, _ = about(root)
        assert scale[3:] == pytest.approx(pixel, rel=1e-12) and units[3:] == ["nanometer"] * 2
        document = ome(root)
        assert document.find(f"{OME}Image/{OME}AcquisitionDate").text == date
        assert document.find(f"{OME}Instrument/{OME}Microscope").get("Model") == model
        assert kept in [(k.get("K"), k.text) for k in document.iter(f"{OME}M")]
    assert (stored(m.join("other.ome.zarr"))[0, 0, 0] == NOTED).all()


@pytest.mark.parametrize("inner", [True, False], ids=["in the tag", "pointed to"])
def test_olympus_sis(tmp_path, mount, inner):
    planes = np.arange(2 * 3 * 4 * 8 * 6, dtype=np.uint16).reshape(2, 3, 4, 8, 6)
    ini = "[Dimension]\r\nTime=2\r\nBand=3\r\nZ=4\r\n[Z]\r\nZPos1=0\r\n[Time]\r\nTimePos1=0\r\n"
    general = struct.pack("<10xhdd8xd2x34s32s", -6, 0.25, 0.5, 40.0, b"XC50", b"picture")
    block = struct.pack("<4s6xhhhhh6x32sH", b"SIS0", 30, 14, 9, 10, 118, b"specimen", 1) + struct.pack("<hhI", 1, 1, 0x11223344)
    path = tmp_path / "s.tif"
    value = block if inner else struct.pack("<I", 0x55667788)
    tifffile.imwrite(path, planes.reshape(-1, 8, 6), metadata=None, photometric="minisblack",
                     extratags=[(33560, "B" if inner else "I", len(block) if inner else 1, value if inner else 0x55667788, True), (33471, "s", 0, ini, True)])
    data = path.read_bytes()
    if not inner:
        data = data.replace(value, struct.pack("<I", len(data))) + block
    path.write_bytes(data.replace(struct.pack("<I", 0x11223344), struct.pack("<I", len(data))) + general)
    with tifffile.TiffFile(path) as tif:
        assert tif.sis_metadata["axes"] == "TCZ"
    root = mount(tmp_path).join("s.ome.zarr")
    assert (stored(root)[...] == planes).all()
    scale, units, _ = about(root)
    assert scale[3:] == [0.5, 0.25] and units[3:] == ["micrometer"] * 2
    document = ome(root)
    assert document.find(f"{OME}Image").get("Name") == "specimen"
    assert document.find(f"{OME}Image/{OME}AcquisitionDate").text == "2018-11-09T14:30:00"
    assert document.find(f"{OME}Instrument/{OME}Detector").get("Model") == "XC50"
    assert document.find(f"{OME}Instrument/{OME}Objective").get("NominalMagnification") == "40"
