"""Plates written as OME-TIFF: one file a field, described by a companion or by each file."""
import os
import uuid

import numpy as np
import tifffile

NS = "http://www.openmicroscopy.org/Schemas/OME/2016-06"
SHAPE = (2, 48, 64)  # c, y, x


def letters(row):
    out = ""
    row += 1
    while row:
        row, digit = divmod(row - 1, 26)
        out = chr(65 + digit) + out
    return out


def pixels(number, shape=SHAPE):
    """Pixels of image `number`: no two planes of a plate are alike."""
    c, y, x = np.ogrid[:shape[0], :shape[1], :shape[2]]
    return (number * 16 + c * 8 + (y * 3 + x) % 7).astype(np.uint16)


class Plates:
    """`plates` are (rows, columns, wells, fields, acquisitions) with wells as (row, column); `loose` images stand beside them."""

    def __init__(self, folder, plates, loose=0, companion=True, subfolder=""):
        self.folder = os.fspath(folder)
        os.makedirs(os.path.join(self.folder, subfolder), exist_ok=True)
        self.companion = "plate.companion.ome" if companion else None
        self.images = []  # (path beneath the root of the mounted directory, file name)
        self._xml = []
        for p, (rows, columns, wells, fields, runs) in enumerate(plates):
            self._plate(p, rows, columns, wells, fields, runs, subfolder)
        self.loose_from = len(self.images)
        for i in range(loose):
            self.images.append((f"images/{i}", os.path.join(subfolder, f"loose{i}.ome.tif")))
        ids = [uuid.uuid4().urn for _ in self.images]
        body = "".join(self._xml) + "".join(self._image(n, name, ids[n]) for n, (_, name) in enumerate(self.images))
        for n, (_, name) in enumerate(self.images):
            text = f'<BinaryOnly MetadataFile="{self.companion}" UUID="urn:uuid:{uuid.UUID(int=1)}"/>' if companion else body
            xml = f'<?xml version="1.0" encoding="UTF-8"?><OME xmlns="{NS}" UUID="{ids[n]}">{text}</OME>'
            tifffile.imwrite(self.file(n), pixels(n), photometric="minisblack", description=xml.encode(), metadata=None)
        if companion:
            xml = f'<?xml version="1.0" encoding="UTF-8"?><OME xmlns="{NS}" UUID="urn:uuid:{uuid.UUID(int=1)}">{body}</OME>'
            with open(os.path.join(self.folder, self.companion), "w", encoding="utf-8") as f:
                f.write(xml)

    def file(self, number):
        return os.path.join(self.folder, self.images[number][1])

    def _plate(self, p, rows, columns, wells, fields, runs, subfolder):
        out, of_run, sample = [], [[] for _ in range(runs)], 0
        for w, (row, column) in enumerate(wells):
            out.append(f'<Well ID="Well:{p}:{w}" Row="{row}" Column="{column}">')
            for f in range(fields):
                path = f"{letters(row)}/{column + 1}/{f}"
                name = f"p{p}_{letters(row)}{column + 1:02}_f{f}.ome.tif"
                out.append(f'<WellSample ID="WellSample:{p}:{w}:{f}" Index="{sample}" PositionX="{f}.5" PositionXUnit="mm">'
                           f'<ImageRef ID="Image:{len(self.images)}"/></WellSample>')
                if runs:
                    of_run[f % runs].append(f"WellSample:{p}:{w}:{f}")
                self.images.append((path if p == 0 else f"plates/{p}/{path}", os.path.join(subfolder, name)))
                sample += 1
            out.append("</Well>")
        for r, samples in enumerate(of_run):
            refs = "".join(f'<WellSampleRef ID="{s}"/>' for s in samples)
            out.append(f'<PlateAcquisition ID="PlateAcquisition:{p}:{r}" Name="run {r}" StartTime="2020-01-01T00:00:0{r}">{refs}</PlateAcquisition>')
        self._xml.append(f'<Plate ID="Plate:{p}" Name="plate {p}" Rows="{rows}" Columns="{columns}">{"".join(out)}</Plate>')

    @staticmethod
    def _image(number, name, urn):
        c, y, x = SHAPE
        channels = "".join(f'<Channel ID="Channel:{number}:{k}" Name="dye {k}" SamplesPerPixel="1"/>' for k in range(c))
        return (f'<Image ID="Image:{number}" Name="image {number}"><Pixels ID="Pixels:{number}" DimensionOrder="XYCZT" Type="uint16" '
                f'SizeX="{x}" SizeY="{y}" SizeZ="1" SizeC="{c}" SizeT="1" PhysicalSizeX="0.5" PhysicalSizeY="0.5">{channels}'
                f'<TiffData IFD="0" PlaneCount="{c}"><UUID FileName="{name}">{urn}</UUID></TiffData></Pixels></Image>')
