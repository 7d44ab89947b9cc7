"""CZI files written by libCZI and by other encoders: what the mount shows is what libCZI reads."""
import os

import imagecodecs
import numpy as np
import pytest
import zarr
from support import containers

czi = pytest.importorskip("pylibCZIrw.czi")


def images(root):
    """The images of a dataset: groups, the first level as t, c, z, y, x."""
    group = zarr.open_group(root, mode="r")
    found = [group] if "multiscales" in group.attrs["ome"] else [group[s] for s in group["OME"].attrs["ome"]["series"]]
    return [(g["0"][...], g.attrs["ome"]) for g in found]


def noise(shape, dtype, seed=0):
    """Smooth, with some noise: what compressions are made for."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    base = 0.5 + 0.4 * np.sin(x / 11 + seed)[..., None] * np.cos(y / 7)[..., None] * np.ones(shape[2])
    base = base + np.random.default_rng(seed).normal(0, 0.01, base.shape)
    return base.astype(dtype) if np.dtype(dtype).kind == "f" else np.clip(base * np.iinfo(dtype).max, 0, np.iinfo(dtype).max).astype(dtype)


@pytest.mark.parametrize("compression", ["uncompressed:", "zstd0:ExplicitLevel=3", "zstd1:ExplicitLevel=2", "zstd1:ExplicitLevel=2;PreProcess=HiLoByteUnpack"])
@pytest.mark.parametrize("dtype, samples", [("u1", 1), ("u2", 1), ("f4", 1), ("u1", 3), ("u2", 3)])
def test_every_plane_as_libczi_reads_it(tmp_path, mount, compression, dtype, samples):
    """Three times, two channels, two focal planes; every pixel type with every compression. Version 6.1.0 does not read what it
    writes of colours of 16 bits with low and high bytes apart; what was written is shown."""
    path = tmp_path / "a.czi"
    with czi.create_czi(str(path), compression_options=compression) as f:
        for i, (t, c, z) in enumerate(np.ndindex(3, 2, 2)):
            f.write(noise((70, 90, samples), dtype, i), plane={"T": t, "C": c, "Z": z})
        f.write_metadata("a", channel_names={0: "DAPI", 1: "GFP"}, scale_x=2e-7, scale_y=3e-7, scale_z=1e-6)
    [(ours, ome)] = images(mount(tmp_path).join("a.ome.zarr"))
    with czi.open_czi(str(path)) as f:
        for t, c, z in np.ndindex(3, 2, 2):
            theirs = f.read(plane={"T": t, "C": c, "Z": z})[..., ::-1]
            written = noise((70, 90, samples), dtype, np.ravel_multi_index((t, c, z), (3, 2, 2)))[..., ::-1]
            if (dtype, samples) == ("u2", 3) and "HiLo" in compression:
                theirs = written
            shown = ours[t, c * samples : (c + 1) * samples, z].transpose(1, 2, 0)
            assert shown.dtype == theirs.dtype, (t, c, z)
            assert np.array_equal(shown, theirs) and np.array_equal(shown, written), (t, c, z)
    names = [c["label"] for c in ome["omero"]["channels"]]
    assert names == (["DAPI", "GFP"] if samples == 1 else [f"{n} {s}" for n in ("DAPI", "GFP") for s in "RGB"])
    assert ome["multiscales"][0]["datasets"][0]["coordinateTransformations"][0]["scale"] == pytest.approx([1, 1, 1, 0.3, 0.2])


@pytest.mark.parametrize("seed", range(4))
def test_mosaics_with_holes_as_libczi_composes_them(tmp_path, mount, seed):
    """Tiles of all sizes in two scenes, over each other and apart, also left of and above the origin."""
    rng = np.random.default_rng(seed)
    path = tmp_path / "a.czi"
    with czi.create_czi(str(path), compression_options="zstd1:ExplicitLevel=1") as f:
        for scene in range(2):
            for _ in range(12):
                h, w = rng.integers(20, 400, 2)
                x, y = rng.integers(-300, 900, 2) + 5000 * scene
                f.write(rng.integers(1, 60000, (h, w, 1)).astype(np.uint16), plane={"C": 0}, location=(int(x), int(y)), scene=scene)
        f.write_metadata("a")
    shown = images(mount(tmp_path).join("a.ome.zarr"))
    assert len(shown) == 2
    with czi.open_czi(str(path)) as f:
        for scene, (ours, _) in enumerate(shown):
            assert np.array_equal(ours[0, 0, 0], f.read(scene=scene)[..., 0])


def test_compressions_that_libczi_reads_but_does_not_write(tmp_path, mount):
    """JPEG XR by jxrlib. (Of 8-bit colours libCZI takes those alone that begin with blue, which that encoder does not write.)"""
    wrong = []
    for code, dtype, samples in ((0, "u1", 1), (1, "u2", 1), (4, "u2", 3)):
        pixels = noise((40, 60, samples), dtype)
        packed = imagecodecs.jpegxr_encode(pixels[..., 0] if samples == 1 else pixels, level=100)
        containers.czi(tmp_path / f"x{code}.czi", [(code, 4, containers.czi_sides(0, 0, 60, 40, ("C", 0)), packed)],
                       b"<ImageDocument><Metadata><Information><Image/></Information></Metadata></ImageDocument>")
    m = mount(tmp_path)
    for code, dtype, samples in ((0, "u1", 1), (1, "u2", 1), (4, "u2", 3)):
        [(ours, _)] = images(m.join(f"x{code}.ome.zarr"))
        with czi.open_czi(str(tmp_path / f"x{code}.czi")) as f:
            theirs = f.read()[..., ::-1]
        if not np.array_equal(ours[0, :, 0].transpose(1, 2, 0), theirs):
            wrong.append((code, dtype, samples))
    assert not wrong


def test_datasets_of_several_files_are_one(tmp_path, mount):
    """The first file and its parts, whichever is looked at; without the first one a part is alone."""
    pixels = containers.count([6, 5, 7])
    for part, times in enumerate(((0, 1), (2, 3, 4), (5,))):
        blocks = [(1, 0, containers.czi_sides(0, 0, 7, 5, ("T", t)), pixels[t].tobytes()) for t in times]
        containers.czi(tmp_path / (f"a ({part}).czi" if part else "a.czi"), blocks, part=part)
    m = mount(tmp_path)
    for name in ("a", "a (1)", "a (2)"):
        [(ours, _)] = images(m.join(f"{name}.ome.zarr"))
        assert np.array_equal(ours[:, 0, 0], pixels)
    os.rename(tmp_path / "a.czi", tmp_path / "elsewhere")
    m = mount(tmp_path)
    [(ours, _)] = images(m.join("a (1).ome.zarr"))
    assert np.array_equal(ours[:, 0, 0], pixels[2:5])
