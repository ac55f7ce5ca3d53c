//! IP addresses, versions 4 and 6, with zone or prefix length.
//!
//! Reads through the lens, so `%3A%3A1` in a URL is an address. Does not take
//! version numbers, object identifiers, times or hardware addresses for one.

use std::net::Ipv6Addr;

use super::context::Words;
use super::sight::Sight;
use super::{Detector, Found, context, lens};

pub(super) const fn possible(sight: &Sight) -> bool {
    sight.dots >= 3 || sight.colons >= 2 || sight.percents >= 2
}

pub(super) fn find(text: &str, sight: &Sight, found: &mut Vec<Found>) {
    let mut push = |place: Option<(usize, usize)>| {
        found.extend(place.map(|(start, end)| Found { detector: Detector::IpAddress, start, end, score: 90 }));
    };
    let hidden = sight.percents >= 2;
    if sight.colons >= 2 || hidden {
        for_each_run(text, |char| char.is_ascii_hexdigit() || char == ':', |run| push(version_6(text, run)));
    }
    if sight.dots >= 3 || hidden {
        for_each_run(text, |char| char.is_ascii_digit(), |run| push(version_4(text, run)));
    }
}

/// A run of characters that may make an address, decoded, with the place of each.
struct Run {
    /// The character before it.
    prior: char,
    chars: [u8; Self::CHARS_MAX],
    /// Where each character begins; one more for the end.
    places: [usize; Self::CHARS_MAX + 1],
    len: usize,
    /// The character after it.
    next: char,
}

impl Run {
    /// An IPv6 address with an IPv4 tail has at most 45 characters.
    const CHARS_MAX: usize = 64;

    fn slice(&self, from: usize, to: usize) -> &[u8] {
        self.chars.get(from..to).unwrap_or_default()
    }

    fn place(&self, nth: usize) -> usize {
        self.places.get(nth).copied().unwrap_or_default()
    }
}

/// Calls `judge` with every maximal run of such characters, parted by single
/// dots or not; one too long for an address comes in pieces.
fn for_each_run(text: &str, belongs: impl Fn(char) -> bool, mut judge: impl FnMut(&Run)) {
    let mut run = Run { prior: '\0', chars: [0; Run::CHARS_MAX], places: [0; Run::CHARS_MAX + 1], len: 0, next: '\0' };
    let (mut at, mut prior) = (0, '\0');
    loop {
        let seen = lens::after(text, at);
        let is_inner_dot = run.len > 0 && prior != '.';
        let member = seen
            .filter(|seen| belongs(seen.char) || seen.char == '.' && is_inner_dot)
            .and_then(|seen| u8::try_from(seen.char).ok());
        if let Some(byte) = member
            && let (Some(char), Some(place)) = (run.chars.get_mut(run.len), run.places.get_mut(run.len))
        {
            if run.len == 0 {
                run.prior = prior;
            }
            *char = byte;
            *place = at;
            run.len += 1;
        } else if run.len > 0 {
            if let Some(place) = run.places.get_mut(run.len) {
                *place = at;
            }
            run.next = seen.map_or('\0', |seen| seen.char);
            judge(&run);
            run.len = 0;
            if member.is_some() {
                // The run goes on: look at this character again as the start of its next piece.
                prior = 'x';
                continue;
            }
        }
        let Some(seen) = seen else { return };
        prior = seen.char;
        at += seen.len;
    }
}

fn version_6(text: &str, run: &Run) -> Option<(usize, usize)> {
    let (from, to) = without_punctuation(run);
    let written = run.slice(from, to);
    if written.iter().filter(|byte| **byte == b':').count() < 2 {
        return None;
    }
    let glued = from == 0 && run.prior.is_ascii_alphanumeric() || to == run.len && run.next.is_ascii_alphanumeric();
    let address: Ipv6Addr = std::str::from_utf8(written).ok()?.parse().ok().filter(|_| !glued)?;
    let (start, end) = (run.place(from), run.place(to));
    let zone_end = if address.is_unicast_link_local() { zone_end(text, end) } else { end };
    let prefix_end = prefix_end(text, zone_end, 128);
    let telling = written.iter().any(|byte| byte.is_ascii_digit())
        || prefix_end != zone_end
        || text == "::"
        || run.prior == '='
        || context::before(text, start, 32).any(|word| ADDRESS_WORDS.have(word));
    telling.then_some((start, prefix_end))
}

/// Words that make `::` an address rather than a piece of program text.
static ADDRESS_WORDS: Words =
    Words::new(&["*addr*", "bind*", "dst", "from", "host*", "inet*", "ip*", "listen*", "server", "src"]);

/// Drops the full stop of a sentence and single colons at the ends.
fn without_punctuation(run: &Run) -> (usize, usize) {
    let (mut from, mut to) = (0, run.len);
    while matches!(run.slice(from, to), [.., b'.']) {
        to -= 1;
    }
    while matches!(run.slice(from, to), [.., before, b':'] if *before != b':') {
        to -= 1;
    }
    while matches!(run.slice(from, to), [b':', after, ..] if *after != b':') {
        from += 1;
    }
    (from, to)
}

/// `%eth0`, in a URL `%25eth0`.
fn zone_end(text: &str, end: usize) -> usize {
    let rest = text.get(end..).unwrap_or_default();
    let Some(zone) = rest.strip_prefix("%25").or_else(|| rest.strip_prefix('%')) else { return end };
    let length = zone.bytes().take(16).take_while(u8::is_ascii_alphanumeric).count();
    if zone.starts_with(|first: char| first.is_ascii_alphabetic()) {
        end + rest.len() - zone.len() + length
    } else {
        end
    }
}

/// `/24`, if it can be a prefix length.
fn prefix_end(text: &str, end: usize, bits_max: u16) -> usize {
    let Some(rest) = text.get(end..).and_then(|rest| rest.strip_prefix('/')) else { return end };
    let length = rest.bytes().take(4).take_while(u8::is_ascii_digit).count();
    let bits = rest.get(..length).and_then(|digits| digits.parse::<u16>().ok());
    let glued = rest.as_bytes().get(length).is_some_and(u8::is_ascii_alphabetic);
    if bits.is_some_and(|bits| bits <= bits_max) && !glued { end + 1 + length } else { end }
}

/// Four octets; a fifth number is let pass as something appended, a sixth makes
/// it an object identifier.
fn version_4(text: &str, run: &Run) -> Option<(usize, usize)> {
    let mut places = [0; 5];
    let mut dots = 0;
    let dotted = run.slice(0, run.len).strip_suffix(b".").unwrap_or(run.slice(0, run.len));
    for (at, _) in dotted.iter().enumerate().filter(|(_, byte)| **byte == b'.') {
        *places.get_mut(dots)? = at;
        dots += 1;
    }
    if !(3..=4).contains(&dots) {
        return None;
    }
    let to = places.get(3).copied().filter(|_| dots == 4).unwrap_or(dotted.len());
    let address = run.slice(0, to);
    let has_leading_zero = || dotted.split(|byte| *byte == b'.').any(|part| part.len() > 1 && part.starts_with(b"0"));
    // Lists of vendors are written `1~2.35.41.101`.
    let glued =
        run.prior.is_ascii_alphanumeric() || run.prior == '~' || to == run.len && run.next.is_ascii_alphanumeric();
    if glued || !address.split(|byte| *byte == b'.').all(is_octet) || dots == 4 && has_leading_zero() {
        return None;
    }
    let (start, end) = (run.place(0), run.place(to));
    (!is_version(text, start, address)).then(|| (start, prefix_end(text, end, 32)))
}

static VERSION_WORDS: Words = Words::new(&["build", "firmware", "release", "v", "ver", "version*"]);

fn is_octet(digits: &[u8]) -> bool {
    digits.len() <= 3 && digits.iter().fold(0, |value, digit| value * 10 + u32::from(digit - b'0')) <= 255
}

/// `Chrome/120.0.0.0` and `version 1.2.3.4` are no addresses. After a product's
/// name only a number that could name no host, ending in `.0`, is let go.
fn is_version(text: &str, start: usize, address: &[u8]) -> bool {
    let word = context::before(text, start, 16).next().unwrap_or_default();
    let product = text.get(..start).and_then(|head| head.strip_suffix('/')).is_some_and(|head| {
        head.ends_with(word) && !word.is_empty() && !head.trim_end_matches(word).ends_with(['/', '.', ':', '-', '_'])
    });
    product && address.ends_with(b".0") || VERSION_WORDS.have(word)
}
