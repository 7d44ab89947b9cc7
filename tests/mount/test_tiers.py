"""The tier report of mounted images: against an independent count from the specification's own table, and its examples."""
import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ET

import numpy as np
import pytest
import tifffile
from support import corpus, mounts, tiers

EXAMPLES = "metadata/examples"


@pytest.fixture(scope="module")
def specification():
    if not mounts.shared("metadata/nbo_tiers.json"):
        pytest.skip("no shared/metadata: set FUZARR_SHARED")
    return tiers.Specification()


def load(path):
    with open(path, encoding="utf-8") as f:
        return json.load(f)


def bits_said(root):
    """Numbers of the images of which the source's own OME-XML says how many bits count."""
    path = os.path.join(root, "OME", "source.ome.xml")
    if not os.path.exists(path):
        return set()
    try:
        pixels = [e for e in ET.parse(path).getroot().iter() if e.tag.rpartition("}")[2] == "Pixels"]
    except ET.ParseError:
        return set()
    return {number for number, e in enumerate(pixels) if e.get("SignificantBits")}


def agree(root, specification):
    """Every image of a directory: the report's counts and lists are those of the independent count. Gives the report."""
    report = load(os.path.join(root, "nbo-tier-report.json"))
    document = ET.parse(os.path.join(root, "OME", "METADATA.ome.xml")).getroot()
    images = tiers.children(document, "Image")
    assert len(images) == len(report["images"])
    said = bits_said(root)
    for number, (entry, image) in enumerate(zip(report["images"], images)):
        # The document names an image after its file where nobody named it; that is nobody's word.
        default = "Name" in entry["missing"].get("1", {}).get("Image", []) and entry["name"] == image.get("Name")
        count = tiers.Count(specification, document, image, default, number in said)
        assert entry["tiers"] == count.tiers(), (root, number)
        lacks = entry["missing"]
        if "as_image" in lacks:
            lacks = report["images"][lacks["as_image"]]["missing"]
        by_element = number >= 64 and "as_image" not in entry["missing"]
        got = {t: {c: sorted(f) for c, f in m.items()} for t, m in lacks.items()}
        assert got == count.missing(by_element), (root, number)
        attained = [t for t in (1, 2, 3) if entry["tiers"][str(t)]["complete"]]
        assert entry["tier_attained"] == (attained[-1] if attained == list(range(1, len(attained) + 1)) and attained else 0)
        assert sum(entry["sources"].values()) == entry["tiers"]["3"]["present"]
        assert set(entry["sources"]) <= {"ome-xml", "vendor", "derived", "sidecar"}
        # No file comes to tier 1 by itself.
        assert entry["tier_attained"] == 0 or "sidecar" in entry["sources"]
    return report


def test_tables_are_those_of_the_specification(specification, tmp_path):
    script = os.path.join(mounts.ROOT, "scripts", "gen-tables")
    subprocess.run([sys.executable, script, mounts.shared("metadata"), str(tmp_path)], check=True, stdout=subprocess.DEVNULL)
    made = sorted(os.listdir(tmp_path))
    assert made == ["modality.tsv", "nbo.tsv", "quarep.tsv", "rembi.tsv"]
    for name in made:
        with open(os.path.join(mounts.ROOT, "src/metadata/tables", name), encoding="utf-8") as f:
            assert f.read() == (tmp_path / name).read_text(encoding="utf-8"), f"{name}: scripts/gen-tables was not run"


def instrument_sample(folder):
    """The sample of the OME project with the richest instrument, as an OME-TIFF of the pixels that it declares."""
    source = mounts.shared(EXAMPLES, "ome-xml/instrument-2016-06.ome.xml")
    with open(source, encoding="utf-8") as f:
        xml = f.read()
    start, end = xml.index("<BinData"), xml.index("</BinData>") + len("</BinData>")
    xml = xml[:start] + '<TiffData IFD="0" PlaneCount="1"/>' + xml[end:]
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, "instrument.ome.tif")
    tifffile.imwrite(path, np.zeros((4, 6), np.uint8), description=xml.encode(), metadata=None)
    return path


def test_example_sidecar_lifts_the_instrument_sample(mount, specification, tmp_path):
    alone, helped = tmp_path / "alone", tmp_path / "helped"
    instrument_sample(alone)
    instrument_sample(helped)
    for name in ("dataset.meta.yaml", "2026-11-03.qc.yaml"):
        target = helped / name if name.startswith("dataset") else helped / "qc" / name
        target.parent.mkdir(exist_ok=True)
        with open(mounts.shared(EXAMPLES, name), encoding="utf-8") as f:
            # De-identification is another test's.
            target.write_text("".join(line for line in f if not line.startswith("deidentify:")), encoding="utf-8")
    root = mount(tmp_path).path
    example = load(mounts.shared(EXAMPLES, "nbo-tier-report.json"))["images"][0]
    report = agree(os.path.join(root, "alone", "instrument.ome.zarr"), specification)
    assert report["specification"] == "NBO v02-01"
    entry = report["images"][0]
    assert (entry["tier_attained"], entry["tiers"]["1"]) == (0, {"required": 76, "present": 38, "complete": False})
    folder = os.path.join(root, "helped", "instrument.ome.zarr")
    report = load(os.path.join(folder, "nbo-tier-report.json"))
    entry = report["images"][0]
    assert report["generated_from"]["sidecars"] == ["helped/dataset.meta.yaml"]
    assert "warnings" not in entry and "problems" not in report
    assert entry["tiers"]["1"] == example["tiers"]["1"] == {"required": 76, "present": 53, "complete": False}
    assert entry["missing"]["1"] == example["missing"]["1"]
    assert entry["missing"]["3"] == example["missing"]["3"]
    # One field more than in the example: the wavelength that is set for the channel is its peak wavelength.
    peak = example["missing"]["2"].pop("Channel[0]/IlluminationWavelengthRange")
    assert peak == ["PeakWavelength"] and entry["tiers"]["2"]["present"] == example["tiers"]["2"]["present"] + 1
    assert {c: sorted(f) for c, f in entry["missing"]["2"].items()} == {c: sorted(f) for c, f in example["missing"]["2"].items()}
    assert entry["rembi"] == example["rembi"]
    keys = ("metric", "value", "unit", "date", "age_days")
    got, want = [[[r[k] for k in keys] for r in e["qc"]["records"]] for e in (entry, example)]
    assert got == want
    assert (entry["qc"]["acquired"], entry["qc"]["note"]) == (example["qc"]["acquired"], example["qc"]["note"])
    assert [r["matched"] for r in entry["qc"]["records"]] == [r["matched"] for r in example["qc"]["records"]]
    sessions = load(os.path.join(folder, "OME", "qc.json"))["sessions"]
    assert [len(s["results"]) for s in sessions] == [3, 3]
    assert entry["modality"][0]["id"] == "FBbi_00000252"
    assert not os.path.exists(os.path.join(root, "alone", "instrument.ome.zarr", "OME", "qc.json"))


@pytest.mark.seconds(900)
def test_corpus_agrees_with_an_independent_count(mount, specification):
    if not corpus.folder():
        pytest.skip("no corpus: set FUZARR_SHARED")
    root = mount(corpus.folder()).path
    seen = 0
    for entry in corpus.manifest()["files"]:
        directory = corpus.virtual(root, entry["path"])
        if not os.path.exists(os.path.join(directory, "nbo-tier-report.json")):
            continue
        agree(directory, specification)
        seen += 1
    assert seen > 100, seen
    print(f"{seen} images and sets agree")
