"""With --deidentify nothing of people, places and devices comes through, wherever the sources hold it."""
import contextlib
import hashlib
import hmac
import os
import re
import stat

import pytest
import zarr

from support import planted

ROW = b"LABEL-OF-ONE-PERSON-"
KEY = b"a secret of more than sixteen bytes"


@pytest.fixture
def secret(tmp_path):
    path = tmp_path / "key"
    path.write_bytes(KEY)
    path.chmod(0o600)
    return path


@pytest.fixture
def sources(tmp_path, monkeypatch):
    root = tmp_path / "sources"
    root.mkdir()
    return root, planted.write_all(root, monkeypatch)


def code(name):
    return hmac.new(KEY, os.fsencode(name), hashlib.sha256).hexdigest()[:32]


def words(plants):
    """What is searched for: every planted value, in every encoding, and the rows of labels."""
    values = {value for plant in plants.values() for value in plant.values()} | {planted.MARK}
    found = {value: value.encode() for value in values}
    found |= {f"{value} (UTF-16)": value.encode("utf-16-le") for value in values}
    return found | {"a label": ROW, "a label, one colour": bytes(ROW)}


def everything(m):
    """Names, contents, attributes and links of the whole tree, then the log and the status: (where, bytes)."""
    for folder, folders, files in os.walk(m.path, onerror=lambda e: None):
        for name in folders + files:
            path = os.path.join(folder, name)
            yield path, os.fsencode(name)
            if os.path.islink(path):
                yield f"{path} (target)", os.fsencode(os.readlink(path))
            for attribute in (*os.listxattr(path), *(f"user.fuzarr.{a}" for a in ("source", "dataset", "error", "damaged", "format"))):
                with contextlib.suppress(OSError):
                    yield f"{path} ({attribute})", attribute.encode() + b" " + os.getxattr(path, attribute)
            if name in files:
                try:
                    with open(path, "rb") as f:
                        yield path, f.read()
                except OSError as e:
                    yield f"{path} (error)", str(e.strerror).encode()
    yield "the status", str(m.status()).replace(m.path, "").encode()
    yield "the log", m.log().replace(m.path, "").encode()


def leaks(m, searched):
    found = []
    for where, content in everything(m):
        low = content.lower()
        found += [f"{value} in {where}" for value, word in searched.items() if word.lower() in low]
    return found


def images(m):
    return [os.path.join(folder, name) for folder, names, _ in os.walk(m.path) for name in names if name.endswith(".ome.zarr")]


@pytest.mark.seconds(900)
def test_strict_lets_nothing_through(sources, secret, mount):
    root, plants = sources
    m = mount(root, "--deidentify", "strict", "--deidentify-key", secret, "--log-level", "trace", env={"RUST_BACKTRACE": "0"})
    shown = images(m)
    assert len(shown) >= len(plants)
    assert leaks(m, words(plants)) == []
    for path in shown:
        relative = os.path.relpath(path, m.path)
        assert re.fullmatch(r"(?:[0-9a-f]{32}/)*[0-9a-f]{32}\.ome\.zarr", relative), relative
    for kind in plants:
        assert os.path.isdir(m.join(code(f"{planted.MARK}{kind}folder"))), kind
    assert os.path.isfile(m.join(code(f"{planted.MARK}omefolder"), code(f"{planted.MARK}a.ome.tif") + ".ome.zarr", "zarr.json"))
    for path in shown:
        for time in (os.stat(path).st_mtime, os.stat(path).st_ctime, os.stat(path).st_atime):
            assert time % 86400 == 0, "days are not told"


@pytest.mark.seconds(600)
def test_standard_keeps_names_of_images_and_leaves_out_people(sources, mount):
    root, plants = sources
    m = mount(root, "--deidentify", "standard", "--log-level", "trace")
    assert os.path.isfile(m.join(f"{planted.MARK}svsfolder", f"{planted.MARK}a.ome.zarr", "zarr.json"))
    # Folders and images keep their names; free text, names and serial numbers of devices are left to strict.
    people = {}
    for plant in plants.values():
        for value in (plant.person, plant.mail, plant.path, plant.place):
            people[value] = value.encode()
    assert leaks(m, {**people, "a label": ROW}) == []


@pytest.mark.parametrize("level", ["standard", "strict"])
def test_only_images_and_the_folders_above_them_are_there(sources, secret, mount, level):
    root, plants = sources
    m = mount(root, "--deidentify", level, "--deidentify-key", secret)
    outside = []
    for folder, folders, files in os.walk(m.path):
        if ".ome.zarr" in folder:
            continue
        outside += [os.path.join(folder, f) for f in files]
        assert all(stat.S_ISDIR(os.lstat(os.path.join(folder, f)).st_mode) for f in folders)
    assert outside == []
    good = [path for path in images(m) if os.path.exists(os.path.join(path, "zarr.json"))]
    assert len(good) >= len(plants) - 1
    assert not any("associated" in os.listdir(path) for path in good)
    assert not any(os.path.exists(os.path.join(path, "OME", "source.ome.xml")) for path in images(m))
    ome = f"{planted.MARK}omefolder"
    for hidden in (f"{planted.MARK}a.ome.tif", f"{planted.MARK}a.ome.tif.ome.zarr", f"{planted.MARK}a.ome.tif.meta.yaml", "dataset.meta.csv"):
        assert not os.path.lexists(m.join(ome, hidden))
    for path in images(m):
        with contextlib.suppress(OSError):
            assert "user.fuzarr.source" not in os.listxattr(path)
        with pytest.raises(OSError):
            os.getxattr(path, "user.fuzarr.source")
    for path in good:
        zarr.open_group(path, mode="r")
        assert os.getxattr(path, "user.fuzarr.deidentified") == level.encode()


def test_nothing_is_mounted_by_halves(sources, tmp_path, mount):
    for options in (["--deidentify", "strict"], ["--deidentify", "standard", "--show-sources"],
                    ["--deidentify", "strict", "--deidentify-key", tmp_path / "nothing"]):
        with pytest.raises(RuntimeError, match="deidentify"):
            mount(sources[0], *options)
