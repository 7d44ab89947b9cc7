"""Images and planes of a mounted directory by several independent readers."""
import contextlib
import os

import numpy as np
import tensorstore
import zarr
import zarrs  # noqa: F401  (its pipeline is chosen by name below)

from .fixtures import digest


def attributes(path):
    """The OME attributes of a group, 0.5 and 0.4 alike."""
    a = zarr.open_group(os.fspath(path), mode="r").attrs.asdict()
    return a.get("ome", a)


def images(root):
    """Paths of the images of role `image` below a virtual directory."""
    a = attributes(root)
    if "multiscales" in a:
        return [os.fspath(root)]
    return [os.path.join(root, s) for s in attributes(os.path.join(root, "OME"))["series"]]


def by_zarr(path):
    return zarr.open_array(path, mode="r")[...]


def by_zarrs(path):
    with zarr.config.set({"codec_pipeline.path": "zarrs.ZarrsCodecPipeline"}):
        return zarr.open_array(path, mode="r")[...]


def by_tensorstore(path):
    driver = "zarr3" if os.path.exists(os.path.join(path, "zarr.json")) else "zarr"
    spec = {"driver": driver, "kvstore": {"driver": "file", "path": path}}
    return tensorstore.open(spec, open=True).result().read().result()


READERS = {"zarr": by_zarr, "zarrs": by_zarrs, "tensorstore": by_tensorstore}


def levels(image):
    """Paths of the level arrays."""
    return [os.path.join(image, d["path"]) for d in attributes(image)["multiscales"][0]["datasets"]]


def planes(data, axes):
    """Planes of an array in the order t, c, z."""
    for n in "tcz":
        if n not in axes:
            data, axes = data[None], [n, *axes]
    data = np.transpose(data, [axes.index(n) for n in "tczyx"])
    return [data[i] for i in np.ndindex(*data.shape[:3])]


def axes(image):
    """Names of the axes; 0.6 has them in a coordinate system."""
    m = attributes(image)["multiscales"][0]
    return [a["name"] for a in (m if "axes" in m else m["coordinateSystems"][0])["axes"]]


def differences(image, expected, read=by_zarr, original=None):
    """What differs between a mounted image and what is expected of it; empty if nothing."""
    out = []
    paths, names = levels(image), axes(image)
    if len(paths) != len(expected["levels"]):
        return [f"{len(paths)} levels, {len(expected['levels'])} expected"]
    for k, path in enumerate(paths):
        data = read(path)
        if data.dtype.name != expected["dtype"]:
            out.append(f"level {k} is {data.dtype}, {expected['dtype']} expected")
        if list(data.shape[-2:]) != expected["levels"][k]:
            out.append(f"level {k} is {data.shape}, {expected['levels'][k]} expected")
            continue
        got = planes(data, names)
        if len(got) != len(expected["planes"][k]):
            out.append(f"level {k} has {len(got)} planes, {len(expected['planes'][k])} expected")
            continue
        for i, (p, want) in enumerate(zip(got, expected["planes"][k])):
            if digest(p) == want:
                continue
            if expected["tolerance"] and k == 0 and original is not None:
                worst = int(np.abs(p.astype(int) - original[i].astype(int)).max())
                if worst <= expected["tolerance"]:
                    continue
                out.append(f"level {k} plane {i} differs by up to {worst}")
            elif not (expected["tolerance"] and k):
                out.append(f"level {k} plane {i} ({p.dtype} {p.shape}) differs")
    return out


@contextlib.contextmanager
def opened(path, flags=os.O_RDONLY):
    fd = os.open(path, flags)
    try:
        yield fd
    finally:
        os.close(fd)


def files(root):
    """Every file below a directory, relative and sorted; raises what listing raises."""
    def complain(error):
        raise error

    out = []
    for folder, dirs, names in os.walk(root, onerror=complain):
        dirs.sort()
        out += [os.path.relpath(os.path.join(folder, n), root) for n in sorted(names)]
    return out
