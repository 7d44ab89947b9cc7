"""DICOM: what the mount shows is what was written, however pixels, frames and files of a series are stored."""
import json
import os

import numpy as np
import pytest
import zarr
from support import dicom

pydicom = pytest.importorskip("pydicom")


def images(root):
    group = zarr.open_group(root, mode="r")
    found = [group] if "multiscales" in group.attrs["ome"] else [group[s] for s in group["OME"].attrs["ome"]["series"]]
    return [(g["0"][...], g.attrs["ome"]) for g in found]


def scale(ome, level=0):
    return ome["multiscales"][0]["datasets"][level]["coordinateTransformations"][0]["scale"]


def noise(*shape, dtype=np.uint8, most=None, seed=7):
    values = np.random.default_rng(seed).integers(0, (most or np.iinfo(dtype).max) + 1, shape)
    # Something to compress: half of it is smooth.
    values[..., : shape[-1] // 2] = (np.arange(values[..., : shape[-1] // 2].size) // 3 % min(50, (most or 255) + 1)).reshape(values[..., : shape[-1] // 2].shape)
    return values.astype(dtype)


def only(mount, folder, name="a.ome.zarr"):
    [(data, ome)] = images(mount(folder).join(name))
    return data, ome


@pytest.mark.parametrize("syntax", ["implicit", "explicit", "deflated", "big"])
@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "u4", "f4", "f8"])
def test_samples_of_every_type(tmp_path, mount, syntax, dtype):
    frames = (np.arange(3 * 7 * 5).reshape(3, 7, 5) * 3 - (50 if dtype[0] == "i" else 0)).astype(dtype)

    def change(ds):
        if dtype[0] == "f":
            raw = frames.astype(frames.dtype.newbyteorder(">" if syntax == "big" else "<"))
            del ds.PixelData, ds.BitsStored, ds.HighBit, ds.PixelRepresentation
            if dtype == "f4":
                ds.FloatPixelData = raw.tobytes()
            else:
                ds.DoubleFloatPixelData = raw.tobytes()

    dicom.image(tmp_path / "a.dcm", frames, syntax, change=change)
    ours, _ = only(mount, tmp_path)
    assert ours.dtype == np.dtype(dtype) and np.array_equal(ours[:, 0, 0], frames)


def test_bits_that_are_not_stored_do_not_show(tmp_path, mount):
    stored = noise(1, 6, 8, dtype=np.uint16, most=4095)
    dicom.image(tmp_path / "a.dcm", stored | 0xA000, bits=12)
    dicom.image(tmp_path / "b.dcm", (stored << 4 | 7).astype(np.uint16), bits=12, series=2, change=lambda ds: setattr(ds, "HighBit", 15))
    signed = (stored.astype(np.int16) - 2048)
    dicom.image(tmp_path / "c.dcm", (signed & 0xFFF).astype(np.int16), bits=12, series=3)
    m = mount(tmp_path)
    for name, want in (("a", stored), ("b", stored), ("c", signed)):
        [(ours, _)] = images(m.join(f"{name}.ome.zarr"))
        assert np.array_equal(ours[0, 0], want), name


def test_one_bit_frames_that_do_not_begin_at_bytes(tmp_path, mount):
    bits = noise(3, 5, 7, most=1)

    def change(ds):
        ds.BitsAllocated = ds.BitsStored = 1
        ds.HighBit = 0
        raw = np.packbits(bits.ravel(), bitorder="little").tobytes()
        ds.PixelData = raw + b"\0" * (len(raw) % 2)

    dicom.image(tmp_path / "a.dcm", bits, change=change)
    ours, _ = only(mount, tmp_path)
    assert np.array_equal(ours[:, 0, 0], bits)


@pytest.mark.parametrize("planar", [0, 1])
@pytest.mark.parametrize("syntax", ["explicit", "big"])
def test_colours_by_pixel_and_by_plane(tmp_path, mount, planar, syntax):
    frames = noise(2, 9, 6, 3)
    dicom.image(tmp_path / "a.dcm", frames, syntax, planar=planar)
    ours, ome = only(mount, tmp_path)
    assert np.array_equal(ours[:, :, 0].transpose(0, 2, 3, 1), frames)
    assert [c["color"] for c in ome["omero"]["channels"]] == ["FF0000", "00FF00", "0000FF"]


def test_ycbcr_that_is_not_compressed(tmp_path, mount):
    from pydicom.pixels import convert_color_space
    frames = noise(1, 4, 6, 3)
    dicom.image(tmp_path / "a.dcm", frames, photometric="YBR_FULL")
    pairs = frames.copy()
    pairs[:, :, 1::2, 1:] = pairs[:, :, ::2, 1:]
    packed = np.stack([pairs[:, :, ::2, 0], pairs[:, :, 1::2, 0], pairs[:, :, ::2, 1], pairs[:, :, ::2, 2]], -1)
    dicom.image(tmp_path / "b.dcm", frames, photometric="YBR_FULL_422", series=2, change=lambda ds: setattr(ds, "PixelData", packed.tobytes()))
    m = mount(tmp_path)
    for name, want in (("a", frames), ("b", pairs)):
        [(ours, _)] = images(m.join(f"{name}.ome.zarr"))
        want = convert_color_space(want[0], "YBR_FULL", "RGB")
        assert np.abs(ours[0, :, 0].transpose(1, 2, 0).astype(int) - want).max() <= 1, name


def test_palette_shows_indices_or_colours(tmp_path, mount):
    frames = noise(1, 6, 5, most=9)

    def change(ds):
        for n, color in enumerate(("Red", "Green", "Blue")):
            setattr(ds, f"{color}PaletteColorLookupTableDescriptor", [10, 0, 16])
            setattr(ds, f"{color}PaletteColorLookupTableData", (np.arange(10, dtype="<u2") * 1000 * (n + 1)).tobytes())

    dicom.image(tmp_path / "a.dcm", frames, photometric="PALETTE COLOR", change=change)
    ours, _ = only(mount, tmp_path)
    assert np.array_equal(ours[:, 0, 0], frames)
    [(ours, _)] = images(mount(tmp_path, "--palette", "rgb").join("a.ome.zarr"))
    want = np.stack([(frames.astype(int) * 1000 * (n + 1)) >> 8 for n in range(3)], 1)
    assert np.array_equal(ours[:, :, 0], want)


COMPRESSED = [
    ("rle", "u1", {}), ("rle", "u2", {}), ("rle", "u4", {}), ("rle", "rgb", {}), ("ljpeg", "u1", {}), ("ljpeg", "u2", {}),
    ("jpegls", "u1", {}), ("jpegls", "u2", {}), ("jpegls", "u2", {"bits": 12}), ("j2k", "u1", {}), ("j2k", "u2", {}), ("j2k", "i2", {}),
    ("j2k", "rgb", {}), ("jxl", "u1", {}), ("jxl", "u2", {}), ("jxl", "rgb", {}), ("frames", "u2", {}), ("frames", "rgb", {}),
    *(("jpegls", "rgb", {"interleave": n}) for n in (0, 1, 2)),
]


@pytest.mark.parametrize("syntax,dtype,options", COMPRESSED, ids=lambda v: "-".join(map(str, v.values())) if isinstance(v, dict) else v)
def test_lossless_compressions(tmp_path, mount, syntax, dtype, options):
    if syntax == "jpegls":
        pytest.importorskip("jpeg_ls")
    bits = options.get("bits")
    frames = noise(3, 30, 41, 3) if dtype == "rgb" else noise(3, 30, 41, dtype=dtype, most=(1 << bits) - 1 if bits else None)
    dicom.image(tmp_path / "a.dcm", frames, syntax, **options)
    ours, _ = only(mount, tmp_path)
    want = frames if dtype != "rgb" else frames.transpose(0, 3, 1, 2)
    assert np.array_equal(ours.squeeze(), want)


@pytest.mark.parametrize("near", [1, 3, 9])
@pytest.mark.parametrize("dtype", ["u1", "u2", "rgb0", "rgb1", "rgb2"])
def test_near_lossless_stays_near_and_equals_another_decoder(tmp_path, mount, near, dtype):
    jpeg_ls = pytest.importorskip("jpeg_ls")
    frames = noise(1, 40, 33, 3) if dtype[:3] == "rgb" else noise(1, 40, 33, dtype=dtype)
    options = {"near": near, **({"interleave": int(dtype[3])} if dtype[:3] == "rgb" else {})}
    dicom.image(tmp_path / "a.dcm", frames, "near", **options)
    ours, _ = only(mount, tmp_path)
    ours = ours.squeeze()
    theirs = np.frombuffer(bytes(jpeg_ls.decode_buffer(dicom.encoded(frames[0], "near", **options))[0]), frames.dtype)
    theirs = theirs.reshape(frames.shape[1:] if options.get("interleave", 2) else (3, 40, 33))
    if dtype in ("rgb1", "rgb2"):
        theirs = theirs.transpose(2, 0, 1)
    assert np.array_equal(ours, theirs)
    want = frames[0].transpose(2, 0, 1) if dtype[:3] == "rgb" else frames[0]
    assert np.abs(ours.astype(int) - want).max() <= near


@pytest.mark.parametrize("photometric,colorspace", [("YBR_FULL_422", "YCBCR"), ("RGB", "RGB"), ("MONOCHROME2", None)])
def test_jpeg_by_what_the_file_says_of_colours(tmp_path, mount, photometric, colorspace):
    import imagecodecs
    yy, xx = np.mgrid[:40, :56]
    frames = np.stack([yy * 3, xx * 2, yy + xx], -1).astype(np.uint8)[None]
    if colorspace is None:
        frames = frames[..., 0]
    options = {"outcolorspace": colorspace} if colorspace else {}
    dicom.image(tmp_path / "a.dcm", frames, "jpeg", photometric=photometric, **options)
    ours, _ = only(mount, tmp_path)
    want = imagecodecs.jpeg8_decode(dicom.encoded(frames[0], "jpeg", **options))
    want = want.transpose(2, 0, 1) if want.ndim == 3 else want
    assert np.abs(ours.squeeze().astype(int) - want).max() <= 4
    assert np.abs(ours.squeeze().astype(int) - (frames[0].transpose(2, 0, 1) if colorspace else frames[0])).max() < 30


@pytest.mark.parametrize("table", ["basic", "extended", "none"])
@pytest.mark.parametrize("split", [1, 3])
def test_frames_are_found_with_and_without_tables(tmp_path, mount, table, split):
    if table == "extended" and split > 1:
        pytest.skip("a frame of one item is what the extended table is for")
    frames = noise(4, 30, 20, dtype=np.uint16)
    dicom.image(tmp_path / "a.dcm", frames, "j2k", table=table, split=split)
    ours, _ = only(mount, tmp_path)
    assert np.array_equal(ours[:, 0, 0], frames)


def test_files_without_preamble_or_meta_group(tmp_path, mount):
    frames = noise(1, 6, 5, dtype=np.uint16)
    dicom.image(tmp_path / "whole.dcm", frames)
    whole = (tmp_path / "whole.dcm").read_bytes()
    os.unlink(tmp_path / "whole.dcm")
    ds = dicom.base()
    dicom.describe(ds, frames)
    dicom.fill(ds, frames, "explicit")
    (tmp_path / "nopreamble.dcm").write_bytes(whole[132:])
    for name, implicit in (("implicit", True), ("explicit", False)):
        from pydicom.filebase import DicomBytesIO
        from pydicom.filewriter import write_dataset
        out = DicomBytesIO()
        out.is_little_endian, out.is_implicit_VR = True, implicit
        bare = pydicom.Dataset({e.tag: e for e in ds})
        bare.SeriesInstanceUID = dicom.uid(9, int(implicit))
        write_dataset(out, bare)
        (tmp_path / f"{name}.dcm").write_bytes(out.getvalue())
    m = mount(tmp_path)
    for name in ("nopreamble", "implicit", "explicit"):
        [(ours, _)] = images(m.join(f"{name}.ome.zarr"))
        assert np.array_equal(ours[0, 0], frames), name


def test_a_slide_with_channels_planes_and_levels(tmp_path, mount):
    data = noise(2, 3, 50, 70, dtype=np.uint16)
    small = data[:, :, ::2, ::2]
    names = ("DAPI", "FITC")
    dicom.slide(tmp_path / "b.dcm", small, names=names, instance=2, spacing=0.001)
    dicom.slide(tmp_path / "a.dcm", data, names=names)
    label = noise(1, 1, 12, 20, 3)
    dicom.slide(tmp_path / "z.dcm", label, flavor="LABEL", instance=3, names=("",))
    m = mount(tmp_path)
    for name in ("a", "b", "z"):
        root = zarr.open_group(m.join(f"{name}.ome.zarr"), mode="r")
        ome = root.attrs["ome"]
        assert np.array_equal(root["0"][0], data) and np.array_equal(root["1"][0], small)
        assert [c["label"] for c in ome["omero"]["channels"]] == ["DAPI", "FITC"]
        assert np.allclose(scale(ome), [1, 1, 1.5, 0.5, 0.5]) and np.allclose(scale(ome, 1), [1, 1, 1.5, 1, 1])
        assert np.array_equal(root["associated/label/0"][0, :, 0], label[0, 0].transpose(2, 0, 1))
        assert os.getxattr(m.join(f"{name}.ome.zarr"), "user.fuzarr.format") == b"dicom"
    text = open(m.join("a.ome.zarr/OME/METADATA.ome.xml")).read()
    assert 'NominalMagnification="20' in text and 'LensNA="0.8"' in text and 'ExcitationWavelength="405' in text


def test_a_sparse_slide_shows_fill_where_no_tile_is(tmp_path, mount):
    data = noise(2, 2, 40, 60) | 1
    dicom.slide(tmp_path / "a.dcm", data, names=("x", "y"), sparse=lambda p, z, n: (p + z + n) % 3)
    ours, ome = only(mount, tmp_path)
    for p, z, n in np.ndindex(2, 2, 9):
        y, x = n // 3 * 16, n % 3 * 24
        want = data[p, z, y:y + 16, x:x + 24] if (p + z + n) % 3 else 0
        assert np.array_equal(ours[0, p, z, y:y + 16, x:x + 24], want + 0 * ours[0, p, z, y:y + 16, x:x + 24]), (p, z, n)
    assert scale(ome)[2] == 1.5


def test_a_slide_in_parts_and_in_a_file_for_each_channel(tmp_path, mount):
    data = noise(2, 1, 50, 70)
    for n, (first, end) in enumerate(((0, 5), (5, 13), (13, 24))):
        dicom.slide(tmp_path / f"a{n}.dcm", data, names=("x", "y"), instance=n + 1, part=(first, end, 1))
    for n in range(2):
        dicom.slide(tmp_path / f"b{n}.dcm", data[n:n + 1], names=("xy"[n],), ids=(f"q{n}",), instance=n + 4, series=2)
    m = mount(tmp_path)
    for name in ("a0", "a2", "b0", "b1"):
        [(ours, ome)] = images(m.join(f"{name}.ome.zarr"))
        assert np.array_equal(ours[0, :, 0], data[:, 0]), name
        assert [c["label"] for c in ome["omero"]["channels"]] == ["x", "y"]


def test_a_slide_that_lacks_frames_is_an_error_there(tmp_path, mount):
    data = noise(1, 1, 40, 60)
    dicom.slide(tmp_path / "a.dcm", data, part=(0, 5, 1))
    root = zarr.open_group(mount(tmp_path, "--chunk", "16,24").join("a.ome.zarr"), mode="r")
    assert np.array_equal(root["0"][0, 0, 0, :16], data[0, 0, :16])
    with pytest.raises(OSError):
        root["0"][0, 0, 0, 32:]


@pytest.mark.parametrize("compressed", [False, True])
def test_a_folder_of_slices_is_a_stack(tmp_path, mount, compressed):
    data = noise(2, 5, 12, 10, dtype=np.uint16)
    order = [(t, z) for t in range(2) for z in range(5)]
    for n, k in enumerate(np.random.default_rng(1).permutation(10)):
        t, z = order[k]

        def change(ds):
            ds.ImagePositionPatient = [1, 2, 2.5 * z - 4]
            ds.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
            ds.PixelSpacing = [0.25, 0.5]
            ds.InstanceNumber = int(k) + 1
            ds.SeriesDescription = "Abdomen"

        dicom.image(tmp_path / f"{n}.dcm", data[t, z][None], "j2k" if compressed else "explicit", instance=int(k) + 1, change=change)
    (tmp_path / "other.dcm").write_bytes(b"no DICOM file")
    dicom.image(tmp_path / "x.dcm", data[0, :1], series=2)
    m = mount(tmp_path)
    for name in ("0", "7"):
        [(ours, ome)] = images(m.join(f"{name}.ome.zarr"))
        assert np.array_equal(ours[:, 0], data)
        assert scale(ome)[2:] == [2.5, 0.25, 0.5]
        assert os.getxattr(m.join(f"{name}.ome.zarr"), "user.fuzarr.dataset") == b"0.dcm"
    assert images(m.join("x.ome.zarr"))[0][0].shape == (1, 1, 1, 12, 10)


def test_slices_without_positions_go_by_their_numbers(tmp_path, mount):
    data = noise(4, 6, 5)
    for n, name in enumerate("cadb"):
        dicom.image(tmp_path / f"{name}.dcm", data[n][None], instance=n + 1)
    [(ours, _)] = images(mount(tmp_path).join("a.ome.zarr"))
    assert np.array_equal(ours[0, 0], data)


def test_a_slice_that_comes_later_belongs_to_the_stack(tmp_path, mount):
    data = noise(3, 6, 5)
    for n in range(2):
        dicom.image(tmp_path / f"{n}.dcm", data[n][None], instance=n + 1)
    m = mount(tmp_path)
    assert images(m.join("0.ome.zarr"))[0][0].shape[2] == 2
    dicom.image(tmp_path / "2.dcm", data[2][None], instance=3)
    import time
    for _ in range(100):
        time.sleep(0.1)
        shown = images(m.join("0.ome.zarr"))[0][0]
        if shown.shape[2] == 3:
            break
    assert np.array_equal(shown[0, 0], data)


def test_frames_by_dimensions(tmp_path, mount):
    data = noise(2, 3, 8, 6, dtype=np.uint16)

    dicom.image(tmp_path / "a.dcm", data.transpose(1, 0, 2, 3).reshape(6, 8, 6), change=dicom.dimensions(3, 2))
    ours, ome = only(mount, tmp_path)
    assert np.array_equal(ours[:, 0], data) and scale(ome)[2:] == [3.5, 0.75, 0.75]


def test_video_frames_follow_in_time(tmp_path, mount):
    data = noise(5, 8, 6)
    dicom.image(tmp_path / "a.dcm", data, change=lambda ds: setattr(ds, "FrameTime", 40))
    ours, ome = only(mount, tmp_path)
    assert ours.shape == (5, 1, 1, 8, 6) and scale(ome)[0] == 0.04


def test_what_is_not_read_says_so(tmp_path, mount):
    frames = noise(1, 8, 8)
    dicom.image(tmp_path / "ht.dcm", frames, "j2k", change=lambda ds: setattr(ds.file_meta, "TransferSyntaxUID", dicom.UID(dicom.SYNTAXES["htj2k"])))
    ds = dicom.base()
    ds.SOPClassUID = "1.2.840.10008.5.1.4.1.1.88.11"
    dicom.save(ds, tmp_path / "report.dcm")
    (tmp_path / "noending").write_bytes((tmp_path / "ht.dcm").read_bytes())
    m = mount(tmp_path)
    with pytest.raises(OSError):
        images(m.join("ht.ome.zarr"))
    with pytest.raises(OSError):
        os.listdir(m.join("report.ome.zarr"))
    assert b"without pixels" in os.getxattr(m.join("report.ome.zarr"), "user.fuzarr.error")
    assert os.path.isfile(m.join("noending"))


def test_files_that_come_with_pydicom(tmp_path, mount):
    """Other people's files, as far as pydicom decodes them here; another JPEG or JPEG 2000 decoder may differ a little."""
    from pydicom.data import get_testdata_files
    known = {}
    for path in get_testdata_files("*.dcm"):
        if "dicomdirtests" in path:
            continue
        try:
            ds = pydicom.dcmread(path, force=True)
            known[os.path.basename(path)[:-4]] = (path, ds, ds.pixel_array)
        except Exception:
            continue
    for name, (path, _, _) in known.items():
        os.mkdir(tmp_path / name)
        (tmp_path / name / "a.dcm").write_bytes(open(path, "rb").read())
    m = mount(tmp_path)
    checked, wrong = 0, []
    for name, (_, ds, want) in known.items():
        try:
            [(ours, _)] = images(m.join(f"{name}/a.ome.zarr"))
        except OSError as e:
            wrong.append(f"{name}: {e}")
            continue
        color = ds.get("SamplesPerPixel", 1) == 3
        if want.ndim == (3 if color else 2):
            want = want[None]
        ours = ours.reshape(-1, 3, *ours.shape[-2:]).transpose(0, 2, 3, 1) if color else ours.reshape(-1, *ours.shape[-2:])
        lossy = ds.file_meta.TransferSyntaxUID in ("1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51", "1.2.840.10008.1.2.4.91")
        most = 4 if lossy else 1 if "YBR" in ds.PhotometricInterpretation else 0
        if ours.shape != want.shape or np.abs(ours.astype(float) - want).max() > most:
            wrong.append(f"{name}: {ours.shape}, {want.shape}")
        checked += 1
    assert not wrong and checked > 25, wrong
