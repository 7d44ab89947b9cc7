//! Channels: names and display colours.

/// A display colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rgb(pub u8, pub u8, pub u8);

impl Rgb {
    /// Six hexadecimal digits, as `omero.channels[].color` wants them.
    pub fn hex(self) -> String {
        format!("{:02X}{:02X}{:02X}", self.0, self.1, self.2)
    }
}

/// One channel of a series. RGB samples are channels of their own (`<name> R`, `<name> G`, `<name> B`).
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Channel {
    /// The name the source gives; `None` if it gives none.
    pub name: Option<String>,
    /// The colour the source gives.
    pub color: Option<Rgb>,
    /// Display range the source gives, if any (ImageJ `min`/`max`).
    pub window: Option<(f64, f64)>,
    /// Emission wavelength in nanometres.
    pub emission_nm: Option<f64>,
    /// Excitation wavelength in nanometres.
    pub excitation_nm: Option<f64>,
    /// Fluorophore.
    pub fluor: Option<String>,
}
