"""Writers of Olympus files (OIF, OIB, OIR) for tests, and of the compound files that OIB lies in; `oiffile` reads what they write."""
import io
import os
import struct

import numpy as np
import tifffile

END, FREE, FAT = 0xFFFFFFFE, 0xFFFFFFFF, 0xFFFFFFFD

# ------------------------------------------------------------------ compound files


def compound(path, tree, version=3, scattered=False):
    """`tree` maps names to bytes, and names of storages to trees. `scattered` puts the sectors of a stream in reverse order."""
    size = 4096 if version == 4 else 512
    sectors, following, entries, small, small_following = [], [], [], bytearray(), []

    def put(data):
        parts = [data[i:i + size].ljust(size, b"\0") for i in range(0, len(data), size)]
        places = [len(sectors) + i for i in range(len(parts))]
        if scattered:
            places.reverse()
        sectors.extend(None for _ in parts)
        following.extend(END for _ in parts)
        for i, part in enumerate(parts):
            sectors[places[i]] = part
            following[places[i]] = places[i + 1] if i + 1 < len(parts) else END
        return places[0] if parts else END

    def put_small(data):
        first, count = len(small_following), -(-len(data) // 64)
        small_following.extend([*range(first + 1, first + count), END][:count])
        small.extend(data.ljust(64 * count, b"\0"))
        return first if count else END

    def add(name, kind, start=0, length=0):
        entries.append([name, kind, FREE, FREE, FREE, start, length])
        return len(entries) - 1

    def order(names):
        """Siblings are sorted by length, then by their letters."""
        return sorted(names, key=lambda n: (len(n), n.upper()))

    def children(parent, inside):
        numbers = []
        for name in order(inside):
            what = inside[name]
            if isinstance(what, dict):
                numbers.append(add(name, 1))
                children(numbers[-1], what)
            else:
                start = put(what) if len(what) >= 4096 else put_small(what)
                numbers.append(add(name, 2, start, len(what)))

        def balanced(part):
            if not part:
                return FREE
            middle = len(part) // 2
            entries[part[middle]][2], entries[part[middle]][3] = balanced(part[:middle]), balanced(part[middle + 1:])
            return part[middle]

        entries[parent][4] = balanced(numbers)

    root = add("Root Entry", 5)
    children(root, tree)
    entries[root][5:] = [put(bytes(small)), len(small)]
    table = b"".join(struct.pack("<I", n) for n in small_following)
    table = table.ljust(-(-len(table) // size) * size, b"\xff")
    small_table = put(table)
    directory = bytearray()
    for name, kind, left, right, child, start, length in entries:
        units = (name + "\0").encode("utf-16-le")
        directory += units.ljust(64, b"\0") + struct.pack("<HBBIII", len(units), kind, 1, left, right, child) + bytes(36) + struct.pack("<IQ", start, length)
    first = put(bytes(directory).ljust(-(-len(directory) // size) * size, b"\0"))
    each, count = size // 4, 1
    while len(sectors) + count > count * each:
        count += 1
    assert count <= 109, "no DIFAT in this writer"
    places = list(range(len(sectors), len(sectors) + count))
    following.extend([FAT] * count)
    following.extend([FREE] * (count * each - len(following)))
    head = bytearray(size)
    head[:8] = bytes.fromhex("d0cf11e0a1b11ae1")
    struct.pack_into("<HHHHH", head, 24, 0x3E, version, 0xFFFE, 12 if version == 4 else 9, 6)
    sectors_of_directory = -(-len(directory) // size)
    struct.pack_into("<IIIIIIIII", head, 40, sectors_of_directory if version == 4 else 0, count, first, 0, 4096, small_table if table else END,
                     len(table) // size, END, 0)
    struct.pack_into("<109I", head, 76, *(places + [FREE] * (109 - count)))
    with open(path, "wb") as f:
        f.write(bytes(head) + b"".join(sectors) + b"".join(struct.pack("<I", n) for n in following))


# ------------------------------------------------------------------ FluoView


def text(sections):
    """Sections of keys and values, as FluoView writes them."""
    lines = []
    for name, pairs in sections.items():
        lines += [f"[{name}]", *(f"{key}={value}" for key, value in pairs.items())]
    return "\ufeff".encode("utf-16-le") + ("\r\n".join(lines) + "\r\n").encode("utf-16-le")


UNITS = {"X": "um", "Y": "um", "C": "Ch", "Z": "nm", "T": "ms", "L": "nm", "A": "deg"}


def acquisition(name, data, axes, **more):
    """Main text and files of an acquisition. `data` has the dimensions of `axes` ("TZCYX"), slowest first; `more` sections go to the main text."""
    sizes = dict(zip(axes, data.shape))
    letters = "".join(a for a in reversed(axes) if a not in "XY")
    steps = {"Z": 500, "T": 2000, "L": 10}
    main = {"Acquisition Parameters Common": {"Acquisition Device": '"FV1000"', "ImageCaputreDate": "'2017-08-09 10:11:12'", "ScanMode": '"XY"'}}
    for number, code in enumerate("XYCZTALP"):
        n = sizes.get(code, 0)
        start = 400 if code == "L" else 0
        main[f"Axis {number} Parameters Common"] = {
            "AxisCode": f'"{code}"', "MaxSize": n if n > 1 or code in "XY" else 0, "PixUnit": f'"{UNITS.get(code, "mm")}"', "StartPosition": f"{start}.0",
            "EndPosition": f"{start + steps.get(code, 0) * max(n - 1, 0)}.0", "Interval": steps.get(code, 0)}
    order = "XY" + letters
    main["Axis Parameter Common"] = {"AxisCount": len(order), "AxisOrder": f'"{order}"'}
    for c in range(sizes.get("C", 1)):
        main[f"Channel {c + 1} Parameters"] = {"CH Name": f'"CH{c + 1}"', "DyeName": f'"Dye {c + 1}"', "EmissionWavelength": 520 + 60 * c,
                                                "ExcitationWavelength": 488 + 70 * c, "AnalogPMTVoltage": 600, "LightType": '"Fluorescence"'}
    inside, pattern = f"{name}.oif.files\\s_", "".join(f"{a}%03d" for a in letters) or "C%03d"
    ends = ["".join(f"{a}{at(a):03}" for a in letters) or "C001" for at in (lambda a: 1, sizes.get)]
    main["File Info"] = {"DataName": f'"{name}.oif"', "UserComment": '"a comment"', "UserName": '"Guest"'}
    main["ProfileSaveInfo"] = {"LutFileName0": f'"{inside}LUT1.lut"', "Name": '"COFAImages"', "PtyFileNameS": f'"{inside}{ends[0]}.pty"',
                               "PtyFileNameE": f'"{inside}{ends[1]}.pty"', "PtyFileNameT2": f'"{inside}{pattern}.pty"', "Version": '"2.0.0.0"'}
    main["Reference Image Parameter"] = {"HeightConvertValue": 0.25, "HeightUnit": '"um"', "ImageDepth": data.dtype.itemsize, "ValidBitCounts": 12,
                                         "WidthConvertValue": 0.25, "WidthUnit": '"um"'}
    main["Version Info"] = {"FileVersion": '"1.2.6.0"', "SystemName": '"FLUOVIEW FV1000"'}
    for section, pairs in more.items():
        main[section] = {**main.get(section, {}), **pairs}
    files = {}
    shape = [n for a, n in sizes.items() if a not in "XY"]
    for at in np.ndindex(*shape):
        place = dict(zip([a for a in axes if a not in "XY"], at))
        stem = "s_" + ("".join(f"{a}{place[a] + 1:03}" for a in letters) or "C001")
        out = io.BytesIO()
        tifffile.imwrite(out, data[at], metadata=None, photometric="minisblack", rowsperstrip=max(1, data.shape[-2] // 2))
        files[stem + ".tif"] = out.getvalue()
        files[stem + ".pty"] = text({"Acquisition Parameters Common": {"Magnification": 40.0, "ObjectiveLens NAValue": 0.75, "PinholeDiameter": 100000,
                                                                      "ObjectiveLens Name": '"UPLFLN   40X  NA:0.75"'},
                                     "File Info": {"DataName": f'"{stem}.tif"'},
                                     "Axis 4 Parameters": {"AbsPositionUnitName": '"ms"', "AbsPositionValue": 2000.0 * place.get("T", 0)}})
    files["s_LUT1.lut"] = text({"Red": {"Contrast": 100}}) + bytes([0, 0, 255, 0])
    return text(main), files


def oif(path, data, axes, **more):
    """An acquisition in a folder."""
    name = os.path.basename(path)
    main, files = acquisition(name.removesuffix(".oif"), data, axes, **more)
    os.makedirs(f"{path}.files", exist_ok=True)
    for name, content in {"": main, **files}.items():
        with open(os.path.join(f"{path}.files", name) if name else path, "wb") as f:
            f.write(content)


def oib(path, data, axes, version=3, scattered=False, without=(), **more):
    """An acquisition in a compound file; `without` names files that are left out."""
    main, files = acquisition("a", data, axes, **more)
    info = {"Version": "2.0.0.0", "Name": "COFAImages", "MainFileName": "Stream00000", "FileCount": len(files) + 1, "Stream00000": "a.oif",
            "Storage00001": "a.oif.files"}
    streams = {}
    for number, (name, content) in enumerate(sorted(files.items()), 1):
        if name not in without:
            info[f"Stream{number:05}"] = f"Storage00001/{name}"
            streams[f"Stream{number:05}"] = content
    compound(path, {"OibInfo.txt": text({"OibSaveInfo": info}), "Stream00000": main, "Storage00001": streams}, version, scattered)


# ------------------------------------------------------------------ OIR

NAMESPACES = "".join(f' xmlns:{n}="http://www.olympus.co.jp/hpf/{n}"' for n in ("lsmframe", "lsmimage", "commonframe", "commonimage", "commonphase",
                                                                                "commonparam", "base", "opticalelement", "fileinfo"))
KINDS = {"T": "TIMELAPSE", "L": "LAMBDA", "Z": "ZSTACK"}


def _guid(c):
    return f"4ecc4022-10fa-4920-a77a-{c:012x}"


def oir(path, data, axes, parts=1, files=1, without=(), extra=""):
    """`data` has the dimensions of `axes` ("TLZCYX"), slowest first; each plane is written in so many parts. `files` go on beside the first, `without`
    are planes (in order) that are left out, `extra` is XML for the acquisition."""
    sizes = dict(zip(axes, data.shape))
    outer = [a for a in axes if a in KINDS]
    channels, height, width = sizes.get("C", 1), data.shape[-2], data.shape[-1]
    depth = data.dtype.itemsize

    def block(kind, body):
        return struct.pack("<II", len(body), kind) + body

    def xml(kind, body):
        body = f'<?xml version="1.0" encoding="utf-8"?>{body}'.encode()
        return block(kind, bytes(36) + struct.pack("<I", len(body)) + body)

    size = f"<base:width>{width}</base:width><base:height>{height}</base:height>"
    samples = f"<base:depth>{depth}</base:depth><base:bitCounts>{12 if depth == 2 else 8 * depth}</base:bitCounts>"
    groups, number = [], 0
    for at in np.ndindex(*(sizes[a] for a in outer)):
        name = "".join(f"{a.lower()}{i + 1:03}" for a, i in zip(outer, at)) or "_"
        values = "".join(f"<commonframe:axisValue><commonparam:axisType>{KINDS[a]}</commonparam:axisType><commonparam:position>{i * 500.0}</commonparam:position>"
                         "</commonframe:axisValue>" for a, i in zip(outer, at))
        blocks = [xml(1, f"<lsmframe:frameProperties{NAMESPACES}><commonframe:general><base:name>{name}</base:name></commonframe:general>"
                         f"<commonframe:imageDefinition>{size}{samples}</commonframe:imageDefinition>{values}</lsmframe:frameProperties>")]
        for c in range(channels):
            number += 1
            if number - 1 in without:
                continue
            plane = data[at + ((c,) if "C" in axes else ())]
            for part, rows in enumerate(np.array_split(plane, parts)):
                uid = f"{name}_0_1_{_guid(c)}_{part}".encode()
                blocks += [block(3, bytes(8) + struct.pack("<I", len(uid)) + uid), block(4, rows.tobytes())]
        groups.append(blocks)
    axis = "".join(f'<commonimage:axis enable="true"><commonparam:axis>{KINDS[a]}</commonparam:axis><commonparam:maxSize>{sizes[a]}</commonparam:maxSize>'
                   f"<commonparam:startPosition>{400.0 if a == 'L' else 0.0}</commonparam:startPosition><commonparam:step>{20.0 if a == 'L' else 1.5 if a == 'Z' else 500.0}"
                   "</commonparam:step></commonimage:axis>" for a in outer)
    channel = "".join(f'<commonphase:channel id="{_guid(c)}" order="{c + 1}"><commonphase:name>CH{c + 1}</commonphase:name><commonphase:length>'
                      "<commonparam:x>0.25</commonparam:x><commonparam:y>0.25</commonparam:y><commonparam:z>1.5</commonparam:z></commonphase:length>"
                      f"<opticalelement:startWavelength>{500 + 60 * c}</opticalelement:startWavelength>"
                      f"<opticalelement:endWavelength>{540 + 60 * c}</opticalelement:endWavelength></commonphase:channel>" for c in range(channels))
    about = xml(0, f"<lsmimage:imageProperties{NAMESPACES}><commonimage:general><base:creationDateTime>2017-08-09T10:11:12.000+00:00</base:creationDateTime>"
                   f"</commonimage:general><commonimage:imageInfo>{size}{axis}<commonimage:phase>{channel}</commonimage:phase></commonimage:imageInfo>{extra}"
                   "</lsmimage:imageProperties>")
    for n, share in enumerate(np.array_split(np.arange(len(groups)), files)):
        blocks = [b for i in share for b in groups[i]]
        out, offsets = bytearray(96), []
        for b in [*blocks, about] if n == 0 else blocks:
            offsets.append(len(out))
            out += b
        start = len(out)
        out += struct.pack(f"<I{len(offsets)}Q", FREE, *offsets)
        out[:32] = b"OLYMPUSRAWFORMAT" + struct.pack("<IIII", 12, 0, 1, 2)
        struct.pack_into("<QQ", out, 32, len(out), start)
        with open(path if n == 0 else f"{os.path.splitext(path)[0]}_{n:05}", "wb") as f:
            f.write(out)
