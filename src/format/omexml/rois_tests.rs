//! Regions of every release, and hostile ones.

use super::parse;
use crate::model::{Affine, Figure, Rgba, RoiShape, Rois};

fn read(images: &str, rois: &str) -> (Rois, Vec<String>) {
    let ome = parse(format!("<OME>{images}{rois}</OME>").as_bytes()).unwrap();
    (ome.rois, ome.warnings)
}

fn shapes(union: &str) -> Vec<RoiShape> {
    read("<Image/>", &format!("<ROI><Union>{union}</Union></ROI>")).0.all.remove(0).shapes
}

fn why(union: &str) -> String {
    match &shapes(union)[0].figure {
        Figure::Unreadable(why) => why.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_shape_of_2016_is_read() {
    let all = shapes(
        "<Rectangle X='4' Y='5.5' Width='10' Height='8' TheZ='1' TheC='2' TheT='3' StrokeColor='-16776961'/>\
         <Ellipse X='20' Y='21' RadiusX='6' RadiusY='4' FillColor='65535'/><Point X='3' Y='-3' Text='p'/>\
         <Line X1='0' Y1='1' X2='9' Y2='1e1'><Transform A00='1' A10='2' A01='3' A11='4' A02='5' A12='6'/></Line>\
         <Polygon Points='1,1 10,1 10,12'/><Polyline Points=' 1 , 2\n3,4 '/>\
         <Mask X='1' Y='2' Width='2' Height='2'><BinData BigEndian='true' Length='4'>YA==</BinData></Mask>\
         <Label X='2' Y='2' Text='nuc'/>",
    );
    let first = &all[0];
    assert_eq!(first.figure, Figure::Rectangle { x: 4.0, y: 5.5, width: 10.0, height: 8.0 });
    assert_eq!((first.z, first.c, first.t, first.stroke), (1, 2, 3, Some(Rgba([255, 0, 0, 255]))));
    assert_eq!(all[1].figure, Figure::Ellipse { x: 20.0, y: 21.0, radius_x: 6.0, radius_y: 4.0 });
    assert_eq!((all[1].z, all[1].fill), (RoiShape::ANY, Some(Rgba([0, 0, 255, 255]))));
    assert_eq!((&all[2].figure, all[2].text.as_deref()), (&Figure::Point { x: 3.0, y: -3.0 }, Some("p")));
    assert_eq!(all[3].figure, Figure::Line { x1: 0.0, y1: 1.0, x2: 9.0, y2: 10.0 });
    assert_eq!(all[3].transform.as_deref(), Some(&Affine([1.0, 3.0, 5.0, 2.0, 4.0, 6.0])));
    assert_eq!(all[4].figure, Figure::Polygon([[1.0, 1.0], [10.0, 1.0], [10.0, 12.0]].into()));
    assert_eq!(all[5].figure, Figure::Polyline([[1.0, 2.0], [3.0, 4.0]].into()));
    let Figure::Mask(mask) = &all[6].figure else { panic!("{:?}", all[6]) };
    let bits = [(0, 0), (0, 1), (1, 0), (1, 1)].map(|(row, column)| mask.bit(row, column));
    assert_eq!((mask.columns, mask.rows, bits), (2, 2, [false, true, true, false]));
    assert_eq!(all[7].figure, Figure::Label { x: 2.0, y: 2.0 });
}

#[test]
fn wrappers_and_spellings_of_older_releases_are_understood() {
    let (rois, _) = read(
        "<Image><ROI:ROI xmlns:ROI='http://www.openmicroscopy.org/Schemas/ROI/2008-09' ID='r'><ROI:Union>\
         <ROI:Shape ID='s' theZ='2' theT='-1' Transform='matrix(1 0 0 1 5 6)' Fill='#0000FF'><ROI:Rect x='1' y='2' width='3' \
         height='4'/></ROI:Shape><ROI:Shape><ROI:Circle cx='5' cy='6' r='2'/></ROI:Shape>\
         <ROI:Shape><ROI:Polyline points='points[1,1 2,2] points1[9,9]' closed='true'/></ROI:Shape>\
         <ROI:Shape><ROI:Mask x='0' y='0' width='16' height='2'><ROI:MaskPixels SizeX='8' SizeY='1' ExtendedPixelType='bit'>\
         <Bin:BinData Compression='none'>Dw==</Bin:BinData></ROI:MaskPixels></ROI:Mask></ROI:Shape>\
         </ROI:Union></ROI:ROI></Image><Image/>",
        "",
    );
    assert_eq!(rois.of_series, [vec![0], vec![]]);
    let all = &rois.all[0].shapes;
    assert_eq!(all[0].figure, Figure::Rectangle { x: 1.0, y: 2.0, width: 3.0, height: 4.0 });
    assert_eq!((all[0].z, all[0].t, all[0].fill), (2, RoiShape::ANY, Some(Rgba([0, 0, 255, 255]))));
    assert_eq!(all[0].transform.as_deref(), Some(&Affine([1.0, 0.0, 5.0, 0.0, 1.0, 6.0])));
    assert_eq!(all[1].figure, Figure::Ellipse { x: 5.0, y: 6.0, radius_x: 2.0, radius_y: 2.0 });
    assert_eq!((all[1].z, &all[1].transform), (RoiShape::ANY, &None), "the wrapper before it is over");
    assert_eq!(all[2].figure, Figure::Polygon([[1.0, 1.0], [2.0, 2.0]].into()));
    let Figure::Mask(mask) = &all[3].figure else { panic!("{:?}", all[3]) };
    assert_eq!((mask.columns, mask.rows, mask.width, &*mask.bits), (8, 1, 16.0, &[0x0F][..]));
}

#[test]
fn images_name_their_regions_and_the_document_orders_them() {
    let rois = "<ROI ID='ROI:7' Name='seven'/><ROI ID='ROI:3'/><ROI ID='ROI:3'/>";
    let (found, warnings) = read(
        "<Image><ROIRef ID='ROI:3'/><ROIRef ID='ROI:7'/><ROIRef ID='ROI:3'/></Image><Image><ROIRef ID='x'/></Image>",
        rois,
    );
    assert_eq!(found.of_series, [vec![0, 1], vec![]]);
    assert_eq!(found.all[0].name.as_deref(), Some("seven"));
    assert!(warnings[0].contains("1 references"), "{warnings:?}");
    assert_eq!(read("<Image/>", rois).0.of_series, [vec![0, 1, 2]], "one image, no reference: all are meant");
    assert!(read("<Image/><Image/>", rois).0.of_series.iter().all(Vec::is_empty), "nobody knows whose they are");
}

#[test]
fn what_cannot_be_drawn_says_why_and_spoils_nothing_else() {
    for (shape, what) in [
        ("<Rectangle X='NaN' Y='0' Width='1' Height='1'/>", "X NaN"),
        ("<Rectangle X='0' Y='0' Width='inf' Height='1'/>", "Width inf"),
        ("<Rectangle X='0' Y='0' Width='1'/>", "no Height"),
        ("<Rectangle X='9e14' Y='0' Width='2e14' Height='1'/>", "out of reach"),
        ("<Point X='1e16' Y='0'/>", "out of reach"),
        ("<Point X='1' Y='0' TheZ='first'/>", "TheZ first"),
        ("<Point X='1' Y='0'><Transform A00='1e15' A10='0' A01='0' A11='1' A02='1e15' A12='0'/></Point>", "reach"),
        ("<Point X='1' Y='0'><Transform A00='1'/></Point>", "no A01"),
        ("<Point X='1' Y='0' Transform='rotate(30)'/>", "rotate"),
        ("<Polygon Points='1,1 2'/>", "odd number"),
        ("<Polygon Points='1,1 2,x'/>", "x among them"),
        ("<Polygon/>", "no Points"),
        ("<Path D='M 1 1'/>", "kind Path"),
        ("<Mask X='0' Y='0' Width='2' Height='2'/>", "without BinData"),
        ("<Mask X='0' Y='0' Width='20' Height='20'><BinData>YA==</BinData></Mask>", "1 bytes"),
        ("<Mask X='0' Y='0' Width='1e9' Height='1e9'><BinData>YA==</BinData></Mask>", "memory"),
        ("<Mask X='0' Y='0' Width='2' Height='2'><BinData>Y*==</BinData></Mask>", "base64"),
        ("<Mask X='0' Y='0' Width='2' Height='2'><BinData Compression='lzo'>YA==</BinData></Mask>", "lzo"),
        ("<Mask X='0' Y='0' Width='2' Height='2'><BinData Compression='zlib'>YA==</BinData></Mask>", "Zlib"),
        (
            "<Mask X='0' Y='0' Width='2' Height='2'><BinData>YA==</BinData><BinData>YA==</BinData></Mask>",
            "more than one",
        ),
    ] {
        let found = why(shape);
        assert!(found.contains(what), "{shape}: {found}");
        let both = shapes(&format!("{shape}<Point X='1' Y='1'/>"));
        assert_eq!(both[1].figure, Figure::Point { x: 1.0, y: 1.0 }, "after {shape}");
    }
}

#[test]
fn masks_with_padded_rows_and_with_bytes_are_told_by_their_length() {
    // 9 x 2, the last column set: 18 bits make 3 bytes; padded rows make 4; a byte each makes 18.
    let column = |data: &str| {
        let mask = format!("<Mask X='0' Y='0' Width='9' Height='2'><BinData>{data}</BinData></Mask>");
        let Figure::Mask(mask) = shapes(&mask).remove(0).figure else { panic!("{mask}") };
        (0..2).flat_map(|r| (0..9).map(move |c| (r, c))).filter(|(r, c)| mask.bit(*r, *c)).collect::<Vec<_>>()
    };
    for data in ["AIBA", "AIAAgA==", "AAAAAAAAAAABAAAAAAAAAAAB"] {
        assert_eq!(column(data), [(0, 8), (1, 8)], "{data}");
    }
}

#[test]
fn too_many_regions_are_left_out_and_the_image_stays() {
    let one = "<ROI ID='r'><Union><Point X='1' Y='1'/></Union></ROI>";
    let (rois, warnings) = read("<Image Name='n'/>", &one.repeat(400_000));
    assert_eq!((rois.all.len(), rois.of_series.len()), (0, 0));
    assert!(warnings[0].contains("left out"), "{warnings:?}");
    assert_eq!(read("<Image/>", &one.repeat(100_000)).0.all.len(), 100_000);
    let long = format!("<Polygon Points='{}'/>", "1,2 ".repeat(1_000_000));
    let Figure::Polygon(points) = &shapes(&long)[0].figure else { panic!() };
    assert_eq!(points.len(), 1_000_000);
}

#[test]
fn a_region_of_many_images_counts_for_each_of_them() {
    let points = "<Point X='1' Y='1'/>".repeat(10_000);
    let region = format!("<ROI ID='R'><Union>{points}</Union></ROI>");
    let images = |n: usize| "<Image><ROIRef ID='R'/></Image>".repeat(n);
    let (rois, warnings) = read(&images(20), &region);
    assert_eq!((rois.of_series.len(), warnings.len()), (20, 0));
    let (rois, warnings) = read(&images(2000), &region);
    assert!(rois.all.is_empty() && warnings[0].ends_with("left out"), "{warnings:?}");
}
