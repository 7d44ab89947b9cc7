"""Slides as vendors lay them out, written with tifffile and known pixels."""
import base64
import io
import struct
import zlib

import numpy as np
import tifffile

from .levels import mean2x2


def picture(height, width, seed=0):
    """An RGB picture in which every neighbourhood is different."""
    y, x = np.mgrid[:height, :width].astype(np.uint32)
    planes = [(x * 7 + y * 3 + seed) % 251, (x * 2 + y * 11 + seed) % 241, ((x * y) // 5 + seed) % 239]
    return np.stack(planes, -1).astype(np.uint8)


def plane(height, width, seed=0):
    """A grey plane of uint16."""
    y, x = np.mgrid[:height, :width].astype(np.uint32)
    return ((x * 37 + y * 91 + seed * 1000) % 65521).astype(np.uint16)


def half(rgb):
    """A stored level: not what averaging gives, so that it shows who made it."""
    return 255 - rgb[: rgb.shape[0] // 2 * 2 : 2, : rgb.shape[1] // 2 * 2 : 2]


def tiled(image, tile, description=None, **more):
    return {"data": image, "tile": (tile, tile), "compression": "lzw", "photometric": "rgb" if image.ndim == 3 else "minisblack",
            "metadata": None, "description": description, **more}


def stripped(image, description=None, **more):
    return {**tiled(image, 0, description, **more), "tile": None}


def write(path, pages, big=True):
    with tifffile.TiffWriter(path, bigtiff=big) as t:
        for page in pages:
            t.write(**page)


def aperio(path, planes=3):
    """Focal planes at two levels, thumbnail, label, macro."""
    head = "Aperio Image Library v12.0.15 \n"
    about = "|AppMag = 40|MPP = 0.2520|Date = 03/04/17|Time = 05:06:07|Time Zone = GMT-0500"
    full = [picture(300, 400, z) for z in range(planes)]
    small = [half(p) for p in full]
    thumbnail, label, macro = picture(75, 100, 50), picture(60, 80, 60), picture(40, 160, 70)
    pages = [tiled(full[0], 128, f"{head}400x300 [0,0 400x300] (128x128) LZW{about}|OffsetZ = 0.0")]
    pages.append(stripped(thumbnail, f"{head}400x300 -> 100x75 - {about}"))
    pages += [tiled(p, 128, f"{head}400x300{about}|OffsetZ = {1.5 * z}") for z, p in enumerate(full) if z]
    pages += [tiled(p, 128, f"{head}400x300 -> 200x150{about}|OffsetZ = {1.5 * z}") for z, p in enumerate(small)]
    pages.append(stripped(label, f"{head}label 80x60", subfiletype=1))
    pages.append(stripped(macro, f"{head}macro 160x40", subfiletype=9))
    write(path, pages, big=False)
    return {"levels": [full, small], "thumbnail": thumbnail, "label": label, "macro": macro}


def leica(path):
    """One image of two channels and three focal planes at two levels, and a bright-field overview."""
    over = picture(100, 200)
    full = np.array([[plane(200, 300, 10 * c + z) for z in range(3)] for c in range(2)])
    small = np.array([[plane(100, 150, 100 + 10 * c + z) for z in range(3)] for c in range(2)])
    ifd, dimensions = 1, []
    for r, (x, y) in enumerate([(300, 200), (150, 100)]):
        for c in range(2):
            for z in range(3):
                dimensions.append(f'<dimension sizeX="{x}" sizeY="{y}" r="{r}" c="{c}" z="{z}" ifd="{ifd}"/>')
                ifd += 1
    dimensions.reverse()  # the order in the document says nothing
    xml = (
        '<?xml version="1.0"?><scn xmlns="http://www.leica-microsystems.com/scn/2010/10/01"><collection name="c" sizeX="1000000" '
        'sizeY="500000"><image name="over"><creationDate>2014-05-06T07:08:09.5Z</creationDate><pixels sizeX="200" sizeY="100">'
        '<dimension sizeX="200" sizeY="100" r="0" ifd="0"/></pixels><view sizeX="1000000" sizeY="500000" offsetX="0" offsetY="0"/>'
        '<scanSettings><objectiveSettings><objective>2.5</objective></objectiveSettings></scanSettings></image><image name="fluo">'
        f'<pixels sizeX="300" sizeY="200">{"".join(dimensions)}</pixels><view sizeX="150000" sizeY="100000" spacingZ="750"/>'
        "<scanSettings><objectiveSettings><objective>20</objective></objectiveSettings><illuminationSettings><numericalAperture>0.7"
        '</numericalAperture></illuminationSettings><channelSettings><channel index="1" name="L5" rgb="#00ff00"/><channel index="0" '
        'name="A4" rgb="#0000ff"/></channelSettings></scanSettings></image></collection></scn>'
    )
    pages = [tiled(over, 128, xml)]
    pages += [tiled(full[c, z], 128) for c in range(2) for z in range(3)]
    pages += [tiled(small[c, z], 128) for c in range(2) for z in range(3)]
    write(path, pages)
    return {"over": over, "levels": [full, small]}


def qptiff(path):
    """A bright-field scan with every kind of page."""
    full = picture(256, 384)
    levels = [full, half(full), half(half(full))]
    thumbnail, over, label = picture(32, 48, 5), picture(40, 90, 6), picture(30, 30, 7)

    def about(kind):
        return (f'<?xml version="1.0" encoding="utf-16"?><PerkinElmer-QPI-ImageDescription><ImageType>{kind}</ImageType><Objective>'
                "40x</Objective><ScanProfile><a><b><PixelSizeMicrons>0.25</PixelSizeMicrons></b></a></ScanProfile>"
                "</PerkinElmer-QPI-ImageDescription>")

    more = {"software": "PerkinElmer-QPI", "datetime": "2020:01:02 03:04:05"}
    write(path, [
        tiled(levels[0], 64, about("FullResolution"), **more, resolution=(40000, 40000), resolutionunit="CENTIMETER"),
        stripped(thumbnail, about("Thumbnail"), **more), tiled(levels[1], 64, about("ReducedResolution"), **more),
        tiled(levels[2], 64, about("ReducedResolution"), **more), stripped(over, about("Overview"), **more),
        stripped(label, about("Label"), **more)])
    return {"levels": levels, "thumbnail": thumbnail, "macro": over, "label": label}


def padded(image, tile):
    height, width = (-(-n // tile) * tile for n in image.shape[:2])
    out = np.full((height, width, 3), 255, np.uint8)
    out[: image.shape[0], : image.shape[1]] = image
    return out


def philips(path):
    """Levels padded to whole tiles; the label inside the XML, the macro as a page."""
    full = picture(512, 768)
    levels = [full, half(full), half(half(full)), half(half(half(full)))]
    label, macro = np.full((24, 40, 3), (200, 30, 90), np.uint8), picture(64, 96, 9)
    stream = io.BytesIO()
    import PIL.Image
    PIL.Image.fromarray(label).save(stream, "jpeg", quality=95, subsampling=0)

    def attribute(name, text):
        return f'<Attribute Name="{name}" Group="0x0028" Element="0x0030" PMSVR="IString">{text}</Attribute>'

    spacings = "".join(
        f'<DataObject ObjectType="PixelDataRepresentation">'
        f'{attribute("DICOM_PIXEL_SPACING", f"&quot;{0.00025 * 2 ** k:.6f}&quot; &quot;{0.000227 * 2 ** k:.6f}&quot;")}</DataObject>'
        for k in range(4))
    image = '<DataObject ObjectType="DPScannedImage">'
    xml = (
        '<?xml version="1.0" encoding="UTF-8" ?><DataObject ObjectType="DPUfsImport">'
        + attribute("DICOM_ACQUISITION_DATETIME", "20130402111213.000000")
        + '<Attribute Name="PIM_DP_SCANNED_IMAGES"><Array>' + image + attribute("PIM_DP_IMAGE_TYPE", "WSI")
        + f'<Attribute Name="PIIM_PIXEL_DATA_REPRESENTATION_SEQUENCE"><Array>{spacings}</Array></Attribute></DataObject>'
        + image + attribute("PIM_DP_IMAGE_TYPE", "LABELIMAGE")
        + attribute("PIM_DP_IMAGE_DATA", base64.encodebytes(stream.getvalue()).decode()) + "</DataObject></Array></Attribute></DataObject>")
    pages = [tiled(full, 128, xml, software="Philips DP v1.0")]
    pages += [tiled(padded(p, 128), 128, f"level={k}", subfiletype=1) for k, p in enumerate(levels) if k]
    pages.append(stripped(macro, "Macro", subfiletype=1))
    write(path, pages)
    return {"levels": levels, "label": label, "macro": macro}


def frames(image, tile, step_y, step_x, rows, columns):
    """A page of whole frames: what a camera saw at each step."""
    out = np.zeros((rows * tile, columns * tile, 3), np.uint8)
    for r in range(rows):
        for c in range(columns):
            out[r * tile:(r + 1) * tile, c * tile:(c + 1) * tile] = \
                image[r * step_y:r * step_y + tile, c * step_x:c * step_x + tile]
    return out


def ventana(path, overlap=(8, 10), rows=3, columns=4, tile=128, own=False):
    """Two areas, the second to the upper right; frames overlap by `overlap` rows and columns. With `own`, each frame is a picture
    of its own, and the one to the lower right is on top."""
    step_y, step_x = tile - overlap[0], tile - overlap[1]
    height, width = (rows - 1) * step_y + tile, (columns - 1) * step_x + tile
    areas = [picture(height, width, 1), picture(height, width, 2)]
    page = np.zeros((2 * rows * tile, columns * tile, 3), np.uint8)
    for a, image in enumerate(areas):
        page[a * rows * tile:(a + 1) * rows * tile] = frames(image, tile, step_y, step_x, rows, columns)
    if own:
        page = picture(*page.shape[:2], 3)
        for a, image in enumerate(areas):
            for r, c in np.ndindex(rows, columns):
                image[r * step_y:r * step_y + tile, c * step_x:c * step_x + tile] = \
                    page[(a * rows + r) * tile:(a * rows + r + 1) * tile, c * tile:(c + 1) * tile]
    small = np.stack([mean2x2(page[..., s]) for s in range(3)], -1)
    infos, origins = "", ""
    for a in range(2):
        joints = ""
        for r in range(rows):
            for c in range(columns):
                number = r * columns + (c if r % 2 == 0 else columns - 1 - c) + 1  # to and fro, from the lower left
                joint = '<TileJointInfo FlagJoined="1" Confidence="97" Tile1="{}" Tile2="{}" Direction="{}" OverlapX="{}" OverlapY="{}"/>'
                if c + 1 < columns:
                    joints += joint.format(number, number + 1, "RIGHT", overlap[1], 0)
                if r + 1 < rows:
                    joints += joint.format(number, 0, "UP", 0, overlap[0])
        # A joint that failed must not count.
        joints += '<TileJointInfo FlagJoined="0" Confidence="0" Tile1="1" Tile2="2" Direction="RIGHT" OverlapX="90" OverlapY="0"/>'
        # Positions count from the lower left of the slide.
        infos += (f'<ImageInfo AOIScanned="1" AOIIndex="{a}" Width="{tile}" Height="{tile}" NumRows="{rows}" NumCols="{columns}" '
                  f'Pos-X="{40 + 600 * a}" Pos-Y="{100 + 500 * a}">{joints}</ImageInfo>')
        origins += f'<AOI{a} OriginX="0" OriginY="{a * rows * tile}"/>'
    xml = (f'<?xml version="1.0"?><EncodeInfo Ver="2"><SlideInfo><iScan Magnification="40" ScanRes="0.25"/></SlideInfo><SlideStitchInfo>'
           f"{infos}</SlideStitchInfo><AoiOrigin>{origins}</AoiOrigin></EncodeInfo>").encode()
    scan = b'<?xml version="1.0"?><iScan Magnification="40" ScanRes="0.25"/>'
    macro, thumbnail = picture(120, 60, 8), picture(60, 80, 9)
    write(path, [
        stripped(macro, "Label_Image", extratags=[(700, 1, len(scan), scan, True)]), stripped(thumbnail, "Thumbnail"),
        tiled(page, tile, "level=0 mag=40 quality=90", extratags=[(700, 1, len(xml), xml, True)], software="ScanOutputManager 1.1"),
        tiled(small, tile, "level=1 mag=20 quality=90")])
    whole = np.zeros((height + 500, 40 + width + 600, 3), np.uint8)
    whole[500:, 40:40 + width] = areas[0]
    whole[:height, 640:] = areas[1]
    return {"levels": [whole], "macro": macro, "thumbnail": thumbnail, "step": (step_y, step_x), "small": small}


def huge_aperio(path, size=50_000, tile=256, kinds=61):
    """A slide of size x size pixels in which tile i is one of `kinds` by i % kinds; gives the colour of tile (ty, tx)."""
    across = -(-size // tile)

    def color(ty, tx, across=across):
        kind = (ty * across + tx) % kinds
        return (3 * kind + 1, 255 - 2 * kind, 100 + kind)

    out = bytearray(b"II" + struct.pack("<HHHQ", 43, 8, 0, 0))
    spots = []
    for kind in range(kinds):
        data = zlib.compress(np.full((tile, tile, 3), color(0, kind), np.uint8).tobytes(), 1)
        spots.append((len(out), len(data)))
        out += data
    link = 8

    def page(side, description):
        nonlocal link, out
        n = -(-side // tile)
        tables = []
        for part in (0, 1):
            tables.append(len(out))
            out += np.array([spots[i % kinds][part] for i in range(n * n)], "<u8").tobytes()
        bits, text = len(out), len(out) + 8
        out += struct.pack("<4H", 8, 8, 8, 0) + description.encode() + b"\0"
        out += b"\0" * (-len(out) % 8)
        entries = [(256, 4, 1, side), (257, 4, 1, side), (258, 3, 3, struct.unpack("<Q", struct.pack("<4H", 8, 8, 8, 0))[0]),
                   (259, 3, 1, 8), (262, 3, 1, 2), (270, 2, len(description) + 1, text), (277, 3, 1, 3), (284, 3, 1, 1),
                   (322, 4, 1, tile), (323, 4, 1, tile), (324, 16, n * n, tables[0]), (325, 16, n * n, tables[1])]
        out[link:link + 8] = struct.pack("<Q", len(out))
        out += struct.pack("<Q", len(entries)) + b"".join(struct.pack("<HHQQ", *e) for e in entries)
        link = len(out)
        out += bytes(8)

    page(size, f"Aperio Image Library v12.0.15 \n{size}x{size} [0,0 {size}x{size}] ({tile}x{tile})|AppMag = 40|MPP = 0.25")
    for k in (4, 16):
        page(size // k, f"Aperio Image Library v12.0.15 \n{size}x{size} -> {size // k}x{size // k}|AppMag = 40|MPP = 0.25")
    with open(path, "wb") as f:
        f.write(out)
    return color
