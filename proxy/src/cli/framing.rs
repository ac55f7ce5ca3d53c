//! The chunk framing of a recorded request: whoever records bytes off a socket has it in the body.
//!
//! Promise: a body is taken for framed only where the request says `Transfer-Encoding: chunked` and its bytes are chunks
//! from first to last, with an end and nothing after it. Every other body stays as it is.
//!
//! Not here: what arrives at a listener. Its framing is undone, and judged, by the HTTP library. Source: RFC 9112, section 7.1.

/// The most digits of a chunk's size: 15, so that it fits 64 bits with room.
const SIZE_DIGITS_MAX: usize = 15;
const LINE_END: &[u8] = b"\r\n";

/// The body of a recorded request without its chunk framing, if it has one.
pub(super) fn unframed(headers: &[(String, String)], body: Vec<u8>) -> Vec<u8> {
    let chunked = |(name, value): &(String, String)| {
        name.trim().eq_ignore_ascii_case("transfer-encoding") && value.trim().eq_ignore_ascii_case("chunked")
    };
    let joined = headers.iter().any(chunked).then(|| joined(&body)).flatten();
    joined.unwrap_or(body)
}

/// What stands in the chunks; `None` if these are no chunks.
fn joined(mut framed: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::with_capacity(framed.len());
    loop {
        let (head, rest) = line(framed)?;
        let size = size(head)?;
        if size == 0 {
            return ends(rest).then_some(body);
        }
        let (chunk, rest) = rest.split_at_checked(size)?;
        body.extend_from_slice(chunk);
        framed = rest.strip_prefix(LINE_END)?;
    }
}

/// The size of a chunk, its extensions left out.
fn size(head: &[u8]) -> Option<usize> {
    let digits = std::str::from_utf8(head.split(|byte| *byte == b';').next()?).ok()?.trim_end();
    let plain = digits.len() <= SIZE_DIGITS_MAX && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    if plain { usize::from_str_radix(digits, 16).ok() } else { None }
}

/// Whether nothing follows the last chunk but trailer fields and an empty line.
fn ends(mut rest: &[u8]) -> bool {
    while let Some((field, after)) = line(rest) {
        if field.is_empty() {
            return after.is_empty();
        }
        rest = after;
    }
    false
}

/// The first line, and what follows it.
fn line(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr::memmem::find(text, LINE_END)?;
    let (line, rest) = text.split_at_checked(end)?;
    Some((line, rest.strip_prefix(LINE_END)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> String {
        let headers = [("Transfer-Encoding".to_owned(), "chunked".to_owned())];
        String::from_utf8(unframed(&headers, body.as_bytes().to_vec())).unwrap()
    }

    #[test]
    fn chunks_become_the_body_that_was_sent() {
        for framed in [
            "7\r\n{\"a\":1}\r\n0\r\n\r\n",
            "3\r\n{\"a\r\n4;x=y\r\n\":1}\r\n0\r\n\r\n",
            "007\r\n{\"a\":1}\r\n0\r\nChecked: yes\r\n\r\n",
        ] {
            assert_eq!(read(framed), r#"{"a":1}"#, "{framed}");
        }
        assert_eq!(read("0\r\n\r\n"), "");
    }

    #[test]
    fn what_is_not_framed_from_first_to_last_stays_as_it_is() {
        for body in [
            r#"{"a":1}"#,
            "",
            "7\r\n{\"a\":1}\r\n",
            "7\r\n{\"a\":1}\r\n0\r\n",
            "7\r\n{\"a\":1}\r\n0\r\n\r\nPOST / HTTP/1.1\r\n\r\n",
            "8\r\n{\"a\":1}\r\n0\r\n\r\n",
            "-7\r\n{\"a\":1}\r\n0\r\n\r\n",
            "\r\n{\"a\":1}\r\n0\r\n\r\n",
            "ffffffffffffffff\r\n{\"a\":1}\r\n0\r\n\r\n",
        ] {
            assert_eq!(read(body), body);
        }
    }

    #[test]
    fn a_body_that_says_nothing_of_chunks_is_not_looked_into() {
        let framed = b"1\r\n{\r\n0\r\n\r\n".to_vec();
        assert_eq!(unframed(&[("content-type".to_owned(), "chunked".to_owned())], framed.clone()), framed);
    }
}
