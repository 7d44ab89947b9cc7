"""Nobody reads through the mount what he cannot read at the source: users x modes x ACLs x a private member."""
import itertools
import json
import os
import shutil
import struct
import tempfile
import uuid

import numpy as np
import pytest
import tifffile

from support import mounts

OWNER, MEMBER, STRANGER, NAMED, GROUPED = 51001, 51002, 51003, 51004, 51005
GROUP, ACL_GROUP = 52000, 52001
USERS = {OWNER: [GROUP], MEMBER: [GROUP], STRANGER: [52999], NAMED: [52999], GROUPED: [52999, ACL_GROUP]}
MODES = [0o400, 0o440, 0o444, 0o600, 0o640, 0o644, 0o604, 0o044, 0o004, 0o040, 0o000, 0o755, 0o060, 0o606]
USER_OBJ, USER, GROUP_OBJ, GROUP_TAG, MASK, OTHER = 1, 2, 4, 8, 0x10, 0x20
NONE = 0xFFFFFFFF
ACLS = {
    "named user": [(USER, NAMED, 4)], "named user denied": [(USER, NAMED, 0)], "named group": [(GROUP_TAG, ACL_GROUP, 4)],
    "named group denied": [(GROUP_TAG, ACL_GROUP, 0)], "both": [(USER, NAMED, 4), (GROUP_TAG, ACL_GROUP, 6)], "masked": [(USER, NAMED, 4), (MASK, NONE, 0)],
    "owner denied by name": [(USER, OWNER, 0)], "group denied, mask open": [(USER, STRANGER, 4), (GROUP_OBJ, NONE, 0)],
}

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="other users need root")


def set_acl(path, mode, extra):
    """A POSIX ACL as the kernel takes it; entries not given follow the mode."""
    entries = {(USER_OBJ, NONE): mode >> 6 & 7, (GROUP_OBJ, NONE): mode >> 3 & 7, (OTHER, NONE): mode & 7}
    entries |= {(t, i): p for t, i, p in extra}
    if (MASK, NONE) not in entries:
        entries[(MASK, NONE)] = 7 if not any(t == MASK for t, _, _ in extra) else 0
    raw = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", t, p, i) for (t, i), p in sorted(entries.items()))
    os.setxattr(path, "system.posix_acl_access", raw)


def image(path, mode, acl=None, folder_mode=0o755):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    tifffile.imwrite(path, np.full((20, 20), 200, np.uint8), metadata=None, photometric="minisblack")
    os.chown(path, OWNER, GROUP)
    os.chmod(path, mode)
    if acl:
        set_acl(path, mode, acl)


def as_user(user, job):
    """The result of a job in a child that has become another user."""
    r, w = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.close(r)
            groups = USERS[user]
            os.setgroups(groups)
            os.setresgid(groups[0], groups[0], groups[0])
            os.setresuid(user, user, user)
            with os.fdopen(w, "w") as f:
                json.dump(job(), f)
            code = 0
        finally:
            os._exit(code)
    os.close(w)
    with os.fdopen(r) as f:
        out = f.read()
    assert os.waitpid(pid, 0)[1] == 0
    return json.loads(out)


def readable(path):
    """Whether anything of this file or directory can be read."""
    try:
        if os.path.isdir(path):
            return bool(os.listdir(path))
        with open(path, "rb") as f:
            f.read()
        return True
    except OSError:
        return False


INSIDE = ["", "zarr.json", "0", "0/zarr.json", "0/c/0/0/0/0/0", "OME/METADATA.ome.xml", "OME/zarr.json"]


@pytest.fixture
def place():
    folder = tempfile.mkdtemp(prefix="fuzarr-rights-")
    os.chmod(folder, 0o755)
    yield folder
    shutil.rmtree(folder)


def compare(m, source, names):
    """Per user and file: what can be read at the source and what through the mount."""
    def job():
        out = []
        for n in names:
            virtual = m.join(os.path.splitext(n)[0] + ".ome.zarr")
            inside = [i for i in INSIDE if readable(os.path.join(virtual, i))]
            out.append([n, readable(os.path.join(source, n)), inside, readable(m.join(n))])
        return out

    return {u: as_user(u, job) for u in USERS}


def test_modes_and_acls(place, mount):
    source = os.path.join(place, "src")
    names = []
    for mode in MODES:
        names.append(f"m{mode:03o}.tif")
        image(os.path.join(source, names[-1]), mode)
    try:
        for mode, (label, acl) in itertools.product([0o640, 0o644, 0o600, 0o604, 0o440], ACLS.items()):
            names.append(f"m{mode:03o} {label}.tif")
            image(os.path.join(source, names[-1]), mode, acl)
    except OSError as e:
        print(f"SKIPPED: ACLs, the file system has none: {e}")
    os.makedirs(os.path.join(source, "private"))
    image(os.path.join(source, "private/in.tif"), 0o644)
    os.chown(os.path.join(source, "private"), OWNER, GROUP)
    os.chmod(os.path.join(source, "private"), 0o750)
    names.append("private/in.tif")
    os.chmod(source, 0o755)
    m = mount(source, "--allow-other")
    leaks, denied, same, pairs = [], 0, 0, 0
    for user, rows in compare(m, source, names).items():
        for name, at_source, inside, plain in rows:
            pairs += 1
            if (inside or plain) and not at_source:
                leaks.append((user, name, inside, plain))
            denied += at_source and len(inside) < len(INSIDE)
            same += at_source == (len(inside) == len(INSIDE))
            if " " not in name:
                assert at_source == (len(inside) == len(INSIDE)), f"plain modes are mirrored exactly: {user} {name} {inside}"
    print(f"{pairs} pairs of user and file: {same} alike, {denied} readable at the source and denied here, {len(leaks)} leaks")
    assert leaks == []


def test_a_private_member(place, mount):
    """A plane that a public OME-TIFF takes from a private file beside it."""
    source = os.path.join(place, "src")
    os.makedirs(source)
    names = ["public.ome.tif", "private.ome.tif"]
    ids = [f"urn:uuid:{uuid.uuid4()}" for _ in names]
    ns = "http://www.openmicroscopy.org/Schemas/OME/2016-06"
    data = "".join(f'<TiffData FirstZ="{z}" IFD="0" PlaneCount="1"><UUID FileName="{n}">{u}</UUID></TiffData>' for z, (n, u) in enumerate(zip(names, ids)))
    for z, n in enumerate(names):
        xml = (f'<?xml version="1.0"?><OME xmlns="{ns}" UUID="{ids[z]}"><Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint8" '
               f'SizeX="20" SizeY="20" SizeZ="2" SizeC="1" SizeT="1"><Channel ID="Channel:0:0" SamplesPerPixel="1"/>{data}</Pixels></Image></OME>')
        path = os.path.join(source, n)
        tifffile.imwrite(path, np.full((20, 20), 100 + z, np.uint8), description=xml, metadata=None, photometric="minisblack")
        os.chown(path, OWNER, GROUP)
        os.chmod(path, [0o644, 0o600][z])
    os.chmod(source, 0o755)
    m = mount(source, "--allow-other")

    def job():
        out = []
        for z in range(2):
            try:
                with open(m.join(f"public.ome.zarr/0/c/0/0/{z}/0/0"), "rb") as f:
                    out.append(f.read(1)[0])
            except OSError as e:
                out.append(-e.errno)
        return out

    for user in USERS:
        got = as_user(user, job)
        if user != OWNER:
            assert got[1] != 101, f"{user} reads a private plane"
        assert got[1] < 0 or got[1] == 101, "a plane of another file is neither zeros nor another plane"
    print(as_user(OWNER, job), as_user(STRANGER, job))


def test_without_allow_other_nobody_else_looks_in(place, mount):
    image(os.path.join(place, "src/a.tif"), 0o644)
    m = mount(os.path.join(place, "src"))
    assert as_user(STRANGER, lambda: readable(m.path)) is False


def test_access_agrees_with_reading(place, mount):
    """default_permissions: the kernel's own answer."""
    image(os.path.join(place, "src/a.tif"), 0o640)
    m = mount(os.path.join(place, "src"), "--allow-other")
    path = m.join("a.ome.zarr/zarr.json")
    assert as_user(MEMBER, lambda: os.access(path, os.R_OK)) is True
    assert as_user(STRANGER, lambda: os.access(path, os.R_OK)) is False
    assert as_user(OWNER, lambda: os.access(path, os.W_OK)) is False
    assert mounts.is_mounted(m.path)
