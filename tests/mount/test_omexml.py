"""`OME/METADATA.ome.xml`: valid against the schema of 2016-06 for every image there is, and true to the arrays beside it."""
import os

import pytest
import zarr
from lxml import etree

from support import corpus, dialects, mounts, readers, slides

NS = {"o": "http://www.openmicroscopy.org/Schemas/OME/2016-06"}


@pytest.fixture(scope="module")
def schema():
    xsd = mounts.shared("metadata", "ome-2016-06.xsd")
    return xsd and etree.XMLSchema(etree.parse(xsd))


def document(root, schema):
    """The parsed document of an image directory."""
    tree = etree.parse(os.path.join(root, "OME", "METADATA.ome.xml"))
    if schema:
        assert schema.validate(tree), (root, schema.error_log)
    return tree


def images(root):
    """Paths of the images in the order of the document."""
    return [os.path.relpath(path, root) for path in readers.images(root)]


def check(root, schema):
    """One image directory: identifiers, order and sizes are those of the arrays. Gives the document."""
    tree = document(root, schema)
    all_ = tree.findall("o:Image", NS)
    paths = images(root)
    assert [i.get("ID") for i in all_] == [f"Image:{n}" for n in range(len(paths))], root
    for one, path in zip(all_[:20], paths):
        pixels = one.find("o:Pixels", NS)
        group = os.path.join(root, path)
        shape = dict(zip(readers.axes(group), zarr.open_array(os.path.join(group, "0"), mode="r").shape))
        assert {d: int(pixels.get("Size" + d.upper())) for d in "tczyx"} == {d: shape.get(d, 1) for d in "tczyx"}, (root, path)
        assert len(pixels.findall("o:Channel", NS)) == shape.get("c", 1), (root, path)
        assert pixels.find("o:MetadataOnly", NS) is not None
    return tree


@pytest.mark.seconds(600)
def test_every_image_of_the_corpus(mount, schema):
    if not corpus.folder():
        pytest.skip("the corpus is not here")
    if not schema:
        pytest.skip("the OME schema is not here")
    m = mount(corpus.folder())
    seen = 0
    for entry in corpus.manifest()["files"]:
        root = corpus.virtual(m.path, entry["path"])
        if os.path.isdir(root):
            check(root, schema)
            seen += 1
    print(f"{seen} documents are valid")
    assert seen > 200


def write_all(folder):
    """A file of every dialect."""
    place = lambda name: os.makedirs(folder / name, exist_ok=True) or folder / name
    slides.aperio(place("svs") / "a.svs")
    slides.leica(place("scn") / "l.scn")
    slides.qptiff(place("qptiff") / "q.qptiff")
    slides.philips(place("philips") / "p.tiff")
    slides.ventana(place("bif") / "v.bif")
    dialects.ndpi(place("ndpi") / "n.ndpi")
    dialects.lsm(place("lsm") / "l.lsm")
    dialects.stk(place("stk") / "s.stk", (24, 32), 6, {i: dialects.plane(24, 32, i) for i in range(6)})
    dialects.mmstack(place("mmstack"))
    dialects.ndtiff(place("ndtiff"))
    dialects.separate(str(place("separate")), 2)
    dialects.fluoview(place("fluoview") / "f.tif")
    dialects.prairie(str(place("prairie")))


def test_every_dialect(tmp_path, mount, schema):
    write_all(tmp_path)
    m = mount(tmp_path)
    found = {}
    for folder, names, _ in os.walk(m.path):
        for name in [n for n in names if n.endswith(".ome.zarr")]:
            found.setdefault(os.path.relpath(folder, m.path), check(os.path.join(folder, name), schema))
        names[:] = [n for n in names if not n.endswith(".ome.zarr")]
    assert len(found) == 13, sorted(found)

    def value(dialect, path, attribute):
        return found[dialect].find(path, NS).get(attribute)

    assert value("svs", "o:Instrument/o:Objective", "NominalMagnification") == "40"
    # The overview was taken through another lens.
    lenses = found["scn"].findall("o:Instrument/o:Objective", NS)
    assert [(o.get("NominalMagnification"), o.get("LensNA")) for o in lenses] == [("2.5", None), ("20", "0.7")]
    steps = [float(p.get("DeltaT")) for p in found["stk"].findall("o:Image/o:Pixels/o:Plane", NS)]
    assert steps == [0.25 * i for i in range(6)]
    prairie = found["prairie"].findall("o:Image/o:Pixels/o:Plane", NS)
    assert [(p.get("TheZ"), p.get("TheT"), p.get("DeltaT")) for p in prairie] == [(str(z), str(t), str(z)) for t in range(2) for z in range(3)]
    kept = {m.get("K"): m.text for m in found["prairie"].iter("{%s}M" % NS["o"])}
    assert kept["Prairie View version"] == "5.3"


def test_identical_at_every_mount(tmp_path):
    write_all(tmp_path)
    seen = []
    for _ in range(2):
        with mounts.Mount(tmp_path) as m:
            with open(m.join("qptiff", "q.ome.zarr", "OME", "METADATA.ome.xml"), "rb") as f:
                seen.append(f.read())
    assert seen[0] == seen[1]
