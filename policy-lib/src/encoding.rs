//! Encodings of a value: what has to be undone before it can be judged, and done
//! again before it leaves.
//!
//! Promise: a value is undone in one way or not at all, so what leaves says to the
//! collector what it said here. Nothing grows by being undone.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};

/// How a field is encoded: `base64url+json` is JSON, written as base64url.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Encoding {
    /// The outermost first.
    layers: Vec<Layer>,
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Layer {
    Base64,
    Base64Url,
    Percent,
}

impl Layer {
    const ALL: [Self; 3] = [Self::Base64, Self::Base64Url, Self::Percent];

    const fn name(self) -> &'static str {
        match self {
            Self::Base64 => "base64",
            Self::Base64Url => "base64url",
            Self::Percent => "percent",
        }
    }
}

/// The words an encoding is made of.
pub const WORDS: [&str; 4] = ["base64", "base64url", "percent", "json"];
const JSON: &str = "json";
/// More layers than anybody writes.
const LAYERS_MAX: usize = 4;

/// Why a text is no encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("want `json`, `base64`, `base64url` or `percent`, the outermost first and with `+` between, `json` last")]
pub struct NotAnEncoding;

impl FromStr for Encoding {
    type Err = NotAnEncoding;

    fn from_str(written: &str) -> Result<Self, NotAnEncoding> {
        let (rest, json) = match written.strip_suffix(JSON) {
            Some("") => return Ok(Self { layers: Vec::new(), json: true }),
            Some(rest) => (rest.strip_suffix('+').ok_or(NotAnEncoding)?, true),
            None => (written, false),
        };
        let layer = |word: &str| Layer::ALL.into_iter().find(|layer| layer.name() == word).ok_or(NotAnEncoding);
        let layers = rest.split('+').map(layer).collect::<Result<Vec<_>, _>>()?;
        if layers.len() > LAYERS_MAX { Err(NotAnEncoding) } else { Ok(Self { layers, json }) }
    }
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = self.layers.iter().map(|layer| layer.name()).chain(self.json.then_some(JSON));
        f.write_str(&words.collect::<Vec<_>>().join("+"))
    }
}

/// A value with its encoding undone.
#[derive(Debug)]
pub struct Undone {
    /// What was encoded.
    pub bytes: Vec<u8>,
    /// For each layer, whether base64 was padded.
    padded: Vec<bool>,
}

/// What RFC 3986 never percent-encodes.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

impl Encoding {
    /// Whether it is JSON that is encoded, so that fields may stand in it.
    #[must_use]
    pub const fn holds_json(&self) -> bool {
        self.json
    }

    /// Undoes it; `None` where a text is not encoded this way, down to the last bit.
    #[must_use]
    pub fn undo(&self, text: &str) -> Option<Undone> {
        let mut undone = Undone { bytes: text.as_bytes().to_vec(), padded: Vec::new() };
        for layer in &self.layers {
            let text = std::str::from_utf8(&undone.bytes).ok()?;
            let padded = text.ends_with('=');
            let bytes = match (layer, padded) {
                (Layer::Base64, true) => STANDARD.decode(text).ok()?,
                (Layer::Base64, false) => STANDARD_NO_PAD.decode(text).ok()?,
                (Layer::Base64Url, true) => URL_SAFE.decode(text).ok()?,
                (Layer::Base64Url, false) => URL_SAFE_NO_PAD.decode(text).ok()?,
                (Layer::Percent, _) => undo_percent(text)?,
            };
            undone.bytes = bytes;
            undone.padded.push(padded);
        }
        Some(undone)
    }

    /// As if a value had been undone that needed no padding.
    pub(crate) fn like_nothing(&self) -> Undone {
        Undone { bytes: Vec::new(), padded: vec![false; self.layers.len()] }
    }

    /// Encodes bytes the way a value was encoded that was undone.
    ///
    /// Base64 whose length needed no padding there is padded here if it is the
    /// alphabet's custom: `base64` is, `base64url` is not.
    #[must_use]
    pub fn redo(&self, bytes: &[u8], like: &Undone) -> String {
        let mut text = bytes.to_vec();
        for (layer, padded) in self.layers.iter().zip(&like.padded).rev() {
            let custom = *layer == Layer::Base64 && like.bytes.len().is_multiple_of(3);
            text = match (layer, *padded || custom) {
                (Layer::Base64, true) => STANDARD.encode(&text),
                (Layer::Base64, false) => STANDARD_NO_PAD.encode(&text),
                (Layer::Base64Url, true) => URL_SAFE.encode(&text),
                (Layer::Base64Url, false) => URL_SAFE_NO_PAD.encode(&text),
                (Layer::Percent, _) => percent_encode(&text, RESERVED).to_string(),
            }
            .into_bytes();
        }
        String::from_utf8(text).unwrap_or_default()
    }
}

/// A `%` without two hexadecimal digits after it is read by some as itself, by others as a mistake.
fn undo_percent(text: &str) -> Option<Vec<u8>> {
    let hex = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_hexdigit);
    let bytes = text.as_bytes();
    let mut signs = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'%');
    let whole = signs.all(|(at, _)| hex(bytes.get(at + 1)) && hex(bytes.get(at + 2)));
    whole.then(|| percent_decode_str(text).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encoding(written: &str) -> Encoding {
        written.parse().unwrap()
    }

    #[test]
    fn an_encoding_reads_back_as_it_was_written() {
        for written in ["json", "base64", "base64url+json", "percent+base64+json", "percent"] {
            assert_eq!(encoding(written).to_string(), written);
        }
        for written in ["", "+json", "json+base64", "base64+", "gzip", "base64json", "BASE64", &"percent+".repeat(5)] {
            assert_eq!(written.parse::<Encoding>(), Err(NotAnEncoding), "{written}");
        }
    }

    #[test]
    fn a_text_is_undone_in_one_way_or_not_at_all() {
        let undone = |written: &str, text: &str| {
            encoding(written).undo(text).map(|undone| String::from_utf8_lossy(&undone.bytes).into_owned())
        };
        assert_eq!(undone("base64", "bWFybGE=").as_deref(), Some("marla"));
        assert_eq!(undone("base64url", "bWFybGE").as_deref(), Some("marla"));
        assert_eq!(undone("percent", "a%20b+c").as_deref(), Some("a b+c"));
        assert_eq!(undone("percent+base64", "bWFybGE%3D").as_deref(), Some("marla"));
        for (written, text) in [
            ("base64", "bWFybGF"),
            ("base64", "bWFy bGE="),
            ("base64", "bWFy\nbGE="),
            ("base64", "-_-_"),
            ("base64url", "+/+/"),
            ("base64", "bWFybGE=="),
            ("base64", "a"),
            ("percent", "%"),
            ("percent", "%2"),
            ("percent", "%zz"),
        ] {
            assert_eq!(undone(written, text), None, "{written} {text}");
        }
    }

    proptest! {
        #[test]
        fn what_was_undone_is_redone(value in any::<Vec<u8>>(), padded in any::<bool>()) {
            let engines: [(&str, String); 3] = [
                ("base64", STANDARD.encode(&value)),
                ("base64url", if padded { URL_SAFE.encode(&value) } else { URL_SAFE_NO_PAD.encode(&value) }),
                ("percent", percent_encode(&value, RESERVED).to_string()),
            ];
            for (written, text) in engines {
                let undone = encoding(written).undo(&text).unwrap();
                prop_assert_eq!(&undone.bytes, &value);
                prop_assert_eq!(encoding(written).redo(&value, &undone), text);
            }
        }

        #[test]
        fn anything_may_come(text in any::<String>()) {
            for written in ["json", "base64", "base64url+json", "percent+base64", "percent+percent"] {
                if let Some(undone) = encoding(written).undo(&text) {
                    prop_assert!(undone.bytes.len() <= text.len());
                }
            }
        }
    }
}
