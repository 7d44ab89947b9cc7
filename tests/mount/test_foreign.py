"""OME-Zarr programs open the mount by their own ways in, without the conformance checker beside the repository."""
import os

import numpy as np
import pytest

from support import readers

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
SINGLE = ["five_d.ome.zarr", "pyramid.ome.zarr", "imagej.ome.zarr", "rgb_lzw_p2.ome.zarr", "five_d.v04.ome.zarr"]


@pytest.mark.parametrize("name", [*SINGLE, "series.ome.zarr", "series.v04.ome.zarr"])
def test_napari_reader(both_views, name):
    reader = pytest.importorskip("napari_ome_zarr._reader")
    root = both_views.join(name)
    layers = reader.napari_get_reader(root)()
    assert layers
    if name in SINGLE:
        assert np.array_equal(np.asarray(layers[0][0][0]), readers.by_zarr(os.path.join(root, "0")))
    else:
        assert len(layers) >= 3


@pytest.mark.parametrize("name", SINGLE)
def test_bioio(both_views, name):
    bioio = pytest.importorskip("bioio")
    root = both_views.join(name)
    image = bioio.BioImage(root, reader=pytest.importorskip("bioio_ome_zarr").Reader)
    assert np.array_equal(image.data, readers.by_zarr(os.path.join(root, "0")))
    if name.startswith("five_d"):
        assert image.channel_names == ["DAPI", "GFP"] and image.physical_pixel_sizes.Z == 1.5


@pytest.mark.parametrize("name", SINGLE)
def test_ome_zarr_py(both_views, name):
    io, reader = pytest.importorskip("ome_zarr.io"), pytest.importorskip("ome_zarr.reader")
    root = both_views.join(name)
    node = next(iter(reader.Reader(io.parse_url(root))()))
    assert len(node.data) == len(readers.levels(root))
    assert np.array_equal(np.asarray(node.data[-1]), readers.by_zarr(readers.levels(root)[-1]))


@pytest.mark.parametrize("name", SINGLE)
def test_models_and_validators(both_views, name):
    import zarr
    root = both_views.join(name)
    pytest.importorskip("yaozarrs").validate_zarr_store(root)
    pytest.importorskip("ome_zarr_models").open_ome_zarr(zarr.open_group(root, mode="r"))
    assert len(pytest.importorskip("ngff_zarr").from_ome_zarr(root, validate=True).images) == len(readers.levels(root))
