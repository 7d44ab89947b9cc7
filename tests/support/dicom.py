"""DICOM files as pydicom writes them: images, slides and stacks, with every way to store a frame."""
import imagecodecs
import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate, encapsulate_extended
from pydicom.sequence import Sequence
from pydicom.tag import Tag
from pydicom.uid import UID

SLIDE = "1.2.840.10008.5.1.4.1.1.77.1.6"
CAPTURE = "1.2.840.10008.5.1.4.1.1.7.2"
SYNTAXES = {
    "implicit": "1.2.840.10008.1.2", "explicit": "1.2.840.10008.1.2.1", "deflated": "1.2.840.10008.1.2.1.99", "big": "1.2.840.10008.1.2.2",
    "rle": "1.2.840.10008.1.2.5", "jpeg": "1.2.840.10008.1.2.4.50", "ljpeg": "1.2.840.10008.1.2.4.70", "jpegls": "1.2.840.10008.1.2.4.80",
    "near": "1.2.840.10008.1.2.4.81", "j2k": "1.2.840.10008.1.2.4.90", "jxl": "1.2.840.10008.1.2.4.110", "htj2k": "1.2.840.10008.1.2.4.201",
    "frames": "1.2.840.10008.1.2.8.1",
}


def uid(*numbers):
    """Identifiers that are the same in every run."""
    return "1.2.826.0.1.3680043.10.1542." + ".".join(str(n) for n in numbers)


def packbits(line):
    """Run-length segments (PS3.5 annex G), of an even length."""
    packed = bytes(imagecodecs.packbits_encode(line.tobytes()))
    return packed + b"\0" * (len(packed) % 2)


def rle(frame):
    samples = frame.reshape(*frame.shape[:2], -1)
    planes = [samples[..., s].astype(samples.dtype.newbyteorder(">")).reshape(-1, 1).view(np.uint8)[:, b]
              for s in range(samples.shape[2]) for b in range(samples.dtype.itemsize)]
    segments = [packbits(np.ascontiguousarray(p)) for p in planes]
    offsets = np.zeros(16, "<u4")
    offsets[0] = len(segments)
    offsets[1:len(segments) + 1] = 64 + np.cumsum([0] + [len(s) for s in segments[:-1]])
    return offsets.tobytes() + b"".join(segments)


def encoded(frame, syntax, **options):
    frame = np.ascontiguousarray(frame)
    if syntax == "rle":
        return rle(frame)
    if syntax == "jpeg":
        return bytes(imagecodecs.jpeg8_encode(frame, level=90, **options))
    if syntax == "ljpeg":
        return bytes(imagecodecs.ljpeg_encode(frame, **options))
    if syntax in ("jpegls", "near"):
        import jpeg_ls
        samples = frame.reshape(*frame.shape[:2], -1).shape[2]
        data = frame if options.get("interleave", 2) else np.ascontiguousarray(frame.transpose(2, 0, 1))
        mode = options.get("interleave", 2) if samples > 1 else 0
        info = dict(interleave_mode=mode, lossy_error=options.get("near", 0))
        return bytes(jpeg_ls.encode_buffer(data.tobytes(), *frame.shape[:2], samples, options.get("bits", 8 * frame.itemsize), **info))
    if syntax == "j2k":
        return bytes(imagecodecs.jpeg2k_encode(frame, codecformat="J2K", level=0, **options))
    if syntax == "jxl":
        return bytes(imagecodecs.jpegxl_encode(frame, lossless=True))
    if syntax == "frames":
        import zlib
        packer = zlib.compressobj(9, zlib.DEFLATED, -15)
        data = packer.compress(frame.tobytes()) + packer.flush()
        return data + b"\0" * (len(data) % 2)
    return frame.tobytes()


def base(syntax="explicit", series=1, instance=1, kind=CAPTURE):
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.MediaStorageSOPClassUID = kind
    ds.file_meta.MediaStorageSOPInstanceUID = uid(1, series, instance)
    ds.file_meta.TransferSyntaxUID = UID(SYNTAXES[syntax])
    ds.SOPClassUID, ds.SOPInstanceUID = kind, uid(1, series, instance)
    ds.StudyInstanceUID, ds.SeriesInstanceUID = uid(2), uid(3, series)
    ds.Modality, ds.SpecificCharacterSet = "OT", "ISO_IR 192"
    ds.ImageType = ["DERIVED", "PRIMARY"]
    ds.InstanceNumber = instance
    return ds


def describe(ds, frames, photometric=None, bits=None, planar=0):
    """The Image Pixel Module of frames (n, y, x) or (n, y, x, s)."""
    samples = frames.shape[3] if frames.ndim == 4 else 1
    ds.Rows, ds.Columns = frames.shape[1:3]
    ds.SamplesPerPixel = samples
    ds.PhotometricInterpretation = photometric or ("RGB" if samples == 3 else "MONOCHROME2")
    if samples > 1:
        ds.PlanarConfiguration = planar
    ds.BitsAllocated = 8 * frames.itemsize
    ds.BitsStored = bits or ds.BitsAllocated
    ds.HighBit = ds.BitsStored - 1
    ds.PixelRepresentation = int(frames.dtype.kind == "i")
    if len(frames) > 1 or ds.SOPClassUID == SLIDE:
        ds.NumberOfFrames = len(frames)


def fill(ds, frames, syntax, table="basic", split=None, **options):
    """The pixels: as they are, or frames in items with a table of offsets ("basic", "extended", "none")."""
    if syntax in ("implicit", "explicit", "deflated", "big"):
        data = frames.astype(frames.dtype.newbyteorder(">")) if syntax == "big" else frames
        raw = data.tobytes()
        raw += b"\0" * (len(raw) % 2)
        if syntax == "big" and frames.itemsize == 1:
            raw = np.frombuffer(raw, "<u2").astype(">u2").tobytes()
        ds.PixelData = raw
        ds["PixelData"].VR = "OW" if syntax in ("implicit", "big") or frames.itemsize > 1 else "OB"
        return
    streams = [encoded(f, syntax, **options) for f in frames]
    if table == "extended":
        ds.PixelData, ds.ExtendedOffsetTable, ds.ExtendedOffsetTableLengths = encapsulate_extended(streams)
    else:
        ds.PixelData = encapsulate(streams, has_bot=table == "basic", fragments_per_frame=split or 1)
    ds["PixelData"].VR = "OB"


def save(ds, path, preamble=True):
    ds.preamble = b"\0" * 128 if preamble else None
    wanted = str(ds.file_meta.TransferSyntaxUID)
    # What pydicom does not know yet is written under the name of another one of the same length.
    standin = {"1.2.840.10008.1.2.4.110": "1.2.840.10008.1.2.4.201", "1.2.840.10008.1.2.8.1": "1.2.840.10008.1.2.4.50"}.get(wanted, wanted)
    ds.file_meta.TransferSyntaxUID = UID(standin)
    ds.save_as(path, enforce_file_format=preamble)
    if standin != wanted:
        with open(path, "r+b") as f:
            whole = f.read()
            f.seek(0)
            f.write(whole.replace(standin.encode(), wanted.encode().ljust(len(standin), b"\0"), 1))


def image(path, frames, syntax="explicit", photometric=None, bits=None, planar=0, table="basic", split=None, change=None, preamble=True,
          series=1, instance=1, **options):
    """A file of frames; `change` may change the data set before it is written."""
    ds = base(syntax, series, instance)
    describe(ds, frames, photometric, bits, planar)
    stored = frames.transpose(0, 3, 1, 2) if planar and frames.ndim == 4 else frames
    fill(ds, stored, syntax, table, split, **({**options, "bits": bits} if syntax == "jpegls" and bits else options))
    if change:
        change(ds)
    save(ds, path, preamble)


def item(**values):
    ds = Dataset()
    for key, value in values.items():
        setattr(ds, key, Sequence(value) if isinstance(value, list) and value and isinstance(value[0], Dataset) else value)
    return ds


def tiles(image, size):
    """Tiles (rows first) of an image (y, x) or (y, x, s), filled up with 0."""
    height, width = image.shape[:2]
    pad = [(0, -height % size[0]), (0, -width % size[1])] + [(0, 0)] * (image.ndim - 2)
    image = np.pad(image, pad)
    return [image[y:y + size[0], x:x + size[1]] for y in range(0, image.shape[0], size[0]) for x in range(0, image.shape[1], size[1])]


def slide(path, data, size=(16, 24), syntax="explicit", flavor="VOLUME", instance=1, series=1, spacing=0.0005, names=("DAPI",), sparse=None,
          heights=None, ids=None, change=None, part=None, **options):
    """`data` is path, plane, y, x or path, plane, y, x, s. `sparse` keeps the tiles (path, plane, number) that it is true of, shuffled.
    `part` is (first, end, identifier): these frames only, as a part of a concatenation."""
    ds = base(syntax, series, instance, SLIDE)
    ds.Modality = "SM"
    ds.ImageType = ["ORIGINAL", "PRIMARY", flavor, "NONE"]
    planes = data.shape[1]
    heights = heights or [1.5 * z for z in range(planes)]
    ids = ids or [f"p{n}" for n in range(len(data))]
    all_tiles = [(p, z, n, t) for p in range(len(data)) for z in range(planes) for n, t in enumerate(tiles(data[p, z], size))]
    across = -(-data.shape[3] // size[1])
    measures = item(PixelSpacing=[spacing, spacing], SliceThickness=0.001, SpacingBetweenSlices=0.0015)
    ds.SharedFunctionalGroupsSequence = Sequence([item(PixelMeasuresSequence=[measures])])
    ds.TotalPixelMatrixColumns, ds.TotalPixelMatrixRows = data.shape[3], data.shape[2]
    ds.TotalPixelMatrixFocalPlanes = planes
    ds.TotalPixelMatrixOriginSequence = Sequence([item(XOffsetInSlideCoordinateSystem=0, YOffsetInSlideCoordinateSystem=0,
                                                       ZOffsetInSlideCoordinateSystem=heights[0])])
    ds.NumberOfOpticalPaths = len(data)
    light = item(CodeValue="111743", CodingSchemeDesignator="DCM", CodeMeaning="Epifluorescence illumination")
    ds.OpticalPathSequence = Sequence([
        item(OpticalPathIdentifier=i, OpticalPathDescription=name, IlluminationWaveLength=405.0 + 50 * n, IlluminationTypeCodeSequence=[light],
             ObjectiveLensPower=20, ObjectiveLensNumericalAperture=0.8)
        for n, (i, name) in enumerate(zip(ids, names))])
    ds.DimensionOrganizationType = "TILED_SPARSE" if sparse else "TILED_FULL"
    if sparse:
        all_tiles = [t for t in all_tiles if sparse(*t[:3])][::-1]
        groups = []
        for p, z, n, _ in all_tiles:
            position = item(ColumnPositionInTotalImagePixelMatrix=n % across * size[1] + 1, RowPositionInTotalImagePixelMatrix=n // across * size[0] + 1,
                            XOffsetInSlideCoordinateSystem=0, YOffsetInSlideCoordinateSystem=0, ZOffsetInSlideCoordinateSystem=heights[z])
            groups.append(item(PlanePositionSlideSequence=[position], OpticalPathIdentificationSequence=[item(OpticalPathIdentifier=ids[p])]))
        ds.PerFrameFunctionalGroupsSequence = Sequence(groups)
    if part:
        all_tiles = all_tiles[part[0]:part[1]]
        ds.ConcatenationUID, ds.ConcatenationFrameOffsetNumber, ds.InConcatenationNumber = uid(4, part[2]), part[0], instance
    frames = np.stack([t for *_, t in all_tiles])
    describe(ds, frames, options.pop("photometric", None))
    fill(ds, frames, syntax, **options)
    if change:
        change(ds)
    save(ds, path)


def dimensions(planes, times):
    """A change that gives frames (times within planes) indices in a stack and in time, and positions."""
    def change(ds):
        ds.DimensionIndexSequence = Sequence([item(DimensionIndexPointer=Tag(0x0020, 0x9057)), item(DimensionIndexPointer=Tag(0x0020, 0x9128))])
        ds.PerFrameFunctionalGroupsSequence = Sequence([
            item(FrameContentSequence=[item(DimensionIndexValues=[z + 1, t + 1])], PlanePositionSequence=[item(ImagePositionPatient=[0, 0, 3.5 * z])])
            for z in range(planes) for t in range(times)])
        ds.SharedFunctionalGroupsSequence = Sequence([item(PixelMeasuresSequence=[item(PixelSpacing=[0.75, 0.75])])])
    return change
