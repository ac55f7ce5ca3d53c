//! Iglu URIs, by which self-describing JSON names its schema:
//! `iglu:vendor/name/format/MODEL-REVISION-ADDITION`.
//!
//! Promise: two URIs of one model compare as equal, wherever an author writes one:
//! in `match`, and in a selector such as `[schema=iglu:com.acme/user/jsonschema/1]`.
//! Revisions and additions of a schema keep to what a contract says of it (SchemaVer:
//! only a new model breaks), so an author writes a contract once a model.

/// How an Iglu URI begins.
const SCHEME: &str = "iglu:";

/// The part of an Iglu URI by which it is compared, `iglu:vendor/name/format/MODEL`;
/// `None` for what is no such URI. Takes URIs with and without revision and addition.
///
/// ```
/// use privet_policy::iglu::up_to_model;
///
/// let whole = "iglu:com.acme/purchase/jsonschema/1-0-2";
/// assert_eq!(up_to_model(whole), Some("iglu:com.acme/purchase/jsonschema/1"));
/// assert_eq!(up_to_model("iglu:com.acme/purchase/jsonschema"), None);
/// ```
#[must_use]
pub fn up_to_model(uri: &str) -> Option<&str> {
    let mut parts = uri.strip_prefix(SCHEME)?.split('/');
    let named = parts.by_ref().take(3).filter(|part| is_name(part)).count() == 3;
    let version = parts.next().filter(|_| named && parts.next().is_none())?;
    let mut numbers = version.split('-');
    let model = numbers.next().filter(|model| is_number(model))?;
    let rest = match (numbers.next(), numbers.next(), numbers.next()) {
        (None, ..) => 0,
        (Some(revision), Some(addition), None) if is_number(revision) && is_number(addition) => {
            version.len() - model.len()
        }
        _ => return None,
    };
    uri.get(..uri.len() - rest)
}

fn is_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    !text.is_empty() && text.bytes().all(plain)
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether a text sets out to be an Iglu URI.
#[must_use]
pub fn is_meant(text: &str) -> bool {
    text.starts_with(SCHEME)
}

/// What a text is compared by: an Iglu URI up to its model, everything else whole.
#[must_use]
pub fn comparable(text: &str) -> &str {
    up_to_model(text).unwrap_or(text)
}

/// A whole URI of a model, for examples; everything else as it is.
#[must_use]
pub fn whole(text: &str) -> String {
    match up_to_model(text) {
        Some(model) if model == text => format!("{text}-0-0"),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uri_is_compared_up_to_its_model() {
        for (uri, model) in [
            ("iglu:com.acme/user/jsonschema/1-0-0", "iglu:com.acme/user/jsonschema/1"),
            ("iglu:com.acme/user/jsonschema/12-3-45", "iglu:com.acme/user/jsonschema/12"),
            ("iglu:com.acme/user/jsonschema/1", "iglu:com.acme/user/jsonschema/1"),
        ] {
            assert_eq!(up_to_model(uri), Some(model));
            assert_eq!(comparable(uri), model);
            assert_eq!(comparable(&whole(uri)), model);
        }
    }

    #[test]
    fn what_is_no_uri_is_compared_whole() {
        for text in [
            "",
            "iglu:",
            "iglu:com.acme/user/jsonschema",
            "iglu:com.acme/user/jsonschema/",
            "iglu:com.acme/user/jsonschema/x",
            "iglu:com.acme/user/jsonschema/1-0",
            "iglu:com.acme/user/jsonschema/1-0-",
            "iglu:com.acme/user/jsonschema/1-0-0-0",
            "iglu:com.acme/user/jsonschema/1-0-0/more",
            "iglu://user/jsonschema/1-0-0",
            "iglu:com.acme/a user/jsonschema/1-0-0",
            "Iglu:com.acme/user/jsonschema/1-0-0",
            "purchase",
        ] {
            assert_eq!(up_to_model(text), None, "{text}");
            assert_eq!((comparable(text), whole(text).as_str()), (text, text));
        }
    }
}
