"""`fuzarr catalog`: one row an image, the same in every form, agreeing with the mount and with independent readers."""
import csv
import io
import json
import os
import subprocess

import numpy as np
import pytest
import tifffile

from support import mounts, plates

DIALECT = {"newline": "", "encoding": "utf-8"}


def run(*words, check=0, **more):
    done = subprocess.run([mounts.binary(), "catalog", *map(str, words)], capture_output=True, **more)
    assert check is None or done.returncode == check, done.stderr.decode()
    return done


def rows(*words, check=0):
    return list(csv.DictReader(io.StringIO(run(*words, check=check).stdout.decode(), newline="")))


def test_a_row_is_what_the_mount_shows(samples, mount):
    m = mount(samples[0])
    table = rows(samples[0], "--url-prefix", m.path + "/")
    assert len(table) == sum(len(e["series"]) for e in samples[1].values())
    for row in table:
        assert row["url"] == row["File Path"] == os.path.join(m.path, row["path"])
        with open(os.path.join(row["url"], "zarr.json")) as f:
            ome = json.load(f)["attributes"]["ome"]["multiscales"][0]
        with open(os.path.join(row["url"], ome["datasets"][0]["path"], "zarr.json")) as f:
            array = json.load(f)
        assert row["shape"] == ",".join(map(str, array["shape"]))
        assert row["chunks"] == ",".join(map(str, array["chunk_grid"]["configuration"]["chunk_shape"]))
        assert row["dimension_names"] == ",".join(array["dimension_names"]) == ",".join(a["name"] for a in ome["axes"])
        assert row["dtype"] == array["data_type"]
        scale = ome["datasets"][0]["coordinateTransformations"][0]["scale"]
        micro = {a["name"]: s for a, s in zip(ome["axes"], scale) if a.get("unit") == "micrometer"}
        for axis in "xyz":
            if axis in micro:
                assert float(row[f"pixel_size_{axis}_um"]) == pytest.approx(micro[axis])
        assert int(row["bytes"]) == np.prod(array["shape"]) * np.dtype(array["data_type"]).itemsize
        assert int(row["File Size"]) == os.path.getsize(samples[0] / row["source"])
        assert row["error"] == ""


def test_the_forms_say_the_same_and_are_the_same_twice(samples, tmp_path):
    table = rows(samples[0])
    lines = [json.loads(line) for line in run(samples[0], "--format", "jsonl").stdout.decode().splitlines()]
    assert [{k: v for k, v in row.items() if v} for row in table] == [
        {k: v if isinstance(v, str) else ("%d" % v if float(v).is_integer() else repr(v)) for k, v in line.items()}
        for line in lines]
    for name in ("a.csv", "b.jsonl", "c.parquet"):
        run(samples[0], "--output", tmp_path / name)
        run(samples[0], "--output", tmp_path / ("2" + name), "--threads", "1")
        assert (tmp_path / name).read_bytes() == (tmp_path / ("2" + name)).read_bytes(), name
    assert (tmp_path / "a.csv").read_bytes() == run(samples[0]).stdout
    assert sorted(os.listdir(tmp_path)) == ["2a.csv", "2b.jsonl", "2c.parquet", "a.csv", "b.jsonl", "c.parquet"]
    import pyarrow.parquet as parquet
    read = parquet.read_table(tmp_path / "c.parquet").to_pylist()
    assert [{k: v for k, v in row.items() if v is not None} for row in read] == lines


def test_sets_count_once(tmp_path):
    planes = np.arange(4 * 20 * 30, dtype=np.uint16).reshape(4, 20, 30)
    # An OME-TIFF in two files that name each other, written as one and cut apart by hand.
    xml = ('<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">'
           '<Image ID="Image:0" Name="pair"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint16" SizeX="30" SizeY="20"'
           ' SizeZ="4" SizeC="1" SizeT="1"><Channel ID="Channel:0:0" SamplesPerPixel="1"/>'
           + "".join(f'<TiffData IFD="{i % 2}" FirstZ="{i}" PlaneCount="1"><UUID FileName="{"ab"[i // 2]}.ome.tif">'
                     f'urn:uuid:00000000-0000-0000-0000-00000000000{i // 2}</UUID></TiffData>' for i in range(4))
           + '</Pixels></Image></OME>')
    for n, name in enumerate("ab"):
        with tifffile.TiffWriter(tmp_path / f"{name}.ome.tif") as t:
            for i in range(2):
                t.write(planes[2 * n + i], description=xml if i == 0 else None, metadata=None, contiguous=False)
    tifffile.imwrite(tmp_path / "other.tif", planes[0])
    os.symlink("other.tif", tmp_path / "link.tif")
    os.symlink("/", tmp_path / "outside")
    os.symlink(".", tmp_path / "loop")
    (tmp_path / "real.zarr").mkdir()
    tifffile.imwrite(tmp_path / "real.zarr" / "inside.tif", planes[0])
    table = rows(tmp_path)
    assert [(r["path"], r["files"], r["shape"]) for r in table] == [
        ("a.ome.zarr", "2", "1,1,4,20,30"), ("other.ome.zarr", "1", "1,1,1,20,30")]
    assert int(table[0]["File Size"]) == sum((tmp_path / f"{n}.ome.tif").stat().st_size for n in "ab")


def test_what_cannot_be_read_is_a_row(tmp_path):
    tifffile.imwrite(tmp_path / "good.tif", np.zeros((20, 30), np.uint8))
    (tmp_path / "bad.tif").write_bytes(b"II*\0\x08\0\0\0")
    (tmp_path / "empty.tif").write_bytes(b"")
    table = rows(tmp_path, check=3)
    assert [(r["path"], bool(r["error"])) for r in table] == [
        ("bad.ome.zarr", True), ("empty.ome.zarr", True), ("good.ome.zarr", False)]
    assert "truncated" in table[1]["error"] and str(tmp_path) not in table[1]["error"]


def test_a_table_that_cannot_be_written_ends_the_run(tmp_path):
    for n in range(3000):
        (tmp_path / f"{n}.tif").write_bytes(b"")
    with open("/dev/full", "wb") as full:
        done = subprocess.run([mounts.binary(), "catalog", tmp_path], stdout=full, stderr=subprocess.PIPE, timeout=200)
    assert done.returncode == 1 and b"No space left" in done.stderr
    run(tmp_path, "--output", tmp_path / "no" / "such.csv", check=1)


def test_what_sidecars_say_is_in_the_row(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((20, 30), np.uint8))
    (tmp_path / "a.tif.meta.yaml").write_text(
        "name: Cells\nlicense: CC-BY-4.0\nbiosample:\n  organism: {ncbi_taxon: 9606, scientific_name: Homo sapiens}\n"
        "acquisition: {fbbi: FBbi_00000252}\n")
    [row] = rows(tmp_path)
    assert (row["name"], row["license"]) == ("Cells", "https://creativecommons.org/licenses/by/4.0/")
    assert (row["organism"], row["organismId"]) == ("Homo sapiens", "NCBI:txid9606")
    assert (row["fbbiId"], row["modality"]) == ("obo:FBbi_00000252", "single-spot confocal microscopy")
    assert row["sidecars"] == "a.tif.meta.yaml"
    assert row["tier_attained"] == "0" and 0 < float(row["tier_1_coverage"]) < 1


@pytest.mark.parametrize("companion", [True, False])
def test_a_plate_has_a_row_for_each_field(tmp_path, mount, companion):
    plate = plates.Plates(tmp_path, [(2, 3, [(0, 0), (1, 2)], 2, 0)], loose=1, companion=companion)
    table = rows(tmp_path)
    name = "plate.ome.zarr" if companion else table[0]["path"].split("/")[0]
    assert [r["path"] for r in table] == [f"{name}/{path}" for path, _ in plate.images]
    assert [r["name"] for r in table] == [f"image {n}" for n in range(len(plate.images))]
    m = mount(tmp_path)
    assert all(os.path.isfile(m.join(r["path"], "zarr.json")) for r in table)
    assert {r["files"] for r in table} == {str(len(plate.images) + companion)}
    assert {r["File Size"] for r in table} == {str(sum(e.stat().st_size for e in os.scandir(tmp_path)))}
