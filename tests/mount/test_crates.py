"""ro-crate-metadata.json and sidecars: what readers of crates find, and what they find when a sidecar is broken."""
import json
import os
import shutil
import subprocess
import time

import pytest
import tifffile

from support import corpus, fixtures, mounts

CONTEXTS = mounts.shared("metadata", "ro-crate-contexts")
SIDECAR = """\
meta_version: "1"
name: Mitotic cells
description: Stacks of dividing cells.
license: https://creativecommons.org/licenses/by/4.0/
date_published: 2026-11-20
keywords: [mitosis, confocal microscopy]
authors:
  - given_name: Josiah
    family_name: Carberry
    orcid: 0000-0002-1825-0097
    email: josiah@example.org
    affiliation: {name: Example University, ror: "https://ror.org/00example0"}
    role: data acquisition
  - {name: The Example Facility}
publisher: {name: Example University, ror: "https://ror.org/00example0", email: data@example.org}
acknowledgements: We thank the facility.
funding: {statement: Paid by X, grants: [{identifier: X-1, funder: X}]}
publications:
  - {title: A paper, doi: 10.1038/s41592-021-01166-8, year: 2021, authors: [A, B]}
  - {title: Another, pubmed_id: 12345}
links: [{url: "https://example.org/more", description: more}]
study: {title: Spindles, component: {name: Fixed cells, description: One slide}}
biosample:
  title: HeLa GFP-tubulin
  biological_entity: HeLa cells in mitosis
  organism: {ncbi_taxon: 9606, scientific_name: Homo sapiens, common_name: human}
  extrinsic_variables: []
specimen:
  preparation: Fixed in 4 % formaldehyde.
  channels: [{index: 0, content: GFP, name: tubulin}]
acquisition: {fbbi: [FBbi_00000252, FBbi_00000246]}
nbo: {Sample: {Name: slide 3}}
shelf: 12
"""


def judges():
    """The Python that has roc-validator and rocrate, or None."""
    python = os.environ.get("FUZARR_CRATES_PYTHON", os.path.join(mounts.ROOT, ".venv-crates", "bin", "python"))
    return python if os.access(python, os.X_OK) else None


def judged(load, validate):
    if not judges():
        pytest.skip("no roc-validator: FUZARR_CRATES_PYTHON names a Python with tests/requirements-crates.txt")
    if not CONTEXTS:
        pytest.skip("no contexts of RO-Crate beside the repository")
    wanted = json.dumps({"load": load, "validate": validate})
    script = os.path.join(mounts.ROOT, "tests", "support", "judge_crates.py")
    ran = subprocess.run([judges(), script, CONTEXTS], input=wanted, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr[-3000:]
    return json.loads(ran.stdout.splitlines()[-1])


def crate(directory):
    """The document; its size is that of stat."""
    path = os.path.join(directory, "ro-crate-metadata.json")
    with open(path, "rb") as f:
        raw = f.read()
    assert os.stat(path).st_size == len(raw)
    return json.loads(raw)


def by_id(document):
    found = {e["@id"]: e for e in document["@graph"]}
    assert len(found) == len(document["@graph"])
    return found


def rules(document):
    """The rules of the specification that hold for any crate."""
    graph, found = document["@graph"], by_id(document)
    root = graph[0]
    assert root["@id"] == "./" and root["@type"] == "Dataset"
    assert all(isinstance(root[k], str) and root[k] for k in ("name", "description", "license", "datePublished"))
    terms = document["@context"][1]
    assert {"fbbi_id", "resultOf", "image_acquisition"} <= set(terms)
    # A licence is a link only if there is one.
    assert ("license" in terms) == root["license"].startswith("http")
    for kind in ("biosample", "specimen", "image_acquisition"):
        assert sum(e["@type"] == kind for e in graph) <= 1
    for e in graph:
        for key in ("organism_classification", "fbbi_id"):
            assert key not in e or list(e[key]) == ["@id"]
    references = [v for e in graph for value in e.values() for v in (value if isinstance(value, list) else [value]) if isinstance(v, dict)]
    assert all(r["@id"] in found for r in references if r["@id"].startswith("#"))
    return root


def as_challenge_reader(document):
    """What the page of the OME 2024 challenge shows: the first of each in the graph."""
    graph = document["@graph"]
    first = {key: next((e[key] for e in graph if key in e), None) for key in ("name", "description", "license")}
    organism = next((e["organism_classification"]["@id"] for e in graph if e["@type"] == "biosample"), None)
    method = next((e["fbbi_id"]["@id"] for e in graph if e["@type"] == "image_acquisition" and "fbbi_id" in e), None)
    return first, organism, method


def shape(document):
    """What validation can tell apart: types, properties and the kinds of their values."""
    def kind(value):
        if isinstance(value, dict):
            return "ref:" + value.get("@id", "")[:8].split(":")[0].strip("#./0123456789")
        return sorted({kind(v) for v in value}) if isinstance(value, list) else type(value).__name__

    return json.dumps([document["@context"], sorted({json.dumps([e["@type"], sorted((k, kind(v)) for k, v in e.items() if k[0] != "@")])
                                                     for e in document["@graph"]})])


def write_image(path):
    tifffile.imwrite(path, fixtures.pattern((40, 50), "uint16"))


@pytest.fixture
def folder(tmp_path):
    source = tmp_path / "source"
    (source / "sub").mkdir(parents=True)
    write_image(source / "sub" / "a.tif")
    write_image(source / "b.tif")
    return source


def images_of_corpus(m):
    """The directories of the corpus's images and sets in a mount of it."""
    for entry in corpus.manifest()["files"]:
        if not corpus.out_of_scope(os.path.join(corpus.folder(), entry["path"])):
            yield corpus.virtual(m.path, entry["path"])


@pytest.mark.seconds(1500)
@pytest.mark.skipif(not corpus.folder(), reason="the corpus is not here")
def test_every_image_of_the_corpus_has_a_valid_crate(mount):
    directories, shapes = [], {}
    for directory in images_of_corpus(mount(corpus.folder())):
        document = crate(directory)
        root = rules(document)
        assert as_challenge_reader(document)[0] == {k: root[k] for k in ("name", "description", "license")}
        if root["license"].startswith("http"):
            with open(os.path.join(directory, "OME", "METADATA.ome.xml"), encoding="utf-8") as f:
                assert root["license"] in f.read(), "nobody else gave one"
        directories.append(directory)
        shapes.setdefault(shape(document), directory)
    assert len(directories) > 200
    print(f"{len(directories)} crates of {len(shapes)} shapes")
    assert not judged(directories, list(shapes.values()))


@pytest.mark.seconds(1500)
@pytest.mark.skipif(not corpus.folder(), reason="the corpus is not here")
def test_a_sidecar_makes_a_full_crate_of_every_image(mount, tmp_path):
    source = tmp_path / "source"
    shutil.copytree(corpus.folder(), source)
    source.chmod(0o755)
    (source / "dataset.meta.yaml").write_text(SIDECAR)
    directories, shapes = [], {}
    for directory in images_of_corpus(mount(source)):
        document = crate(directory)
        root, found = rules(document), by_id(document)
        assert found["ro-crate-metadata.json"]["conformsTo"]["@id"].endswith("/1.2")
        first, organism, method = as_challenge_reader(document)
        assert (organism, method) == ("NCBI:txid9606", "obo:FBbi_00000252")
        assert first["license"] == "https://creativecommons.org/licenses/by/4.0/"
        assert first["name"].startswith("Mitotic cells, ")
        assert root["author"] == [{"@id": "https://orcid.org/0000-0002-1825-0097"}, {"@id": "#author-1"}]
        assert found["#sidecar-shelf"]["value"] == 12
        for part in root["hasPart"]:
            assert os.path.exists(os.path.join(directory, part["@id"])), part
        directories.append(directory)
        shapes.setdefault(shape(document), directory)
    assert len(directories) > 200
    print(f"{len(directories)} crates of {len(shapes)} shapes")
    assert not judged(directories, list(shapes.values()))


def test_every_view_has_the_parts_that_the_crate_names(mount, folder):
    (folder / "dataset.meta.yaml").write_text(SIDECAR)
    m = mount(folder, "--ngff", "0.5,0.4")
    for name in ("b.ome.zarr", "b.v04.ome.zarr"):
        for part in rules(crate(m.join(name)))["hasPart"]:
            assert os.path.exists(m.join(name, part["@id"])), (name, part)


def test_two_mounts_show_the_same_bytes(mount, folder):
    (folder / "dataset.meta.yaml").write_text(SIDECAR)
    raw = [open(m.join("b.ome.zarr", "ro-crate-metadata.json"), "rb").read() for m in (mount(folder), mount(folder, "--threads", 1))]
    assert raw[0] == raw[1]


def test_nearer_sidecars_win_and_tables_speak_of_files(mount, folder):
    (folder / "dataset.meta.yaml").write_text("name: all\nlicense: CC0\nimages: {0: {description: first}}\n")
    (folder / "sub" / "dataset.meta.json").write_text(json.dumps({"license": "CC-BY-4.0", "name": "sub"}))
    (folder / "sub" / "a.tif.meta.yml").write_text("biosample: {organism: {ncbi_taxon: 10090}}\nacquisition: {fbbi: FBbi_00000253}\n")
    (folder / "dataset.meta.csv").write_bytes("file;name;keywords\r\nb.tif;aus der Tabelle \xe4;x|y\r\n".encode("cp1252"))
    m = mount(folder)
    a, b = crate(m.join("sub", "a.ome.zarr")), crate(m.join("b.ome.zarr"))
    assert as_challenge_reader(a) == ({"name": "sub, a", "description": "first", "license": "https://creativecommons.org/licenses/by/4.0/"},
                                      "NCBI:txid10090", "obo:FBbi_00000253")
    assert (b["@graph"][0]["name"], b["@graph"][0]["keywords"]) == ("aus der Tabelle ä", ["x", "y"])
    assert b["@graph"][0]["license"] == "https://creativecommons.org/publicdomain/zero/1.0/"


BROKEN = {
    "not YAML": ("dataset.meta.yaml", b"name: [1\nb: 2\n", 2),
    "a tab": ("dataset.meta.yml", b"name: x\n\tb: 2\n", None),
    "not JSON": ("dataset.meta.json", b'{"name": "x",\n}', 2),
    "no mapping": ("dataset.meta.yaml", b"- 1\n- 2\n", 1),
    "not UTF-8": ("dataset.meta.yaml", b"name: x\ndescription: \xff\xfe\n", 2),
    "a wrong type": ("b.tif.meta.yaml", b"description: fine\nname: {a: 1}\n", 2),
    "an unknown key": ("b.tif.meta.yaml", b"description: fine\n\nlicence: CC0\n", 3),
    "a bomb of aliases": ("dataset.meta.yaml", b"a: &a [x,x,x,x,x,x,x,x,x,x]\n" + b"".join(
        b"%c: &%c [%s]\n" % (c, c, b",".join([b"*%c" % (c - 1)] * 10)) for c in range(ord("b"), ord("k"))), None),
    "depth": ("dataset.meta.json", b'{"a": ' + b"[" * 5000 + b"]" * 5000 + b"}", 1),
    "length": ("dataset.meta.yaml", b"# " + b"x" * (1 << 20) + b"\n", None),
    "no column for the file": ("dataset.meta.csv", b"name\nx\n", 1),
    "quality control that leads out": ("dataset.meta.yaml", b"qc_files: [../../../etc/passwd]\n", None),
    "quality control that is not there": ("dataset.meta.yaml", b"qc_files: [qc.yaml]\n", None),
    "a licence that is none": ("b.tif.meta.yaml", b"license: mine\n", 1),
    "nothing": ("dataset.meta.yaml", b"", False),
}


@pytest.mark.parametrize("case", sorted(BROKEN))
def test_a_broken_sidecar_hides_no_image(mount, folder, case):
    name, content, line = BROKEN[case]
    (folder / name).write_bytes(content)
    m = mount(folder)
    root = m.join("b.ome.zarr")
    rules(crate(root))
    with open(os.path.join(root, "0", "c", "0", "0", "0", "0", "0"), "rb") as f:
        assert len(f.read()) == 512 * 512 * 2
    with open(os.path.join(root, "nbo-tier-report.json"), encoding="utf-8") as f:
        problems = json.load(f).get("problems", [])
    if line is False:
        assert not problems
        return
    assert problems, "the report tells of it"
    assert problems[0]["file"].endswith(name) or case == "quality control that is not there"
    assert problems[0]["reason"] and "passwd" not in open(os.path.join(root, "ro-crate-metadata.json")).read()
    if line:
        assert problems[0]["line"] == line
    description = crate(root)["@graph"][0]["description"]
    assert (description == "fine") == (b"description: fine" in content)


def test_a_change_of_a_sidecar_shows(mount, folder):
    m = mount(folder)
    path = m.join("b.ome.zarr")
    assert crate(path)["@graph"][0]["name"] == "b"
    (folder / "b.tif.meta.yaml").write_text("name: first\n")
    until = time.monotonic() + 30
    while crate(path)["@graph"][0]["name"] != "first":
        assert time.monotonic() < until
        time.sleep(0.1)
    (folder / "b.tif.meta.yaml").unlink()
    while crate(path)["@graph"][0]["name"] != "b":
        assert time.monotonic() < until
        time.sleep(0.1)
