//! Character sets of texts (PS3.3 C.12.1.1.2); those with escapes are read as what they begin with.

use encoding_rs::{
    BIG5, EUC_KR, Encoding, GB18030, ISO_8859_2, ISO_8859_3, ISO_8859_4, ISO_8859_5, ISO_8859_6, ISO_8859_7,
    ISO_8859_8, SHIFT_JIS, UTF_8, WINDOWS_874, WINDOWS_1252, WINDOWS_1254,
};

/// How a text is written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Charset(&'static Encoding);

impl Default for Charset {
    /// What is not ASCII although it should be mostly is UTF-8, and shows as nothing else.
    fn default() -> Self {
        Charset(UTF_8)
    }
}

impl Charset {
    /// By the value of SpecificCharacterSet.
    pub fn named(value: &[u8]) -> Self {
        let text = String::from_utf8_lossy(value).to_uppercase().replace("ISO 2022 IR", "ISO_IR");
        let mut names = text.split('\\').map(|n| n.trim_matches([' ', '\0']));
        let encoding = match names.find(|n| !n.is_empty()).unwrap_or_default() {
            "ISO_IR 100" => WINDOWS_1252,
            "ISO_IR 101" => ISO_8859_2,
            "ISO_IR 109" => ISO_8859_3,
            "ISO_IR 110" => ISO_8859_4,
            "ISO_IR 144" => ISO_8859_5,
            "ISO_IR 127" => ISO_8859_6,
            "ISO_IR 126" => ISO_8859_7,
            "ISO_IR 138" => ISO_8859_8,
            "ISO_IR 148" => WINDOWS_1254,
            "ISO_IR 166" => WINDOWS_874,
            "ISO_IR 13" => SHIFT_JIS,
            "ISO_IR 149" => EUC_KR,
            "ISO_IR 58" | "GBK" | "GB18030" => GB18030,
            "BIG5" => BIG5,
            _ => UTF_8,
        };
        Charset(encoding)
    }

    /// As text; what is none shows as question marks.
    pub fn decode(self, bytes: &[u8]) -> String {
        self.0.decode_without_bom_handling(bytes).0.into_owned()
    }
}

/// A date (DA) and a time (TM), or both (DT), in ISO 8601; as far as they are given.
pub(super) fn iso(date: &str, time: Option<&str>) -> Option<String> {
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let date = date.trim().replace(['.', '-'], "");
    let have = digits(&date);
    let (Some(day), true) = (date.get(..8), have >= 8) else { return None };
    let rest = date.get(8..have).filter(|t| !t.is_empty());
    let (year, month, day) = (&day[..4], &day[4..6], &day[6..]);
    let valid = ("01"..="12").contains(&month) && ("01"..="31").contains(&day) && year != "0000";
    let time = rest.map(str::to_owned).or_else(|| time.map(|t| t.trim().replace(':', "")));
    let part = |at: usize, most: &str| {
        let time = time.as_deref().unwrap_or_default();
        let two = time.get(at..at + 2).filter(|p| p.bytes().all(|b| b.is_ascii_digit()) && *p <= most);
        two.unwrap_or("00").to_owned()
    };
    valid.then(|| format!("{year}-{month}-{day}T{}:{}:{}", part(0, "23"), part(2, "59"), part(4, "59")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_in_their_character_sets() {
        assert_eq!(Charset::named(b"ISO_IR 100").decode(b"M\xfcller"), "Müller");
        assert_eq!(Charset::named(b"ISO_IR 192").decode("Müller".as_bytes()), "Müller");
        assert_eq!(Charset::named(b"\\ISO 2022 IR 149").decode(b"\xb1\xe8"), "김");
        assert_eq!(Charset::default().decode(b"plain"), "plain");
    }

    #[test]
    fn dates_become_iso() {
        assert_eq!(iso("20240131", Some("235958.25")).as_deref(), Some("2024-01-31T23:59:58"));
        assert_eq!(iso("20240131101112.5+0100", None).as_deref(), Some("2024-01-31T10:11:12"));
        assert_eq!(iso("2024.01.31", Some("10")).as_deref(), Some("2024-01-31T10:00:00"));
        for bad in ["", "2024", "20241301", "yesterday"] {
            assert_eq!(iso(bad, None), None, "{bad}");
        }
    }
}
