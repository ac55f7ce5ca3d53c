//! Email addresses.
//!
//! Starts at every at sign, however it is spelled, and takes what can belong to
//! an address on both sides. Errs on the side of finding: the domain need not
//! exist, and an address in the middle of a longer word is one, too.

use super::lens::{self, Seen};
use super::sight::Sight;
use super::{Detector, Found};

pub(super) const fn possible(sight: &Sight) -> bool {
    sight.at_signs > 0
}

pub(super) fn find(text: &str, _sight: &Sight, found: &mut Vec<Found>) {
    for (at, byte) in text.bytes().enumerate() {
        if !matches!(byte, b'@' | b'%' | b'&' | b'\\' | 0xEF) {
            continue;
        }
        if let Some(sign) = lens::after(text, at).filter(|seen| is_at_sign(seen.char))
            && let Some((start, end)) = around(text, at, at + sign.len)
        {
            found.push(Found { detector: Detector::EmailAddress, start, end, score: 100 });
        }
    }
}

const fn is_at_sign(char: char) -> bool {
    matches!(char, '@' | '\u{FF20}' | '\u{FE6B}')
}

/// The address around the at sign that stands at `sign..after`.
fn around(text: &str, sign: usize, after: usize) -> Option<(usize, usize)> {
    // The domain first: there is less of it, and it fails sooner.
    let end = domain_literal(text, after).or_else(|| domain(text, after))?;
    let start = quoted_local(text, sign).or_else(|| local(text, sign))?;
    (!is_image_density(text, after, end)).then_some((start, end))
}

/// Where the local part begins that ends at the at sign.
fn local(text: &str, sign: usize) -> Option<usize> {
    let start = walk_back(text, sign);
    let bounce = bounce_start(text, start, sign);
    trimmed(text, bounce.unwrap_or(start), sign)
}

/// Goes back over everything a local part may hold.
fn walk_back(text: &str, sign: usize) -> usize {
    let mut start = sign;
    let mut script = None;
    while let Some(seen) = lens::before(text, start).filter(|seen| is_local(seen.char)) {
        // Writing without spaces puts the address right after the sentence: `我的邮箱是marla@...`.
        if is_unspaced(seen.char) != *script.get_or_insert(is_unspaced(seen.char)) {
            break;
        }
        start -= seen.len;
    }
    start
}

/// `bounce+marla=home.example@list.example`: what stands before the `=` is an address as well.
fn bounce_start(text: &str, start: usize, sign: usize) -> Option<usize> {
    let equals = lens::before(text, start).filter(|seen| seen.char == '=')?;
    let inner = text.get(start..sign)?;
    let outer = walk_back(text, start - equals.len);
    let is_bounce = inner.contains('.') && text.get(outer..start)?.contains('+');
    is_bounce.then_some(outer)
}

/// Leaves out the punctuation that a sentence or a list puts before an address.
fn trimmed(text: &str, mut start: usize, sign: usize) -> Option<usize> {
    while let Some(Seen { char, len }) = lens::after(text, start).filter(|_| start < sign) {
        if !matches!(char, '.' | '-' | '+' | '\'' | '~' | '*') {
            return Some(start);
        }
        start += len;
    }
    None
}

fn is_local(char: char) -> bool {
    match char {
        'a'..='z' | 'A'..='Z' | '0'..='9' | '.' | '_' | '-' | '+' | '\'' | '~' | '*' => true,
        '\0'..='\u{7F}' => false,
        // General punctuation but for the joiners and the apostrophe, ideographic punctuation, full-width forms of ASCII punctuation.
        '\u{200C}' | '\u{200D}' | '\u{2019}' => true,
        '\u{80}'..='\u{A9}'
        | '\u{AB}'..='\u{B4}'
        | '\u{B6}'..='\u{B9}'
        | '\u{BB}'..='\u{BF}'
        | '\u{2000}'..='\u{206F}' => false,
        '\u{3000}'..='\u{3004}' | '\u{3008}'..='\u{3020}' | '\u{FE30}'..='\u{FE6F}' => false,
        '\u{FF00}'..='\u{FF0F}' | '\u{FF1A}'..='\u{FF20}' | '\u{FF3B}'..='\u{FF40}' | '\u{FF5B}'..='\u{FF65}' => false,
        '\u{FEFF}' | '\u{FFFC}' | '\u{FFFD}' => false,
        other => !other.is_whitespace(),
    }
}

/// Scripts written without spaces between words.
const fn is_unspaced(char: char) -> bool {
    matches!(char, '\u{0E00}'..='\u{0EFF}' | '\u{1000}'..='\u{109F}' | '\u{1780}'..='\u{17FF}'
        | '\u{3005}'..='\u{3007}' | '\u{3021}'..='\u{4DBF}' | '\u{4E00}'..='\u{9FFF}' | '\u{F900}'..='\u{FAFF}')
}

/// How far back the opening quote of a quoted local part may stand, in bytes.
const QUOTED_BYTES_MAX: usize = 66;

/// `"marla q"@home.example`
fn quoted_local(text: &str, sign: usize) -> Option<usize> {
    let close = sign.checked_sub(1).filter(|at| text.as_bytes().get(*at) == Some(&b'"'))?;
    let floor = close.saturating_sub(QUOTED_BYTES_MAX);
    let inside = text.as_bytes().get(floor..close)?;
    let length = inside.iter().rev().position(|byte| matches!(byte, b'"' | b'\n' | b'@'))?;
    let open = close - length - 1;
    (length > 0 && text.as_bytes().get(open) == Some(&b'"')).then_some(open)
}

/// Where the domain ends that begins at `at`: after the last label that may be a top-level one.
fn domain(text: &str, at: usize) -> Option<usize> {
    let mut end = None;
    let mut label = Label::read(text, at)?;
    while let Some(dot) = lens::after(text, label.end).filter(|seen| is_dot(seen.char)) {
        let Some(next) = Label::read(text, label.end + dot.len) else { break };
        end = next.top_level_end.or(end);
        label = next;
    }
    end
}

const fn is_dot(char: char) -> bool {
    matches!(char, '.' | '\u{3002}' | '\u{FF0E}' | '\u{FF61}')
}

/// One label of a domain.
struct Label {
    end: usize,
    /// Where it ends if it is the last one: after its leading letters, as in `example.com2024`.
    top_level_end: Option<usize>,
}

impl Label {
    fn read(text: &str, start: usize) -> Option<Self> {
        let is_punycode = text.get(start..start + 4).is_some_and(|head| head.eq_ignore_ascii_case("xn--"));
        let is_ascii = lens::after(text, start)?.char.is_ascii();
        let (mut end, mut letters, mut letters_end) = (start, 0, start);
        let mut all_letters = true;
        while let Some(seen) = lens::after(text, end).filter(|seen| is_label(seen.char)) {
            end += seen.len;
            all_letters &= seen.char.is_alphabetic() && seen.char.is_ascii() == is_ascii;
            if all_letters {
                letters += 1;
                letters_end = end;
            }
        }
        let top_level_end = match (is_punycode, letters) {
            (true, _) => Some(end).filter(|end| *end > start + 4),
            (false, 2..) => Some(letters_end),
            (false, _) => None,
        };
        (end > start).then_some(Self { end, top_level_end })
    }
}

fn is_label(char: char) -> bool {
    matches!(char, 'a'..='z' | 'A'..='Z' | '0'..='9' | '-' | '_')
        || (!char.is_ascii() && is_local(char) && !is_dot(char))
}

/// `marla@[192.0.2.1]`
fn domain_literal(text: &str, at: usize) -> Option<usize> {
    let inside = text.as_bytes().get(at..)?.strip_prefix(b"[")?;
    let length = inside.iter().take(50).position(|byte| *byte == b']')?;
    let address = inside.get(..length)?;
    let is_address = address.iter().any(u8::is_ascii_digit)
        && address.iter().all(|byte| byte.is_ascii_hexdigit() || matches!(byte, b'.' | b':' | b'I' | b'P' | b'v'));
    is_address.then_some(at + 1 + length + 1)
}

/// `logo@2x.png` names a picture.
fn is_image_density(text: &str, after: usize, end: usize) -> bool {
    let Some((density, kind)) = text.get(after..end).and_then(|domain| domain.split_once('.')) else { return false };
    let is_density = matches!(density.as_bytes(), [b'1'..=b'9', b'x' | b'X']);
    is_density
        && ["png", "jpg", "jpeg", "gif", "webp", "svg", "avif", "pdf"]
            .iter()
            .any(|known| kind.eq_ignore_ascii_case(known))
}
