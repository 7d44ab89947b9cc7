"""What people write beside their files is part of the documents: complete, soon, and never mixed with what it was."""
import errno
import json
import os
import threading
import time
import xml.etree.ElementTree as ET

import numpy as np
import pytest
import tifffile
import zarr

SOON = 10.0  # one second is promised; the machine may be very loaded
OME = "{http://www.openmicroscopy.org/Schemas/OME/2016-06}"


def image(path, value=1):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    tifffile.imwrite(path, np.full((40, 50), value, np.uint8), metadata=None, photometric="minisblack")


def write(path, text):
    """Puts a file there in one step."""
    with open(f"{path}.new", "w", encoding="utf-8") as f:
        f.write(text)
    os.rename(f"{path}.new", path)


def whole(path):
    """The bytes of a document, which are as many as `stat` said of the same file."""
    with open(path, "rb") as f:
        size = os.fstat(f.fileno()).st_size
        content = f.read()
    assert len(content) == size, path
    return content


def description(root):
    found = ET.fromstring(whole(os.path.join(root, "OME", "METADATA.ome.xml"))).find(f"{OME}Image/{OME}Description")
    return None if found is None else found.text


def report(root):
    return json.loads(whole(os.path.join(root, "nbo-tier-report.json")))


def soon(what, wanted):
    """Waits until it is what is wanted; gives how long that took."""
    started = time.monotonic()
    while True:
        got = None
        try:
            got = what()
        except OSError as e:
            assert e.errno in (errno.EIO, errno.ESTALE, errno.ENOENT), e
        if got == wanted:
            return time.monotonic() - started
        assert time.monotonic() - started < SOON, f"{got!r}, not {wanted!r}"
        time.sleep(0.02)


@pytest.fixture
def tree(tmp_path):
    folder = tmp_path / "source"
    image(folder / "a" / "b" / "x.tif")
    image(folder / "a" / "b" / "y.tif", 2)
    image(folder / "z.tif", 3)
    return folder


def test_folders_files_and_tables_say_what_an_image_is(tree, mount):
    write(tree / "dataset.meta.yaml", "description: of all\n")
    write(tree / "a" / "dataset.meta.json", '{"description": "of a"}')
    write(tree / "a" / "b" / "x.tif.meta.yml", "description: of x\n")
    write(tree / "a" / "dataset.meta.csv", "file,description\nb/y.tif,of y\n")
    m = mount(tree)
    assert [description(m.join(p)) for p in ("z.ome.zarr", "a/b/x.ome.zarr", "a/b/y.ome.zarr")] == ["of all", "of x", "of y"]
    named = report(m.join("a/b/x.ome.zarr"))["generated_from"]["sidecars"]
    assert named == ["dataset.meta.yaml", "a/dataset.meta.json", "a/b/x.tif.meta.yml"] or set(named) >= {"dataset.meta.yaml", "a/b/x.tif.meta.yml"}
    assert os.getxattr(m.join("a/b/x.ome.zarr"), "user.fuzarr.sidecars").split(b"\n")[-1] == b"a/b/x.tif.meta.yml"
    for root in ("z.ome.zarr", "a/b/x.ome.zarr"):
        assert (zarr.open_array(m.join(root, "0"), mode="r")[:] > 0).all()


def test_a_mount_of_one_file_has_its_sidecars(tree, mount):
    write(tree / "z.tif.meta.yaml", "description: of z\n")
    m = mount(tree / "z.tif")
    assert os.listdir(m.path) == ["z.ome.zarr"]
    assert description(m.join("z.ome.zarr")) == "of z"
    write(tree / "dataset.meta.yaml", "name: n\n")
    soon(lambda: len(report(m.join("z.ome.zarr"))["generated_from"]["sidecars"]), 2)


def test_changes_show(tree, mount):
    m = mount(tree)
    root, sidecar = m.join("a/b/x.ome.zarr"), tree / "dataset.meta.yaml"
    assert description(root) is None
    before = os.stat(os.path.join(root, "OME", "METADATA.ome.xml")).st_mtime_ns
    assert before == os.stat(tree / "a/b/x.tif").st_mtime_ns
    took = []
    for text in ("one", "another", "the third of them"):
        write(sidecar, f"description: {text}\n")
        took.append(soon(lambda: description(root), text))
        assert os.stat(os.path.join(root, "OME", "METADATA.ome.xml")).st_mtime_ns == os.stat(sidecar).st_mtime_ns
    with open(sidecar, "w", encoding="utf-8") as f:
        f.write("description: in place, and longer\n")
    took.append(soon(lambda: description(root), "in place, and longer"))
    write(tree / "a" / "b" / "x.tif.meta.json", '{"description": "of x"}')
    took.append(soon(lambda: description(root), "of x"))
    os.unlink(tree / "a" / "b" / "x.tif.meta.json")
    took.append(soon(lambda: description(root), "in place, and longer"))
    os.unlink(sidecar)
    took.append(soon(lambda: description(root), None))
    print("changes showed after", [round(t, 2) for t in took])
    assert (zarr.open_array(os.path.join(root, "0"), mode="r")[:] == 1).all()


def test_a_broken_sidecar_hides_nothing(tree, mount):
    write(tree / "dataset.meta.yaml", "description: fine\nname: [1, 2\nother: x\n")
    os.symlink("/etc/passwd", tree / "a" / "dataset.meta.json")
    os.mkfifo(tree / "a" / "b" / "dataset.meta.yaml")
    m = mount(tree)
    for root in (m.join("z.ome.zarr"), m.join("a/b/x.ome.zarr")):
        assert zarr.open_array(os.path.join(root, "0"), mode="r").shape[-2:] == (40, 50)
        problems = {p["file"]: p for p in report(root)["problems"]}
        assert problems["dataset.meta.yaml"]["line"] in (2, 3), problems
    assert {"a/dataset.meta.json", "a/b/dataset.meta.yaml"} <= set(problems)
    write(tree / "dataset.meta.yaml", "description: mended\n")
    soon(lambda: description(m.join("z.ome.zarr")), "mended")


def test_quality_control_is_there_when_it_is_given(tree, mount):
    m = mount(tree)
    root = m.join("z.ome.zarr")
    document = os.path.join(root, "OME", "qc.json")
    assert not os.path.exists(document) and "qc.json" not in os.listdir(os.path.dirname(document))
    session = "{date: 2026-01-02, results: [{metric: lateral_resolution_fwhm_x, value: 0.25, unit: um}]}"
    write(tree / "qc.yaml", f"sessions: [{session}]\n")
    write(tree / "dataset.meta.yaml", "qc_files: [qc.yaml]\n")
    soon(lambda: os.path.exists(document), True)
    assert len(json.loads(whole(document))["sessions"]) == 1 and "qc.json" in os.listdir(os.path.dirname(document))
    write(tree / "qc.yaml", f"sessions: [{session}, {session}]\n")
    soon(lambda: len(json.loads(whole(document))["sessions"]), 2)


@pytest.mark.seconds(120)
def test_readers_see_one_state_or_the_other(tree, mount):
    m = mount(tree)
    root, sidecar = m.join("a/b/x.ome.zarr"), tree / "a" / "dataset.meta.yaml"
    states = {f"state {i}: " + "x" * (50 * i) for i in range(1, 5)}
    write(sidecar, f"description: '{min(states)}'\n")
    soon(lambda: description(root), min(states))
    seen, wrong, done = set(), [], threading.Event()

    def read():
        while not done.is_set():
            try:
                text = description(root)
                seen.add(text)
                if text not in states:
                    wrong.append(text)
            except OSError as e:
                if e.errno not in (errno.EIO, errno.ESTALE):
                    wrong.append(e)
            except (AssertionError, ET.ParseError) as e:
                wrong.append(e)

    readers = [threading.Thread(target=read) for _ in range(3)]
    for r in readers:
        r.start()
    for text in sorted(states) * 2:
        write(sidecar, f"description: '{text}'\n")
        soon(lambda text=text: description(root), text)
    done.set()
    for r in readers:
        r.join()
    assert wrong == [] and seen == states


def test_an_open_document_stays_what_it_was_or_fails(tree, mount):
    write(tree / "dataset.meta.yaml", "description: old\n")
    m = mount(tree)
    path = m.join("z.ome.zarr", "OME", "METADATA.ome.xml")
    with open(path, "rb", buffering=0) as f:
        old = whole(path)
        write(tree / "dataset.meta.yaml", "description: new and longer\n")
        soon(lambda: description(m.join("z.ome.zarr")), "new and longer")
        try:
            assert f.read() == old
        except OSError as e:
            assert e.errno == errno.EIO


def test_rights_are_those_of_image_and_sidecars(mount):
    if os.geteuid() != 0:
        pytest.skip("other users need root")
    from test_permissions import OWNER, STRANGER, as_user, readable
    import shutil
    import tempfile
    place = tempfile.mkdtemp(prefix="fuzarr-rights-")
    try:
        os.chmod(place, 0o755)
        for name, mode in (("open", 0o644), ("closed", 0o600)):
            image(os.path.join(place, "src", name, "a.tif"))
            sidecar = os.path.join(place, "src", name, "dataset.meta.yaml")
            write(sidecar, "description: of those who may\n")
            os.chmod(sidecar, mode)
            os.chown(sidecar, OWNER, OWNER)
        m = mount(os.path.join(place, "src"), "--allow-other")
        documents = ("OME/METADATA.ome.xml", "ro-crate-metadata.json", "nbo-tier-report.json")
        for user in (OWNER, STRANGER):
            assert all(as_user(user, lambda: [readable(m.join("open/a.ome.zarr", d)) for d in documents]))
            assert as_user(user, lambda: readable(m.join("closed/a.ome.zarr/0/c/0/0/0/0/0")))
        assert not any(as_user(STRANGER, lambda: [readable(m.join("closed/a.ome.zarr", d)) for d in documents]))
        assert "of those who may" in whole(m.join("closed/a.ome.zarr/OME/METADATA.ome.xml")).decode()
    finally:
        shutil.rmtree(place)


def test_a_look_at_an_image_costs_one_call(tmp_path, mount):
    folder = tmp_path / "many"
    folder.mkdir()
    write(folder / "dataset.meta.yaml", "description: of all\n")
    for i in range(3000):
        os.mknod(folder / f"i{i:05}.tif", 0o100644)
    m = mount(folder)
    names = os.listdir(m.path)
    calls = m.status()["fs"]["source_calls"]
    for name in names:
        os.stat(m.join(name))
    after = m.status()["fs"]["source_calls"]
    looks, opens = after["stats"] - calls["stats"], after["opens"] - calls["opens"]
    print(f"{len(names)} names: {looks} looks at the source, {opens} files opened")
    assert opens == 0 and looks <= len(names) + 100


def test_a_sidecar_can_ask_for_de_identification(tree, mount):
    write(tree / "dataset.meta.yaml", "deidentify:\n  level: standard\nauthors:\n  - name: Public Author\n")
    m = mount(tree)
    assert os.getxattr(m.join("a/b/x.ome.zarr"), "user.fuzarr.deidentified") == b"standard"
    write(tree / "a" / "dataset.meta.yaml", "deidentify:\n  level: off\n")
    write(tree / "a" / "b" / "x.tif.meta.yaml", "deidentify:\n  level: strict\ndescription: secret\n")
    soon(lambda: os.getxattr(m.join("a/b/x.ome.zarr"), "user.fuzarr.deidentified"), b"strict")
    assert os.getxattr(m.join("a/b/y.ome.zarr"), "user.fuzarr.deidentified") == b"standard", "a folder asks for more than what is in it"
    assert b"secret" not in whole(m.join("a/b/x.ome.zarr/OME/METADATA.ome.xml"))
