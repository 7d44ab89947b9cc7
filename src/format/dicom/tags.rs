//! Tags by their names in PS3.6, and which are kept.

pub(super) const TRANSFER_SYNTAX: u32 = 0x0002_0010;
pub(super) const SPECIFIC_CHARACTER_SET: u32 = 0x0008_0005;
pub(super) const IMAGE_TYPE: u32 = 0x0008_0008;
pub(super) const SOP_CLASS: u32 = 0x0008_0016;
pub(super) const SOP_INSTANCE: u32 = 0x0008_0018;
pub(super) const SERIES_DATE: u32 = 0x0008_0021;
pub(super) const ACQUISITION_DATE: u32 = 0x0008_0022;
pub(super) const CONTENT_DATE: u32 = 0x0008_0023;
pub(super) const ACQUISITION_DATE_TIME: u32 = 0x0008_002A;
pub(super) const SERIES_TIME: u32 = 0x0008_0031;
pub(super) const ACQUISITION_TIME: u32 = 0x0008_0032;
pub(super) const CONTENT_TIME: u32 = 0x0008_0033;
pub(super) const MODALITY: u32 = 0x0008_0060;
pub(super) const MANUFACTURER: u32 = 0x0008_0070;
pub(super) const INSTITUTION_NAME: u32 = 0x0008_0080;
pub(super) const CODE_MEANING: u32 = 0x0008_0104;
pub(super) const SERIES_DESCRIPTION: u32 = 0x0008_103E;
pub(super) const OPERATORS_NAME: u32 = 0x0008_1070;
pub(super) const MODEL_NAME: u32 = 0x0008_1090;
pub(super) const RECOMMENDED_FRAME_RATE: u32 = 0x0008_2144;
pub(super) const CINE_RATE: u32 = 0x0018_0040;
pub(super) const SLICE_THICKNESS: u32 = 0x0018_0050;
pub(super) const ECHO_NUMBER: u32 = 0x0018_0086;
pub(super) const SPACING_BETWEEN_SLICES: u32 = 0x0018_0088;
pub(super) const DEVICE_SERIAL_NUMBER: u32 = 0x0018_1000;
pub(super) const SOFTWARE_VERSIONS: u32 = 0x0018_1020;
pub(super) const FRAME_TIME: u32 = 0x0018_1063;
pub(super) const FRAME_TIME_VECTOR: u32 = 0x0018_1065;
pub(super) const IMAGER_PIXEL_SPACING: u32 = 0x0018_1164;
pub(super) const NOMINAL_SCANNED_PIXEL_SPACING: u32 = 0x0018_2010;
pub(super) const SERIES_UID: u32 = 0x0020_000E;
pub(super) const ACQUISITION_NUMBER: u32 = 0x0020_0012;
pub(super) const INSTANCE_NUMBER: u32 = 0x0020_0013;
pub(super) const IMAGE_POSITION: u32 = 0x0020_0032;
pub(super) const IMAGE_ORIENTATION: u32 = 0x0020_0037;
pub(super) const TEMPORAL_POSITION: u32 = 0x0020_0100;
pub(super) const FRAME_CONTENT: u32 = 0x0020_9111;
pub(super) const PLANE_POSITION: u32 = 0x0020_9113;
pub(super) const PLANE_ORIENTATION: u32 = 0x0020_9116;
pub(super) const DIMENSION_INDEX_VALUES: u32 = 0x0020_9157;
pub(super) const CONCATENATION_UID: u32 = 0x0020_9161;
pub(super) const DIMENSION_INDEX_POINTER: u32 = 0x0020_9165;
pub(super) const DIMENSION_INDEXES: u32 = 0x0020_9222;
pub(super) const CONCATENATION_FRAME_OFFSET: u32 = 0x0020_9228;
pub(super) const DIMENSION_ORGANIZATION_TYPE: u32 = 0x0020_9311;
pub(super) const ILLUMINATION_TYPE: u32 = 0x0022_0016;
pub(super) const ILLUMINATION_WAVELENGTH: u32 = 0x0022_0055;
pub(super) const SAMPLES_PER_PIXEL: u32 = 0x0028_0002;
pub(super) const PHOTOMETRIC: u32 = 0x0028_0004;
pub(super) const PLANAR_CONFIGURATION: u32 = 0x0028_0006;
pub(super) const NUMBER_OF_FRAMES: u32 = 0x0028_0008;
pub(super) const FRAME_INCREMENT_POINTER: u32 = 0x0028_0009;
pub(super) const ROWS: u32 = 0x0028_0010;
pub(super) const COLUMNS: u32 = 0x0028_0011;
pub(super) const PIXEL_SPACING: u32 = 0x0028_0030;
pub(super) const BITS_ALLOCATED: u32 = 0x0028_0100;
pub(super) const BITS_STORED: u32 = 0x0028_0101;
pub(super) const HIGH_BIT: u32 = 0x0028_0102;
pub(super) const PIXEL_REPRESENTATION: u32 = 0x0028_0103;
pub(super) const WINDOW_CENTER: u32 = 0x0028_1050;
pub(super) const WINDOW_WIDTH: u32 = 0x0028_1051;
pub(super) const RESCALE_INTERCEPT: u32 = 0x0028_1052;
pub(super) const RESCALE_SLOPE: u32 = 0x0028_1053;
pub(super) const RED_DESCRIPTOR: u32 = 0x0028_1101;
pub(super) const RED_DATA: u32 = 0x0028_1201;
pub(super) const GREEN_DATA: u32 = 0x0028_1202;
pub(super) const BLUE_DATA: u32 = 0x0028_1203;
pub(super) const PIXEL_MEASURES: u32 = 0x0028_9110;
pub(super) const SLIDE_Z: u32 = 0x0040_074A;
pub(super) const IMAGED_VOLUME_WIDTH: u32 = 0x0048_0001;
pub(super) const TOTAL_COLUMNS: u32 = 0x0048_0006;
pub(super) const TOTAL_ROWS: u32 = 0x0048_0007;
pub(super) const MATRIX_ORIGIN: u32 = 0x0048_0008;
pub(super) const OPTICAL_PATHS: u32 = 0x0048_0105;
pub(super) const OPTICAL_PATH_IDENTIFIER: u32 = 0x0048_0106;
pub(super) const OPTICAL_PATH_DESCRIPTION: u32 = 0x0048_0107;
pub(super) const ILLUMINATION_COLOR: u32 = 0x0048_0108;
pub(super) const OBJECTIVE_POWER: u32 = 0x0048_0112;
pub(super) const OBJECTIVE_NA: u32 = 0x0048_0113;
pub(super) const OPTICAL_PATH_IDENTIFICATION: u32 = 0x0048_0207;
pub(super) const PLANE_POSITION_SLIDE: u32 = 0x0048_021A;
pub(super) const SLIDE_COLUMN: u32 = 0x0048_021E;
pub(super) const SLIDE_ROW: u32 = 0x0048_021F;
pub(super) const FOCAL_PLANES: u32 = 0x0048_0303;
pub(super) const ENERGY_WINDOW_VECTOR: u32 = 0x0054_0010;
pub(super) const DETECTOR_VECTOR: u32 = 0x0054_0020;
pub(super) const PHASE_VECTOR: u32 = 0x0054_0030;
pub(super) const ROTATION_VECTOR: u32 = 0x0054_0050;
pub(super) const RR_INTERVAL_VECTOR: u32 = 0x0054_0060;
pub(super) const TIME_SLOT_VECTOR: u32 = 0x0054_0070;
pub(super) const SLICE_VECTOR: u32 = 0x0054_0080;
pub(super) const ANGULAR_VIEW_VECTOR: u32 = 0x0054_0090;
pub(super) const TIME_SLICE_VECTOR: u32 = 0x0054_0100;
pub(super) const SEGMENTS: u32 = 0x0062_0002;
pub(super) const SEGMENT_NUMBER: u32 = 0x0062_0004;
pub(super) const SEGMENT_LABEL: u32 = 0x0062_0005;
pub(super) const SEGMENT_IDENTIFICATION: u32 = 0x0062_000A;
pub(super) const REFERENCED_SEGMENT: u32 = 0x0062_000B;
pub(super) const GRID_FRAME_OFFSETS: u32 = 0x3004_000C;
pub(super) const SHARED_GROUPS: u32 = 0x5200_9229;
pub(super) const FRAME_GROUPS: u32 = 0x5200_9230;
pub(super) const EXTENDED_OFFSETS: u32 = 0x7FE0_0001;
pub(super) const EXTENDED_LENGTHS: u32 = 0x7FE0_0002;
pub(super) const FLOAT_PIXEL_DATA: u32 = 0x7FE0_0008;
pub(super) const DOUBLE_PIXEL_DATA: u32 = 0x7FE0_0009;
pub(super) const PIXEL_DATA: u32 = 0x7FE0_0010;

/// Values that are kept, in ascending order.
pub(super) const VALUES: &[u32] = &[
    TRANSFER_SYNTAX,
    SPECIFIC_CHARACTER_SET,
    IMAGE_TYPE,
    SOP_CLASS,
    SOP_INSTANCE,
    SERIES_DATE,
    ACQUISITION_DATE,
    CONTENT_DATE,
    ACQUISITION_DATE_TIME,
    SERIES_TIME,
    ACQUISITION_TIME,
    CONTENT_TIME,
    MODALITY,
    MANUFACTURER,
    INSTITUTION_NAME,
    CODE_MEANING,
    SERIES_DESCRIPTION,
    OPERATORS_NAME,
    MODEL_NAME,
    RECOMMENDED_FRAME_RATE,
    CINE_RATE,
    SLICE_THICKNESS,
    ECHO_NUMBER,
    SPACING_BETWEEN_SLICES,
    DEVICE_SERIAL_NUMBER,
    SOFTWARE_VERSIONS,
    FRAME_TIME,
    FRAME_TIME_VECTOR,
    IMAGER_PIXEL_SPACING,
    NOMINAL_SCANNED_PIXEL_SPACING,
    SERIES_UID,
    ACQUISITION_NUMBER,
    INSTANCE_NUMBER,
    IMAGE_POSITION,
    IMAGE_ORIENTATION,
    TEMPORAL_POSITION,
    DIMENSION_INDEX_VALUES,
    CONCATENATION_UID,
    DIMENSION_INDEX_POINTER,
    CONCATENATION_FRAME_OFFSET,
    DIMENSION_ORGANIZATION_TYPE,
    ILLUMINATION_WAVELENGTH,
    SAMPLES_PER_PIXEL,
    PHOTOMETRIC,
    PLANAR_CONFIGURATION,
    NUMBER_OF_FRAMES,
    FRAME_INCREMENT_POINTER,
    ROWS,
    COLUMNS,
    PIXEL_SPACING,
    BITS_ALLOCATED,
    BITS_STORED,
    HIGH_BIT,
    PIXEL_REPRESENTATION,
    WINDOW_CENTER,
    WINDOW_WIDTH,
    RESCALE_INTERCEPT,
    RESCALE_SLOPE,
    RED_DESCRIPTOR,
    RED_DATA,
    GREEN_DATA,
    BLUE_DATA,
    SLIDE_Z,
    IMAGED_VOLUME_WIDTH,
    TOTAL_COLUMNS,
    TOTAL_ROWS,
    OPTICAL_PATH_IDENTIFIER,
    OPTICAL_PATH_DESCRIPTION,
    OBJECTIVE_POWER,
    OBJECTIVE_NA,
    SLIDE_COLUMN,
    SLIDE_ROW,
    FOCAL_PLANES,
    ENERGY_WINDOW_VECTOR,
    DETECTOR_VECTOR,
    PHASE_VECTOR,
    ROTATION_VECTOR,
    RR_INTERVAL_VECTOR,
    TIME_SLOT_VECTOR,
    SLICE_VECTOR,
    ANGULAR_VIEW_VECTOR,
    TIME_SLICE_VECTOR,
    SEGMENT_NUMBER,
    SEGMENT_LABEL,
    REFERENCED_SEGMENT,
    GRID_FRAME_OFFSETS,
];

/// Sequences that are kept, in ascending order; frames' own groups are read one by one.
pub(super) const SEQUENCES: &[u32] = &[
    FRAME_CONTENT,
    PLANE_POSITION,
    PLANE_ORIENTATION,
    DIMENSION_INDEXES,
    ILLUMINATION_TYPE,
    PIXEL_MEASURES,
    MATRIX_ORIGIN,
    OPTICAL_PATHS,
    ILLUMINATION_COLOR,
    OPTICAL_PATH_IDENTIFICATION,
    PLANE_POSITION_SLIDE,
    SEGMENTS,
    SEGMENT_IDENTIFICATION,
    SHARED_GROUPS,
];

/// Numbers of four bytes; others have two.
pub(super) const LONG: &[u32] =
    &[TOTAL_COLUMNS, TOTAL_ROWS, DIMENSION_INDEX_VALUES, CONCATENATION_FRAME_OFFSET, FOCAL_PLANES];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_in_order() {
        assert!(VALUES.is_sorted() && SEQUENCES.is_sorted());
    }
}
