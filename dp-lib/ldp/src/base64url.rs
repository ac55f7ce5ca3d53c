//! Base64 with the alphabet for addresses, without padding (RFC 4648, section 5).
//!
//! Promise: one text for one list of bytes. Padding, spaces, other alphabets,
//! and bits after the last byte that are not zero are refused.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// How many characters that many bytes take.
pub(crate) const fn text_length(bytes: usize) -> usize {
    (bytes * 4).div_ceil(3)
}

/// Writes `bytes` into `text`, which has room for them, and returns the length.
pub(crate) fn write(bytes: &[u8], text: &mut [u8]) -> usize {
    for (group, places) in bytes.chunks(3).zip(text.chunks_mut(4)) {
        let number = group.iter().fold(0, |number, &byte| number << 8 | u32::from(byte)) << (8 * (3 - group.len()));
        for (place, shift) in places.iter_mut().zip([18, 12, 6, 0]).take(group.len() + 1) {
            *place = character(number >> shift);
        }
    }
    text_length(bytes.len())
}

/// Reads `text` into `bytes`, and returns the length. `None` for text that
/// [`write`] does not write, or that has no room.
#[cfg(any(feature = "server", test))]
pub(crate) fn read(text: &[u8], bytes: &mut [u8]) -> Option<usize> {
    let length = text.len() * 3 / 4;
    let room = bytes.get_mut(..length)?;
    if text_length(length) != text.len() {
        return None;
    }
    for (group, places) in text.chunks(4).zip(room.chunks_mut(3)) {
        let mut number = 0;
        for &character in group {
            number = number << 6 | sextet(character)?;
        }
        number <<= 6 * (4 - group.len());
        for (place, shift) in places.iter_mut().zip([16, 8, 0]) {
            *place = (number >> shift) as u8;
            number &= (1 << shift) - 1;
        }
        if number != 0 {
            return None;
        }
    }
    Some(length)
}

fn character(sextet: u32) -> u8 {
    ALPHABET.get(sextet as usize & 63).copied().unwrap_or(b'A')
}

#[cfg(any(feature = "server", test))]
fn sextet(character: u8) -> Option<u32> {
    Some(u32::from(match character {
        b'A'..=b'Z' => character - b'A',
        b'a'..=b'z' => character - b'a' + 26,
        b'0'..=b'9' => character - b'0' + 52,
        b'-' => 62,
        b'_' => 63,
        _ => return None,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(bytes: &[u8]) -> std::string::String {
        let mut text = [0; 16];
        let length = write(bytes, &mut text);
        assert_eq!(length, text_length(bytes.len()));
        core::str::from_utf8(&text[..length]).unwrap().into()
    }

    #[test]
    fn the_vectors_of_rfc_4648_without_padding() {
        for (bytes, text) in
            [("", ""), ("f", "Zg"), ("fo", "Zm8"), ("foo", "Zm9v"), ("foob", "Zm9vYg"), ("foobar", "Zm9vYmFy")]
        {
            assert_eq!(written(bytes.as_bytes()), text);
            let mut read_back = [0; 8];
            assert_eq!(read(text.as_bytes(), &mut read_back), Some(bytes.len()));
            assert_eq!(&read_back[..bytes.len()], bytes.as_bytes());
        }
        assert_eq!(written(&[0xfb, 0xff]), "-_8");
    }

    #[test]
    fn what_is_never_written_is_not_read() {
        for text in ["Zg==", "Zh", "Zm9", "Z", "Zm9vZ", "+/8", "Zm 8", "Zm9v\n"] {
            assert_eq!(read(text.as_bytes(), &mut [0; 8]), None, "{text}");
        }
        assert_eq!(read(b"Zm9vYmFy", &mut [0; 5]), None, "no room");
    }
}
