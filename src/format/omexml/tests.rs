//! Documents of every age, and hostile ones.

use super::*;
use crate::error::Kind;
use crate::model::Unit;

fn image(body: &str) -> String {
    format!("<OME><Image ID='Image:0' Name='a &amp; b'>{body}</Image></OME>")
}

fn pixels(xml: &str) -> Pixels {
    parse(xml.as_bytes()).unwrap().images.remove(0).pixels.unwrap()
}

#[test]
fn a_prefix_and_an_unknown_release_do_not_matter() {
    let xml = "<?xml version='1.0'?><!-- x --><o:OME xmlns:o='http://example.org/2099' UUID='urn:uuid:1'><o:Image Name='n'>\
        <o:AcquisitionDate>2010-02-23T12:51:30</o:AcquisitionDate><o:Description>a &lt;b&gt; &#181;</o:Description>\
        <o:Pixels DimensionOrder='XYTCZ' Type='UINT8' SizeX='6' SizeY='4' SizeZ='2' SizeC='3' SizeT='5'>\
        <o:Channel Color='16711935' Name='g' EmissionWavelength='0.5' EmissionWavelengthUnit='&#181;m'/>\
        <o:TiffData IFD='3' FirstZ='1'><o:UUID FileName='f.tif'>urn:uuid:2</o:UUID></o:TiffData><o:TiffData/>\
        </o:Pixels></o:Image></o:OME>";
    let ome = parse(xml.as_bytes()).unwrap();
    assert_eq!(ome.uuid.as_deref(), Some("urn:uuid:1"));
    let image = &ome.images[0];
    assert_eq!(image.acquired.as_deref(), Some("2010-02-23T12:51:30"));
    assert_eq!(image.description.as_deref(), Some("a <b> µ"));
    let p = image.pixels.as_ref().unwrap();
    assert_eq!((p.size_x, p.size_z, p.size_c, p.size_t, p.kind.as_str()), (Some(6), 2, 3, 5, "uint8"));
    assert_eq!(p.order, DimensionOrder([Axis::T, Axis::C, Axis::Z]));
    assert_eq!(p.channels[0].color, Some(Rgb(0, 255, 0)));
    assert_eq!(p.channels[0].emission_nm, Some(500.0));
    assert_eq!(p.tiff_data[0], TiffData { ifd: 3, z: 1, file: 0, ..TiffData::default() });
    assert_eq!(p.tiff_data[1], TiffData::default());
    assert_eq!(ome.files, [FileRef { name: Some("f.tif".into()), uuid: "urn:uuid:2".into() }]);
}

#[test]
fn names_before_2009_are_understood() {
    let xml = image(
        "<CreationDate>2008-01-01T00:00:00</CreationDate>\
         <LogicalChannel Name='DAPI' ExWave='405' EmWave='461'><ChannelComponent Index='0'/></LogicalChannel>\
         <LogicalChannel Name='RGB'><ChannelComponent Index='1'/><ChannelComponent Index='2'/><ChannelComponent Index='3'/>\
         </LogicalChannel>\
         <Pixels PixelType='Uint16' PhysicalSizeX='0.5' PhysicalSizeZ='0.0' TimeIncrement='2' SizeX='2' SizeY='2' SizeC='4'>\
         <TiffData IFD='0' NumPlanes='7'/></Pixels>",
    );
    let ome = parse(xml.as_bytes()).unwrap();
    assert_eq!(ome.images[0].name, "a & b");
    assert_eq!(ome.images[0].acquired.as_deref(), Some("2008-01-01T00:00:00"));
    let p = ome.images[0].pixels.clone().unwrap();
    assert_eq!(p.kind, "uint16");
    assert_eq!((p.channels[0].excitation_nm, p.channels[0].emission_nm), (Some(405.0), Some(461.0)));
    assert_eq!((p.channels[0].samples, p.channels[1].samples), (Some(1), Some(3)));
    assert_eq!(p.physical.x.unwrap().unit, Some(Unit("µm".into())));
    assert_eq!(p.physical.z, None);
    assert_eq!(p.physical.t.unwrap().unit, Some(Unit("s".into())));
    assert_eq!(p.tiff_data[0].count, 7);
}

#[test]
fn units_are_read_and_unknown_ones_leave_none() {
    let p = pixels(&image(
        "<Pixels PhysicalSizeX='65' PhysicalSizeXUnit='nm' PhysicalSizeY='1' PhysicalSizeYUnit='pixel' PhysicalSizeZ='2' \
         PhysicalSizeZUnit='&#x3bc;m'/>",
    ));
    assert_eq!(p.physical.x.unwrap().unit, Some(Unit("nm".into())));
    assert_eq!(p.physical.y.unwrap().unit, None);
    assert_eq!(p.physical.z.unwrap().unit, Some(Unit("µm".into())));
}

#[test]
fn entities_and_document_types_are_refused() {
    for xml in [
        "<!DOCTYPE x [<!ENTITY e SYSTEM 'file:///etc/passwd'>]><OME><Image><Description>&e;</Description></Image></OME>",
        "<!DOCTYPE x [<!ENTITY % p SYSTEM 'http://127.0.0.1:9/x.dtd'>%p;]><OME/>",
        "<!DOCTYPE x SYSTEM 'http://127.0.0.1:9/x.dtd'><OME/>",
        "<OME><Image Name='&lol;'/></OME>",
        "<OME><Image><Description>&lol;</Description></Image></OME>",
        "<OME><Image></OME>",
        "<OME>",
        "<html/>",
        "",
    ] {
        assert_eq!(parse(xml.as_bytes()).unwrap_err().kind(), Kind::Malformed, "{xml}");
    }
    assert!(parse(b"<!DOCTYPE OME><OME/>").is_ok());
}

#[test]
fn depth_is_bounded() {
    let deep = format!("<OME>{}{}</OME>", "<a>".repeat(50_000), "</a>".repeat(50_000));
    assert_eq!(parse(deep.as_bytes()).unwrap_err().kind(), Kind::OverLimit);
}

#[test]
fn many_small_elements_do_not_become_much_memory() {
    let xml = format!("<OME>{}</OME>", "<Image/>".repeat(2_000_000));
    assert_eq!(parse(xml.as_bytes()).unwrap_err().kind(), Kind::OverLimit);
    let body = "<TiffData IFD='1'/>".repeat(1_000_000);
    assert_eq!(pixels(&image(&format!("<Pixels>{body}</Pixels>"))).tiff_data.len(), 1_000_000);
}

#[test]
fn broken_sizes_and_orders_are_errors() {
    for pixels in ["SizeX='forty'", "SizeX='0'", "SizeT='99999999999999999999'", "DimensionOrder='XYQZT'", "SizeZ='-1'"]
    {
        let xml = image(&format!("<Pixels {pixels}/>"));
        assert_eq!(parse(xml.as_bytes()).unwrap_err().kind(), Kind::Malformed, "{pixels}");
    }
}

#[test]
fn a_companion_reference_is_kept() {
    let ome = parse(b"<OME><BinaryOnly MetadataFile='a.companion.ome' UUID='urn:uuid:3'/></OME>").unwrap();
    assert_eq!(ome.binary_only.unwrap().metadata_file, "a.companion.ome");
}

#[test]
fn planes_are_counted_in_dimension_order() {
    let sizes = (2, 3, 5);
    for (text, index) in [("XYZCT", 17), ("XYCTZ", 23), ("XYTZC", 27), ("XYCZT", 17), ("XYZTC", 25), ("XYTCZ", 27)] {
        let order = DimensionOrder::parse(text).unwrap();
        assert_eq!(order.index((1, 2, 2), sizes), index, "{text}");
    }
    assert_eq!(DimensionOrder::parse("XYZZT"), None);
    assert_eq!(DimensionOrder::parse("XYZC"), None);
}

#[test]
fn only_ome_xml_looks_like_it() {
    assert!(looks_like(b"\xef\xbb\xbf<?xml version='1.0'?>\n<OME xmlns='x'>"));
    assert!(looks_like(b"<ome:OME>"));
    assert!(!looks_like(b"{\"shape\": [1]}"));
    assert!(!looks_like(b"<image OMEN='1'/>"));
    assert!(!looks_like(b"ImageJ=1.53"));
}

#[test]
fn plates_are_read_and_faults_cost_a_field() {
    let images: String = (0..7).map(|n| format!("<Image ID='Image:{n}'><Pixels/></Image>")).collect();
    let xml = format!(
        "<OME><Plate ID='Plate:0' Name='P' Rows='3' Columns='2' ExternalIdentifier='x7' Status='done'><Description>d &lt; e</Description>\
         <Well Row='2' Column='1' Type='control'><WellSample ID='s:3' Index='3' PositionX='-5.5' PositionXUnit='mm'><ImageRef ID='Image:3'/>\
         </WellSample><WellSample ID='s:2'><ImageRef ID='Image:2'/></WellSample></Well>\
         <Well Row='0' Column='0'><WellSample ID='s:0'><ImageRef ID='Image:0'/></WellSample><WellSample ID='s:9'/>\
         <WellSample ID='s:8'><ImageRef ID='Image:99'/></WellSample></Well>\
         <Well Row='1' Column='0'/><Well Row='-1' Column='0'><WellSample><ImageRef ID='Image:4'/></WellSample></Well>\
         <Well Row='0' Column='0'><WellSample ID='s:1'><ImageRef ID='Image:1'/></WellSample></Well>\
         <Well Row='4000000' Column='1'/>\
         <PlateAcquisition Name='a' StartTime='2006-05-04T18:13:51' MaximumFieldCount='9'><Description>first</Description>\
         <WellSampleRef ID='s:0'/><WellSampleRef ID='s:2'/></PlateAcquisition>\
         <PlateAcquisition><WellSampleRef ID='s:3'/></PlateAcquisition></Plate>\
         <Plate Name='empty'/><Plate><Well Row='30' Column='50'><WellSample><ImageRef ID='Image:6'/></WellSample>\
         <WellSample><ImageRef ID='Image:0'/></WellSample></Well></Plate>{images}</OME>"
    );
    let ome = parse(xml.as_bytes()).unwrap();
    let [first, second] = &ome.plates[..] else { panic!("{:?}", ome.plates) };
    assert_eq!((first.name.as_str(), first.rows, first.columns), ("P", 3, 2));
    assert_eq!(first.description.as_deref(), Some("d < e"));
    assert_eq!((first.external_identifier.as_deref(), first.status.as_deref()), (Some("x7"), Some("done")));
    let places: Vec<_> = first.wells.iter().map(|w| (w.row, w.column)).collect();
    assert_eq!(places, [(0, 0), (2, 1)], "in the order of their images");
    let fields =
        |well: usize| -> Vec<_> { first.wells[well].fields.iter().map(|f| (f.series, f.acquisition)).collect() };
    assert_eq!(fields(0), [(0, Some(0)), (1, Some(2))], "two elements of one well, the last sample in no run");
    assert_eq!(fields(1), [(3, Some(1)), (2, Some(0))]);
    assert_eq!(first.wells[1].kind.as_deref(), Some("control"));
    let [x, y] = &first.wells[1].fields[0].position;
    assert_eq!((x.as_ref().unwrap().value, x.as_ref().unwrap().unit.clone()), (-5.5, Some(Unit("mm".into()))));
    assert_eq!(y, &None);
    let runs: Vec<_> = first.acquisitions.iter().map(|a| a.name.as_deref()).collect();
    assert_eq!(runs, [Some("a"), None, Some("other")]);
    assert_eq!(first.acquisitions[0].description.as_deref(), Some("first"));
    assert_eq!((first.fields_of(0), first.fields_of(1), first.most_fields()), (9, 1, 2));
    assert_eq!((second.rows, second.columns, second.wells.len()), (31, 51, 1));
    assert_eq!(second.wells[0].fields.len(), 1, "an image has one place");
    assert_eq!(ome.warnings.len(), 4, "{:?}", ome.warnings);
}

#[test]
fn a_plate_of_noise_is_bounded() {
    let one = "<Well Row='0' Column='0'><WellSample ID='s'><ImageRef ID='i'/></WellSample></Well>";
    let ome = parse(format!("<OME><Plate>{}</Plate><Image ID='i'/></OME>", one.repeat(600_000)).as_bytes()).unwrap();
    assert!(ome.plates.is_empty() || ome.plates[0].wells.len() == 1);
    assert!(ome.warnings.len() <= 9);
    let deep = format!("<OME><Plate>{}{}</Plate></OME>", "<a>".repeat(50_000), "</a>".repeat(50_000));
    assert_eq!(parse(deep.as_bytes()).unwrap_err().kind(), Kind::OverLimit);
}

#[test]
fn runs_without_end_are_cut_off() {
    let runs = "<PlateAcquisition/>".repeat(5000);
    let well = "<Well Row='0' Column='0'><WellSample ID='s:0'><ImageRef ID='Image:0'/></WellSample></Well>";
    let xml = format!("<OME><Plate>{well}{runs}</Plate><Image ID='Image:0'><Pixels/></Image></OME>");
    let ome = parse(xml.as_bytes()).unwrap();
    // And one for the field of none.
    assert_eq!(ome.plates[0].acquisitions.len(), 1025);
    assert!(ome.warnings.iter().any(|w| w.contains("more than 1024 runs")), "{:?}", ome.warnings);
}
