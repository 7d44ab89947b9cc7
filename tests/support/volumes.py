"""Writers of volumes for tests, on libraries of others: Imaris files by h5py, NRRD by pynrrd, NIfTI by nibabel."""
import numpy as np


def chars(text):
    """Imaris writes texts as arrays of single characters."""
    return np.frombuffer(text.encode(), "S1")


def ims(path, data, chunks=(4, 16, 16), levels=1, names=None, libver="earliest", text=chars, pad=True, halve_z=False, skip=(), image=None,
        channel=None, maxshape=None, **options):
    """`data` is t, c, z, y, x. Volumes are padded to whole chunks, as Imaris does; `skip` names those (t, c) that are left out.
    `options` go to h5py: compression, shuffle, fletcher32, fillvalue."""
    import h5py

    t, c, z, y, x = data.shape
    with h5py.File(path, "w", libver=libver) as f:
        f.attrs["ImarisDataSet"] = text("ImarisDataSet")
        f.attrs["ImarisVersion"] = text("5.5.0")
        f.attrs["DataSetDirectoryName"] = text("DataSet")
        f.attrs["DataSetInfoDirectoryName"] = text("DataSetInfo")
        f.attrs["NumberOfDataSets"] = np.array([1], np.uint32)
        for level in range(levels):
            step = (1, 1, 2**level if halve_z else 1, 2**level, 2**level)
            reduced = data[tuple(slice(None, None, s) for s in step)]
            for ti, ci in np.ndindex(t, c):
                group = f.create_group(f"DataSet/ResolutionLevel {level}/TimePoint {ti}/Channel {ci}")
                if (ti, ci) in skip:
                    continue
                volume = reduced[ti, ci]
                for axis, size in zip("ZYX", volume.shape):
                    group.attrs[f"ImageSize{axis}"] = text(str(size))
                group.attrs["HistogramMin"] = text("0.000")
                if chunks is None:
                    group.create_dataset("Data", data=volume)
                    continue
                own = chunks if pad else tuple(min(k, n) for k, n in zip(chunks, volume.shape))
                if pad:
                    more = [(0, -n % k) for n, k in zip(volume.shape, own)]
                    volume = np.pad(volume, more, constant_values=99)
                group.create_dataset("Data", data=volume, chunks=own, maxshape=maxshape, **options)
        info = f.create_group("DataSetInfo/Image")
        said = {"X": x, "Y": y, "Z": z, "Noc": c, "Unit": "um", "ExtMin0": 10, "ExtMin1": 0, "ExtMin2": 0, "ExtMax0": 10 + 0.25 * x,
                "ExtMax1": 0.5 * y, "ExtMax2": 2.0 * z, "RecordingDate": "2026-01-02 03:04:05.000", "Name": "(name not specified)",
                "LensPower": "63x", "NumericalAperture": "1.4"} | (image or {})
        for key, value in said.items():
            info.attrs[key] = text(str(value))
        for ci in range(c):
            group = f.create_group(f"DataSetInfo/Channel {ci}")
            said = {"Name": (names or [f"ch{i}" for i in range(c)])[ci], "Color": "1 0.5 0" if ci == 0 else "0 0 1", "ColorMode": "BaseColor",
                    "ColorRange": f"{ci} 200", "LSMEmissionWavelength": 500 + ci, "LSMExcitationWavelength": 480 + ci} | (channel or {})
            for key, value in said.items():
                group.attrs[key] = text(str(value))
        times = f.create_group("DataSetInfo/TimeInfo")
        times.attrs["DatasetTimePoints"] = text(str(t))
        for ti in range(t):
            times.attrs[f"TimePoint{ti + 1}"] = text(f"2026-01-02 03:{4 + ti // 20:02}:{3 * ti % 60:02}.000")


def nrrd(path, data, header=None, **options):
    """`data` is x, y, z, ... : the fastest axis first, as in the header."""
    import nrrd as writer

    writer.write(str(path), data, header, **options)


def nifti(path, data, zooms=None, kind=None, units=("micron", "sec"), slope=None, order="<"):
    """`data` is x, y, z, t, ...; `kind` a class of nibabel."""
    import nibabel

    kind = kind or nibabel.Nifti1Image
    image = kind(data, np.diag([*(zooms or (1, 1, 1))[:3], 1]), kind.header_class(endianness=order))
    image.header.set_data_dtype(data.dtype)
    if zooms:
        image.header.set_zooms(zooms)
    if hasattr(image.header, "set_xyzt_units"):
        image.header.set_xyzt_units(*units)
    if slope:
        image.header.set_slope_inter(*slope)
    nibabel.save(image, str(path))
