"""OIF, OIB and OIR: what the mount shows is what was written, and what an independent reader reads, in every order and packing."""
import os

import numpy as np
import pytest
import zarr
from support import containers, olympus


def image(root):
    """The image as an array t, c, z, y, x, with its OME attributes."""
    group = zarr.open_group(root, mode="r")
    return group["0"][...], group.attrs["ome"]


def full(data, axes):
    """As the mount shows it: wavelengths go slower or faster than channels, as they were written."""
    more = "".join(a for a in axes if a in "LC")
    order = [axes.index(a) for a in ("T" + more + "ZYX") if a in axes]
    found = data.transpose(order)
    size = {a: data.shape[axes.index(a)] if a in axes else 1 for a in "TLCZYX"}
    return found.reshape([size["T"], size["L"] * size["C"], size["Z"], size["Y"], size["X"]])


def labels(ome):
    return [c["label"] for c in ome["omero"]["channels"]]


def scale(ome):
    return ome["multiscales"][0]["datasets"][0]["coordinateTransformations"][0]["scale"]


def independent(path, data, axes):
    oiffile = pytest.importorskip("oiffile")
    with oiffile.OifFile(str(path)) as f:
        theirs = f.series[0].asarray()
    # It has the dimensions in the order of the names of files, the fastest first.
    named = "".join(a for a in reversed(axes) if a not in "XY") + "YX"
    assert np.array_equal(theirs.squeeze(), data.transpose([axes.index(a) for a in named]).squeeze()), axes


@pytest.mark.parametrize("axes", ["ZCYX", "TCYX", "TZCYX", "ZTCYX", "CYX", "YX", "ZLCYX", "LCYX"])
def test_oif_and_oib_in_every_order(tmp_path, mount, axes):
    counts = {"T": 3, "Z": 4, "C": 2, "L": 3, "Y": 6, "X": 5}
    data = containers.count([counts[a] for a in axes])
    olympus.oif(str(tmp_path / "a.oif"), data, axes)
    olympus.oib(tmp_path / "b.oib", data, axes)
    m = mount(tmp_path)
    for name in "ab":
        ours, ome = image(m.join(f"{name}.ome.zarr"))
        assert np.array_equal(ours, full(data, axes))
        assert ome["omero"]["channels"][0]["color"] == "FF0000"
        assert scale(ome)[2:] == [0.5 if "Z" in axes else 1, 0.25, 0.25]
        assert scale(ome)[0] == (2 if "T" in axes else 1)
        if "L" not in axes:
            assert labels(ome) == ["CH1", "CH2"][:counts["C"] if "C" in axes else 1]
    if "L" in axes:
        assert labels(ome)[:3] == ["CH1 400 nm", "CH2 400 nm", "CH1 410 nm"]
    independent(tmp_path / "a.oif", data, axes)
    independent(tmp_path / "b.oib", data, axes)


@pytest.mark.parametrize("version", [3, 4])
@pytest.mark.parametrize("scattered", [False, True], ids=["in order", "scattered"])
def test_compound_files_of_both_versions(tmp_path, mount, version, scattered):
    data = containers.count([2, 3, 60, 50])
    olympus.oib(tmp_path / "a.oib", data, "ZCYX", version, scattered)
    m = mount(tmp_path)
    ours, _ = image(m.join("a.ome.zarr"))
    assert np.array_equal(ours, full(data, "ZCYX"))
    assert os.getxattr(m.join("a.ome.zarr"), "user.fuzarr.format") == b"oif"
    independent(tmp_path / "a.oib", data, "ZCYX")


def test_planes_that_are_not_there(tmp_path, mount):
    """What a compound file does not name was never stored; a file that a folder lacks is lost."""
    data = containers.count([3, 2, 6, 5])
    olympus.oib(tmp_path / "a.oib", data, "ZCYX", without=["s_C001Z002.tif"])
    olympus.oif(str(tmp_path / "b.oif"), data, "ZCYX")
    os.unlink(tmp_path / "b.oif.files" / "s_C001Z002.tif")
    m = mount(tmp_path)
    want = full(data, "ZCYX").copy()
    want[0, 0, 1] = 0
    assert np.array_equal(image(m.join("a.ome.zarr"))[0], want)
    lost = zarr.open_group(m.join("b.ome.zarr"), mode="r")["0"]
    assert np.array_equal(lost[0, 1], want[0, 1])
    with pytest.raises(OSError):
        lost[0, 0, 1]
    assert np.array_equal(lost[0, 0, 2], want[0, 0, 2])


def test_the_members_of_an_oif_are_its_planes(tmp_path, mount):
    data = containers.count([2, 6, 5])
    olympus.oif(str(tmp_path / "a.oif"), data, "CYX")
    m = mount(tmp_path)
    # A chunk has the rights of the file of its plane, which others may read and this one may not.
    os.chmod(tmp_path / "a.oif.files" / "s_C002.tif", 0o600)
    assert os.stat(m.join("a.ome.zarr/0/c/0/0/0/0/0")).st_mode & 0o044
    assert not os.stat(m.join("a.ome.zarr/0/c/0/1/0/0/0")).st_mode & 0o044


@pytest.mark.parametrize("axes", ["YX", "CYX", "ZCYX", "TZCYX", "TLCYX", "TYX"])
@pytest.mark.parametrize("parts", [1, 3])
def test_oir_in_every_order(tmp_path, mount, axes, parts):
    counts = {"T": 3, "Z": 4, "C": 2, "L": 3, "Y": 6, "X": 5}
    data = containers.count([counts[a] for a in axes])
    olympus.oir(str(tmp_path / "a.oir"), data, axes, parts)
    ours, ome = image(mount(tmp_path).join("a.ome.zarr"))
    assert np.array_equal(ours, full(data, axes))
    assert scale(ome)[2:] == [1.5, 0.25, 0.25]
    assert scale(ome)[0] == (0.5 if "T" in axes else 1)
    channels = ["CH1", "CH2"][:counts["C"] if "C" in axes else 1]
    assert labels(ome) == ([f"{c} {nm} nm" for nm in (400, 420, 440) for c in channels] if "L" in axes else channels)


@pytest.mark.parametrize("dtype", ["u1", "u2", "f4"])
def test_oir_types_and_further_files(tmp_path, mount, dtype):
    data = containers.count([5, 2, 6, 4], dtype)
    olympus.oir(str(tmp_path / "a.oir"), data, "TCYX", parts=2, files=3, without={3})
    m = mount(tmp_path)
    ours, _ = image(m.join("a.ome.zarr"))
    want = data[:, :, None].copy()
    want[1, 1] = 0
    assert ours.dtype == np.dtype(dtype) and np.array_equal(ours, want)
    assert sorted(os.listdir(m.path)) == ["a.ome.zarr", "a_00001", "a_00002"]


def test_times_of_planes(tmp_path, mount):
    """Texts of planes say when they were taken."""
    data = containers.count([3, 2, 6, 5])
    olympus.oib(tmp_path / "a.oib", data, "TCYX")
    with open(mount(tmp_path).join("a.ome.zarr/OME/METADATA.ome.xml"), encoding="utf-8") as f:
        document = f.read()
    for t in range(3):
        assert f'TheT="{t}"' in document
    assert 'DeltaT="4"' in document and 'Fluor="Dye 2"' in document


def test_slides_of_3dhistech_are_named_and_not_read(tmp_path, mount):
    (tmp_path / "a.mrxs").write_bytes(b"\xff\xd8\xff\xe0 a picture for previews")
    root = mount(tmp_path).join("a.ome.zarr")
    with pytest.raises(OSError):
        os.listdir(root)
    assert b"3DHISTECH" in os.getxattr(root, "user.fuzarr.error")
