//! Every output of a privet process that is no forwarded event: files, pages, messages, and what it says on its streams.

use std::fs;
use std::io::Read as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use flate2::read::MultiGzDecoder;

/// An output and where it was.
pub struct Output {
    pub place: String,
    pub bytes: Vec<u8>,
}

impl Output {
    pub fn new(place: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        Self { place: place.into(), bytes: bytes.into() }
    }
}

/// Every file below a directory, and its name.
pub fn files(directory: &Path) -> Vec<Output> {
    let mut found = Vec::new();
    let mut open = vec![directory.to_owned()];
    while let Some(directory) = open.pop() {
        let Ok(entries) = fs::read_dir(&directory) else { continue };
        for path in entries.map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                open.push(path);
            } else {
                let place = path.display().to_string();
                found.push(Output::new(format!("the name of {place}"), place.clone()));
                found.push(Output::new(place, fs::read(&path).unwrap_or_default()));
            }
        }
    }
    found
}

/// The forms in which the beginning of every marker could stand in an output, in lower case.
pub struct Search(Vec<Vec<u8>>);

impl Search {
    pub fn new(marker: &str) -> Self {
        let hex: String = marker.bytes().map(|byte| format!("{byte:02x}")).collect();
        let percent: String = marker.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let utf16: Vec<u8> = marker.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let mut forms = vec![marker.as_bytes().to_vec(), hex.into_bytes(), percent.into_bytes(), utf16];
        for shift in 0..3 {
            let shifted: Vec<u8> = std::iter::repeat_n(b'x', shift).chain(marker.bytes()).collect();
            for encoded in [STANDARD_NO_PAD.encode(&shifted), URL_SAFE_NO_PAD.encode(&shifted)] {
                // Neighbours change the characters at both ends.
                let inner = encoded.get(shift + usize::from(shift > 0)..encoded.len() - 2).unwrap();
                forms.push(inner.to_lowercase().into_bytes());
            }
        }
        forms.sort();
        forms.dedup();
        Self(forms)
    }

    /// Whether a marker is in an output, also where it is compressed.
    pub fn finds(&self, output: &Output) -> bool {
        if self.is_in(&output.bytes) {
            return true;
        }
        let mut plain = Vec::new();
        let unpacked = output.bytes.starts_with(&[0x1f, 0x8b]);
        unpacked && MultiGzDecoder::new(output.bytes.as_slice()).read_to_end(&mut plain).is_ok() && self.is_in(&plain)
    }

    fn is_in(&self, bytes: &[u8]) -> bool {
        let lower = bytes.to_ascii_lowercase();
        self.0.iter().any(|form| lower.windows(form.len()).any(|window| window == form.as_slice()))
    }
}

#[test]
fn a_marker_is_found_in_every_form() {
    let search = Search::new("zqtaint");
    for hidden in [
        "a zqtaintabc".to_owned(),
        "ZQTAINTABC".to_owned(),
        "%7A%71%74%61%69%6E%74".to_owned(),
        STANDARD_NO_PAD.encode("ab zqtaintabc"),
        STANDARD_NO_PAD.encode("abc zqtaintabc"),
        URL_SAFE_NO_PAD.encode("abcd zqtaintabc"),
    ] {
        assert!(search.finds(&Output::new("here", hidden.clone())), "{hidden}");
    }
    assert!(!search.finds(&Output::new("here", "zq taint")));
}
