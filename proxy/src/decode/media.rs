//! What a request's `Content-Type` says: a hint, never trusted for safety.
//!
//! Clients lie about the type (JSON as `text/plain` avoids a CORS preflight), so
//! only two things follow from it alone: a charset that is not UTF-8 is refused,
//! and CloudEvents chooses its mode.

use http::{HeaderMap, HeaderValue, header};

use crate::formats::{Fault, Refusal};

/// A media type as it was sent, with the essence in lower case beside it.
pub(crate) struct Media<'a> {
    written: Option<&'a str>,
    essence: String,
}

impl<'a> Media<'a> {
    /// Reads the one `Content-Type` of a request.
    pub(crate) fn of(headers: &'a HeaderMap) -> Result<Self, Refusal> {
        let Some(value) = only_value(headers, &header::CONTENT_TYPE)? else {
            return Ok(Self { written: None, essence: String::new() });
        };
        let written = value.to_str().map_err(|_| Refusal::malformed(Fault::Header, 0))?.trim();
        Ok(Self::parse(written))
    }

    /// Takes a media type apart.
    pub(crate) fn parse(written: &'a str) -> Self {
        let essence = written.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        Self { written: Some(written).filter(|text| !text.is_empty()), essence }
    }

    /// The whole value as it was sent.
    pub(crate) fn written(&self) -> Option<&'a str> {
        self.written
    }

    /// Type and subtype in lower case; empty when there is no header.
    pub(crate) fn essence(&self) -> &str {
        &self.essence
    }

    /// Whether data of this type is a JSON text: subtype `json` or the suffix `+json`.
    pub(crate) fn is_json(&self) -> bool {
        let subtype = self.essence.split('/').nth(1).unwrap_or_default();
        subtype == "json" || subtype.ends_with("+json")
    }

    /// Whether the sender announces one document a line.
    pub(crate) fn is_lines(&self) -> bool {
        matches!(
            self.essence.as_str(),
            "application/x-ndjson"
                | "application/ndjson"
                | "application/jsonl"
                | "application/x-jsonlines"
                | "application/jsonlines"
        )
    }

    /// Refuses a charset that `body` is not, or may not be, in.
    ///
    /// `us-ascii` passes for a body of ASCII bytes alone, which is UTF-8 too.
    pub(crate) fn check_charset(&self, body: &[u8]) -> Result<(), Refusal> {
        for charset in self.charsets() {
            let utf8 = charset.eq_ignore_ascii_case("utf-8") || charset.eq_ignore_ascii_case("utf8");
            let ascii = charset.eq_ignore_ascii_case("us-ascii") && body.is_ascii();
            if !(utf8 || ascii) {
                return Err(Refusal::UnsupportedCharset);
            }
        }
        Ok(())
    }

    fn charsets(&self) -> impl Iterator<Item = &'a str> {
        self.written.unwrap_or_default().split(';').skip(1).filter_map(|parameter| {
            let (name, value) = parameter.split_once('=')?;
            name.trim().eq_ignore_ascii_case("charset").then(|| value.trim().trim_matches('"'))
        })
    }
}

/// The value of a header that may stand only once.
pub(crate) fn only_value<'a>(
    headers: &'a HeaderMap,
    name: &header::HeaderName,
) -> Result<Option<&'a HeaderValue>, Refusal> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    match values.next() {
        Some(_) => Err(Refusal::malformed(Fault::Header, 0)),
        None => Ok(first),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn charsets_other_than_utf_8_are_refused_wherever_they_stand() {
        let allowed = [
            "application/json",
            "text/plain; charset=UTF-8",
            "a/b; x=y; Charset=\"utf8\"",
            "text/plain; charset=us-ascii",
        ];
        for written in allowed {
            assert!(Media::parse(written).check_charset(b"{}").is_ok(), "{written}");
        }
        let refused = [
            "application/json; charset=utf-16",
            "a/b;charset=utf-8;charset=latin1",
            "a/b; CHARSET = 'utf-16le'",
            "a/b; charset=",
        ];
        for written in refused {
            assert_eq!(Media::parse(written).check_charset(b"{}"), Err(Refusal::UnsupportedCharset), "{written}");
        }
        assert!(Media::parse("text/plain; charset=us-ascii").check_charset("\u{e9}".as_bytes()).is_err());
    }

    #[test]
    fn two_content_types_are_refused() {
        let mut headers = HeaderMap::new();
        headers.append(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.append(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        assert_eq!(Media::of(&headers).err(), Some(Refusal::malformed(Fault::Header, 0)));
    }

    #[test]
    fn json_is_the_subtype_or_the_suffix() {
        for (written, json) in [
            ("application/json; charset=utf-8", true),
            ("Application/Vnd.Acme+JSON", true),
            ("text/json", true),
            ("text/plain", false),
            ("application/jsonl", false),
            ("application/json-seq", false),
        ] {
            assert_eq!(Media::parse(written).is_json(), json, "{written}");
        }
    }
}
