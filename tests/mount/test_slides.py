"""Slides of every vendor: levels, roles, calibration, channels; and no more decoding than is under a read."""
import json
import os
import random
import xml.etree.ElementTree as ET

import numpy as np
import pytest
import zarr
from support import slides

OME = "{http://www.openmicroscopy.org/Schemas/OME/2016-06}"


def stored(root, path):
    """An array of a mounted image, as Y, X, C or C, Z, Y, X."""
    return zarr.open_array(os.path.join(root, path), mode="r")[...]


def rgb(root, level=0):
    data = stored(root, str(level))
    assert data.shape[0] == data.shape[2] == 1
    return np.moveaxis(data[0, :, 0], 0, -1)


def scale(root):
    with open(os.path.join(root, "zarr.json"), encoding="utf-8") as f:
        doc = json.load(f)["attributes"]["ome"]
    ms = doc["multiscales"][0]
    units = [a.get("unit") for a in ms["axes"]]
    return ms["datasets"][0]["coordinateTransformations"][0]["scale"], units, doc["omero"]["channels"]


def ome(root):
    return ET.parse(os.path.join(root, "OME", "METADATA.ome.xml")).getroot()


def check_associated(root, want, names):
    folder = os.path.join(root, "associated")
    assert sorted(n for n in os.listdir(folder) if n != "zarr.json") == sorted(names)
    for name in names:
        assert np.array_equal(rgb(os.path.join(folder, name)), want[name]), name


def test_aperio(tmp_path, mount):
    want = slides.aperio(tmp_path / "a.svs")
    root = mount(tmp_path).join("a.ome.zarr")
    for level, planes in enumerate(want["levels"]):
        data = stored(root, str(level))
        assert data.shape == (1, 3, 3, *planes[0].shape[:2])
        for z, plane in enumerate(planes):
            assert np.array_equal(np.moveaxis(data[0, :, z], 0, -1), plane), (level, z)
    check_associated(root, want, ["thumbnail", "label", "macro"])
    sizes, units, _ = scale(root)
    assert sizes == [1, 1, 1.5, 0.252, 0.252] and units[2:] == ["micrometer"] * 3
    # The thumbnail shows the slide; label and macro say nothing of their scale.
    assert scale(os.path.join(root, "associated", "thumbnail"))[0][3:] == [1.008, 1.008]
    assert scale(os.path.join(root, "associated", "label"))[1][3:] == [None, None]
    doc = ome(root)
    assert doc.find(f"{OME}Image/{OME}AcquisitionDate").text == "2017-03-04T05:06:07-05:00"
    assert doc.find(f"{OME}Instrument/{OME}Objective").get("NominalMagnification") == "40"
    assert doc.find(f"{OME}Image/{OME}ObjectiveSettings").get("ID") == "Objective:0"


def test_leica(tmp_path, mount):
    want = slides.leica(tmp_path / "l.scn")
    root = mount(tmp_path).join("l.ome.zarr")
    assert np.array_equal(rgb(os.path.join(root, "0")), want["over"])
    fluo = os.path.join(root, "1")
    for level, planes in enumerate(want["levels"]):
        assert np.array_equal(stored(fluo, str(level))[0], planes), level
    sizes, _, channels = scale(fluo)
    assert sizes == [1, 1, 0.75, 0.5, 0.5]
    assert [(c["label"], c["color"]) for c in channels] == [("A4", "0000FF"), ("L5", "00FF00")]
    assert scale(os.path.join(root, "0"))[0][3:] == [5, 5]
    images = ome(root).findall(f"{OME}Image")
    assert [i.get("Name") for i in images] == ["over", "fluo"]
    lenses = [(o.get("NominalMagnification"), o.get("LensNA")) for o in ome(root).iter(f"{OME}Objective")]
    assert lenses == [("2.5", None), ("20", "0.7")]


def test_qptiff(tmp_path, mount):
    want = slides.qptiff(tmp_path / "q.qptiff")
    root = mount(tmp_path).join("q.ome.zarr")
    for level, image in enumerate(want["levels"]):
        assert np.array_equal(rgb(root, level), image), level
    check_associated(root, want, ["thumbnail", "label", "macro"])
    assert scale(root)[0][3:] == [0.25, 0.25]
    doc = ome(root)
    assert doc.find(f"{OME}Image/{OME}AcquisitionDate").text == "2020-01-02T03:04:05"
    assert doc.find(f"{OME}Instrument/{OME}Objective").get("NominalMagnification") == "40"


def test_philips(tmp_path, mount):
    want = slides.philips(tmp_path / "p.tiff")
    root = mount(tmp_path).join("p.ome.zarr")
    for level, image in enumerate(want["levels"]):
        assert np.array_equal(rgb(root, level), image), level
    folder = os.path.join(root, "associated")
    assert np.array_equal(rgb(os.path.join(folder, "macro")), want["macro"])
    label = rgb(os.path.join(folder, "label"))
    assert label.shape == want["label"].shape
    assert np.abs(label.astype(int) - want["label"]).max() <= 4, "one colour survives JPEG"
    assert scale(root)[0][3:] == [0.25, 0.227]
    assert ome(root).find(f"{OME}Image/{OME}AcquisitionDate").text == "2013-04-02T11:12:13"


@pytest.mark.parametrize("overlap,own", [((8, 10), False), ((8, 10), True), ((0, 0), False), ((21, 1), False)], ids=str)
def test_ventana(tmp_path, mount, overlap, own):
    want = slides.ventana(tmp_path / "v.bif", overlap, own=own)
    root = mount(tmp_path).join("v.ome.zarr")
    assert np.array_equal(rgb(root), want["levels"][0])
    check_associated(root, want, ["thumbnail", "macro"])
    assert scale(root)[0][3:] == [0.25, 0.25]
    small = rgb(root, 1)
    height, width = want["levels"][0].shape[:2]
    assert small.shape == (-(-height // 2), -(-width // 2), 3)
    # The first frame of the second area begins at (0, 640) of the slide; in the page it is the first of row 3.
    assert np.array_equal(small[:50, 320:370], want["small"][192:242, :50])
    doc = ome(root)
    assert doc.find(f"{OME}Instrument/{OME}Objective").get("NominalMagnification") == "40"


def test_reads_decode_the_tiles_under_them_alone(tmp_path, mount):
    size, tile, side = 50_000, 256, 512
    color = slides.huge_aperio(tmp_path / "h.svs", size, tile)
    m = mount(tmp_path)
    group = zarr.open_group(m.join("h.ome.zarr"), mode="r")  # reads the documents: their contrast sample is taken now
    array = group["0"]
    assert array.shape == (1, 3, 1, size, size)
    before, draw, under = m.counter("decoded_units"), random.Random(5), set()
    for _ in range(100):
        y, x = draw.randrange(size - side), draw.randrange(size - side)
        touched = {(ty, tx) for ty in range(y // tile, (y + side - 1) // tile + 1)
                   for tx in range(x // tile, (x + side - 1) // tile + 1)}
        if touched & under:
            continue  # what the kernel still has of the read before is its own affair
        under |= touched
        data = array[0, :, 0, y:y + side, x:x + side]
        for ty, tx in touched:
            cy, cx = max(ty * tile, y) - y, max(tx * tile, x) - x
            assert tuple(data[:, cy, cx]) == color(ty, tx), (y, x)
    decoded = m.counter("decoded_units") - before
    print(f"{decoded} tiles decoded for reads that touch {len(under)} of {(-(-size // tile)) ** 2}")
    assert decoded == len(under)
