//! Tag numbers and coded values of TIFF 6.0, its technical notes and BigTIFF.

/// Tags, by the names of the specification.
#[allow(missing_docs)]
pub mod tag {
    pub const NEW_SUBFILE_TYPE: u16 = 254;
    pub const SUBFILE_TYPE: u16 = 255;
    pub const IMAGE_WIDTH: u16 = 256;
    pub const IMAGE_LENGTH: u16 = 257;
    pub const BITS_PER_SAMPLE: u16 = 258;
    pub const COMPRESSION: u16 = 259;
    pub const PHOTOMETRIC: u16 = 262;
    pub const FILL_ORDER: u16 = 266;
    pub const IMAGE_DESCRIPTION: u16 = 270;
    pub const MAKE: u16 = 271;
    pub const MODEL: u16 = 272;
    pub const STRIP_OFFSETS: u16 = 273;
    pub const ORIENTATION: u16 = 274;
    pub const SAMPLES_PER_PIXEL: u16 = 277;
    pub const ROWS_PER_STRIP: u16 = 278;
    pub const STRIP_BYTE_COUNTS: u16 = 279;
    pub const X_RESOLUTION: u16 = 282;
    pub const Y_RESOLUTION: u16 = 283;
    pub const PLANAR_CONFIGURATION: u16 = 284;
    pub const PAGE_NAME: u16 = 285;
    pub const RESOLUTION_UNIT: u16 = 296;
    pub const SOFTWARE: u16 = 305;
    pub const DATE_TIME: u16 = 306;
    pub const ARTIST: u16 = 315;
    pub const HOST_COMPUTER: u16 = 316;
    pub const PREDICTOR: u16 = 317;
    pub const COLOR_MAP: u16 = 320;
    pub const TILE_WIDTH: u16 = 322;
    pub const TILE_LENGTH: u16 = 323;
    pub const TILE_OFFSETS: u16 = 324;
    pub const TILE_BYTE_COUNTS: u16 = 325;
    pub const SUB_IFDS: u16 = 330;
    pub const EXTRA_SAMPLES: u16 = 338;
    pub const SAMPLE_FORMAT: u16 = 339;
    pub const JPEG_TABLES: u16 = 347;
    pub const YCBCR_SUBSAMPLING: u16 = 530;
    /// Metadata of any kind, mostly Adobe's.
    pub const XMP: u16 = 700;
    /// Hamamatsu: high words of StripOffsets.
    pub const NDPI_OFFSET_HIGH: u16 = 65324;
    /// Hamamatsu: high words of StripByteCounts.
    pub const NDPI_COUNT_HIGH: u16 = 65325;
    /// Hamamatsu: in every directory of an NDPI file.
    pub const NDPI_FILE_FORMAT: u16 = 65420;
    /// Hamamatsu: magnification; -1 for the macro image, -2 for the map.
    pub const NDPI_MAGNIFICATION: u16 = 65421;
    /// Hamamatsu: focal plane, in nanometres from the slide's centre.
    pub const NDPI_Z_OFFSET: u16 = 65424;
    /// Hamamatsu: where the restart intervals of a JPEG strip begin, from the strip's own beginning.
    pub const NDPI_MCU_STARTS: u16 = 65426;
    /// Hamamatsu: the slide's name.
    pub const NDPI_SLIDE_LABEL: u16 = 65427;
    /// Hamamatsu: high words of McuStarts.
    pub const NDPI_MCU_STARTS_HIGH: u16 = 65432;
    /// Hamamatsu: the filter set of a fluorescence image.
    pub const NDPI_FLUORESCENCE: u16 = 65434;
    /// Hamamatsu: above 6, the samples are grey ones of 16 bits whatever the tags say.
    pub const NDPI_CAPTURE_MODE: u16 = 65441;
    /// Hamamatsu: serial number of the scanner.
    pub const NDPI_SERIAL: u16 = 65442;
    /// Hamamatsu: lines of `key=value`.
    pub const NDPI_PROPERTIES: u16 = 65449;
    /// Group 3 fax: bit 0 two-dimensional, bit 1 uncompressed mode, bit 2 fill before EOL (TIFF 6.0 section 11).
    pub const T4_OPTIONS: u16 = 292;
    /// Group 4 fax: bit 1 uncompressed mode.
    pub const T6_OPTIONS: u16 = 293;
    pub const COPYRIGHT: u16 = 33432;
    /// GDAL: version of LERC, compression on top of it (0 none, 1 Deflate, 2 Zstandard).
    pub const LERC_PARAMETERS: u16 = 50674;
    /// ImageJ: lengths of the parts of the next one.
    pub const IMAGEJ_BYTE_COUNTS: u16 = 50838;
    /// ImageJ: labels, display ranges, lookup tables.
    pub const IMAGEJ_METADATA: u16 = 50839;
}

/// Values of PhotometricInterpretation.
#[allow(missing_docs)]
pub mod photometric {
    pub const MIN_IS_WHITE: u16 = 0;
    pub const MIN_IS_BLACK: u16 = 1;
    pub const RGB: u16 = 2;
    pub const PALETTE: u16 = 3;
    pub const MASK: u16 = 4;
    pub const SEPARATED: u16 = 5;
    pub const YCBCR: u16 = 6;
    pub const CIELAB: u16 = 8;
    pub const ICCLAB: u16 = 9;
    pub const ITULAB: u16 = 10;
}

/// Bytes of one value of a TIFF field type; `None` for types that no specification knows.
pub fn type_size(kind: u16) -> Option<u64> {
    match kind {
        1 | 2 | 6 | 7 => Some(1),
        3 | 8 => Some(2),
        4 | 9 | 11 | 13 => Some(4),
        5 | 10 | 12 | 16 | 17 | 18 => Some(8),
        _ => None,
    }
}
