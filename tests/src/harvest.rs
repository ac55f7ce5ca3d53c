//! What in a request is personal, and every form in which it could leave.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use serde_json::Value;

/// Shorter texts cannot be told from chance.
const CHARS_MIN: usize = 5;

/// Member names under which an identifier of a person stands, in lower case without `_`.
const ID_NAMES: [&str; 9] =
    ["userid", "anonymousid", "previousid", "subject", "partitionkey", "customerid", "email", "phone", "recipient"];

/// Collects every raw email address, IP address, phone number and user id of a payload.
pub fn personal(value: &Value, name: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => members.iter().for_each(|(name, value)| personal(value, name, found)),
        Value::Array(elements) => elements.iter().for_each(|element| personal(element, name, found)),
        Value::String(text) => {
            let plain = name.to_ascii_lowercase().replace(['_', '-'], "");
            if ID_NAMES.contains(&plain.as_str()) {
                keep(text, found);
            }
            text.split(|c: char| c.is_whitespace() || "<>,;\"'()?&=".contains(c)).for_each(|word| {
                let word = word.trim_matches(|c: char| !c.is_alphanumeric() && c != ':');
                if is_email(word) || is_address(word) {
                    keep(word, found);
                }
            });
        }
        _ => {}
    }
}

/// A documentation's `"userId": "userId"` is a member's name, not a person's.
fn keep(text: &str, found: &mut BTreeSet<String>) {
    let placeholder = ID_NAMES.contains(&text.to_ascii_lowercase().as_str());
    if text.chars().count() >= CHARS_MIN && !placeholder {
        found.insert(text.to_owned());
    }
}

fn is_email(word: &str) -> bool {
    let word = word.replace("%40", "@");
    word.split_once('@')
        .is_some_and(|(local, host)| !local.is_empty() && host.contains('.') && !host.contains(['/', '@']))
}

fn is_address(word: &str) -> bool {
    let parts = word.split('.').count();
    word.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_ipv6() || parts == 4) && !word.ends_with(".0")
}

/// The forms in which a text could stand in an output.
#[must_use]
pub fn forms(text: &str) -> Vec<Vec<u8>> {
    let mut forms = vec![text.as_bytes().to_vec(), text.to_lowercase().into_bytes(), text.to_uppercase().into_bytes()];
    let percent: String = text
        .bytes()
        .map(|byte| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect();
    forms.extend([percent.to_lowercase().into_bytes(), percent.into_bytes()]);
    forms.push(Value::from(text).to_string().trim_matches('"').as_bytes().to_vec());
    // Base64 at each of the three places a text can begin at, without the characters that neighbours change.
    for shift in 0..3 {
        let shifted: Vec<u8> = std::iter::repeat_n(b'x', shift).chain(text.bytes()).collect();
        for encoded in [STANDARD_NO_PAD.encode(&shifted), URL_SAFE_NO_PAD.encode(&shifted)] {
            let inner = encoded
                .get(shift.div_ceil(1) + usize::from(shift > 0)..encoded.len().saturating_sub(2))
                .unwrap_or_default();
            if inner.len() >= 6 {
                forms.push(inner.as_bytes().to_vec());
            }
        }
    }
    forms.sort();
    forms.dedup();
    forms
}

/// Whether a text occurs in an output in any form.
#[must_use]
pub fn occurs(text: &str, output: &[u8]) -> bool {
    forms(text).iter().any(|form| output.windows(form.len()).any(|window| window == form.as_slice()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_hidden_in_another_form_is_found() {
        let secret = "marla.quillfeather@example.com";
        for output in [
            "x marla.quillfeather@example.com y".to_owned(),
            "q=marla%2Equillfeather%40example%2Ecom".to_owned(),
            STANDARD_NO_PAD.encode("a marla.quillfeather@example.com"),
            URL_SAFE_NO_PAD.encode("ab marla.quillfeather@example.com!"),
            "MARLA.QUILLFEATHER@EXAMPLE.COM".to_owned(),
        ] {
            assert!(occurs(secret, output.as_bytes()), "{output}");
        }
        assert!(!occurs(secret, b"marla"));
    }

    #[test]
    fn ids_addresses_and_emails_are_harvested() {
        let payload: Value = serde_json::from_str(
            r#"{"userId":"019mr8mf4r","context":{"ip":"198.51.100.8"},"properties":{"note":"write to a.b@example.org, v1.2.3","price":3}}"#,
        )
        .unwrap();
        let mut found = BTreeSet::new();
        personal(&payload, "", &mut found);
        assert_eq!(found.into_iter().collect::<Vec<_>>(), ["019mr8mf4r", "198.51.100.8", "a.b@example.org"]);
    }
}
