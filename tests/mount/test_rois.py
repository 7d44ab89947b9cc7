"""Regions of interest of OME-XML as label images, against shapes drawn pixel by pixel with numpy."""
import base64
import bz2
import json
import os
import zlib

import numpy as np
import pytest
import tifffile
import zarr
from lxml import etree

from support import corpus, mounts

XML = """<?xml version="1.0" encoding="UTF-8"?>
<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">{images}<StructuredAnnotations/>{rois}</OME>"""
SIZE = (2, 3, 2, 600, 900)  # t, c, z, y, x
Y, X = np.mgrid[: SIZE[3], : SIZE[4]] + 0.5  # the centre of each pixel


def polygon(points):
    """Even-odd."""
    inside = np.zeros(X.shape, bool)
    for (ax, ay), (bx, by) in zip(points, points[1:] + points[:1]):
        if ay != by:
            crossing = ax + (Y - ay) * (bx - ax) / (by - ay)
            inside ^= ((ay <= Y) != (by <= Y)) & (crossing <= X)
    return inside


def pixels(*places):
    covered = np.zeros(X.shape, bool)
    for x, y in places:
        covered[y, x] = True
    return covered


def regions():
    """ROI elements with what they cover: {t, c, z or None: mask}, later ones on top."""
    rng = np.random.default_rng(5)
    bits = rng.random((37, 53)) < 0.5
    place = np.zeros(X.shape, bool)
    place[100:137, 700:753] = bits
    packed = np.packbits(bits.ravel()).tobytes()
    star = [(450 + 200 * np.cos(a), 300 + 250 * np.sin(a)) for a in 4 * np.pi * np.arange(5) / 5]
    star = [(round(x, 3), round(y, 3)) for x, y in star]
    mask = '<Mask ID="Shape:{i}" X="700" Y="100" Width="53" Height="37"{more}><BinData BigEndian="true" Length="9"{how}>{data}</BinData></Mask>'
    data = {how: base64.b64encode(pack(packed)).decode() for how, pack in
            [("none", bytes), ("zlib", zlib.compress), ("bzip2", bz2.compress)]}
    shapes = [
        ('<Rectangle ID="Shape:0" X="10.5" Y="20" Width="100.25" Height="570" StrokeColor="-16776961"/>',
         (None, None, None), (X >= 10.5) & (X < 110.75) & (Y >= 20) & (Y < 590)),
        ('<Ellipse ID="Shape:1" X="300" Y="200.5" RadiusX="250" RadiusY="60" TheZ="1"/>',
         (None, None, 1), ((X - 300) / 250) ** 2 + ((Y - 200.5) / 60) ** 2 <= 1),
        ('<Polygon ID="Shape:2" Points="' + " ".join(f"{x},{y}" for x, y in star) + '" TheT="1"/>',
         (1, None, None), polygon(star)),
        ('<Rectangle ID="Shape:3" X="0" Y="0" Width="80" Height="40" TheC="2">'
         '<Transform A00="1" A10="0.5" A01="-0.5" A11="1" A02="500" A12="50"/></Rectangle>',
         (None, 2, None), polygon([(x - y / 2 + 500, x / 2 + y + 50) for x, y in [(0, 0), (80, 0), (80, 40), (0, 40)]])),
        ('<Point ID="Shape:4" X="899.9" Y="599.9"/>', (None, None, None), pixels((899, 599))),
        ('<Line ID="Shape:5" X1="800" Y1="590" X2="850.5" Y2="590.5"/>',
         (None, None, None), pixels(*((x, 590) for x in range(800, 851)))),
        ('<Polyline ID="Shape:6" Points="600,500 640,540 640,560"/>',
         (None, None, None), pixels(*((600 + i, 500 + i) for i in range(41)), *((640, y) for y in range(540, 561)))),
        (mask.format(i=7, more="", how="", data=data["none"]), (None, None, None), place),
        (mask.format(i=8, more=' TheT="1"', how=' Compression="zlib"', data=data["zlib"]), (1, None, None), place),
        (mask.format(i=9, more=' TheT="1" TheZ="1"', how=' Compression="bzip2"', data=data["bzip2"]), (1, None, 1), place),
        ('<Label ID="Shape:10" X="5" Y="5" Text="nothing to see"/>', (None, None, None), pixels()),
    ]
    return shapes


def expected(shapes, by_channel=True):
    """The label image of level 0."""
    out = np.zeros((SIZE[0], SIZE[1] if by_channel else 1, *SIZE[2:]), np.uint8)
    for value, (_, (t, c, z), covered) in enumerate(shapes, 1):
        pick = tuple(slice(None) if i is None else slice(i, i + 1) for i in (t, c, z))
        out[pick][..., covered] = value
    return out


def write(path, shapes, images=1, size=SIZE):
    t, c, z, y, x = size
    rois = "".join(f'<ROI ID="ROI:{i}" Name="region {i}"><Union>{s[0]}</Union></ROI>' for i, s in enumerate(shapes))
    refs = "".join(f'<ROIRef ID="ROI:{i}"/>' for i in range(len(shapes)))
    image = ""
    for n in range(images):
        channels = "".join(f'<Channel ID="Channel:{n}:{i}" SamplesPerPixel="1"/>' for i in range(c))
        image += (f'<Image ID="Image:{n}" Name="image {n}"><Pixels ID="Pixels:{n}" DimensionOrder="XYZCT" Type="uint8" SizeX="{x}" '
                  f'SizeY="{y}" SizeZ="{z}" SizeC="{c}" SizeT="{t}" PhysicalSizeX="0.5" PhysicalSizeY="0.5">{channels}'
                  f'<TiffData IFD="{n * t * c * z}" PlaneCount="{t * c * z}"/></Pixels>{refs if n == images - 1 else ""}</Image>')
    with tifffile.TiffWriter(path) as tif:
        for n in range(images * t * c * z):
            text = XML.format(images=image, rois=rois) if n == 0 else None
            tif.write(np.full((y, x), n, np.uint8), description=text, metadata=None, contiguous=False)


def ome(folder):
    if os.path.exists(os.path.join(folder, ".zattrs")):
        with open(os.path.join(folder, ".zattrs")) as f:
            return json.load(f)
    with open(os.path.join(folder, "zarr.json")) as f:
        return json.load(f)["attributes"]["ome"]


def test_every_shape_at_every_level(tmp_path, mount):
    shapes = regions()
    write(tmp_path / "a.ome.tif", shapes)
    want = expected(shapes)
    m = mount(tmp_path, "--ngff", "0.5,0.4")
    for name in ("a.ome.zarr", "a.v04.ome.zarr"):
        image, label = m.join(name), m.join(name, "labels", "rois")
        assert "labels" in os.listdir(image) and "rois" in os.listdir(os.path.dirname(label))
        assert ome(m.join(name, "labels"))["labels"] == ["rois"]
        ours, its = ome(label)["multiscales"][0], ome(image)["multiscales"][0]
        assert [d["path"] for d in ours["datasets"]] == [d["path"] for d in its["datasets"]] == ["0", "1", "2"]
        assert [d["coordinateTransformations"][0] for d in ours["datasets"]] == \
            [d["coordinateTransformations"][0] for d in its["datasets"]]
        assert all(len(d["coordinateTransformations"]) == 1 for d in ours["datasets"]), "no shift: nearest pixels"
        for level in range(3):
            found = zarr.open(os.path.join(label, str(level)), mode="r")
            assert found.dtype == np.uint8
            y, x = found.shape[-2:]
            reduced = want[..., np.arange(y) * SIZE[3] // y, :][..., np.arange(x) * SIZE[4] // x]
            np.testing.assert_array_equal(found[:], reduced, err_msg=f"{name} level {level}")
    about = ome(m.join("a.ome.zarr/labels/rois"))["image-label"]
    assert about["source"] == {"image": "../../"}
    assert about["colors"][0] == {"label-value": 1, "rgba": [255, 0, 0, 255]}
    assert [c["label-value"] for c in about["colors"]] == list(range(1, 12))
    assert about["properties"][4] == {"label-value": 5, "name": "region 4", "id": "ROI:4"}
    document = etree.parse(m.join("a.ome.zarr/OME/METADATA.ome.xml"))
    ns = "{http://www.openmicroscopy.org/Schemas/OME/2016-06}"
    for (given, _, _), roi in zip(shapes, document.getroot().findall(f"{ns}ROI"), strict=True):
        given, (found,) = etree.fromstring(given), roi.find(f"{ns}Union")
        assert found.tag == ns + given.tag
        for key in set(given.attrib) - {"ID", "Points"}:
            assert found.get(key) == given.get(key) or float(found.get(key)) == float(given.get(key)), (given.tag, key)
        if given.tag == "Mask":
            plain = etree.fromstring(shapes[7][0]).find("BinData").text
            assert found.find(f"{ns}BinData").text == plain, "unpacked, in base64 again"
    assert len(document.getroot().findall(f"{ns}Image/{ns}ROIRef")) == len(shapes)
    if xsd := mounts.shared("metadata", "ome-2016-06.xsd"):
        schema = etree.XMLSchema(etree.parse(xsd))
        assert schema.validate(document), schema.error_log


def test_labels_of_one_image_of_several(tmp_path, mount):
    shapes = [s for s in regions() if s[1][1] is None]
    write(tmp_path / "two.ome.tif", shapes, images=2)
    m = mount(tmp_path, "--shard", "1024,1024")
    assert "labels" not in os.listdir(m.join("two.ome.zarr/0"))
    found = zarr.open(m.join("two.ome.zarr/1/labels/rois/0"), mode="r")
    assert found.shape[1] == 1, "no shape names a channel"
    np.testing.assert_array_equal(found[:], expected(shapes, by_channel=False))


def test_what_cannot_be_drawn_is_an_error_and_the_image_is_not(tmp_path, mount):
    good = regions()[0]
    bad = ('<Polygon ID="Shape:9" Points="1,1 2" TheZ="1"/>', None, None)
    write(tmp_path / "bad.ome.tif", [good, bad])
    m = mount(tmp_path)
    chunk = "c/0/0/{z}/0/0"
    with open(m.join("bad.ome.zarr/labels/rois/0", chunk.format(z=0)), "rb") as f:
        assert set(f.read()) == {0, 1}
    with pytest.raises(OSError, match="Input/output"), open(m.join("bad.ome.zarr/labels/rois/0", chunk.format(z=1)), "rb") as f:
        f.read()
    assert zarr.open(m.join("bad.ome.zarr/0"), mode="r")[1, 2, 1, 0, 0] == 11


def test_very_many_regions_and_very_long_ones(tmp_path, mount):
    """Many points cost their time and no more; a document too large for its labels shows the image without them."""
    zigzag = " ".join(f"{i % 900},{(i % 2) * 600}" for i in range(200_000))
    many = ['<Point ID="Shape:0" X="1" Y="1"/>'] * 50_000 + [f'<Polygon ID="Shape:1" Points="{zigzag}"/>']
    size = (1, 1, 1, 600, 900)
    write(tmp_path / "many.ome.tif", [(s, None, None) for s in many], size=size)
    write(tmp_path / "toomany.ome.tif", [('<Point X="1" Y="1"/>', None, None)] * 500_000, size=size)
    m = mount(tmp_path)
    found = zarr.open(m.join("many.ome.zarr/labels/rois/0"), mode="r")
    assert found.dtype == np.uint16 and set(np.unique(found[:])) <= {0, 50_000, 50_001}
    assert len(ome(m.join("many.ome.zarr/labels/rois"))["image-label"]["properties"]) == 50_001
    assert zarr.open(m.join("toomany.ome.zarr/0"), mode="r")[0, 0, 0, 0, 0] == 0
    assert "labels" not in os.listdir(m.join("toomany.ome.zarr"))


def test_regions_of_the_corpus(mount):
    """Every entry of which regions are known: as many labels, and the same shapes in METADATA.ome.xml."""
    if not corpus.folder():
        pytest.skip("no corpus beside the repository")
    entries = [e for e in corpus.manifest()["files"] if e["expected"].get("rois")]
    assert entries
    m = mount(corpus.folder())
    for entry in entries:
        root, shapes = corpus.virtual(m.path, entry["path"]), entry["expected"]["rois"]
        labels = [os.path.join(at, "rois") for at, names, _ in os.walk(root) if at.endswith("labels") and "rois" in names]
        assert labels, entry["path"]
        values = {p["label-value"] for at in labels for p in ome(at)["image-label"]["properties"]}
        assert values == set(range(1, len(shapes) + 1)), entry["path"]
        for at in labels:
            assert set(np.unique(zarr.open(os.path.join(at, "0"), mode="r")[:])) <= {0, *values}
        document = etree.parse(os.path.join(root, "OME", "METADATA.ome.xml"))
        names = [[etree.QName(s).localname for s in roi.find("{*}Union")] for roi in document.getroot().findall("{*}ROI")]
        assert names == shapes, entry["path"]
