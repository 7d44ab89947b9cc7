"""Plates: what readers find, what opening costs in source files and bytes, what missing and private members do."""
import errno
import os
import time

import numpy as np
import pytest
import zarr
from lxml import etree

from support import mounts, plates, readers

ROWS, COLUMNS, FIELDS = 16, 24, 4


def calls(m):
    """Files opened and bytes read at the source so far, as the daemon counts them."""
    counted = m.status()["fs"]["source_calls"]
    return counted["opens"], counted["bytes_read"]


def image(root, path):
    """Level 0 of an image, c, y, x."""
    return zarr.open_array(os.path.join(root, path, "0"), mode="r")[0, :, 0]


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    wells = [(r, c) for r in range(ROWS) for c in range(COLUMNS)]
    folder = tmp_path_factory.mktemp("plate384")
    return plates.Plates(folder, [(ROWS, COLUMNS, wells, FIELDS, 1)])


@pytest.mark.seconds(600)
def test_a_plate_of_1536_files_opens_by_its_companion(large, mount):
    assert len(large.images) == 1536
    document = os.path.getsize(os.path.join(large.folder, large.companion))
    member = os.path.getsize(large.file(0))
    m = mount(large.folder)
    root = m.join("plate.ome.zarr")
    plate = readers.attributes(root)["plate"]
    assert (len(plate["rows"]), len(plate["columns"]), len(plate["wells"]), plate["field_count"]) == (16, 24, 384, 4)
    assert set(os.listdir(root)) == {"zarr.json", "ro-crate-metadata.json", "nbo-tier-report.json", "OME", *(plates.letters(r) for r in range(ROWS))}
    with open(os.path.join(root, "OME", "METADATA.ome.xml"), "rb") as f:
        assert f.read().count(b"<WellSample ") == 1536
    opens, read = calls(m)
    print(f"plate of 1536 files: {opens} source files opened, {read} bytes read; the companion has {document}, a member {member}")
    # The document, and one member that stands for all fields described alike.
    assert opens <= 2 and read <= document + 3 * member

    well = os.path.join(root, "P", "24")
    assert sorted(os.listdir(well)) == ["0", "1", "2", "3", "zarr.json"]
    assert calls(m) == (opens, read), "listing a well costs nothing"
    for f in range(FIELDS):
        assert (image(root, f"P/24/{f}") == plates.pixels(1532 + f)).all()
        assert readers.attributes(os.path.join(well, str(f)))["omero"]["channels"][1]["label"] == "dye 1"
    more, further = calls(m)
    print(f"one well of 4 fields: {more - opens} source files opened, {further - read} bytes read")
    # Two chunks of a field that come at the same moment may each open its file.
    assert more - opens <= 2 * FIELDS and further - read <= FIELDS * 3 * member

    import ngff_zarr
    import ome_zarr.io
    import ome_zarr.reader
    before = calls(m)
    assert len(ngff_zarr.from_hcs_zarr(root, validate=True).wells) == 384
    after = calls(m)
    print(f"ngff-zarr opens the plate: {after[0] - before[0]} source files opened, {after[1] - before[1]} bytes read")
    assert after[0] - before[0] <= 2 * FIELDS
    nodes = list(ome_zarr.reader.Reader(ome_zarr.io.parse_url(root))())
    assert [type(s).__name__ for s in nodes[0].specs] == ["Plate"]
    grid = nodes[0].data[0]
    assert grid.shape[-2:] == (ROWS * plates.SHAPE[1], COLUMNS * plates.SHAPE[2])
    opened = calls(m)
    print(f"ome-zarr opens the plate: {opened[0] - after[0]} source files opened, {opened[1] - after[1]} bytes read")
    assert opened[0] - after[0] <= 2 * FIELDS
    # Every well shows its own pixels.
    for number in range(0, 1536, 97):
        assert (image(root, large.images[number][0]) == plates.pixels(number)).all(), large.images[number]


@pytest.fixture(scope="module", params=[True, False], ids=["companion", "each"])
def mixed(request, tmp_path_factory):
    """Two plates and loose images, described by a companion or by each file."""
    folder = tmp_path_factory.mktemp("mixed")
    kinds = [(3, 4, [(0, 0), (2, 3), (1, 1)], 4, 2), (30, 2, [(27, 1), (0, 0)], 1, 0)]
    return plates.Plates(folder, kinds, loose=2, companion=request.param)


@pytest.mark.parametrize("version", ["0.5", "0.4"])
def test_two_plates_and_loose_images(mixed, mount, version):
    m = mount(mixed.folder, "--ngff", version)
    name = mixed.companion or os.path.basename(mixed.file(5))
    root = m.join(name + ".ome.zarr")
    documents = {"zarr.json"} if version == "0.5" else {".zattrs", ".zgroup"}
    assert set(os.listdir(root)) == documents | {"ro-crate-metadata.json", "nbo-tier-report.json", "OME", "A", "B", "C", "images", "plates"}
    a = readers.attributes(root)
    assert a["bioformats2raw.layout"] == 3
    p = a["plate"]
    assert [r["name"] for r in p["rows"]] == list("ABC") and [c["name"] for c in p["columns"]] == list("1234")
    assert [w["path"] for w in p["wells"]] == ["A/1", "C/4", "B/2"]
    assert [(w["rowIndex"], w["columnIndex"]) for w in p["wells"]] == [(0, 0), (2, 3), (1, 1)]
    assert (p["version"], p["name"], p["field_count"]) == (version, "plate 0", 4)
    runs = [(r["id"], r["name"], r["maximumfieldcount"], r["starttime"]) for r in p["acquisitions"]]
    assert runs == [(0, "run 0", 2, 1577836800), (1, "run 1", 2, 1577836801)]
    well = readers.attributes(os.path.join(root, "C/4"))["well"]
    assert well["images"] == [{"path": str(f), "acquisition": f % 2} for f in range(4)]
    second = readers.attributes(os.path.join(root, "plates/1"))["plate"]
    assert (len(second["rows"]), second["rows"][27], [w["path"] for w in second["wells"]]) == (30, {"name": "AB"}, ["AB/2", "A/1"])
    assert "acquisitions" not in second
    assert readers.attributes(os.path.join(root, "plates/1/AB/2"))["well"]["images"] == [{"path": "0"}]
    assert set(os.listdir(os.path.join(root, "plates/1"))) == documents | {"A", "AB"}

    order = [p for p, _ in mixed.images if p[0] in "ABC"] + ["images/0", "images/1", "plates/1/AB/2/0", "plates/1/A/1/0"]
    assert readers.attributes(os.path.join(root, "OME"))["series"] == order
    number = {path: n for n, (path, _) in enumerate(mixed.images)}
    tree = etree.parse(os.path.join(root, "OME", "METADATA.ome.xml"))
    ns = {"o": plates.NS}
    names = [i.get("Name") for i in tree.findall("o:Image", ns)]
    assert names == [f"image {number[p]}" for p in order]
    assert [i.get("ID") for i in tree.findall("o:Image", ns)] == [f"Image:{i}" for i in range(len(order))]
    found = [(p.get("Name"), w.get("Row"), w.get("Column"), len(w)) for p in tree.findall("o:Plate", ns) for w in p.findall("o:Well", ns)]
    assert found == [("plate 0", "0", "0", 4), ("plate 0", "2", "3", 4), ("plate 0", "1", "1", 4), ("plate 1", "27", "1", 1), ("plate 1", "0", "0", 1)]
    refs = [r.get("ID") for r in tree.findall("o:Plate/o:Well/o:WellSample/o:ImageRef", ns)]
    assert refs == [f"Image:{order.index(p)}" for p in order if not p.startswith("images/")]
    xsd = mounts.shared("metadata", "ome-2016-06.xsd")
    if xsd:
        etree.XMLSchema(etree.parse(xsd)).assertValid(tree)
    for path, n in number.items():
        assert (image(root, path) == plates.pixels(n)).all(), path


def test_every_member_shows_the_set_and_names_it_alike(mixed, mount):
    m = mount(mixed.folder)
    files = [name for _, name in mixed.images] + ([mixed.companion] if mixed.companion else [])
    canonical = mixed.companion or min(files)
    for name in files:
        root = m.join(name + ".ome.zarr")
        assert os.getxattr(root, "user.fuzarr.dataset").decode() == canonical
        assert os.path.isdir(os.path.join(root, "plates", "1", "AB", "2", "0"))
    assert (image(m.join(files[3] + ".ome.zarr"), "C/4/1") == plates.pixels(5)).all()


def test_a_missing_member_costs_its_field(tmp_path, mount):
    p = plates.Plates(tmp_path, [(2, 2, [(0, 0), (1, 1)], 2, 0)])
    os.rename(p.file(2), p.file(2) + ".away")
    m = mount(tmp_path)
    root = m.join("plate.ome.zarr")
    assert (image(root, "A/1/0") == plates.pixels(0)).all() and (image(root, "B/2/1") == plates.pixels(3)).all()
    with pytest.raises(OSError) as e:
        open(os.path.join(root, "B/2/0/0/c/0/0/0/0/0"), "rb").read()
    assert e.value.errno == errno.EIO
    os.rename(p.file(2) + ".away", p.file(2))
    until = time.monotonic() + 60
    while True:
        try:
            assert (image(root, "B/2/0") == plates.pixels(2)).all()
            break
        except OSError:
            assert time.monotonic() < until, "the file that came is never read"
            time.sleep(0.2)


def test_a_changed_member_is_shown_as_it_is(tmp_path, mount):
    import tifffile
    p = plates.Plates(tmp_path, [(1, 2, [(0, 0), (0, 1)], 1, 0)])
    m = mount(tmp_path)
    root = m.join("plate.ome.zarr")
    assert (image(root, "A/2/0") == plates.pixels(1)).all()
    with tifffile.TiffFile(p.file(1)) as t:
        description = t.pages[0].description
    new = plates.pixels(9)
    tifffile.imwrite(p.file(1) + ".new", new, photometric="minisblack", description=description.encode(), metadata=None)
    os.rename(p.file(1) + ".new", p.file(1))
    until = time.monotonic() + 60
    while True:
        try:
            seen = image(root, "A/2/0")
        except OSError:
            seen = None
        if seen is not None and (seen == new).all():
            break
        assert time.monotonic() < until, "the new state is never shown"
        time.sleep(0.2)
    assert (image(root, "A/1/0") == plates.pixels(0)).all()


def test_a_private_member_hides_its_field_alone(tmp_path, mount):
    if os.geteuid() != 0:
        pytest.skip("other users need root")
    tmp_path.chmod(0o755)
    p = plates.Plates(tmp_path, [(1, 2, [(0, 0), (0, 1)], 1, 0)])
    os.chmod(p.file(1), 0o600)
    m = mount(tmp_path, "--allow-other")
    root = m.join("plate.ome.zarr")
    mode = {path: os.stat(os.path.join(root, path)).st_mode & 0o777 for path in [
        "zarr.json", "OME/METADATA.ome.xml", "A/2/zarr.json", "A/1/0/zarr.json", "A/1/0/0/zarr.json", "A/1/0/0/c/0/0/0/0/0",
        "A/2/0/zarr.json", "A/2/0/0/zarr.json", "A/2/0/0/c/0/0/0/0/0"]}
    for path, bits in mode.items():
        assert bits == (0o400 if path.startswith("A/2/0") else 0o444), path
    assert np.array_equal(image(root, "A/2/0"), plates.pixels(1)), "root reads all"
