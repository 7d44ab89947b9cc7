"""The corpus of images beside the repository: which entries are in scope, and how a bad one behaves in a mount."""
import contextlib
import errno
import json
import logging
import os
import random
import re
import stat
import time

import tifffile

from . import mounts

REFUSED = {6, 34661, 34892}  # compressions that no permissive library decodes, or that are no image codecs
NAMES = {2: "CCITT RLE", 3: "CCITT Group 3", 4: "CCITT Group 4", 6: "old JPEG", 33003: "JPEG 2000 (YCbCr)", 33004: "JPEG 2000", 33005: "JPEG 2000 (RGB)",
         34712: "JPEG 2000", 34887: "LERC", 34892: "lossy DNG", 34925: "LZMA", 34933: "PNG", 34934: "JPEG XR", 50001: "WebP", 50002: "JPEG XL"}
CONTAINER = re.compile(r"(?i)\.(czi|nd2|lif|lof|xlef|dv|r3d|mrc|ims|nrrd|nhdr|nii|nii\.gz|hdr|hdr\.gz|oib|oif|oir|dcm|dicom)$")  # formats that are no TIFF, by readers of their own
IMAGE_NAME = re.compile(r"(?i)\.(tiff?|btf|tf2|tf8|svs|ndpi|scn|qptiff|bif|lsm|stk|companion\.ome)$|" + CONTAINER.pattern.removeprefix("(?i)"))


def folder():
    return mounts.shared("corpus")


def manifest():
    with open(os.path.join(folder(), "manifest.json"), encoding="utf-8") as f:
        return json.load(f)


def virtual(mount, path):
    """The whole-file-name form of an entry's directory, which always resolves."""
    return os.path.join(mount, path + ".ome.zarr")


def _pages(t):
    for i in range(len(t.pages)):
        page = t.pages.get(i) if hasattr(t.pages, "get") else t.pages[i]
        page = page.aspage() if hasattr(page, "aspage") else page
        yield page
        for sub in getattr(page, "pages", None) or ():
            yield sub.aspage() if hasattr(sub, "aspage") else sub


def _jpeg_process(file, page):
    """The SOF marker of the first stored segment."""
    for offset, count in zip(page.dataoffsets, page.databytecounts):
        if not count:
            continue
        data = os.pread(file.fileno(), min(count, 1 << 16), offset)
        if m := re.search(rb"\xff([\xc0-\xc3\xc5-\xc7\xc9-\xcb\xcd-\xcf])", data):
            return m.group(1)[0]
    return 0xC0


def out_of_scope(path):
    """Why a file is not in the scope of this program so far, out of its own tags; None if it is in scope."""
    if CONTAINER.search(path):
        return None
    with open(path, "rb") as f:
        head = f.read(4096)
    if head[:4] not in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return None if b"<OME" in head or b":OME" in head else "neither a TIFF nor OME-XML"
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)
    with open(path, "rb") as f:
        try:
            t = tifffile.TiffFile(f)
        except Exception:
            return None  # what another reader does not open is no excuse
        for page in _pages(t):
            if (c := int(page.compression)) in REFUSED:
                return f"compression {c} ({NAMES.get(c, 'unknown')})"
            if c == 7 and (sof := _jpeg_process(f, page)) not in (0xC0, 0xC1, 0xC2, 0xC3):
                return f"JPEG process SOF{sof - 0xC0} (hierarchical or arithmetic)"
    return None


# ------------------------------------------------------------------ bad entries

HUGE = 1 << 33  # a plane of more pixels declared than this: an overview of it sweeps them all, and may take its minutes


class Look:
    """What a bounded look through one virtual directory met."""

    def __init__(self):
        self.listed, self.read, self.failed, self.wrong = 0, [], [], []
        self.exists, self.seconds, self.reason = False, 0.0, None
        self.plane, self.unread = 0, 0  # pixels of a plane of level 0; levels that were not read

    def outcome(self):
        if not self.exists:
            return "not an image name"
        if not self.read:
            return "error"
        return "partial" if self.failed else "ok"


def _note(look, path, e):
    if e.errno == errno.EIO:
        look.failed.append(path)
    else:
        look.wrong.append(f"{path}: {errno.errorcode.get(e.errno, e.errno)}")


def look_through(root, most=48, chosen=random.Random(0)):
    """List and read a virtual directory, at most `most` chunks of an array; only EIO is a fair refusal."""
    look = Look()
    started = time.monotonic()
    try:
        look.exists = stat.S_ISDIR(os.stat(root).st_mode)
    except FileNotFoundError:
        return look
    except OSError as e:
        look.wrong.append(f"stat: {errno.errorcode.get(e.errno)}")
        return look
    with contextlib.suppress(OSError):
        look.reason = os.getxattr(root, "user.fuzarr.error").decode(errors="replace")

    def get(path):
        try:
            with open(path, "rb") as f:
                data = f.read()
                if len(data) != os.fstat(f.fileno()).st_size:
                    look.wrong.append(f"{path}: {len(data)} bytes of {os.fstat(f.fileno()).st_size}")
            look.read.append(os.path.relpath(path, root))
            return data
        except OSError as e:
            _note(look, os.path.relpath(path, root), e)
        return None

    def walk(path, depth=0):
        try:
            names = sorted(os.listdir(path))
        except OSError as e:
            _note(look, os.path.relpath(path, root), e)
            return
        look.listed += len(names)
        if "zarr.json" in names:
            try:
                doc = json.loads(get(os.path.join(path, "zarr.json")) or b"{}")
            except ValueError as e:
                look.wrong.append(f"{path}/zarr.json: {e}")
                return
            if doc.get("node_type") == "array":
                chunks(path, doc)
                return
        for n in names[:64]:
            if n == "zarr.json":
                continue
            full = os.path.join(path, n)
            if os.path.isdir(full):
                if depth < 6:
                    walk(full, depth + 1)
            else:
                get(full)

    def chunks(path, doc):
        shape, chunk = doc["shape"], doc["chunk_grid"]["configuration"]["chunk_shape"]
        if os.path.basename(path) == "0":
            look.plane = shape[-1] * shape[-2]
        elif look.plane > HUGE and os.path.basename(path) not in ("1", "2"):
            look.unread += 1
            return
        grid = [-(-s // c) for s, c in zip(shape, chunk)]
        total = 1
        for g in grid:
            total *= g
        if total <= most:
            places = range(total)
        else:
            places = sorted({0, 1, total // 2, total - 1, *(chosen.randrange(total) for _ in range(most - 4))})
        for i in places:
            index = []
            for g in reversed(grid):
                index.append(i % g)
                i //= g
            get(os.path.join(path, "c", *map(str, reversed(index))))

    walk(root)
    look.seconds = time.monotonic() - started
    return look


ALLOWED = {
    "error": {"error"}, "fallback": {"error", "ok", "partial"}, "partial": {"partial", "ok", "error"},
    "either": {"error", "partial", "ok"}, "ok": {"ok"},
}


def judge(entry, look):
    """What is wrong with how a bad entry behaved; None if nothing."""
    if look.wrong:
        return f"other errors than EIO: {look.wrong[:3]}"
    if not look.exists:
        return None if not IMAGE_NAME.search(entry["path"]) else "no directory of its name"
    outcome = look.outcome()
    if outcome not in ALLOWED[entry["expect"]]:
        return f"{outcome}, {entry['expect']} expected"
    if outcome == "error" and not look.reason:
        return "an error without a reason in user.fuzarr.error"
    return None
