//! URLs with a scheme, and hosts without one.
//!
//! A host without a scheme must end in a top-level domain and must not look like
//! a file's name or the end of a sentence; one with a scheme only needs a host.

use super::runs::is_glued_before;
use super::sight::Sight;
use super::{Detector, Found};

pub(super) const fn possible(sight: &Sight) -> bool {
    sight.dots >= 1 || sight.colons >= 1
}

pub(super) fn find(text: &str, _sight: &Sight, found: &mut Vec<Found>) {
    let mut from = 0;
    for at in memchr::memchr2_iter(b'.', b':', text.as_bytes()) {
        if at < from {
            continue;
        }
        let place = match text.as_bytes().get(at) {
            Some(b':') => with_scheme(text, at),
            _ => bare_host(text, at, from),
        };
        if let Some((start, end)) = place {
            let score = if text.as_bytes().get(at) == Some(&b':') { 95 } else { 80 };
            found.push(Found { detector: Detector::Url, start, end, score });
            from = end;
        }
    }
}

/// The longest scheme looked for, in bytes.
const SCHEME_BYTES_MAX: usize = 16;

/// `https://host...`, the colon at `at`.
fn with_scheme(text: &str, at: usize) -> Option<(usize, usize)> {
    let rest = text.get(at..)?.strip_prefix("://")?;
    let head = text.as_bytes().get(at.saturating_sub(SCHEME_BYTES_MAX)..at)?;
    let length =
        head.iter().rev().take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-')).count();
    let scheme = head.get(head.len() - length..)?;
    let skipped = scheme.iter().take_while(|byte| !byte.is_ascii_alphabetic()).count();
    let start = at - length + skipped;
    let host = authority(rest);
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    let is_host = host.starts_with('[') || host.starts_with("localhost") || has_labels(host);
    (length > skipped + 1 && is_host).then(|| (start, rest_end(text, at + 3)))
}

/// The longest user, host and port looked at, in bytes.
const AUTHORITY_BYTES_MAX: usize = 512;

/// What stands before the path.
fn authority(rest: &str) -> &str {
    let ends =
        |(at, char): &(usize, char)| *at > AUTHORITY_BYTES_MAX || matches!(char, '/' | '?' | '#') || ends_url(*char);
    let length = rest.char_indices().find(ends).map_or(rest.len(), |(at, _)| at);
    rest.get(..length).unwrap_or_default()
}

/// Two labels or more, the last of two characters or more or of digits.
fn has_labels(host: &str) -> bool {
    let name = host.split(':').next().unwrap_or_default();
    let (head, last) = name.rsplit_once('.').unwrap_or_default();
    !head.is_empty() && !last.is_empty() && (last.len() >= 2 || last.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Where a URL ends that goes on at `at`: before what no URL holds, and before a sentence's punctuation.
fn rest_end(text: &str, at: usize) -> usize {
    let rest = text.get(at..).unwrap_or_default();
    let length = rest.find(ends_url).unwrap_or(rest.len());
    let mut inside = rest.get(..length).unwrap_or_default();
    // A parenthesis that opens inside belongs to it.
    let (round, square) = (inside.contains('('), inside.contains('['));
    while let Some(shorter) = inside.strip_suffix(['.', ',', ';', ':', '!', '?', '\'', '*', ')', ']']) {
        if inside.ends_with(')') && round || inside.ends_with(']') && square {
            break;
        }
        inside = shorter;
    }
    at + inside.len()
}

/// What no URL holds.
fn ends_url(char: char) -> bool {
    char.is_whitespace() || char.is_control() || "\"<>`|^{}\\".contains(char) || is_quote(char)
}

const fn is_quote(char: char) -> bool {
    matches!(char, '\u{AB}' | '\u{BB}' | '\u{2018}'..='\u{201F}' | '\u{3000}'..='\u{3011}' | '\u{FF00}'..='\u{FFEF}')
}

/// The longest host, in bytes (RFC 1035, section 2.3.4).
const HOST_BYTES_MAX: usize = 253;

/// `google.co.il/x`, its first dot at `dot`; nothing before `floor` belongs to it.
fn bare_host(text: &str, dot: usize, floor: usize) -> Option<(usize, usize)> {
    let floor = floor.max(dot.saturating_sub(HOST_BYTES_MAX));
    let head = text.as_bytes().get(floor..dot)?;
    let start = dot - head.iter().rev().take_while(|byte| is_host_byte(byte)).count();
    let tail = text.as_bytes().get(dot..)?;
    let length = tail.iter().take(HOST_BYTES_MAX).take_while(|byte| is_host_byte(byte) || **byte == b'.').count();
    let host = text.get(start..dot + length)?.trim_end_matches(['.', '-']);
    let end = start + host.len();
    let glued = is_glued_before(text, start)
        || before_is(text, start, &['@', '.', '/', '\\', '$', '%', '+', '=', '&', '~', '*'])
            && !before_is(text, start, &['=', '/', '&']);
    let after = text.get(end..)?.chars().next().unwrap_or(' ');
    let goes_on = matches!(after, '/' | '?' | '#')
        || after == ':' && text.as_bytes().get(end + 1).is_some_and(u8::is_ascii_digit);
    if glued || after == '@' || after == '(' || after.is_alphanumeric() || after == '_' || !is_domain(host, goes_on) {
        return None;
    }
    Some((start, if goes_on { rest_end(text, end) } else { end }))
}

const fn is_host_byte(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || *byte == b'-'
}

fn before_is(text: &str, at: usize, chars: &[char]) -> bool {
    text.get(..at).is_some_and(|head| head.ends_with(chars))
}

/// Whether labels make a domain: all there, the last one a top-level domain.
fn is_domain(host: &str, goes_on: bool) -> bool {
    let labels = host.split('.').count();
    let whole = host.split('.').all(|label| !label.is_empty() && !label.starts_with('-') && label.len() <= 63);
    let Some((head, last)) = host.rsplit_once('.') else { return false };
    let one_case =
        !last.bytes().any(|byte| byte.is_ascii_uppercase()) || !host.bytes().any(|byte| byte.is_ascii_lowercase());
    let named = head.bytes().any(|byte| byte.is_ascii_alphabetic())
        && head.split('.').next_back().is_some_and(|label| label.len() >= 2);
    let telling = goes_on || host.get(..4).is_some_and(|www| www.eq_ignore_ascii_case("www.")) || labels > 2;
    let lower = last.to_ascii_lowercase();
    let known = match lower.len() {
        2 => is_country(lower.as_bytes()) && (telling || !AMBIGUOUS.contains(&lower.as_str())),
        _ => lower.starts_with("xn--") || GENERIC.binary_search(&lower.as_str()).is_ok(),
    };
    whole && one_case && named && known
}

/// Countries (ISO 3166-1 alpha-2, and `ac eu su uk`) that have a top-level domain.
fn is_country(pair: &[u8]) -> bool {
    const COUNTRIES: &[u8] = b"acadaeafagaialamaoaqarasatauawaxazbabbbdbebfbgbhbibjbmbnbobrbsbtbwbybzcacccdcfcgchcickclcmcncocrcu\
        cvcwcxcyczdedjdkdmdodzeceeegereseteufifjfkfmfofrgagdgegfggghgiglgmgngpgqgrgsgtgugwgyhkhmhnhrhthuidieiliminioiqirisitjejmjojp\
        kekgkhkikmknkpkrkwkykzlalblclilklrlsltlulvlymamcmdmemgmhmkmlmmmnmompmqmrmsmtmumvmwmxmymznancnenfngninlnonpnrnunzompapepfpgph\
        pkplpmpnprpsptpwpyqarerorsrurwsasbscsdsesgshsiskslsmsnsosrssstsusvsxsysztctdtftgthtjtktltmtntotrtttvtwtzuaugukusuyuzvavcvevg\
        vivnvuwfwsyeytzazmzw";
    COUNTRIES.chunks(2).any(|country| country == pair)
}

/// Words at the front of a sentence, and endings of files, that are countries, too.
const AMBIGUOUS: [&str; 26] = [
    "am", "as", "at", "be", "by", "cc", "do", "id", "in", "is", "it", "la", "md", "me", "ml", "mm", "my", "no", "ps",
    "py", "rs", "sh", "so", "to", "us", "vc",
];

/// Top-level domains that stand for no country, sorted: those that are used most.
const GENERIC: [&str; 75] = [
    "academy",
    "aero",
    "agency",
    "app",
    "art",
    "asia",
    "bank",
    "biz",
    "blog",
    "business",
    "care",
    "cat",
    "center",
    "chat",
    "city",
    "click",
    "cloud",
    "club",
    "co",
    "com",
    "community",
    "company",
    "coop",
    "dev",
    "digital",
    "edu",
    "email",
    "energy",
    "events",
    "example",
    "expert",
    "finance",
    "fun",
    "games",
    "global",
    "gov",
    "group",
    "guru",
    "health",
    "host",
    "info",
    "ink",
    "int",
    "international",
    "jobs",
    "legal",
    "life",
    "link",
    "live",
    "marketing",
    "media",
    "mil",
    "mobi",
    "museum",
    "name",
    "net",
    "network",
    "news",
    "online",
    "org",
    "page",
    "post",
    "pro",
    "services",
    "shop",
    "site",
    "solutions",
    "store",
    "tech",
    "technology",
    "today",
    "travel",
    "website",
    "world",
    "xyz",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generic_domains_are_sorted() {
        assert!(GENERIC.is_sorted());
    }
}
