"""Writers of vendors' containers for tests, made to be read by independent readers (`nd2`, `liffile`, `mrc`) too."""
import struct
import zlib

import numpy as np

# ------------------------------------------------------------------ ND2

MAP = b"ND2 CHUNK MAP SIGNATURE 0000001!"


def _record(kind, name, body):
    units = (name + "\0").encode("utf-16-le")
    return bytes([kind, len(units) // 2]) + units + body


def level(name, children):
    """A level of a lite variant."""
    head = len(_record(11, name, b"")) + 12
    inside = b"".join(children)
    return _record(11, name, struct.pack("<IQ", len(children), head + len(inside)) + inside) + bytes(8 * len(children))


def value(name, v):
    """A value of a lite variant, by its type."""
    if isinstance(v, bool):
        return _record(1, name, bytes([v]))
    if isinstance(v, int):
        return _record(3, name, struct.pack("<I", v))
    if isinstance(v, float):
        return _record(6, name, struct.pack("<d", v))
    if isinstance(v, str):
        return _record(8, name, (v + "\0").encode("utf-16-le"))
    return level(name, [value(k, x) for k, x in v.items()])


def _loops(loops):
    kinds = {"T": 1, "P": 2, "Z": 4}
    (axis, count), rest = loops[0], loops[1:]
    pars = {"uiCount": count}
    if axis == "T":
        pars |= {"dStart": 0.0, "dPeriod": 250.0, "dDuration": 250.0 * count}
    elif axis == "Z":
        pars |= {"dZLow": 0.0, "dZHigh": 0.5 * (count - 1), "dZStep": 0.5, "dZHome": 0.0, "iType": 0}
    else:
        pars |= {"bUseZ": False, "Points": {f"i{i:010}": {"dPosX": float(i), "dPosY": 0.0, "dPosZ": 0.0, "dPosName": f"site {i}"} for i in range(count)}}
    node = {"eType": kinds[axis], "uLoopPars": pars}
    if rest:
        node |= {"uiNextLevelCount": 1, "ppNextLevelEx": {"i0000000000": _loops(rest)}}
    return node


def nd2(path, data, loops, channels, compressed=False, padding=0, missing=(), block=4096):
    """`data` holds frames of the loops (outermost first), each rows x columns x components; `padding` bytes end each row.
    Chunks begin at multiples of `block`; readers count on 4096."""
    frames = data.reshape(-1, *data.shape[-3:])
    count, height, width, components = frames.shape
    size = frames.dtype.itemsize
    row = width * components * size + padding
    out, table = bytearray(), []

    def chunk(name, body):
        table.append((name, len(out), len(body)))
        head = 16 + len(name)
        fill = 0
        if name.startswith(b"ImageDataSeq"):
            # The samples, and not the eight bytes of time before them, begin where a block of the disk does.
            fill = (-(len(out) + head) - 8) % block
        out.extend(struct.pack("<IIQ", 0x0ABECEDA, len(name) + fill, len(body)) + name + bytes(fill) + body)
        out.extend(bytes(-len(out) % block))

    chunk(b"ND2 FILE SIGNATURE CHUNK NAME01!", b"Ver3.0".ljust(64, b"\0"))
    table.clear()
    chunk(b"ImageAttributesLV!", value("SLxImageAttributes", {
        "uiWidth": width, "uiWidthBytes": row, "uiHeight": height, "uiComp": components, "uiBpcInMemory": 8 * size,
        "uiBpcSignificant": 8 * size, "uiSequenceCount": count, "uiTileWidth": width, "uiTileHeight": height,
        "eCompression": 0 if compressed else 2, "dCompressionParam": 0.0, "ePixelType": 2 if frames.dtype.kind == "f" else 1,
        "uiVirtualComponents": components}))
    for i, frame in enumerate(frames):
        if i in missing:
            continue
        body = b"".join(r.tobytes() + bytes(padding) for r in frame)
        chunk(b"ImageDataSeq|%d!" % i, struct.pack("<d", 250.0 * i) + (zlib.compress(body) if compressed else body))
    chunk(b"CustomData|AcqTimesCache!", struct.pack(f"<{count}d", *(250.0 * i for i in range(count))))
    if loops:
        chunk(b"ImageMetadataLV!", value("SLxExperiment", _loops(loops)))
    each = components // len(channels)
    planes = {f"a{i}": {"uiCompCount": each, "uiSampleIndex": 0, "uiColor": color, "sDescription": name,
                        "pFluorescentProbe": {"m_sName": ""}, "pFilterPath": {"m_pFilter": {}}}
              for i, (name, color) in enumerate(channels)}
    chunk(b"ImageMetadataSeqLV|0!", value("SLxPictureMetadata", {
        "dTimeAbsolute": 2459000.5, "dXPos": 0.0, "sPicturePlanes": {"uiCount": len(planes), "uiCompCount": components, "sPlaneNew": planes},
        "dCalibration": 0.25, "bCalibrated": True, "wsObjectiveName": "Plan 40x", "dObjectiveMag": 40.0, "dObjectiveNA": 0.95}))
    offset = len(out)
    body = b"".join(name + struct.pack("<QQ", at, n) for name, at, n in sorted(table, reverse=True)) + MAP + struct.pack("<Q", offset)
    out.extend(struct.pack("<IIQ", 0x0ABECEDA, 32, len(body)) + b"ND2 FILEMAP SIGNATURE NAME 0001!" + body)
    out.extend(MAP + struct.pack("<Q", offset))
    with open(path, "wb") as f:
        f.write(out)


# ------------------------------------------------------------------ LIF

DIMENSIONS = {"X": 1, "Y": 2, "Z": 3, "T": 4, "W": 5, "M": 10}


def _text(text):
    units = text.encode("utf-16-le")
    return struct.pack("<IIBI", 0x70, len(units) + 5, 0x2A, len(units) // 2) + units


def lif_element(name, data, axes, block, row_padding=0):
    """XML and samples of an image; `data` in the order of `axes`, slowest first; `C` channels, `S` colours (blue first)."""
    channels = data.shape[axes.index("C")] if "C" in axes else data.shape[axes.index("S")] if "S" in axes else 1
    size = data.dtype.itemsize
    steps, step = {}, size
    for axis, n in reversed(list(zip(axes, data.shape))):
        if axis == "Y":
            step += row_padding
        steps[axis] = step
        step *= n
    per_channel = steps.get("C", steps.get("S", 0))
    kind = 1 if data.dtype.kind == "f" else 0
    xml = [f'<Element Name="{name}"><Data><Image TextDescription=""><ImageDescription><Channels>']
    for c in range(channels):
        tag = 3 - c if "S" in axes else 0
        xml.append(f'<ChannelDescription DataType="{kind}" ChannelTag="{tag}" Resolution="{8 * size}" NameOfMeasuredQuantity="" Min="0" Max="1" '
                   f'Unit="" LUTName="{"Green" if c % 2 else "Red"}" IsLUTInverted="0" BytesInc="{c * per_channel}" BitInc="0"/>')
    xml.append("</Channels><Dimensions>")
    for axis in sorted((a for a in axes if a in DIMENSIONS), key=steps.get):
        n = data.shape[axes.index(axis)]
        unit, spacing = ("s", 2.0) if axis == "T" else ("m", 0.5e-6)
        xml.append(f'<DimensionDescription DimID="{DIMENSIONS[axis]}" NumberOfElements="{n}" Origin="0" Length="{(n - 1) * spacing:e}" Unit="{unit}" '
                   f'BitInc="0" BytesInc="{steps[axis]}"/>')
    body = data.tobytes()
    if row_padding:
        row = steps["Y"] - row_padding
        body = b"".join(body[i:i + row] + bytes(row_padding) for i in range(0, len(body), row))
    xml.append(f'</Dimensions></ImageDescription></Image></Data><Memory Size="{len(body)}" MemoryBlockID="{block}"/></Element>')
    return "".join(xml), body


def lif(path, images, version=2):
    """`images` are (name, data, axes[, row padding])."""
    made = [(f"MemBlock_{i}", *lif_element(im[0], im[1], im[2], f"MemBlock_{i}", *im[3:])) for i, im in enumerate(images)]
    children = "".join(xml for _, xml, _ in made)
    header = f'<LMSDataContainerHeader Version="{version}"><Element Name="{path.name}"><Data><Experiment/></Data><Children>{children}</Children></Element></LMSDataContainerHeader>'
    with open(path, "wb") as f:
        f.write(_text(header))
        for block, _, body in made:
            name = block.encode("utf-16-le")
            f.write(struct.pack("<IIB" + ("Q" if version > 1 else "I") + "BI", 0x70, len(name) + 14, 0x2A, len(body), 0x2A, len(block)) + name + body)


def lof(path, name, data, axes):
    """One image in a file of its own."""
    xml, body = lif_element(name, data, axes, "MemBlock_0")
    with open(path, "wb") as f:
        f.write(_text("LMS_Object_File") + struct.pack("<BIBIBQ", 0x2A, 2, 0x2A, 0, 0x2A, len(body)) + body)
        f.write(_text(f'<LMSDataContainerHeader Version="2">{xml}</LMSDataContainerHeader>'))


def xlef(folder, names):
    """An experiment of LOF files that lie beside it."""
    refs = []
    (folder / "Metadata").mkdir()
    for name, (data, axes) in names.items():
        lof(folder / f"{name}.lof", name, data, axes)
        xml, body = lif_element(name, data, axes, "MemBlock_0")
        xml = xml.replace('MemoryBlockID="MemBlock_0"/>', f'MemoryBlockID="MemBlock_0"><Block File="..\\{name}.lof" Offset="0" Size="{len(body)}" UUID=""/></Memory>')
        (folder / "Metadata" / f"{name}.xlif").write_text(f'<?xml version="1.0"?><LMSDataContainerHeader Version="2">{xml}</LMSDataContainerHeader>')
        refs.append(f'<Reference File="Metadata/{name}.xlif" UUID=""/>')
    (folder / "all.xlef").write_text('<?xml version="1.0"?><LMSDataContainerHeader Version="2"><Element Name="all"><Data><Experiment/></Data>'
                                     f'<Children>{"".join(refs)}</Children></Element></LMSDataContainerHeader>')


# ------------------------------------------------------------------ DeltaVision


def deltavision(path, data, sequence, wavelengths, order="<"):
    """`data` is t, c, z, y, x with the uppermost row first; `sequence` names the axes of the sections, fastest first."""
    t, c, z, height, width = data.shape
    mode = {"u1": 0, "i2": 1, "f4": 2, "c8": 4, "u2": 6, "i4": 7}[data.dtype.str[1:]]
    head = bytearray(1024)
    def put(at, fmt, *v):
        struct.pack_into(order + fmt, head, at, *v)
    put(0, "10i", width, height, t * c * z, mode, 0, 0, 0, 1, 1, 1)
    put(40, "3f", 0.1, 0.1, 0.25)
    put(64, "3i", 1, 2, 3)
    put(96, "h", -16224)
    put(180, "2h", t, {"ZTW": 0, "WZT": 1, "ZWT": 2}[sequence])
    put(196, "h", c)
    put(198, f"{len(wavelengths)}h", *wavelengths)
    slowest_first = ["TWZYX".index(a) for a in reversed(sequence)]
    sections = data.transpose(*slowest_first, 3, 4)[..., ::-1, :]
    with open(path, "wb") as f:
        f.write(bytes(head) + sections.astype(data.dtype.newbyteorder(order)).tobytes())


def mrc(path, data, order="<"):
    """`data` is z, y, x with the uppermost row first; an MRC2014 file of one volume."""
    head = bytearray(1024)
    mode = {"i1": 0, "i2": 1, "f4": 2, "c8": 4, "u2": 6}[data.dtype.str[1:]]
    struct.pack_into(order + "10i", head, 0, *data.shape[::-1], mode, 0, 0, 0, *data.shape[::-1])
    struct.pack_into(order + "3f", head, 40, *(10.0 * n for n in data.shape[::-1]))
    struct.pack_into(order + "3i", head, 64, 1, 2, 3)
    head[104:108] = b"MRC "
    struct.pack_into(order + "i", head, 108, 20140)
    head[208:216] = b"MAP " + (b"\x44\x44\0\0" if order == "<" else b"\x11\x11\0\0")
    with open(path, "wb") as f:
        f.write(bytes(head) + data[:, ::-1].astype(data.dtype.newbyteorder(order)).tobytes())


def count(shape, dtype=np.uint16):
    """Values that tell every sample from every other, as far as the type goes."""
    return (np.arange(np.prod(shape)) % np.iinfo(dtype).max if np.dtype(dtype).kind in "iu" else np.arange(np.prod(shape))).astype(dtype).reshape(shape)


def czi_segment(name, data):
    return name.encode().ljust(16, b"\0") + struct.pack("<qq", len(data), len(data)) + data


def czi(path, blocks, document=None, part=0):
    """CZI of subblocks: (pixel type, compression, [(letter, start, size, stored size)], stored bytes)."""
    out = bytearray(czi_segment("ZISRAWFILE", bytes(512)))
    entries = []
    for pixel, compression, dimensions, data in blocks:
        out += bytes(-len(out) % 32)
        entry = b"DV" + struct.pack("<iqii6xi", pixel, len(out), 0, compression, len(dimensions))
        for letter, start, size, stored in dimensions:
            entry += letter.encode().ljust(4, b"\0") + struct.pack("<iifi", start, size, 0, stored)
        head = struct.pack("<iiq", 0, 0, len(data)) + entry
        out += czi_segment("ZISRAWSUBBLOCK", head.ljust(max(256, len(head)), b"\0") + data)
        entries.append(entry)
    out += bytes(-len(out) % 32)
    directory = len(out)
    out += czi_segment("ZISRAWDIRECTORY", struct.pack("<i", len(entries)).ljust(128, b"\0") + b"".join(entries))
    metadata = 0
    if document:
        out += bytes(-len(out) % 32)
        metadata = len(out)
        out += czi_segment("ZISRAWMETADATA", struct.pack("<ii", len(document), 0).ljust(256, b"\0") + document)
    own = bytes([7 + part] * 16)
    out[32:112] = struct.pack("<iiii16s16siqqiq", 1, 0, 0, 0, bytes([7] * 16), own, part, directory, metadata, 0, 0)
    with open(path, "wb") as f:
        f.write(out)


def czi_sides(x, y, width, height, *more, reduced=1):
    """Dimensions of a subblock."""
    return [("X", x, width, width // reduced), ("Y", y, height, height // reduced), *[(letter, at, 1, 1) for letter, at in more]]
