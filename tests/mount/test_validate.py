"""`fuzarr validate`: mounts in every view have no findings, what other programs wrote neither, and faults are found."""
import json
import os
import shutil
import subprocess

import numpy as np
import pytest

from support import mounts


def validate(*paths):
    done = subprocess.run([mounts.binary(), "validate", "--json", *map(str, paths)], capture_output=True, text=True)
    return done.returncode, json.loads(done.stdout)


def rules(found):
    """What is wrong, by rules. That nobody said under which licence a sample is, the mount cannot mend (`crate.dataset`)."""
    return {f["rule"] for d in found["datasets"] for f in d["findings"]}


def test_every_view_of_every_sample(samples, mount):
    m = mount(samples[0], "--ngff", "0.5,0.4,0.6")
    code, found = validate(m.path)
    assert code == 0 and found["errors"] == 0 and rules(found) <= {"crate.dataset"}, found
    # As many as there are names in the mount: nothing was passed over.
    assert sorted(d["path"] for d in found["datasets"]) == sorted(
        os.path.join(m.path, n) for n in os.listdir(m.path) if n.endswith(".zarr"))
    assert {d["version"] for d in found["datasets"]} == {"0.4", "0.5", "0.6"}
    assert all(d["chunks"] and not d["absent"] for d in found["datasets"])


def test_shards(samples, mount):
    m = mount(samples[0], "--chunk", "96,160", "--shard", "288,320", "--include", "five_d*", "--include", "strip*")
    code, found = validate(m.path)
    assert code == 0 and rules(found) <= {"crate.dataset"}, found


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_what_ome_zarr_py_and_ngff_zarr_write(tmp_path, version):
    import ngff_zarr
    import ome_zarr.writer
    import zarr
    from ome_zarr.format import FormatV04, FormatV05
    from ome_zarr.io import parse_url
    form = FormatV04() if version == "0.4" else FormatV05()
    data = np.arange(2 * 3 * 40 * 50, dtype=np.uint16).reshape(2, 3, 40, 50)
    one, two = tmp_path / "one.zarr", tmp_path / "two.zarr"
    group = zarr.group(store=parse_url(str(one), mode="w", fmt=form).store, zarr_format=form.zarr_format)
    ome_zarr.writer.write_image(data, group, axes="czyx", fmt=form, storage_options={"chunks": (1, 1, 16, 16)})
    image = ngff_zarr.to_ngff_image(data, dims=["c", "z", "y", "x"], scale={"c": 1.0, "z": 2.0, "y": 0.5, "x": 0.5})
    ngff_zarr.to_ngff_zarr(str(two), ngff_zarr.to_multiscales(image, scale_factors=[2], chunks=16), version=version)
    code, found = validate(one, two)
    assert found["errors"] == 0 and code == 0, found
    # A fault in each is found, by its rule.
    name = "zarr.json" if version == "0.5" else ".zattrs"
    for place in (one, two):
        document = json.loads((place / name).read_text())
        ome = document["attributes"]["ome"] if version == "0.5" else document
        ome["multiscales"][0]["datasets"][0]["path"] = "nowhere"
        (place / name).write_text(json.dumps(document))
        code, found = validate(place)
        assert code == 3 and "image.level" in {f["rule"] for f in found["datasets"][0]["findings"]}, found


def test_a_copy_of_a_mount_with_a_cut_chunk(samples, mount, tmp_path):
    m = mount(samples[0], "--include", "five_d*")
    copy = tmp_path / "copy.ome.zarr"
    shutil.copytree(m.join("five_d.ome.zarr"), copy)
    assert validate(copy)[0] == 0
    chunk = copy / "0/c/0/0/0/0/0"
    chunk.write_bytes(chunk.read_bytes()[:-2])
    code, found = validate(copy)
    [fault] = [f for f in found["datasets"][0]["findings"] if f["rule"] != "crate.dataset"]
    assert (code, fault["rule"], fault["node"]) == (3, "chunk.size", "0")
