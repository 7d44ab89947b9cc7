"""ND2, LIF and DeltaVision: what the mount shows is what independent readers read, in every order, type and packing."""
import json
import os

import numpy as np
import pytest
import zarr
from support import containers


def images(root):
    """The images of a dataset as arrays t, c, z, y, x, with their OME attributes."""
    group = zarr.open_group(root, mode="r")
    found = [group] if "multiscales" in group.attrs["ome"] else [group[s] for s in group["OME"].attrs["ome"]["series"]]
    return [(g["0"][...], g.attrs["ome"]) for g in found]


def scale(ome):
    return ome["multiscales"][0]["datasets"][0]["coordinateTransformations"][0]["scale"]


@pytest.mark.parametrize("loops", ["TZ", "ZT", "PTZ", "TPZ", "TZP"])
@pytest.mark.parametrize("compressed", [False, True], ids=["plain", "packed"])
def test_nd2_in_every_order_of_loops(tmp_path, mount, loops, compressed):
    nd2 = pytest.importorskip("nd2")
    counts = {"T": 3, "Z": 4, "P": 2}
    order = [(axis, counts[axis]) for axis in loops]
    data = containers.count([n for _, n in order] + [6, 5, 2])
    containers.nd2(tmp_path / "a.nd2", data, order, [("DAPI", 0xFF0000), ("GFP", 0x00FF00)], compressed, padding=4)
    with nd2.ND2File(tmp_path / "a.nd2") as f:
        theirs, axes = f.asarray(), "".join(f.sizes)
    if "P" not in axes:
        theirs, axes = theirs[None], "P" + axes
    theirs = theirs.transpose([axes.index(a) for a in "PTCZYX"])
    shown = images(mount(tmp_path).join("a.ome.zarr"))
    assert len(shown) == (2 if "P" in loops else 1)
    for (ours, ome), want in zip(shown, theirs):
        assert np.array_equal(ours, want)
        assert [c["label"] for c in ome["omero"]["channels"]] == ["DAPI", "GFP"]
        assert [c["color"] for c in ome["omero"]["channels"]] == ["0000FF", "00FF00"]
        assert scale(ome) == [0.25, 1, 0.5, 0.25, 0.25]


@pytest.mark.parametrize("dtype", ["u1", "u2", "f4"])
def test_nd2_types_and_frames_that_were_never_taken(tmp_path, mount, dtype):
    data = containers.count([3, 6, 5, 1], dtype)
    containers.nd2(tmp_path / "a.nd2", data, [("T", 3)], [("x", 0xFFFFFF)], missing={1})
    [(ours, _)] = images(mount(tmp_path).join("a.ome.zarr"))
    data[1] = 0
    assert ours.dtype == np.dtype(dtype) and np.array_equal(ours[:, 0, 0], data[..., 0])


@pytest.mark.parametrize("version", [1, 2])
def test_lif_as_liffile_reads_it(tmp_path, mount, version):
    liffile = pytest.importorskip("liffile")
    made = [
        ("planes", containers.count([2, 3, 2, 4, 5]), "TZCYX"),
        ("lines", containers.count([3, 4, 2, 5], np.uint8), "ZYCX"),
        ("colours", containers.count([4, 5, 3], np.uint8), "YXS"),
        ("padded", containers.count([2, 4, 5], np.uint8), "CYX", 3),
        ("real", containers.count([4, 5], np.float32), "YX"),
    ]
    containers.lif(tmp_path / "a.lif", made, version)
    shown = images(mount(tmp_path).join("a.ome.zarr"))
    assert len(shown) == len(made)
    for (ours, _), (name, data, axes, *_) in zip(shown, made):
        full = data[..., ::-1] if "S" in axes else data
        named = axes.replace("S", "C")
        want = full.reshape([data.shape[axes.index(a)] if a in axes else 1 for a in axes]).transpose([named.index(a) for a in "TCZYX" if a in named])
        want = want.reshape([want.shape[[a for a in "TCZYX" if a in named].index(a)] if a in named else 1 for a in "TCZYX"])
        assert np.array_equal(ours, want), name
    with liffile.LifFile(tmp_path / "a.lif") as f:
        assert np.array_equal(f.images["planes"].asarray(), made[0][1])
        assert np.array_equal(f.images["colours"].asarray(), made[2][1][..., ::-1])


def test_xlef_and_lof(tmp_path, mount):
    pictures = {"one": (containers.count([2, 4, 5]), "ZYX"), "two": (containers.count([3, 4], np.uint8), "YX")}
    containers.xlef(tmp_path, pictures)
    m = mount(tmp_path)
    shown = images(m.join("all.ome.zarr"))
    assert [a.shape for a, _ in shown] == [(1, 1, 2, 4, 5), (1, 1, 1, 3, 4)]
    for (ours, _), (data, _) in zip(shown, pictures.values()):
        assert np.array_equal(ours.reshape(data.shape), data)
    [(alone, _)] = images(m.join("one.ome.zarr"))
    assert np.array_equal(alone[0, 0], pictures["one"][0])
    # Without its samples, an image of the experiment is lost, and never fill.
    os.unlink(tmp_path / "two.lof")
    m = mount(tmp_path)
    group = zarr.open_group(m.join("all.ome.zarr"), mode="r")
    assert np.array_equal(group["0/0"][0, 0], pictures["one"][0])
    with pytest.raises(OSError):
        group["1/0"][...]


@pytest.mark.parametrize("sequence", ["ZTW", "WZT", "ZWT"])
@pytest.mark.parametrize("order", ["<", ">"], ids=["little", "big"])
@pytest.mark.parametrize("dtype", ["u1", "i2", "u2", "f4", "c8"])
def test_deltavision_in_every_sequence(tmp_path, mount, sequence, order, dtype):
    data = containers.count([2, 3, 4, 5, 6], "f4" if dtype == "c8" else "i2" if dtype == "i2" else dtype).astype(dtype)
    containers.deltavision(tmp_path / "a.dv", data, sequence, [457, 528, 617], order)
    [(ours, ome)] = images(mount(tmp_path).join("a.ome.zarr"))
    assert np.array_equal(ours, data)
    assert np.allclose(scale(ome)[2:], [0.25, 0.1, 0.1])
    if order == "<" and dtype != "c8":
        mrc = pytest.importorskip("mrc")
        theirs = np.asarray(mrc.imread(str(tmp_path / "a.dv")))
        slowest_first = ["TWZYX".index(a) for a in reversed(sequence)]
        assert np.array_equal(theirs[..., ::-1, :], data.transpose(*slowest_first, 3, 4))


def test_documents_name_the_format(tmp_path, mount):
    containers.lif(tmp_path / "a.lif", [("one", containers.count([4, 5]), "YX")])
    m = mount(tmp_path)
    assert os.getxattr(m.join("a.ome.zarr"), "user.fuzarr.format") == b"lif"
    with open(m.join("a.ome.zarr/zarr.json"), encoding="utf-8") as f:
        assert json.load(f)["attributes"]["ome"]["multiscales"]
