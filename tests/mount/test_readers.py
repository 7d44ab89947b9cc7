"""Independent readers find in the mount what tifffile and numpy say is in the files."""
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tifffile
import zarr
from lxml import etree

from support import fixtures, levels, mounts, readers

NAMES = sorted(fixtures.writers())
STEM = re.compile(r"(?i)\.ome\.(tiff?|btf)$|\.(tiff?|btf)$")


def directory(name, version="0.5"):
    return STEM.sub("", name) + (".ome.zarr" if version == "0.5" else ".v04.ome.zarr")


def decoded(samples, name):
    """Planes of a lossy sample as tifffile decodes them."""
    data = tifffile.imread(samples[0] / name)
    return [data[..., i] for i in range(data.shape[-1])] if data.ndim == 3 else [data]


@pytest.mark.parametrize("reader", sorted(readers.READERS))
@pytest.mark.parametrize("version", ["0.5", "0.4"])
@pytest.mark.parametrize("name", NAMES)
def test_every_plane_of_every_level(samples, both_views, name, version, reader):
    root = both_views.join(directory(name, version))
    images = readers.images(root)
    expected = samples[1][name]["series"]
    assert len(images) == len(expected)
    if reader != "zarr" and expected[0]["dtype"] == "complex64" and reader == "zarrs":
        pytest.skip("zarrs' pipeline for zarr-python has no complex type")
    for image, e in zip(images, expected):
        original = decoded(samples, name) if e["tolerance"] else None
        assert not readers.differences(image, e, readers.READERS[reader], original)


@pytest.mark.parametrize("version", ["0.5", "0.4"])
@pytest.mark.parametrize("name", NAMES)
def test_documents(samples, both_views, name, version):
    root = both_views.join(directory(name, version))
    for image, e in zip(readers.images(root), samples[1][name]["series"]):
        a = readers.attributes(image)
        m = a["multiscales"][0]
        assert [x["name"] for x in m["axes"]] == list("tczyx")
        units = {x["name"]: x.get("unit") for x in m["axes"]}
        factor = {"micrometer": 1, "nanometer": 1e-3, "millimeter": 1e3}
        first = m["datasets"][0]["coordinateTransformations"][0]["scale"]
        for axis, um in e["physical_um"].items():
            assert first["tczyx".index(axis)] * factor[units[axis]] == pytest.approx(um)
        h0, w0 = e["levels"][0]
        for k, d in enumerate(m["datasets"]):
            scale = d["coordinateTransformations"][0]["scale"]
            h, w = e["levels"][k]
            exact = [h0 / h, w0 / w]
            nominal = [2.0 ** k] * 2
            got = [scale[3] / first[3], scale[4] / first[4]]
            for g, x, n in zip(got, exact, nominal):
                assert g == pytest.approx(x) or g == pytest.approx(n)
        channels = a["omero"]["channels"]
        assert len(channels) == e["size"]["c"]
        for c, label in zip(channels, e["channels"]):
            assert c["label"] == label
        for c in channels:
            w = c["window"]
            assert w["min"] <= w["start"] <= w["end"] <= w["max"]


@pytest.mark.parametrize("name", NAMES)
def test_document_sizes_need_no_pixels(both_views, name):
    """`stat` and the bytes read agree for every file, and directories list what can be opened."""
    root = both_views.join(directory(name))
    for f in readers.files(root):
        path = os.path.join(root, f)
        with open(path, "rb") as h:
            assert len(h.read()) == os.stat(path).st_size, f


@pytest.mark.parametrize("name", ["five_d.ome.tif", "series.ome.tif", "imagej.tif", "rgb_jpeg.tif", "palette.tif", "int64.tif", "float16.tif"])
def test_ome_xml(samples, both_views, name):
    path = both_views.join(directory(name), "OME", "METADATA.ome.xml")
    tree = etree.parse(path)
    ns = "{http://www.openmicroscopy.org/Schemas/OME/2016-06}"
    pixels = tree.getroot().findall(f"{ns}Image/{ns}Pixels")
    expected = samples[1][name]["series"]
    assert [{d: int(p.get("Size" + d.upper())) for d in "tczyx"} for p in pixels] == [e["size"] for e in expected]
    xsd = mounts.shared("metadata", "ome-2016-06.xsd")
    if not xsd:
        pytest.skip("the OME schema is not here: sizes compared, schema not checked")
    schema = etree.XMLSchema(etree.parse(xsd))
    assert schema.validate(tree), schema.error_log


def test_source_document(both_views):
    with open(both_views.join("five_d.ome.zarr", "OME", "source.ome.xml"), encoding="utf-8") as f:
        assert 'PhysicalSizeZ="1.5"' in f.read()


def test_contrast_windows_lie_in_the_data(samples, both_views):
    data = tifffile.imread(samples[0] / "strip.tif")
    w = readers.attributes(both_views.join("strip.ome.zarr"))["omero"]["channels"][0]["window"]
    assert data.min() <= w["start"] < w["end"] <= data.max()
    assert w["end"] > np.percentile(data, 90) and w["start"] < np.percentile(data, 10)


def test_squeeze(samples, mount):
    m = mount(samples[0], "--squeeze")
    assert readers.axes(m.join("strip.ome.zarr")) == ["y", "x"]
    assert readers.axes(m.join("imagej.ome.zarr")) == list("tczyx")
    assert readers.axes(m.join("pages.ome.zarr")) == ["t", "y", "x"]
    for name in ["strip.tif", "pages.tif", "imagej.tif", "rgb_lzw_p2.tif"]:
        assert not readers.differences(m.join(directory(name)), samples[1][name]["series"][0])


def test_chunk_override(samples, mount):
    m = mount(samples[0], "--chunk", "96,160")
    for name in ["five_d.ome.tif", "strip.tif", "pyramid.ome.tif", "lzw_rows1.tif", "float32_p3.tif"]:
        root = m.join(directory(name))
        assert zarr.open_array(os.path.join(root, "0"), mode="r").chunks[-2:] == (96, 160)
        assert not readers.differences(root, samples[1][name]["series"][0])


def test_chunks_by_default(both_views):
    for name, chunk in {"float32_p3.tif": 512, "pyramid.ome.tif": 256, "int32.btf": 256, "strip.tif": 512}.items():
        array = zarr.open_array(both_views.join(directory(name), "0"), mode="r")
        assert array.chunks[-2:] == (chunk, chunk), name


def test_layout_bf2raw(samples, mount):
    m = mount(samples[0], "--layout", "bf2raw")
    root = m.join("five_d.ome.zarr")
    assert readers.attributes(root)["bioformats2raw.layout"] == 3
    assert readers.images(root) == [os.path.join(root, "0")]
    assert not readers.differences(os.path.join(root, "0"), samples[1]["five_d.ome.tif"]["series"][0])


def test_only_0_4(samples, mount):
    m = mount(samples[0], "--ngff", "0.4")
    root = m.join("five_d.ome.zarr")
    assert os.path.exists(os.path.join(root, ".zattrs")) and not os.path.exists(os.path.join(root, "zarr.json"))
    assert not readers.differences(root, samples[1]["five_d.ome.tif"]["series"][0])
    assert not os.path.exists(m.join("five_d.v05.ome.zarr"))


def test_palette_rgb(samples, mount):
    m = mount(samples[0], "--palette", "rgb")
    got = readers.by_zarr(m.join("palette.ome.zarr", "0"))[0, :, 0]
    with tifffile.TiffFile(samples[0] / "palette.tif") as t:
        page = t.pages[0]
        want = page.colormap[:, page.asarray()] >> 8
    assert np.array_equal(got, want)


def test_a_collection_and_its_members(samples, both_views):
    root = both_views.join("series.ome.zarr")
    assert readers.attributes(root)["bioformats2raw.layout"] == 3
    members = readers.images(root)
    assert [os.path.basename(m) for m in members] == ["0", "1", "2"]
    for m in members:
        assert "multiscales" in readers.attributes(m)
    ids = [i.get("ID") for i in etree.parse(os.path.join(root, "OME", "METADATA.ome.xml")).getroot()
           if i.tag.endswith("}Image")]
    assert ids == ["Image:0", "Image:1", "Image:2"]


def fingerprint(root):
    """One hash over every path and byte."""
    h = hashlib.sha256()
    for f in readers.files(root):
        h.update(f.encode())
        with open(os.path.join(root, f), "rb") as g:
            h.update(g.read())
    return h.hexdigest()


@pytest.mark.parametrize("name", ["five_d.ome.tif", "strip.tif", "float32_p3.tif", "series.ome.tif"])
def test_same_bytes_whatever_the_threads_cache_and_order(samples, both_views, mount, name):
    want = fingerprint(both_views.join(directory(name)))
    m = mount(samples[0], "--threads", 1, "--cache-size", "64MiB")
    coarsest_first = sorted(readers.files(m.join(directory(name))), reverse=True)
    for f in coarsest_first:
        with open(m.join(directory(name), f), "rb") as g:
            g.read()
    assert fingerprint(m.join(directory(name))) == want


@pytest.mark.parametrize("name", ["five_d.ome.tif", "series.ome.tif", "pyramid.ome.tif"])
@pytest.mark.parametrize("version", ["0.5", "0.4"])
def test_a_copy_is_an_ome_zarr(samples, both_views, tmp_path, name, version):
    copy = tmp_path / directory(name)
    subprocess.run(["cp", "-r", both_views.join(directory(name, version)), copy], check=True)
    subprocess.run(["chmod", "-R", "u+w", copy], check=True)
    for image, e in zip(readers.images(copy), samples[1][name]["series"]):
        assert not readers.differences(image, e)
    checker = mounts.shared("conformance", "check_omezarr.py")
    if not checker:
        pytest.skip("the conformance checker is not here: pixels compared, documents not judged")
    p = subprocess.run([sys.executable, checker, str(copy), "--dense", "--max-images", "1000", "--quiet",
                        "--require", "zarr,tensorstore,zarrs,dask,ome-zarr-models", "--source", str(samples[0] / name)],
                       capture_output=True, text=True, env={**os.environ, "QT_QPA_PLATFORM": "offscreen"})
    assert p.returncode == 0, p.stdout[-3000:] + p.stderr[-1000:]
    shutil.rmtree(copy)


def test_brute_force_levels_by_hand():
    """The judge itself: rounding, edges, signs and NaN worked out on paper."""
    a = np.array([[1, 2, 3], [4, 4, 6], [-5, -6, -8]], np.int16)
    assert levels.mean2x2(a).tolist() == [[3, 5], [-5, -8]]
    assert levels.mean2x2(np.array([[2**64 - 1, 2**64 - 2]], np.uint64)).tolist() == [[2**64 - 1]]
    f = levels.mean2x2(np.array([[1, np.nan, 0.5]], np.float32))
    assert np.isnan(f[0, 0]) and f[0, 1] == 0.5
    assert levels.sizes_below(257, 3) == [(129, 2)]
    assert json.dumps(levels.nearest(np.arange(9).reshape(3, 3), 2, 2).tolist()) == "[[0, 1], [3, 4]]"
