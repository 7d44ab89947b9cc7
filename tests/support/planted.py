"""Image files of every dialect with what de-identification must take out planted in all places that can hold it."""
import json
import os
from pathlib import Path

import numpy as np
import tifffile

from . import containers, dialects, dicom, fixtures, olympus, slides, volumes

MARK = "zqx7"  # stands in everything planted, and nowhere else


class Plant:
    """The planted values of one file: each is distinct, so that what is found says where it came from."""

    def __init__(self, kind):
        word = kind.replace("-", "")
        self.person = f"{MARK}{word}Person"
        self.mail = f"{MARK}.{word}@mail.example"
        self.contact = f"{MARK}.{word}.author@mail.example"  # of an author: public, but for the strict level
        self.serial = f"{MARK}-{word}-SN4711"
        self.path = f"/home/{MARK}{word}user/private"
        self.place = f"{MARK}{word} Institute"
        self.note = f"note of {MARK}{word}note"

    def values(self):
        return list(vars(self).values())

    def text(self):
        return "; ".join(self.values())

    def pairs(self):
        return {"User": self.person, "UserName": self.person, "Operator": self.person, "EMail": self.mail, "ScannerID": self.serial,
                "ScanScope ID": self.serial, "Filename": self.path, "ComputerName": self.place, "Directory": self.path,
                "Description": self.note, "Barcode": self.serial}


def tags(plant):
    """Baseline tags that name people, devices and places: ImageDescription is the dialect's own."""
    named = [(269, plant.path), (271, plant.serial), (272, plant.serial), (285, plant.note), (315, plant.person), (316, plant.place),
             (33432, plant.person)]
    return [(code, "s", 0, value, True) for code, value in named]


def extended(description, plant):
    """A description of a vendor with more of its own kind of entries."""
    if description is None:
        return description
    more = plant.pairs()
    if description.lstrip().startswith("Aperio"):
        return description + "".join(f"|{key} = {value}" for key, value in more.items())
    if description.lstrip().startswith(("<", "\ufeff<")):
        at = description.rfind("</")
        inner = "".join(f"<{key.replace(' ', '')}>{value}</{key.replace(' ', '')}>" for key, value in more.items())
        inner += "".join(f'<Attribute Name="DICOM_{key.replace(" ", "_").upper()}" PMSVR="IString">{value}</Attribute>' for key, value in more.items())
        return description[:at] + inner + description[at:]
    return description


def label(height, width):
    """A label: rows that no other picture here has."""
    row = np.frombuffer(b"LABEL-OF-ONE-PERSON-", np.uint8)
    return np.tile(np.resize(row, width)[None, :, None], (height, 1, 3))


def slide(write, path, plant, monkeypatch):
    """One of the writers of slides, with more in the description and tags of each page, and with a label that can be told."""
    tiled, picture = slides.tiled, slides.picture

    def planted(image, tile, description=None, **more):
        return tiled(image, tile, extended(description, plant), extratags=[*more.pop("extratags", ()), *tags(plant)], **more)

    with monkeypatch.context() as m:
        m.setattr(slides, "tiled", planted)
        # Pictures beside the main one are smaller than it in every writer.
        m.setattr(slides, "picture", lambda h, w, seed=0: label(h, w) if h * w < 100 * 100 else picture(h, w, seed))
        write(path)


def paged(write, path, plant, monkeypatch):
    """One of the writers of dialects, with more tags in each page."""
    page, summary = dialects.Builder.page, dict(dialects.SUMMARY)

    def planted(self, entries, *rest, **more):
        known = {entry[0] for entry in entries}
        added = [(code, dialects.ASCII, value) for code, _, _, value, _ in tags(plant) if code not in known]
        return page(self, [*entries, *added], *rest, **more)

    written = tifffile.TiffWriter.write

    def tagged(self, data=None, *, extratags=(), **more):
        return written(self, data, extratags=[*(extratags or ()), *tags(plant)], **more)

    with monkeypatch.context() as m:
        m.setattr(dialects.Builder, "page", planted)
        m.setattr(tifffile.TiffWriter, "write", tagged)
        for key, value in plant.pairs().items():
            m.setitem(summary, key, value)
        m.setattr(dialects, "SUMMARY", summary)
        write(path)


OME = """<?xml version="1.0" encoding="UTF-8"?>
<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
 xsi:schemaLocation="http://www.openmicroscopy.org/Schemas/OME/2016-06 http://www.openmicroscopy.org/Schemas/OME/2016-06/ome.xsd">
<Plate ID="Plate:0" Name="{note}" ExternalIdentifier="{serial}"><Description>{note}</Description>
 <Well ID="Well:0" Row="0" Column="0" ExternalIdentifier="{serial}" ExternalDescription="{note}"><WellSample ID="WellSample:0" Index="0">
 <ImageRef ID="Image:0"/></WellSample></Well></Plate>
<Experimenter ID="Experimenter:0" FirstName="{person}" LastName="{person}" Email="{mail}" Institution="{place}" UserName="{person}"/>
<ExperimenterGroup ID="ExperimenterGroup:0" Name="{place}"><Description>{note}</Description><ExperimenterRef ID="Experimenter:0"/>
 <Leader ID="Experimenter:0"/></ExperimenterGroup>
<Instrument ID="Instrument:0"><Microscope Manufacturer="Maker" Model="One" SerialNumber="{serial}" LotNumber="{serial}"/>
 <Detector ID="Detector:0" SerialNumber="{serial}" Type="CCD"/>
 <Objective ID="Objective:0" SerialNumber="{serial}" NominalMagnification="20"/></Instrument>
<Image ID="Image:0" Name="{path}"><AcquisitionDate>2017-08-09T10:11:12</AcquisitionDate><ExperimenterRef ID="Experimenter:0"/>
 <Description>{note}</Description><InstrumentRef ID="Instrument:0"/><ObjectiveSettings ID="Objective:0"/>
 <Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint8" SizeX="32" SizeY="24" SizeZ="1" SizeC="1" SizeT="1">
 <Channel ID="Channel:0:0" Name="{channel}" SamplesPerPixel="1"/>
 <TiffData IFD="0" PlaneCount="1"><UUID FileName="{file}">urn:uuid:11111111-1111-1111-1111-111111111111</UUID></TiffData></Pixels>
 <ROIRef ID="ROI:0"/><AnnotationRef ID="Annotation:0"/><AnnotationRef ID="Annotation:1"/><AnnotationRef ID="Annotation:2"/></Image>
<StructuredAnnotations><CommentAnnotation ID="Annotation:0" Annotator="Experimenter:0"><Description>{note}</Description><Value>{note}</Value>
 </CommentAnnotation><MapAnnotation ID="Annotation:1" Namespace="vendor"><Value><M K="User">{person}</M><M K="Path">{path}</M>
 <M K="Host">{place}</M></Value></MapAnnotation><XMLAnnotation ID="Annotation:2" Namespace="vendor"><Value><user mail="{mail}">{note}</user>
 </Value></XMLAnnotation></StructuredAnnotations>
<ROI ID="ROI:0" Name="{note}"><Description>{note}</Description><Union><Rectangle ID="Shape:0" X="2" Y="2" Width="9" Height="9"
 Text="{note}"/></Union></ROI></OME>"""


def ome(path, plant):
    """OME-XML with people, serial numbers, paths and free text wherever the schema has a place for them."""
    text = OME.format(**vars(plant), channel=f"{MARK}omeChannel", file=os.path.basename(path))
    tifffile.imwrite(path, dialects.plane(24, 32, 3, np.uint8), description=text.encode(), metadata=None, photometric="minisblack", extratags=tags(plant))


def imagej(path, plant):
    """A hyperstack whose Info block and labels hold what users wrote."""
    info = "".join(f"{key} = {value}\n" for key, value in plant.pairs().items())
    tifffile.imwrite(path, np.stack([dialects.plane(24, 32, n) for n in range(2)]), imagej=True,
                     metadata={"axes": "ZYX", "Info": info, "Labels": [plant.note, plant.person]}, extratags=tags(plant))


def plain(path, plant):
    tifffile.imwrite(path, dialects.plane(24, 32), description=plant.text(), metadata=None, photometric="minisblack", software=plant.place,
                     extratags=tags(plant))


def sidecars(folder, name, plant):
    """Sidecars of a file and of its folder, in every form."""
    with open(os.path.join(folder, f"{name}.meta.yaml"), "w", encoding="utf-8") as f:
        f.write(f"description: {plant.note}\nstudy:\n  title: {plant.note}\nnotes_{MARK}: {plant.text()}\n"
                f"acquisition:\n  instrument: {plant.serial}\nauthors:\n  - name: Public Author\n    email: {plant.contact}\n")
    with open(os.path.join(folder, "dataset.meta.json"), "w", encoding="utf-8") as f:
        json.dump({"description": plant.note, "internal": plant.pairs()}, f)
    with open(os.path.join(folder, "dataset.meta.csv"), "w", encoding="utf-8") as f:
        f.write(f"file,description,operator\n{name},{plant.note},{plant.person}\n")


CZI = """<ImageDocument><Metadata><Information><User><DisplayName>{person}</DisplayName><FirstName>{person}</FirstName><Email>{mail}</Email>
 <Institution>{place}</Institution></User><Application><Name>ZEN</Name><Version>3</Version></Application><Document><Name>{note}</Name><Title>{note}</Title>
 <UserName>{person}</UserName><Description>{note}</Description><Comment>{note}</Comment><CreationDate>2017-08-09T10:11:12</CreationDate></Document><Image>
 <SizeX>8</SizeX><SizeY>8</SizeY><AcquisitionDateAndTime>2017-08-09T10:11:12</AcquisitionDateAndTime><MicroscopeRef Id="Microscope:0"/><Dimensions><Channels>
 <Channel Id="Channel:0" Name="one"><Description>{note}</Description><DetectorSettings><Detector Id="Detector:0"/></DetectorSettings></Channel></Channels>
 <S><Scenes><Scene Index="0" Name="{path}"/></Scenes></S></Dimensions></Image><Instrument><Microscopes><Microscope Id="Microscope:0" Name="{note}">
 <Manufacturer><Model>One</Model><SerialNumber>{serial}</SerialNumber></Manufacturer></Microscope></Microscopes><Detectors><Detector Id="Detector:0">
 <Manufacturer><Model>Cam</Model><SerialNumber>{serial}</SerialNumber></Manufacturer></Detector></Detectors></Instrument></Information>
 <HardwareSetting><Path>{path}</Path><Host>{place}</Host></HardwareSetting></Metadata></ImageDocument>"""


def czi(path, plant):
    pixels = containers.count([8, 8]).tobytes()
    containers.czi(path, [(1, 0, containers.czi_sides(0, 0, 8, 8, ("S", 0)), pixels)], CZI.format(**vars(plant)).encode())


def nd2(path, plant, monkeypatch):
    """More entries beside those of the picture, in the chunk of its metadata."""
    value = containers.value

    def planted(name, v):
        more = {f"s{key.replace(' ', '')}": text for key, text in plant.pairs().items()} if name == "SLxPictureMetadata" else {}
        return value(name, v | more if more else v)

    with monkeypatch.context() as m:
        m.setattr(containers, "value", planted)
        containers.nd2(path, containers.count([2, 4, 8, 1]), [("T", 2)], [("one", 0xFF)])


def lif(path, plant, monkeypatch):
    """A setting of the hardware and a comment, as LAS writes them, and an image that is called by a path."""
    element = containers.lif_element

    def planted(name, *rest):
        xml, body = element(plant.path, *rest)
        attributes = " ".join(f'{key.replace(" ", "")}="{text}"' for key, text in plant.pairs().items())
        more = (f'<Attachment Name="HardwareSetting" Application="LAS" SystemSerialNumber="{plant.serial}" {attributes}>'
                f'<ATLConfocalSettingDefinition UserSettingName="{plant.person}" SystemSerialNumber="{plant.serial}"/></Attachment>'
                f"<User-Comment>{plant.note} {plant.mail}</User-Comment>")
        return xml.replace("</Image>", more + "</Image>"), body

    with monkeypatch.context() as m:
        m.setattr(containers, "lif_element", planted)
        containers.lif(path, [("p", containers.count([2, 6, 8]), "CYX")])


def deltavision(path, plant):
    """Lines of text in the header."""
    containers.deltavision(path, containers.count([1, 1, 2, 6, 8]), "ZTW", [457])
    with open(path, "r+b") as f:
        for line, text in enumerate(plant.values()[:7]):
            f.seek(224 + 80 * line)
            f.write(text.encode()[:79].ljust(80, b"\0"))
        f.seek(220)
        f.write((7).to_bytes(4, "little"))


def fluoview(write, path, plant, **more):
    """A comment, a user and a path in the main text of an acquisition."""
    said = {key: f'"{value}"' for key, value in plant.pairs().items()}
    sections = {"File Info": {"DataName": f'"{plant.path}"', "Path": f'"{plant.path}"', "UserComment": f'"{plant.note}"', "UserName": f'"{plant.person}"', **said},
                "Version Info": {"SystemName": f'"{plant.serial}"'}, "Acquisition Parameters Common": {"ScanMode": f'"{plant.note}"', "Acquisition Device": f'"{plant.serial}"'},
                "Channel 1 Parameters": {"CH Name": f'"{plant.note}"', "BF Name": f'"{plant.serial}"'}}
    write(path, containers.count([2, 6, 8]), "CYX", **sections, **more)


def oir(path, plant):
    extra = (f"<base:author>{plant.person}</base:author><base:objectiveLens><base:name>{plant.serial}</base:name></base:objectiveLens>"
             f"<base:scannerType>{plant.note}</base:scannerType>" + "".join(f"<base:{key.replace(' ', '')}>{value}</base:{key.replace(' ', '')}>" for key, value in plant.pairs().items()))
    olympus.oir(path, containers.count([2, 6, 8]), "CYX", extra=extra)


def imaris(path, plant):
    """Attributes of the image and of a channel, and a group of others'."""
    own = {key.replace(" ", ""): value for key, value in plant.pairs().items()}
    image = own | {"Name": plant.path, "ManufactorString": plant.serial, "Description": plant.note}
    volumes.ims(path, containers.count([1, 1, 2, 6, 8]), image=image, channel={"Description": plant.note, "Operator": plant.person})
    import h5py
    with h5py.File(path, "r+") as f:
        log = f.create_group("DataSetInfo/Log")
        for key, value in own.items():
            log.attrs[key] = volumes.chars(value)


def nrrd(path, plant):
    volumes.nrrd(path, containers.count([8, 6, 2]), {"content": plant.text(), "operator": plant.person, "serial": plant.serial})


def nifti(path, plant):
    """Texts of the header."""
    volumes.nifti(path, containers.count([8, 6, 2]))
    with open(path, "r+b") as f:
        for at, size, text in ((4, 10, plant.person), (14, 18, plant.serial), (148, 80, plant.text()), (228, 24, plant.path), (328, 16, plant.note)):
            f.seek(at)
            f.write(text.encode()[:size].ljust(size, b"\0"))


def dicoms(folder, plant):
    """A slide and its label: patient, people, places, devices and free text in elements of every kind."""
    def change(ds):
        ds.PatientName, ds.PatientID, ds.PatientComments = plant.person, plant.serial, plant.note
        ds.OperatorsName, ds.ReferringPhysicianName, ds.InstitutionName = plant.person, plant.person, plant.place
        ds.InstitutionAddress, ds.StationName, ds.DeviceSerialNumber = plant.place, plant.place[:16], plant.serial
        ds.Manufacturer, ds.ManufacturerModelName = plant.serial, plant.serial
        ds.SeriesDescription, ds.StudyDescription, ds.ImageComments = plant.note, plant.note, f"{plant.note} {plant.mail}"
        ds.SoftwareVersions, ds.BarcodeValue, ds.LabelText = plant.path, plant.serial, plant.text()


    data = containers.count([1, 1, 24, 30], np.uint8)
    dicom.slide(os.path.join(folder, f"{MARK}a.dcm"), data, names=(plant.note,), change=change)
    dicom.slide(os.path.join(folder, f"{MARK}b.dcm"), label(24, 40)[None, None].repeat(3, -1), (24, 40), flavor="LABEL", instance=2, change=change)
    dicom.image(os.path.join(folder, f"{MARK}c.dcm"), data[0], series=2, change=change)


def write_all(root, monkeypatch):
    """Every kind of file in a folder of its own, whose name is planted too. Gives the plants by kind."""
    plants = {}

    def folder(kind):
        plants[kind] = Plant(kind)
        at = os.path.join(root, f"{MARK}{kind}folder")
        os.makedirs(at)
        return at, plants[kind]

    for kind, write, name in [("svs", slides.aperio, "a.svs"), ("scn", slides.leica, "a.scn"), ("qptiff", slides.qptiff, "a.qptiff"),
                              ("philips", slides.philips, "a.tiff"), ("bif", slides.ventana, "a.bif")]:
        at, plant = folder(kind)
        slide(write, os.path.join(at, f"{MARK}{name}"), plant, monkeypatch)
    for kind, write, name in [("ndpi", dialects.ndpi, "a.ndpi"), ("lsm", dialects.lsm, "a.lsm"), ("fluoview", dialects.fluoview, "a.tif"),
                              ("mmstack", dialects.mmstack, None), ("ndtiff", dialects.ndtiff, None), ("prairie", dialects.prairie, None)]:
        at, plant = folder(kind)
        paged(write, os.path.join(at, f"{MARK}{name}") if name else at, plant, monkeypatch)
    prairie = os.path.join(root, f"{MARK}prairiefolder", "series-1.xml")
    with open(prairie, encoding="utf-8") as f:
        text = f.read()
    more = "".join(f'<PVStateValue key="{key}" value="{value}"/>' for key, value in plants["prairie"].pairs().items())
    with open(prairie, "w", encoding="utf-8") as f:
        f.write(text.replace("</PVStateShard>", f"{more}</PVStateShard>", 1).replace("<PVScan ", f'<PVScan notes="{plants["prairie"].note}" ', 1))
    at, plant = folder("separate")
    with monkeypatch.context() as m:
        m.setattr(dialects, "SUMMARY", {**dialects.SUMMARY, **plant.pairs()})
        dialects.separate(at, 1)
    at, plant = folder("stk")
    paged(lambda path: dialects.stk(path, (24, 32), 3, {n: dialects.plane(24, 32, n) for n in range(3)}), os.path.join(at, f"{MARK}a.stk"), plant, monkeypatch)
    for kind, write, name in [("ome", ome, "a.ome.tif"), ("imagej", imagej, "a.tif"), ("plain", plain, "a.tif")]:
        at, plant = folder(kind)
        write(os.path.join(at, f"{MARK}{name}"), plant)
        sidecars(at, f"{MARK}{name}", plant)
    at, plant = folder("czi")
    czi(os.path.join(at, f"{MARK}a.czi"), plant)
    at, plant = folder("nd2")
    nd2(os.path.join(at, f"{MARK}a.nd2"), plant, monkeypatch)
    at, plant = folder("lif")
    lif(Path(at, f"{MARK}a.lif"), plant, monkeypatch)
    at, plant = folder("deltavision")
    deltavision(os.path.join(at, f"{MARK}a.dv"), plant)
    at, plant = folder("oif")
    fluoview(olympus.oif, os.path.join(at, f"{MARK}a.oif"), plant)
    at, plant = folder("oib")
    fluoview(olympus.oib, os.path.join(at, f"{MARK}a.oib"), plant)
    at, plant = folder("oir")
    oir(os.path.join(at, f"{MARK}a.oir"), plant)
    for kind, write, name in [("imaris", imaris, "a.ims"), ("nrrd", nrrd, "a.nrrd"), ("nifti", nifti, "a.nii")]:
        at, plant = folder(kind)
        write(os.path.join(at, f"{MARK}{name}"), plant)
    at, plant = folder("dicom")
    dicoms(at, plant)
    at, plant = folder("ordinary")
    for name in (f"{MARK}notes.txt", f"{MARK}.xml", "readme"):
        with open(os.path.join(at, name), "w", encoding="utf-8") as f:
            f.write(plant.text())
    os.makedirs(os.path.join(at, "real.ome.zarr"))
    with open(os.path.join(at, "real.ome.zarr", "zarr.json"), "w", encoding="utf-8") as f:
        json.dump({"zarr_format": 3, "node_type": "group", "attributes": {"who": plant.person}}, f)
    os.symlink("real.ome.zarr", os.path.join(at, f"{MARK}link"))
    with open(os.path.join(at, f"{MARK}broken.tif"), "wb") as f:
        f.write(b"II*\0\x08\0\0\0\x01\0\x00\x01\x02\0\x40\0\0\0\x1a\0\0\0" + plant.person.encode() * 8)
    return plants
