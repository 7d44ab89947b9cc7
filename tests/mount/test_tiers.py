"""The tier report of mounted images: against an independent count from the specification's own table, and its examples."""
import json
import os
import xml.etree.ElementTree as ET

import numpy as np
import pytest
import tifffile
from support import corpus, mounts, tiers

EXAMPLES = "metadata/examples"


@pytest.fixture(scope="module")
def specification():
    if not os.path.exists(mounts.shared("metadata/nbo_tiers.json")):
        pytest.skip("no shared/metadata: set FUZARR_SHARED")
    return tiers.Specification()


def load(path):
    with open(path, encoding="utf-8") as f:
        return json.load(f)


def agree(root, specification):
    """Every image of a directory: the report's counts and lists are those of the independent count. Gives the report."""
    report = load(os.path.join(root, "nbo-tier-report.json"))
    document = ET.parse(os.path.join(root, "OME", "METADATA.ome.xml")).getroot()
    images = tiers.children(document, "Image")
    assert len(images) == len(report["images"])
    for number, (entry, image) in enumerate(zip(report["images"], images)):
        # The document names an image after its file where nobody named it; that is nobody's word.
        default = "Name" in entry["missing"].get("1", {}).get("Image", []) and entry["name"] == image.get("Name")
        count = tiers.Count(specification, document, image, default)
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


@pytest.mark.seconds(900)
def test_corpus_agrees_with_an_independent_count(mount, specification):
    if not os.path.isdir(corpus.folder()):
        pytest.skip(f"no corpus at {corpus.folder()}")
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
