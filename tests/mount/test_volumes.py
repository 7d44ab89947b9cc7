"""Imaris, NRRD and NIfTI: what the mount shows is what independent libraries wrote, and read again."""
import gzip
import os

import numpy as np
import pytest
import zarr
from support import containers, volumes

h5py = pytest.importorskip("h5py")
nrrd = pytest.importorskip("nrrd")
nibabel = pytest.importorskip("nibabel")


def image(root):
    group = zarr.open_group(root, mode="r")
    return group, group.attrs["ome"]


def scale(ome, level=0):
    return ome["multiscales"][0]["datasets"][level]["coordinateTransformations"][0]["scale"]


def numbers(shape, dtype="u2"):
    return containers.count(shape, np.dtype(dtype))


@pytest.mark.parametrize("libver", ["earliest", "v108", "v110", "v112", "v114", "latest"])
@pytest.mark.parametrize("dtype", ["u1", "u2", "u4", "f4", ">u2"])
def test_imaris_by_every_release_of_the_library(tmp_path, mount, libver, dtype):
    """Groups, attributes and indices of chunks are stored in other ways by newer releases."""
    data = numbers((2, 3, 6, 50, 70), dtype)
    volumes.ims(tmp_path / "a.ims", data, levels=3, names=["DAPI", "GFP", "Cy5"], libver=libver, compression="gzip", shuffle=True)
    group, ome = image(mount(tmp_path).join("a.ome.zarr"))
    assert len(ome["multiscales"][0]["datasets"]) == 3
    for level in range(3):
        assert np.array_equal(group[str(level)][...], data[..., :: 2**level, :: 2**level]), level
    assert [c["label"] for c in ome["omero"]["channels"]] == ["DAPI", "GFP", "Cy5"]
    assert [c["color"] for c in ome["omero"]["channels"]] == ["FF8000", "0000FF", "0000FF"]
    assert scale(ome) == [3, 1, 2, 0.5, 0.25]


STORED = {
    "contiguous": {"chunks": None},
    "raw": {},
    "one-chunk": {"chunks": (8, 64, 80)},
    "gzip": {"compression": "gzip", "compression_opts": 9},
    "sums": {"fletcher32": True, "shuffle": True},
    "all": {"fletcher32": True, "shuffle": True, "compression": "gzip"},
    "cut": {"pad": False, "compression": "gzip"},
    "small": {"chunks": (1, 3, 5), "compression": "gzip"},
    "grows": {"maxshape": (None, 64, 80), "compression": "gzip"},
    "grows-all": {"maxshape": (None, None, None), "compression": "gzip"},
    "grows-raw": {"maxshape": (8, 64, None), "chunks": (1, 2, 5)},
    "fixed-raw": {"chunks": (1, 2, 5)},
}


@pytest.mark.parametrize("libver", ["earliest", "latest"])
@pytest.mark.parametrize("stored", STORED)
def test_imaris_volumes_however_they_are_stored(tmp_path, mount, libver, stored):
    """Every kind of layout and index of chunks, thousands of chunks in the last ones."""
    data = numbers((1, 2, 6, 50, 70))
    volumes.ims(tmp_path / "a.ims", data, libver=libver, **STORED[stored])
    group, _ = image(mount(tmp_path).join("a.ome.zarr"))
    assert np.array_equal(group["0"][...], data)


@pytest.mark.parametrize("filter_", ["LZ4", "Zstd", "Blosc"])
def test_imaris_filters_by_plug_ins(tmp_path, mount, filter_):
    plug = pytest.importorskip("hdf5plugin")
    data = numbers((1, 1, 4, 40, 40))
    volumes.ims(tmp_path / "a.ims", data, **getattr(plug, filter_)())
    m = mount(tmp_path)
    if filter_ == "Blosc":
        with pytest.raises(OSError):
            os.listdir(m.join("a.ome.zarr"))
        assert "Blosc" in os.getxattr(m.join("a.ome.zarr"), "user.fuzarr.error").decode()
        return
    assert np.array_equal(image(m.join("a.ome.zarr"))[0]["0"][...], data)


def test_imaris_what_is_not_stored_reads_as_fill(tmp_path, mount):
    data = numbers((2, 2, 4, 32, 32))
    volumes.ims(tmp_path / "a.ims", data, skip={(1, 0)})
    data[1, 0] = 0
    assert np.array_equal(image(mount(tmp_path).join("a.ome.zarr"))[0]["0"][...], data)
    with h5py.File(tmp_path / "b.ims", "w") as f:
        volume = f.create_dataset("DataSet/ResolutionLevel 0/TimePoint 0/Channel 0/Data", (4, 64, 64), "u2", chunks=(2, 32, 32), fillvalue=7)
        volume[:2, :32, :32] = 5
    want = np.full((4, 64, 64), 7)
    want[:2, :32, :32] = 5
    assert np.array_equal(image(mount(tmp_path).join("b.ome.zarr"))[0]["0"][0, 0], want)


def test_imaris_levels_with_fewer_planes_are_left_out(tmp_path, mount):
    data = numbers((1, 1, 8, 300, 300))
    volumes.ims(tmp_path / "a.ims", data, levels=3, halve_z=True)
    group, ome = image(mount(tmp_path).join("a.ome.zarr"))
    assert [group[d["path"]].shape for d in ome["multiscales"][0]["datasets"]] == [(1, 1, 8, 300, 300), (1, 1, 8, 150, 150)]


@pytest.mark.parametrize("text", [volumes.chars, np.bytes_, str], ids=["characters", "fixed", "any-length"])
@pytest.mark.parametrize("libver", ["earliest", "latest"])
def test_imaris_texts_in_every_form(tmp_path, mount, text, libver):
    """Many attributes of one object are stored apart from it by newer releases."""
    more = {f"Key{i}": f"value {i}" for i in range(40)}
    volumes.ims(tmp_path / "a.ims", numbers((12, 1, 1, 9, 9)), names=["Größe"], libver=libver, text=text if text is not np.bytes_ else lambda t: np.bytes_(t.encode()),
                image=more, compression="gzip")
    root = mount(tmp_path).join("a.ome.zarr")
    _, ome = image(root)
    assert ome["omero"]["channels"][0]["label"] == "Größe" and scale(ome)[0] == 3
    with open(os.path.join(root, "OME", "METADATA.ome.xml"), encoding="utf-8") as f:
        document = f.read()
    assert "value 39" in document and 'NominalMagnification="63"' in document and 'EmissionWavelength="500' in document
    assert "2026-01-02T03:04:05" in document


@pytest.mark.parametrize("encoding", ["raw", "gzip", "bzip2", "ascii"])
@pytest.mark.parametrize("dtype", ["u1", "i2", ">u2", "i4", "f4", "f8", ">f4"])
def test_nrrd_as_it_was_written(tmp_path, mount, encoding, dtype):
    data = numbers((7, 6, 5, 4), dtype)
    header = {"encoding": encoding, "kinds": ["domain", "domain", "domain", "time"], "space dimension": 3, "space units": ["um"] * 3,
              "space directions": np.array([[0.5, 0, 0], [0, 0.25, 0], [0, 0, 2], [np.nan] * 3])}
    volumes.nrrd(tmp_path / "a.nrrd", data, header)
    want = nrrd.read(str(tmp_path / "a.nrrd"))[0].T
    group, ome = image(mount(tmp_path).join("a.ome.zarr"))
    assert group["0"].dtype == np.dtype(dtype).newbyteorder("=") and np.array_equal(group["0"][:, 0], want)
    assert scale(ome)[2:] == [2, 0.25, 0.5]


def test_nrrd_headers_beside_their_samples(tmp_path, mount):
    data = numbers((6, 5, 4))
    volumes.nrrd(tmp_path / "a.nhdr", data, {"encoding": "gzip"}, detached_header=True)
    for z in range(4):
        (tmp_path / f"s{z:02}.raw").write_bytes(data[..., z].tobytes(order="F"))
    (tmp_path / "b.nhdr").write_text("NRRD0004\ntype: ushort\ndimension: 3\nsizes: 6 5 4\nendian: little\nencoding: raw\ndata file: s%02d.raw 0 3 1\n")
    (tmp_path / "out.nhdr").write_text("NRRD0004\ntype: ushort\ndimension: 3\nsizes: 6 5 4\nendian: little\nencoding: raw\ndata file: ../x.raw\n")
    m = mount(tmp_path)
    for name in "ab":
        assert np.array_equal(image(m.join(f"{name}.ome.zarr"))[0]["0"][0, 0], data.T)
    with pytest.raises(OSError):
        os.listdir(m.join("out.ome.zarr"))


def test_nrrd_colours(tmp_path, mount):
    data = numbers((3, 6, 5), "u1")
    volumes.nrrd(tmp_path / "a.nrrd", data, {"kinds": ["RGB-color", "domain", "domain"], "encoding": "gzip"})
    group, _ = image(mount(tmp_path).join("a.ome.zarr"))
    assert np.array_equal(group["0"][0, :, 0], data.transpose(0, 2, 1))


@pytest.mark.parametrize("kind", ["Nifti1Image", "Nifti2Image", "Nifti1Pair", "Spm99AnalyzeImage"])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("dtype", ["u1", "i2", "i4", "f4", "f8", "c8"])
def test_nifti_as_it_was_written(tmp_path, mount, kind, order, dtype):
    data = numbers((7, 6, 5, 4), dtype)
    ending = "hdr" if "Pair" in kind or "Analyze" in kind else "nii"
    volumes.nifti(tmp_path / f"a.{ending}", data, (0.5, 0.25, 2, 3), getattr(nibabel, kind), order=order)
    group, ome = image(mount(tmp_path).join("a.ome.zarr"))
    assert np.array_equal(group["0"][:, 0], data.T)
    if ending == "nii":
        assert scale(ome) == [3, 1, 2, 0.25, 0.5]


def test_nifti_packed_larger_than_what_is_kept(tmp_path, mount):
    data = np.random.default_rng(0).integers(0, 65535, (256, 256, 40, 2, 2), np.uint16)
    volumes.nifti(tmp_path / "a.nii.gz", data)
    group, _ = image(mount(tmp_path).join("a.ome.zarr"))
    want = data.transpose(3, 4, 2, 1, 0)
    assert np.array_equal(group["0"][1, 1, 39], want[1, 1, 39]) and np.array_equal(group["0"][0, 0, 0], want[0, 0, 0])
    assert np.array_equal(group["0"][...], want)
    whole = gzip.compress(gzip.decompress((tmp_path / "a.nii.gz").read_bytes())[:-5000], 1)
    (tmp_path / "b.nii.gz").write_bytes(whole)
    group, _ = image(mount(tmp_path).join("b.ome.zarr"))
    assert np.array_equal(group["0"][0, 0, 0], want[0, 0, 0])
    with pytest.raises(OSError):
        group["0"][1, 1, 39]


def test_nifti_colours_and_slope(tmp_path, mount):
    rgb = np.zeros((7, 6, 5), [("R", "u1"), ("G", "u1"), ("B", "u1")])
    for i, name in enumerate("RGB"):
        rgb[name] = numbers((7, 6, 5), "u1") + i
    volumes.nifti(tmp_path / "a.nii", rgb)
    stored = numbers((7, 6, 5), "i2")
    volumes.nifti(tmp_path / "b.nii", stored)
    with open(tmp_path / "b.nii", "r+b") as f:
        f.seek(112)
        f.write(np.array([2.5, -10], "<f4").tobytes())
    m = mount(tmp_path)
    group, _ = image(m.join("a.ome.zarr"))
    assert np.array_equal(group["0"][0], np.stack([rgb[n].T for n in "RGB"]))
    assert np.array_equal(image(m.join("b.ome.zarr"))[0]["0"][0, 0], stored.T)
