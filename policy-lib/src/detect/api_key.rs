//! API keys: those whose makers gave them a prefix, and long random values that
//! a name says are keys.

use super::context::Words;
use super::runs::{Run, is_glued_before, runs};
use super::sight::Sight;
use super::{Detector, Found, context};

pub(super) const fn possible(sight: &Sight) -> bool {
    sight.digits > 0
}

pub(super) fn find(text: &str, _sight: &Sight, found: &mut Vec<Found>) {
    for run in runs(text, is_key_byte).filter(|run| run.text.len() >= CHARS_MIN) {
        let key = prefixed(run.text).map(|place| (place, 100)).or_else(|| named(text, run).map(|place| (place, 60)));
        if let Some(((from, to), score)) = key {
            let (start, end) = (run.start + from, run.start + to);
            found.push(Found { detector: Detector::ApiKey, start, end, score });
        }
    }
}

/// The shortest key, in characters.
const CHARS_MIN: usize = 20;

const fn is_key_byte(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b':')
}

/// What follows a prefix.
struct Maker {
    prefix: &'static str,
    chars: fn(&u8) -> bool,
    length: std::ops::RangeInclusive<usize>,
}

impl Maker {
    const fn new(prefix: &'static str, chars: fn(&u8) -> bool, min: usize, max: usize) -> Self {
        Self { prefix, chars, length: min..=max }
    }
}

/// The longest key of which the makers give no length, in characters.
const OPEN: usize = 512;

const fn word(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
}

const fn dotted(byte: &u8) -> bool {
    word(byte) || *byte == b'.'
}

const fn base32(byte: &u8) -> bool {
    matches!(byte, b'A'..=b'Z' | b'2'..=b'7')
}

/// Prefixes as their makers document them, for keys, tokens and secrets; not for ids that may be public.
static MAKERS: [Maker; 52] = [
    // Amazon Web Services: long-lived and session keys.
    Maker::new("AKIA", base32, 16, 16),
    Maker::new("ASIA", base32, 16, 16),
    Maker::new("ABIA", base32, 16, 16),
    Maker::new("ACCA", base32, 16, 16),
    // GitHub and GitLab.
    Maker::new("ghp_", u8::is_ascii_alphanumeric, 36, 255),
    Maker::new("gho_", u8::is_ascii_alphanumeric, 36, 255),
    Maker::new("ghu_", u8::is_ascii_alphanumeric, 36, 255),
    Maker::new("ghs_", u8::is_ascii_alphanumeric, 36, 255),
    Maker::new("ghr_", u8::is_ascii_alphanumeric, 36, 255),
    Maker::new("github_pat_", word, 22, 255),
    Maker::new("glpat-", dotted, 20, 255),
    Maker::new("gldt-", word, 20, 255),
    Maker::new("glrt-", dotted, 20, 255),
    // Slack.
    Maker::new("xoxa-", word, 10, OPEN),
    Maker::new("xoxb-", word, 10, OPEN),
    Maker::new("xoxe-", word, 10, OPEN),
    Maker::new("xoxe.xox", dotted, 10, OPEN),
    Maker::new("xoxo-", word, 10, OPEN),
    Maker::new("xoxp-", word, 10, OPEN),
    Maker::new("xoxr-", word, 10, OPEN),
    Maker::new("xoxs-", word, 10, OPEN),
    Maker::new("xapp-", word, 20, OPEN),
    // Stripe and Square.
    Maker::new("sk_live_", u8::is_ascii_alphanumeric, 16, OPEN),
    Maker::new("sk_test_", u8::is_ascii_alphanumeric, 16, OPEN),
    Maker::new("rk_live_", u8::is_ascii_alphanumeric, 16, OPEN),
    Maker::new("rk_test_", u8::is_ascii_alphanumeric, 16, OPEN),
    Maker::new("whsec_", u8::is_ascii_alphanumeric, 24, OPEN),
    Maker::new("sq0atp-", word, 22, 22),
    Maker::new("sq0csp-", word, 43, 43),
    // Google.
    Maker::new("AIza", word, 35, 35),
    Maker::new("ya29.", dotted, 20, OPEN),
    Maker::new("GOCSPX-", word, 28, 28),
    // Makers of models.
    Maker::new("sk-ant-", word, 20, OPEN),
    Maker::new("sk-proj-", word, 20, OPEN),
    Maker::new("sk-", u8::is_ascii_alphanumeric, 32, OPEN),
    Maker::new("hf_", u8::is_ascii_alphanumeric, 30, 64),
    // Mail.
    Maker::new("SG.", dotted, 66, 66),
    Maker::new("key-", u8::is_ascii_hexdigit, 32, 32),
    // Registries of packages.
    Maker::new("npm_", u8::is_ascii_alphanumeric, 36, 36),
    Maker::new("pypi-", word, 50, OPEN),
    // Shops, hosts and tools.
    Maker::new("shpat_", u8::is_ascii_hexdigit, 32, 32),
    Maker::new("shpca_", u8::is_ascii_hexdigit, 32, 32),
    Maker::new("shppa_", u8::is_ascii_hexdigit, 32, 32),
    Maker::new("shpss_", u8::is_ascii_hexdigit, 32, 32),
    Maker::new("dop_v1_", u8::is_ascii_hexdigit, 64, 64),
    Maker::new("doo_v1_", u8::is_ascii_hexdigit, 64, 64),
    Maker::new("dapi", u8::is_ascii_hexdigit, 32, 36),
    Maker::new("lin_api_", u8::is_ascii_alphanumeric, 40, 40),
    Maker::new("PMAK-", word, 59, 59),
    Maker::new("hvs.", word, 24, OPEN),
    Maker::new("glsa_", word, 32, 64),
    Maker::new("ntn_", u8::is_ascii_alphanumeric, 40, 64),
];

/// A key of a known maker: at the front of the run, or after a colon or a dot in it.
fn prefixed(run: &str) -> Option<(usize, usize)> {
    let starts = std::iter::once(0).chain(run.match_indices(':').map(|(at, _)| at + 1)).take(8);
    starts.into_iter().find_map(|from| {
        let candidate = run.get(from..)?;
        let length = MAKERS.iter().find_map(|maker| {
            let rest = candidate.strip_prefix(maker.prefix)?;
            let length = rest.bytes().take(OPEN + 1).take_while(|byte| (maker.chars)(byte)).count();
            let goes_on = rest.as_bytes().get(length).is_some_and(u8::is_ascii_alphanumeric);
            (maker.length.contains(&length) && !goes_on).then_some(maker.prefix.len() + length)
        })?;
        Some((from, from + length))
    })
}

/// A value that looks random, right behind a name that says it is secret.
fn named(text: &str, run: Run<'_>) -> Option<(usize, usize)> {
    let from = run.text.rfind(':').map_or(0, |at| at + 1);
    let value = run.text.get(from..)?.trim_end_matches(['.', '-', ':']);
    let at = run.start + from;
    if is_glued_before(text, at) || !is_random(value) {
        return None;
    }
    let near = text.get(..at)?.trim_end_matches([' ', '"', '\'', '=', ':']).len();
    let is_close = at - near <= 5 && at > near;
    let speaks = context::before(text, near, 24).take(3).any(|word| SECRET_WORDS.have(word));
    (is_close && speaks).then_some((from, from + value.len()))
}

/// Long, of letters and digits, and without a word's or a version's punctuation.
fn is_random(value: &str) -> bool {
    let digits = value.bytes().filter(u8::is_ascii_digit).count();
    let letters = value.bytes().filter(u8::is_ascii_alphabetic).count();
    (CHARS_MIN..=OPEN).contains(&value.len())
        && value.bytes().all(|byte| word(&byte))
        && letters >= 2
        && digits >= 3
        && !is_uuid(value)
}

fn is_uuid(value: &str) -> bool {
    value.split('-').map(str::len).eq([8, 4, 4, 4, 12])
}

static SECRET_WORDS: Words = Words::new(&[
    "*apikey",
    "*secret",
    "*token",
    "apikey*",
    "bearer",
    "credential*",
    "key",
    "passwd",
    "password*",
    "secret*",
    "token*",
]);
