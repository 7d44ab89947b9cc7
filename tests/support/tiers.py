"""An independent count of the tier report: from nbo_tiers.json and the mounted OME-XML, without the program's own tables.

Only what stands in the document is counted, so it is for images whose sidecars say nothing under `nbo:`. The components are
those of tiered-metadata, section 4; the minimum of an image that names no hardware is a stand, an objective, a light source and
a detector of which nothing is known.
"""
import collections
import json

from . import mounts

NS = "{http://www.openmicroscopy.org/Schemas/OME/2016-06}"
LIGHTS = ["Laser", "Arc", "Filament", "LightEmittingDiode", "GenericExcitationSource"]
STANDS = {"Upright": "UprightMicroscopeStand", "Inverted": "InvertedMicroscopeStand", "Dissection": "UprightMicroscopeStand",
          "Electrophysiology": "UprightMicroscopeStand"}
FLUORESCENT = {"LaserScanningConfocalMicroscopy", "SpinningDiskConfocal", "SlitScanConfocal", "SweptFieldConfocal",
               "MultiPhotonMicroscopy", "StructuredIllumination", "TotalInternalReflection", "TIRF", "FluorescenceLifetime",
               "FluorescenceCorrelationSpectroscopy", "PALM", "STORM", "STED"}


# Keys that vendors' software writes into its files: what it says, and the name that goes without saying.
SOFTWARE = {("micromanager", "MicroManagerVersion"): ("Version", "Name"), ("prairie", "Prairie View version"): ("Version", "Name"),
            ("qptiff", "AcquisitionSoftware"): ("Name",), ("philips", "DICOM_SOFTWARE_VERSIONS"): ("Version",), ("bif", "BuildVersion"): ("Version",)}


class Specification:
    """What nbo_tiers.json asks for: element -> [(attribute, tier, place in OME-XML if it is a plain attribute)]."""

    def __init__(self):
        with open(mounts.shared("metadata/nbo_tiers.json"), encoding="utf-8") as f:
            data = json.load(f)
        self.required = collections.defaultdict(list)
        for f in data["fields"]:
            if f["kind"] == "attribute" and f["required"] and not f["structural"]:
                plain = f["ome_match"] in ("same", "renamed")
                self.required[f["element"]].append((f["attribute"], f["tier"], f["ome_xpath"].rsplit("@", 1)[1] if plain else None))
        self.settings = {e["element"]: e["settings_element"] for e in data["elements"]}
        with open(mounts.shared("metadata/modality_map.json"), encoding="utf-8") as f:
            types = json.load(f)["detector_type"]
        self.detectors = {ome: t["nbo_element"] for t in types for ome in t["ome"].split(" | ") if ome != "Other"}


def get(element, attribute):
    value = None if element is None else element.get(attribute)
    return value if value and value.strip() else None


def child(element, name):
    return None if element is None else element.find(NS + name)


def children(element, name):
    return [] if element is None else element.findall(NS + name)


def only(items):
    items = list(items)
    return items[0] if len(items) == 1 else None


def fluorescent(channel):
    contrast = get(channel, "ContrastMethod")
    if contrast and contrast != "Other":
        return contrast == "Fluorescence"
    mode = get(channel, "AcquisitionMode")
    return mode in FLUORESCENT or bool(get(channel, "Fluor") or get(channel, "EmissionWavelength"))


class Count:
    """Fields of one image: {(component, attribute): (tier, present)}."""

    def __init__(self, specification, root, image, default_name, said_bits):
        self.spec, self.root, self.image, self.fields, self.elements = specification, root, image, {}, {}
        self.said_bits = said_bits
        self.by_id = {}
        for top in children(root, "Instrument") + children(root, "Experiment"):
            for e in [top, *top]:
                self.by_id.setdefault(e.get("ID"), e)
        self.by_id.pop(None, None)
        self.pumps = {p.get("ID") for p in root.iter(NS + "Pump")}
        instruments = children(root, "Instrument")
        self.instrument = self.ref(image, "InstrumentRef", ["Instrument"], instruments)
        self.pixels = child(image, "Pixels")
        self.channels = children(self.pixels, "Channel")
        self.glow = any(map(fluorescent, self.channels))
        self.count_image(default_name)
        self.count_microscope()
        for number, channel in enumerate(self.channels or [None]):
            self.count_channel(number, channel)

    def ref(self, element, name, kinds, candidates=()):
        """What a reference names; where there is none, the only candidate."""
        reference = child(element, name)
        if reference is None or reference.get("ID") is None:
            return only(candidates)
        found = self.by_id.get(reference.get("ID"))
        return found if found is not None and found.tag.removeprefix(NS) in kinds else (only(candidates) if name.endswith("Settings") else None)

    def add(self, key, element, own, **special):
        """All required attributes of an element; `special` says of some whether they are there."""
        self.elements.setdefault(key, element)
        for attribute, tier, place in self.spec.required[element]:
            if (key, attribute) not in self.fields:
                present = special[attribute] if attribute in special else bool(place and get(own, place))
                self.fields[key, attribute] = (tier, bool(present))

    def count_image(self, default_name):
        image, pixels = self.image, self.pixels
        named = get(image, "Name")
        self.add("Image", "Image", image, Name=named and not default_name)
        self.add("Pixels", "Pixels", pixels)
        planes = children(pixels, "Plane")
        every = {a: bool(planes) and all(get(p, place) for p in planes) for a, _, place in self.spec.required["Plane"]}
        self.add("Plane", "Plane", None, **every)
        self.add("Experiment", "Experiment", self.ref(image, "ExperimentRef", ["Experiment"], children(self.root, "Experiment")))
        self.add("Sample", "Sample", None)
        self.add("AcquisitionSoftware", "AcquisitionSoftware", None, **dict.fromkeys(self.software(), True))
        environment = child(image, "ImagingEnvironment")
        if environment is not None or self.glow:
            self.add("ImagingEnvironment", "ImagingEnvironment", environment)

    def software(self):
        refs = {r.get("ID") for r in children(self.image, "AnnotationRef")}
        for note in self.root.iter(NS + "MapAnnotation"):
            vendor = (note.get("Namespace") or "").rpartition("urn:fuzarr:vendor:")[2]
            for pair in note.iter(NS + "M"):
                if note.get("ID") in refs and (pair.text or "").strip():
                    yield from SOFTWARE.get((vendor, pair.get("K")), ())

    def count_microscope(self):
        self.add("Instrument", "Instrument", None)
        stand = child(self.instrument, "Microscope")
        kind = STANDS.get(get(stand, "Type"))
        self.add(kind or "MicroscopeStand", kind or "UprightMicroscopeStand", stand, Type=get(stand, "Type"))
        objective = self.ref(self.image, "ObjectiveSettings", ["Objective"], children(self.instrument, "Objective"))
        settings = child(self.image, "ObjectiveSettings")
        named = settings is not None and self.by_id.get(settings.get("ID")) is objective
        self.add(self.key("Objective", objective, named), "Objective", objective)
        medium = get(settings, "Medium")
        if (medium or get(settings, "RefractiveIndex") or self.glow) and (medium or get(objective, "Immersion")) != "Air":
            self.add("ImmersionLiquid", "ImmersionLiquid", None)

    @staticmethod
    def key(element, own, named):
        return f"{element}[{own.get('ID')}]" if named and own is not None and own.get("ID") else element

    def hardware(self, channel, settings, kinds):
        reference = child(channel, settings)
        found = None if reference is None else self.by_id.get(reference.get("ID"))
        if found is not None and found.tag.removeprefix(NS) in kinds:
            return found, True
        parts = [] if self.instrument is None else [e for e in self.instrument if e.tag.removeprefix(NS) in kinds]
        return only(p for p in parts if p.get("ID") not in self.pumps), False

    def count_channel(self, number, channel):
        prefix = "" if channel is None else f"Channel[{number}]/"
        if channel is not None:
            self.add(f"Channel[{number}]", "Channel", channel)
        self.count_light(prefix, channel)
        self.count_detector(prefix, channel)
        if channel is None:
            return
        light_path = child(channel, "LightPath")
        filter_set = self.ref(channel, "FilterSetRef", ["FilterSet"])
        for element, name in [("ExcitationFilter", "ExcitationFilterRef"), ("EmissionFilter", "EmissionFilterRef"), ("StandardDichroic", "DichroicRef")]:
            found = [self.by_id.get(r.get("ID")) for p in (light_path, filter_set) for r in children(p, name)]
            found = [f for f in found if f is not None]
            keys = [(self.key(element, f, True), f) for f in found] or ([(prefix + element, None)] if fluorescent(channel) else [])
            for key, own in keys:
                self.add(key, element, own)
                span = child(own, "TransmittanceRange")
                wide = get(span, "CutIn") and get(span, "CutOut") and float(get(span, "CutOut")) > float(get(span, "CutIn"))
                self.add(key + "/TransmittanceRange", "TransmittanceRange", None, Wavelength=wide, FWHMBandwidth=wide)
        if fluorescent(channel) or get(channel, "Fluor"):
            self.add(prefix + "Fluorophore", "Fluorophore", None)

    def count_light(self, prefix, channel):
        light, named = self.hardware(channel, "LightSourceSettings", LIGHTS)
        settings = child(channel, "LightSourceSettings")
        if light is None:
            self.add("LightSource", "GenericExcitationSource", None)
        else:
            element = light.tag.removeprefix(NS)
            pumping = any(child(laser, "Pump") is not None for laser in children(self.instrument, "Laser"))
            special = {"Pulse": get(light, "Pulse"), "IsPumped": pumping, "IsPump": pumping} if element == "Laser" else {}
            self.add(self.key(element, light, named), element, light, **special)
            module = "LEDModule" if element == "LightEmittingDiode" else "IlluminationWavelengthRange"
            peak = get(light, "Wavelength") or get(settings, "Wavelength")
            self.add(prefix + module, module, None, PeakWavelength=peak, IlluminationPower=get(light, "Power"))
        self.add(prefix + "LightSourceSettings", "LightSourceSettings", None)

    def count_detector(self, prefix, channel):
        detector, named = self.hardware(channel, "DetectorSettings", ["Detector"])
        element = self.spec.detectors.get(get(detector, "Type"), "GenericDetector")
        known = get(detector, "Type") in self.spec.detectors
        self.add(self.key(element if known else "Detector", detector, named), element, detector)
        settings = self.spec.settings[element]
        gain, bits = get(detector, "AmplificationGain"), get(self.pixels, "SignificantBits")
        if bits and not self.said_bits:
            # That the type has so many bits says nothing of the detector.
            bits = int(bits) < int("".join(filter(str.isdigit, self.pixels.get("Type"))) or 0)
        self.add(prefix + settings, settings, child(channel, "DetectorSettings"), AmplificationGain=gain, EffectiveBitDepth=bits)

    def tiers(self):
        """As the report has them."""
        out = {}
        for tier in (1, 2, 3):
            states = [present for t, present in self.fields.values() if t <= tier]
            out[str(tier)] = {"required": len(states), "present": sum(states), "complete": all(states)}
        return out

    def missing(self, by_element=False):
        out = {str(t): collections.defaultdict(list) for t in (1, 2, 3)}
        for (component, attribute), (tier, present) in self.fields.items():
            key = self.elements[component] if by_element else component
            if not present and attribute not in out[str(tier)][key]:
                out[str(tier)][key].append(attribute)
        return {tier: {c: sorted(a) for c, a in lacks.items() if a} for tier, lacks in out.items()}
