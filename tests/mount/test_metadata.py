"""`fuzarr metadata` and `fuzarr sidecar`: what is known, what is missing, and that a filled template lifts the report."""
import json
import os
import re
import subprocess

import numpy as np
import pytest
import tifffile

from support import mounts


def run(*words, check=0):
    done = subprocess.run([mounts.binary(), *map(str, words)], capture_output=True, text=True)
    assert done.returncode == check, done.stderr
    return done.stdout


def metadata(file, *more):
    return json.loads(run("metadata", "--json", file, *more))


@pytest.fixture
def image(tmp_path):
    file = tmp_path / "deep" / "cells.ome.tif"
    file.parent.mkdir()
    tifffile.imwrite(file, np.zeros((2, 3, 20, 30), np.uint16), metadata={
        "axes": "CZYX", "Name": "Cells", "PhysicalSizeX": 0.25, "PhysicalSizeXUnit": "µm", "Channel": {"Name": ["DAPI", "GFP"]}})
    return file


def instrument(tmp_path):
    """The richest sample of instruments of the OME project, over an image of its size."""
    sample = mounts.shared("metadata", "examples", "ome-xml", "instrument-2016-06.ome.xml")
    if not sample:
        pytest.skip("SKIPPED: no instrument sample")
    with open(sample, encoding="utf-8") as f:
        xml = f.read()
    pixels = re.search(r"<Pixels\b[^>]*>", xml).group(0)
    size = {d: int(re.search(rf'Size{d}="(\d+)"', pixels).group(1)) for d in "XYZCT"}
    xml = re.sub(r"<(\w+:)?BinData\b.*?</(\w+:)?BinData>|<(\w+:)?BinData\b[^>]*/>", "", xml, flags=re.DOTALL)
    kind = re.search(r'Type="(\w+)"', pixels).group(1)
    file = tmp_path / "instrument.ome.tif"
    planes = size["Z"] * size["C"] * size["T"]
    data = np.zeros((planes, size["Y"], size["X"]), {"bit": np.uint8}.get(kind) or np.dtype(kind))
    xml = re.sub(r"(<Pixels\b.*?)(</Pixels>)", r'\1<TiffData IFD="0" PlaneCount="%d"/>\2' % planes, xml, count=1, flags=re.DOTALL)
    tifffile.imwrite(file, data, description=xml.encode(), metadata=None, photometric="minisblack")
    return file


def test_values_with_their_origins(image):
    (image.parent / "dataset.meta.yaml").write_text("license: CC-BY-4.0\n")
    (image.parent / "cells.ome.tif.meta.yaml").write_text("name: From people\n")
    [one] = metadata(image)["images"]
    assert one["name"] == "From people"
    values = {v["place"]: (v["value"], v["origin"]) for v in one["values"]}
    assert values["Image/@Name"] == ("From people", "sidecar:cells.ome.tif.meta.yaml")
    assert values["Image/Pixels/@PhysicalSizeX"] == ("0.25", "ome-xml")
    assert values["Image/Pixels/Channel[1]/@Name"] == ("GFP", "ome-xml")
    said = {v["place"]: (v["value"], v["origin"]) for v in one["sidecar"]}
    assert said["license"] == ("https://creativecommons.org/licenses/by/4.0/", "sidecar:dataset.meta.yaml")
    known, tier = len([k for k in one["known"] if k["tier"] == 1]), one["tiers"][0]
    assert known == tier["present"]
    assert known + len([m for m in one["missing"] if m["field"]["tier"] == 1]) == tier["required"]


def test_the_report_is_that_of_the_mount(image, mount):
    m = mount(image.parent.parent)
    place = m.join("deep", "cells.ome.zarr", "nbo-tier-report.json")
    if not os.path.exists(place):
        pytest.skip("SKIPPED: the mount has no report")
    with open(place) as f:
        [shown] = json.load(f)["images"]
    [one] = metadata(image)["images"]
    assert [shown["tiers"][t] for t in "123"] == one["tiers"]
    assert shown["tier_attained"] == one["tier_attained"]


def test_sidecars_are_inherited_from_the_root(image, tmp_path):
    (tmp_path / "dataset.meta.yaml").write_text("license: CC-BY-4.0\n")
    assert metadata(image)["images"][0]["sidecar"] == []
    [said] = metadata(image, "--root", tmp_path)["images"][0]["sidecar"]
    assert (said["place"], said["origin"]) == ("license", "sidecar:dataset.meta.yaml")
    run("metadata", image, "--root", "/usr", check=2)
    run("metadata", image.parent, check=1)
    (image.parent / "bad.tif").write_bytes(b"II*\0\x08\0\0\0")
    run("metadata", image.parent / "bad.tif", check=3)


def test_what_is_missing_for_a_tier(image):
    first, second = run("metadata", image, "--tier", "1"), run("metadata", image, "--tier", "2")
    assert "Manufacturer" in second and "REMBI" in first
    assert len(second.splitlines()) > len(first.splitlines())
    run("metadata", image, "--tier", "4", check=2)


def test_a_broken_sidecar_is_named_with_its_line(image):
    (image.parent / "dataset.meta.yaml").write_text("name: a\nlicense: [\n")
    document = metadata(image)
    [problem] = document["problems"]
    assert problem["file"] == "dataset.meta.yaml" and problem["line"] in (2, 3)
    assert document["images"][0]["name"] == "Cells"
    assert "dataset.meta.yaml:" in run("metadata", image)


def filled(template):
    """Every line of the template taken out of its comment, with a value that its explanation allows."""
    out, note = [], ""
    lines = template.splitlines()
    for line in lines:
        if line.startswith("##"):
            text = line.lstrip("# ")
            note = note + " " + text if note else text
            continue
        if line.startswith("#"):
            line = line[1:]
            if line.endswith(": "):
                wanted = [("one of ", None), ("true or false", "true"), ("number from 0 to 1", "0.5"), ("number such as", "9606"),
                          ("whole number", "1"), ("number", "1.5"), ("date such as", "2026-11-20"), ("URL or short", "CC-BY-4.0"),
                          ("URL", "https://example.org/a"), ("term of FBbi", "FBbi_00000252"), ("ORCID", "0000-0002-1825-0097"),
                          ("text", "some text")]
                value = next((v for start, v in wanted if note.startswith(start)), "unknown")
                if value is None:
                    value = json.dumps(re.split(r", | in \w+$|: ", note[len("one of "):])[0].strip())
                line += value
            out.append(line)
        note = ""
    return "\n".join(out) + "\n"


@pytest.mark.parametrize("tier", [1, 2, 3])
def test_a_template_is_a_comment_and_lifts_the_report_when_filled(image, tier):
    before = metadata(image)["images"][0]
    template = run("sidecar", image, "--tier", tier)
    assert all(line == "" or line.startswith("#") for line in template.splitlines())
    place = image.parent / "cells.ome.tif.meta.yaml"
    # As it is, it says nothing, and nothing is wrong with it.
    place.write_text(template)
    document = metadata(image)
    assert document["problems"] == [] and document["images"][0]["tiers"] == before["tiers"]
    place.write_text(filled(template))
    document = metadata(image)
    after = document["images"][0]
    assert document["problems"] == [], place.read_text()
    lacks = [(m["component"], m["field"]["name"]) for m in after["missing"] if m["field"]["tier"] <= tier]
    assert lacks == [] and after["tier_attained"] >= tier, (lacks, after["warnings"])
    assert after["rembi"]["missing"] == []
    assert after["tiers"][tier - 1]["present"] > before["tiers"][tier - 1]["present"]


def test_a_template_for_the_instrument_sample(tmp_path):
    file = instrument(tmp_path)
    before = metadata(file)["images"][0]
    (tmp_path / (file.name + ".meta.yaml")).write_text(filled(run("sidecar", file)))
    after = metadata(file)["images"][0]
    assert before["tier_attained"] == 0 and after["tier_attained"] >= 1, [m for m in after["missing"] if m["field"]["tier"] == 1]


def test_writing_beside_the_file(image):
    assert run("sidecar", image, "--write").strip().endswith("cells.ome.tif.meta.yaml")
    assert (image.parent / "cells.ome.tif.meta.yaml").read_text() == run("sidecar", image)
    run("sidecar", image, "--write", check=1)
