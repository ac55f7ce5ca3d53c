//! The rest of the request: headers, cookies, query and path are fields too.

use std::borrow::Cow;

use http::header::{COOKIE, HeaderName, HeaderValue};
use http::{HeaderMap, header};
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use privet_policy::consent::RequestFacts;
use privet_policy::format::Format;
use privet_policy::policy::Destination;
use privet_policy::shared::Outside;

use super::Hands;
use crate::decode::{Layout, query};
use crate::formats::snowplow;
use crate::request::RawRequest;

/// Headers that HTTP itself needs and that are written anew.
const FRAMING: [HeaderName; 9] = [
    header::HOST,
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::CONTENT_TYPE,
    header::CONTENT_ENCODING,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::TE,
    header::COOKIE,
];

/// A request as the policy sees it.
pub struct RequestView<'a>(pub &'a RawRequest);

impl RequestFacts for RequestView<'_> {
    fn header(&self, lower_case_name: &str) -> Vec<&str> {
        self.0.headers.get_all(lower_case_name).iter().filter_map(|value| value.to_str().ok()).collect()
    }

    fn has_header(&self, lower_case_name: &str) -> bool {
        self.0.headers.contains_key(lower_case_name)
    }

    fn query(&self, name: &str) -> Vec<Cow<'_, str>> {
        parameters(&self.0.target).filter(|(known, _)| known == name).map(|(_, value)| value).collect()
    }

    /// Also out of a header that is no text as a whole: a signal must not be lost for what stands beside it.
    fn cookie(&self, name: &str) -> Vec<Cow<'_, str>> {
        let pairs =
            self.0.headers.get_all(COOKIE).iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b';'));
        pairs.filter_map(|pair| value_of(pair, name)).map(String::from_utf8_lossy).collect()
    }
}

/// The value of `name=value`, if the name is this one.
fn value_of<'a>(pair: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let rest = pair.trim_ascii_start().strip_prefix(name.as_bytes())?;
    rest.trim_ascii_start().strip_prefix(b"=").map(<[u8]>::trim_ascii)
}

/// The query's parameters, decoded.
pub(super) fn parameters(target: &str) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    let query = target.split_once('?').map_or("", |(_, query)| query);
    let decoded = |text: &'_ str| percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned();
    query.split('&').filter(|pair| !pair.is_empty()).map(move |pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (Cow::Owned(decoded(name)), Cow::Owned(decoded(value)))
    })
}

fn cookies(headers: &HeaderMap) -> impl Iterator<Item = (&str, &str)> {
    let all = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    all.flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (name.trim(), value.trim()))
}

/// The headers that may leave.
pub(super) fn headers(raw: &RawRequest, outside: &Outside, hands: &mut Hands<'_>) -> HeaderMap {
    let mut leaving = HeaderMap::new();
    for (name, value) in raw.headers.iter().filter(|(name, _)| !FRAMING.contains(name)) {
        let declared = outside.headers.iter().find(|(declared, _)| declared == name.as_str());
        let text = value.to_str().ok();
        let made = declared.zip(text).and_then(|((_, field), text)| hands.text(*field, text));
        if let Some(value) = made.and_then(|made| HeaderValue::try_from(made).ok()) {
            leaving.append(name.clone(), value);
        }
    }
    if let Some(value) = cookie_header(raw, outside, hands) {
        leaving.insert(COOKIE, value);
    }
    leaving
}

fn cookie_header(raw: &RawRequest, outside: &Outside, hands: &mut Hands<'_>) -> Option<HeaderValue> {
    let mut written = String::new();
    for (name, field) in &outside.cookies {
        for (_, value) in cookies(&raw.headers).filter(|(known, _)| known == name) {
            // What would end the cookie, or begin another, is not sent (RFC 6265, section 4.1.1).
            let octet = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b',' | b';' | b'\\') || byte == b' ';
            if let Some(made) = hands.text(*field, value).filter(|made| made.bytes().all(octet)) {
                written.push_str(if written.is_empty() { "" } else { "; " });
                written.push_str(&format!("{name}={made}"));
            }
        }
    }
    if written.is_empty() { None } else { HeaderValue::try_from(written).ok() }
}

/// Path and query below the destination's address.
///
/// The paths of most formats name the call and nothing else, so they pass. The path of an
/// open format may name anything: it passes where the destination lists it, and
/// else only the segments leave that a contract declares.
pub(super) fn target(
    raw: &RawRequest,
    (format, layout): (Format, Layout),
    destination: &Destination,
    outside: &Outside,
    hands: &mut Hands<'_>,
) -> String {
    let path = raw.target.split(['?', '#']).next().unwrap_or_default();
    let mut target = match format {
        Format::Segment | Format::RudderStack | Format::Ga4 | Format::Otlp => path.to_owned(),
        _ if destination.paths.iter().any(|known| known == path) => path.to_owned(),
        _ => match (format, declared_segments(path, outside, hands)) {
            (Format::Snowplow, declared) if declared == "/" => snowplow::usual_path(path, layout).to_owned(),
            (_, declared) => declared,
        },
    };
    let mut separator = '?';
    // Where the query is the event, it leaves as that.
    let beside: &[_] = if layout == Layout::Query { &[] } else { &outside.query };
    for (name, field) in beside {
        for (_, value) in parameters(&raw.target).filter(|(known, _)| known == name) {
            if let Some(made) = hands.text(*field, &value) {
                let encoded = |text: &str| utf8_percent_encode(text, query::ENCODED).to_string();
                target.push_str(&format!("{separator}{}={}", encoded(name), encoded(&made)));
                separator = '&';
            }
        }
    }
    target
}

fn declared_segments(path: &str, outside: &Outside, hands: &mut Hands<'_>) -> String {
    let mut leaving = String::new();
    for (place, segment) in path.trim_start_matches('/').split('/').enumerate() {
        let field = outside.segments.iter().find(|(known, _)| *known == place).map(|(_, field)| *field);
        let decoded = percent_decode_str(segment).decode_utf8().ok();
        if let Some(made) = field.zip(decoded).and_then(|(field, text)| hands.text(field, &text)) {
            leaving.push('/');
            leaving.push_str(&utf8_percent_encode(&made, NON_ALPHANUMERIC).to_string());
        }
    }
    if leaving.is_empty() { "/".to_owned() } else { leaving }
}
