"""Files in the dialects of microscopes, assembled byte by byte, sparse where they are large."""
import io
import json
import os
import struct

import numpy as np
import PIL.Image
import tifffile

BYTE, ASCII, SHORT, LONG, RATIONAL, SLONG, FLOAT = 1, 2, 3, 4, 5, 9, 11
FORMATS = {BYTE: "B", SHORT: "H", LONG: "I", SLONG: "i", FLOAT: "f"}


def plane(height, width, seed=0, dtype=np.uint16):
    y, x = np.mgrid[:height, :width].astype(np.uint64)
    return ((x * 37 + y * 91 + seed * 1009) % (251 if dtype == np.uint8 else 65521)).astype(dtype)


def packed(kind, values):
    if isinstance(values, bytes):
        return values
    if kind == ASCII:
        return values.encode() + b"\0"
    if kind == RATIONAL:
        return b"".join(struct.pack("<2I", *v) for v in values)
    if kind == LONG:
        values = [v & 0xFFFFFFFF for v in values]
    return struct.pack(f"<{len(values)}{FORMATS[kind]}", *values)


class Builder:
    """A little-endian TIFF file of 32 bits. Data go where they are told; directories, and values that do not fit in them, one
    after the other from `at` on. NDPI adds a high word to each entry, and gives links eight bytes."""

    def __init__(self, path, at, ndpi=False):
        self.file, self.at, self.link, self.ndpi = open(path, "wb"), at, 4, ndpi
        self.put(0, b"II*\0" + bytes(8))

    def put(self, offset, data):
        self.file.seek(offset)
        self.file.write(data)
        return offset

    def append(self, data):
        offset = self.put(self.at, data)
        self.at += len(data) + len(data) % 2
        return offset

    def page(self, tags, counts=None):
        """Adds a directory. `tags`: number, type, values; `counts`: type and count of entries that claim another."""
        entries, high = b"", b""
        for tag, kind, values in sorted(tags, key=lambda t: t[0]):
            data = packed(kind, values)
            count = len(data) if kind in (BYTE, ASCII) else len(values)
            if len(data) > 4:
                data = struct.pack("<Q", self.append(data))
            elif self.ndpi and kind == LONG and count == 1:
                data = struct.pack("<Q", values[0])
            data = data.ljust(8, b"\0")
            kind, count = (counts or {}).get(tag, (kind, count))
            entries += struct.pack("<HHI", tag, kind, count) + data[:4]
            high += data[4:]
        body = struct.pack("<H", len(tags)) + entries
        offset = self.append(body + (bytes(8) + high if self.ndpi else bytes(4)))
        self.put(self.link, struct.pack("<Q" if self.ndpi else "<I", offset))
        self.link = offset + len(body)
        return offset

    def close(self):
        self.file.close()


def grey(image, offset, **more):
    height, width = image.shape
    size = image.dtype.itemsize
    return [(254, LONG, [more.get("subfile", 0)]), (256, LONG, [width]), (257, LONG, [height]), (258, SHORT, [8 * size]),
            (259, SHORT, [1]), (262, SHORT, [1]), (273, LONG, [offset]), (277, SHORT, [1]), (278, LONG, [height]),
            (279, LONG, [height * width * size])]


# Hamamatsu NDPI -------------------------------------------------------------------------------------------------------


def jpeg(image, subsampling="4:4:4"):
    out = io.BytesIO()
    PIL.Image.fromarray(image).save(out, "jpeg", quality=90, subsampling=subsampling)
    return out.getvalue()


def split(stream):
    """Headers up to the entropy-coded data, and these."""
    at = stream.index(b"\xff\xda")
    at += 2 + struct.unpack_from(">H", stream, at + 2)[0]
    return stream[:at], stream[at:-2]


def restarts(intervals, height, width, interval):
    """One JPEG stream of intervals that were coded apart, and where each begins. Sizes beyond a frame's are written as zero."""
    header = bytearray(intervals[0][0])
    at = header.index(b"\xff\xc0")
    header[at + 5:at + 9] = struct.pack(">2H", height if height < 65536 else 0, width if width < 65536 else 0)
    at = header.index(b"\xff\xda")
    header[at:at] = b"\xff\xdd" + struct.pack(">2H", 4, interval)
    out, starts = bytearray(header), []
    for i, (_, data) in enumerate(intervals):
        starts.append(len(out))
        out += data
        if i + 1 < len(intervals):
            out += bytes([0xFF, 0xD0 + i % 8])
    return bytes(out) + b"\xff\xd9", starts


def ndpi_page(builder, offset, stream, starts, height, width, lens, z=0):
    tags = [(256, LONG, [width]), (257, LONG, [height]), (258, SHORT, [8, 8, 8]), (259, SHORT, [7]), (262, SHORT, [6]),
            (271, ASCII, "Hamamatsu"), (273, LONG, [offset]), (277, SHORT, [3]), (278, LONG, [height]), (279, LONG, [len(stream)]),
            (282, RATIONAL, [(20000, 1)]), (283, RATIONAL, [(20000, 1)]), (296, SHORT, [3]), (306, ASCII, "2020:01:02 03:04:05"),
            (530, SHORT, [1, 1]), (65420, LONG, [1]), (65421, FLOAT, [lens]), (65424, SLONG, [z])]
    if starts:
        tags.append((65426, LONG, starts))
    builder.put(offset, stream)
    builder.page(tags)


def ndpi_without_markers(path, image, subsampling):
    """One JPEG stream without restarts; gives what it decodes to."""
    stream = jpeg(image, subsampling)
    builder = Builder(path, 256 << 20, ndpi=True)
    ndpi_page(builder, 64, stream, None, *image.shape[:2], 20.0)
    builder.close()
    return np.asarray(PIL.Image.open(io.BytesIO(stream)))


def tiles(image, height, width):
    """Intervals of an image, and what they decode to."""
    shown, intervals = np.empty_like(image), []
    for y in range(0, image.shape[0], height):
        for x in range(0, image.shape[1], width):
            stream = jpeg(np.ascontiguousarray(image[y:y + height, x:x + width]))
            shown[y:y + height, x:x + width] = np.asarray(PIL.Image.open(io.BytesIO(stream)))
            intervals.append(split(stream))
    return intervals, shown


def smooth(height, width, seed=0):
    y, x = np.mgrid[:height, :width]
    return np.stack([(x // 2 + seed) % 256, (y // 2 + 40 * seed) % 256, (x + y) // 4 % 256], -1).astype(np.uint8)


def ndpi(path, base=64, planes=2, table=True):
    """Focal planes at two levels, a macro image without restarts; data and directories from `base` on."""
    builder = Builder(path, base + (8 << 20), ndpi=True)
    levels, at = [], base
    for side, lens in ((256, 20.0), (128, 10.0)):
        level = []
        for z in range(planes):
            intervals, shown = tiles(smooth(side, side, z), 8, side // 2)
            stream, starts = restarts(intervals, side, side, side // 16)
            ndpi_page(builder, at, stream, starts if table else None, side, side, lens, z=1500 * z)
            at += len(stream) + 64
            level.append(shown)
        levels.append(level)
    stream = jpeg(smooth(64, 96, 5))
    macro = np.asarray(PIL.Image.open(io.BytesIO(stream)))
    ndpi_page(builder, at, stream, None, 64, 96, -1.0)
    builder.close()
    return {"levels": levels, "macro": macro}


def huge_ndpi(path, size=50_000, width=2000, kinds=61):
    """A slide of size x size pixels in one JPEG stream, cut into intervals of `width` x 8; gives the colour of interval
    (ty, tx)."""
    def color(kind):
        return (3 * kind + 1, 255 - 2 * kind, 100 + kind)

    coded = [split(jpeg(np.full((8, width, 3), color(k), np.uint8))) for k in range(kinds)]
    across = size // width
    intervals = [coded[i % kinds] for i in range(across * (size // 8))]
    stream, starts = restarts(intervals, size, size, width // 8)
    builder = Builder(path, 1 << 28, ndpi=True)
    ndpi_page(builder, 64, stream, starts, size, size, 20.0)
    # A level of one interval for each 16 x 16 of the first, as scanners store them.
    small = size // 16 // 8 * 8
    stream, starts = restarts([split(jpeg(np.full((8, small, 3), 128, np.uint8)))] * (small // 8), small, small, small // 8)
    ndpi_page(builder, 1 << 27, stream, starts, small, small, 1.25)
    builder.close()
    return lambda ty, tx: color((ty * across + tx) % kinds)


# Zeiss LSM ------------------------------------------------------------------------------------------------------------


def lsm_info(size):
    x, y, z, c, t = size
    info = struct.pack("<II7i", 0x0400494C, 512, x, y, z, c, t, 2, 32) + struct.pack("<i", 32)
    info += struct.pack("<6d", 1e-7, 2e-7, 5e-7, 0, 0, 0) + struct.pack("<HHI", 6, 0, 0) + bytes(16) + struct.pack("<d", 2.5)
    return info.ljust(512, b"\0")


def lsm(path, z=2, c=2, t=3, shape=(40, 48), step=None):
    """Channels apart in each page, a thumbnail after each. `step`: bytes from one plane's data to the next; offsets lose
    what is beyond 32 bits."""
    height, width = shape
    builder = Builder(path, 1024)
    planes = np.array([[[plane(height, width, 100 * k + 10 * i + j) for i in range(z)] for j in range(c)] for k in range(t)])
    each = height * width * 2
    step = step or c * each + 64
    begin = 1 << 20
    for k in range(t):
        for i in range(z):
            at = begin + (k * z + i) * step
            offsets = [at + j * each for j in range(c)]
            for j, offset in enumerate(offsets):
                builder.put(offset, planes[k, j, i].tobytes())
            # Two values of 16 bits, elsewhere although they would fit.
            bits = builder.append(struct.pack(f"<{c}H", *[16] * c))
            tags = [(254, LONG, [0]), (256, LONG, [width]), (257, LONG, [height]), (258, LONG, [bits]), (259, SHORT, [1]),
                    (262, SHORT, [1]), (273, LONG, offsets), (277, SHORT, [c]), (278, LONG, [height]), (279, LONG, [each] * c),
                    (284, SHORT, [2])]
            if k == i == 0:
                tags.append((34412, BYTE, lsm_info((width, height, z, c, t))))
            builder.page(tags, counts={258: (SHORT, c)})
            thumbnail = builder.put(at + c * each, bytes(64))
            builder.page(grey(np.zeros((8, 8), np.uint8), thumbnail, subfile=1))
    builder.close()
    return planes


# MetaMorph STK --------------------------------------------------------------------------------------------------------


def stk(path, shape, planes, written, z=0.5, at=1 << 16):
    """`written`: the planes that are not empty, by number."""
    height, width = shape
    size = height * width * 2
    builder = Builder(path, 512)
    for number, image in written.items():
        builder.put(at + number * size, image.tobytes())
    builder.file.truncate(at + planes * size)
    texts = builder.put(16, struct.pack("<2I", 325, 1000) + struct.pack("<I", 3) + b"um\0")
    uic1 = builder.put(64, struct.pack("<8I", 3, 1, 4, texts, 5, texts, 6, texts + 8))
    times = [struct.pack("<6I", int(z * 1000), 1000, 2454000, 3_600_000 + 250 * i, 0, 0) for i in range(planes)]
    uic2 = builder.put(1024, b"".join(times))
    uic3 = builder.put(1024 + 24 * planes, struct.pack("<2I", 525, 1) * planes)
    pointers = {33628: ((LONG, 4), uic1), 33629: ((RATIONAL, planes), uic2), 33630: ((RATIONAL, planes), uic3)}
    tags = grey(plane(height, width), at) + [(tag, LONG, [offset]) for tag, (_, offset) in pointers.items()]
    builder.page(tags, counts={tag: kind for tag, (kind, _) in pointers.items()})
    builder.close()


# Micro-Manager --------------------------------------------------------------------------------------------------------


def frame_tags(image, offset, metadata):
    return grey(image, offset) + [(51123, ASCII, json.dumps(metadata))]


SUMMARY = {"Prefix": "run", "ChNames": ["DAPI", "FITC"], "ChColors": [-16776961, -16711936], "PixelSize_um": 0.5, "z-step_um": 2.0,
           "Interval_ms": 1000, "StartTime": "2020-01-02 03:04:05 +0100"}


def mmstack(folder, positions=2, t=2, z=2, c=2, files=2):
    """A classic stack of several files: planes divided among them in the order of time."""
    want = np.array([[[[plane(24, 32, 1000 * p + 100 * k + 10 * j + i) for i in range(z)] for j in range(c)] for k in range(t)]
                     for p in range(positions)])
    all_ = [(p, k, i, j) for k in range(t) for p in range(positions) for i in range(z) for j in range(c)]
    share = -(-len(all_) // files)
    for number in range(files):
        name = "run_MMStack.tif" if number == 0 else f"run_MMStack_{number}.tif"
        builder = Builder(os.path.join(folder, name), 4096)
        summary = json.dumps(SUMMARY).encode()
        index, at = [], 1 << 20
        for p, k, i, j in all_[number * share:(number + 1) * share]:
            image = want[p, k, j, i]
            builder.put(at, image.tobytes())
            index.append((j, i, k, p, builder.page(frame_tags(image, at, {"ChannelIndex": j}))))
            at += image.nbytes
        place = builder.put(at, struct.pack("<2I", 3453623, len(index)) + b"".join(struct.pack("<5I", *e) for e in index))
        builder.put(8, struct.pack("<8I", 54773648, place, 483765892, 0, 99384722, 0, 2355492, len(summary)) + summary)
        builder.close()
    return want


def ndtiff(folder, files=2):
    """Planes at positions, named channels, focal planes from -1 on; in several files, one index. One plane was never taken."""
    want, entries = {}, []
    for number in range(files):
        name = "run_NDTiffStack.tif" if number == 0 else f"run_NDTiffStack_{number}.tif"
        builder = Builder(os.path.join(folder, name), 4096)
        summary = json.dumps(SUMMARY).encode()
        builder.put(8, struct.pack("<5I", 483729, 3, 3, 2355492, len(summary)) + summary)
        at = 1 << 20
        for p in range(2):
            for j, channel in enumerate(("Cy5", "GFP")):
                for z in (-1, 0):
                    if (number, p, j, z) == (1, 1, 1, 0):
                        continue
                    image = plane(24, 32, 1000 * number + 100 * p + 10 * j + z + 1)
                    want[p, number, j, z + 1] = image
                    builder.put(at, image.tobytes())
                    builder.page(frame_tags(image, at, {"PixelSizeUm": 0.5}))
                    axes = json.dumps({"position": p, "channel": channel, "time": number, "z": z}).encode()
                    entries.append(struct.pack("<I", len(axes)) + axes + struct.pack("<I", len(name)) + name.encode()
                                   + struct.pack("<8I", at, 32, 24, 1, 0, 0, 0, 0))
                    at += image.nbytes + 12 * (p + j)
        builder.close()
    with open(os.path.join(folder, "NDTiff.index"), "wb") as f:
        f.write(b"".join(entries))
    return want


def separate(folder, version):
    """A file for each plane and metadata.txt, of version 1.4 or 2."""
    want, document = {}, {"Summary": SUMMARY}
    for t in range(2):
        for c, channel in enumerate(("DAPI", "FITC")):
            for z in range(2):
                name = f"img_{t:09}_{channel}_{z:03}.tif"
                image = plane(24, 32, 100 * t + 10 * c + z)
                want[t, c, z] = image
                tifffile.imwrite(os.path.join(folder, name), image, metadata=None, extratags=[(51123, 2, 0, "{}", True)])
                place = {"FrameIndex": t, "ChannelIndex": c, "SliceIndex": z, "Channel": channel}
                if version == 1:
                    document[f"FrameKey-{t}-{c}-{z}"] = {**place, "FileName": name}
                else:
                    folder_name = os.path.basename(folder)
                    document[f"Coords-{folder_name}/{name}"] = {"Frame": t, "FrameIndex": t, "ChannelIndex": c, "SliceIndex": z}
                    document[f"Metadata-{folder_name}/{name}"] = {"Channel": channel, "FileName": f"{folder_name}/{name}"}
    with open(os.path.join(folder, "metadata.txt"), "w", encoding="utf-8") as f:
        json.dump(document, f)
    return want


# Olympus FluoView and Prairie View ------------------------------------------------------------------------------------


def fluoview(path):
    """Pages along z, then channel, then time."""
    z, c, t = 3, 2, 2
    head = bytearray(1500)
    head[3:9] = b"sample"
    dimensions = [("X", 32, 0.5, "um"), ("Y", 24, 0.5, "um"), ("Z", z, 2, "um"), ("Ch", c, 1, ""), ("T", t, 5, "s")]
    for i, (name, size, resolution, unit) in enumerate(dimensions):
        struct.pack_into("<16sidd64s", head, 284 + 100 * i, name.encode(), size, 0, resolution, unit.encode())
    want = np.array([[[plane(24, 32, 100 * k + 10 * j + i) for i in range(z)] for j in range(c)] for k in range(t)])
    with tifffile.TiffWriter(path) as f:
        for page in want.reshape(-1, 24, 32):
            f.write(page, metadata=None, extratags=[(34361, 1, len(head), bytes(head), True), (34362, 1, 64, bytes(64), True)])
    return want


def prairie(folder):
    """Two focal series of two channels, a file for each plane."""
    want = np.empty((2, 2, 3, 24, 32), np.uint16)
    sequences = ""
    for t in range(2):
        frames = ""
        for z in range(3):
            files = ""
            for j, channel in enumerate((2, 3)):
                want[t, j, z] = plane(24, 32, 100 * t + 10 * j + z)
                name = f"series-1_Cycle{t + 1:05}_Ch{channel}_{z + 1:06}.tif"
                tifffile.imwrite(os.path.join(folder, name), want[t, j, z], metadata=None)
                files += f'<File channel="{channel}" channelName="Ch {channel}" page="1" filename="{name}"/>'
            frames += f'<Frame relativeTime="{z}" index="{z + 1}">{files}</Frame>'
        sequences += f'<Sequence type="TSeries ZSeries Element" cycle="{t + 1}">{frames}</Sequence>'
    values = "".join(f'<IndexedValue index="{a}Axis" value="{v}"/>' for a, v in (("X", 0.5), ("Y", 0.25), ("Z", 2)))
    with open(os.path.join(folder, "series-1.xml"), "w", encoding="utf-8") as f:
        f.write('<?xml version="1.0" encoding="utf-8"?><PVScan version="5.3" date="2/1/2017 12:28:13 PM"><PVStateShard>'
                f'<PVStateValue key="micronsPerPixel">{values}</PVStateValue><PVStateValue key="objectiveLensMag" value="20"/>'
                f"</PVStateShard>{sequences}</PVScan>")
    return want
