//! The one strict reading of HTTP/1.1 (RFC 9112) that these tests hold privet to.
//!
//! It takes nothing that two parsers could read differently: no bare CR or LF, no
//! folded line, no white space before a colon, one `Content-Length` of digits or
//! one `Transfer-Encoding: chunked`, never both. Written for these tests alone,
//! so that it shares no mistake with the parser under test.

/// One request as it stands on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub method: String,
    pub target: String,
    /// In order, names in lower case.
    pub headers: Vec<(String, Vec<u8>)>,
    /// Without chunk framing.
    pub body: Vec<u8>,
}

/// Why the bytes are no request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unread {
    /// More bytes may make it one.
    Incomplete,
    /// None can.
    Malformed,
}

type Read<T> = Result<T, Unread>;

impl Request {
    /// The only header of this name.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        let mut found = self.headers.iter().filter(|(known, _)| known == name);
        found.next().filter(|_| found.next().is_none()).map(|(_, value)| value.as_slice())
    }

    fn count(&self, name: &str) -> usize {
        self.headers.iter().filter(|(known, _)| known == name).count()
    }
}

/// Every request of a connection up to the first byte that belongs to none, and why it belongs to none.
pub fn requests(mut bytes: &[u8]) -> (Vec<Request>, Option<Unread>) {
    let mut read = Vec::new();
    while !bytes.is_empty() {
        match request(bytes) {
            Ok((one, rest)) => {
                read.push(one);
                bytes = rest;
            }
            Err(unread) => return (read, Some(unread)),
        }
    }
    (read, None)
}

/// The first request, and what follows it.
pub fn request(bytes: &[u8]) -> Read<(Request, &[u8])> {
    let mut bytes = bytes;
    // Empty lines before a request line are passed over (section 2.2): nothing can hide in one, however it ends.
    while let Some(rest) = bytes.strip_prefix(b"\r\n").or(bytes.strip_prefix(b"\n")) {
        bytes = rest;
    }
    let (start, mut bytes) = line(bytes)?;
    let (method, target, version) = start_line(start)?;
    let mut headers = Vec::new();
    loop {
        let (text, rest) = line(bytes)?;
        bytes = rest;
        if text.is_empty() {
            break;
        }
        headers.push(field(text)?);
    }
    let mut request = Request { method, target, headers, body: Vec::new() };
    let (body, rest) = body(&request, version, bytes)?;
    request.body = body;
    Ok((request, rest))
}

/// A line without its CRLF; a CR or LF that stands alone is malformed.
fn line(bytes: &[u8]) -> Read<(&[u8], &[u8])> {
    let at = bytes.iter().position(|byte| matches!(byte, b'\r' | b'\n')).ok_or(Unread::Incomplete)?;
    match &bytes[at..] {
        [b'\r', b'\n', rest @ ..] => Ok((&bytes[..at], rest)),
        [b'\r'] => Err(Unread::Incomplete),
        _ => Err(Unread::Malformed),
    }
}

fn start_line(text: &[u8]) -> Read<(String, String, u8)> {
    let text = std::str::from_utf8(text).map_err(|_| Unread::Malformed)?;
    let parts: Vec<&str> = text.split(' ').collect();
    let &[method, target, version] = &parts[..] else { return Err(Unread::Malformed) };
    let version = match version {
        "HTTP/1.0" => 0,
        "HTTP/1.1" => 1,
        _ => return Err(Unread::Malformed),
    };
    let visible = !target.is_empty() && target.bytes().all(|byte| byte.is_ascii_graphic());
    if !is_token(method.as_bytes()) || !visible {
        return Err(Unread::Malformed);
    }
    Ok((method.to_owned(), target.to_owned(), version))
}

fn field(text: &[u8]) -> Read<(String, Vec<u8>)> {
    let colon = text.iter().position(|byte| *byte == b':').ok_or(Unread::Malformed)?;
    let (name, value) = (&text[..colon], text[colon + 1..].trim_ascii());
    let no_control = |byte: &u8| *byte == b'\t' || (*byte >= b' ' && *byte != 0x7f);
    if !is_token(name) || !value.iter().all(no_control) {
        return Err(Unread::Malformed);
    }
    Ok((String::from_utf8_lossy(name).to_ascii_lowercase(), value.to_vec()))
}

fn is_token(text: &[u8]) -> bool {
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    !text.is_empty() && text.iter().all(allowed)
}

fn body<'a>(request: &Request, version: u8, bytes: &'a [u8]) -> Read<(Vec<u8>, &'a [u8])> {
    match (request.count("content-length"), request.count("transfer-encoding")) {
        (0, 0) => Ok((Vec::new(), bytes)),
        (1, 0) => {
            let length = number(request.header("content-length").unwrap_or_default(), 10)?;
            let body = bytes.get(..length).ok_or(Unread::Incomplete)?;
            Ok((body.to_vec(), &bytes[length..]))
        }
        (0, 1) if version == 1 && request.header("transfer-encoding").is_some_and(is_chunked) => chunks(bytes),
        _ => Err(Unread::Malformed),
    }
}

fn is_chunked(coding: &[u8]) -> bool {
    coding.eq_ignore_ascii_case(b"chunked")
}

fn number(digits: &[u8], radix: u32) -> Read<usize> {
    let text = std::str::from_utf8(digits).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_hexdigit()));
    text.and_then(|text| usize::from_str_radix(text, radix).ok()).ok_or(Unread::Malformed)
}

fn chunks(mut bytes: &[u8]) -> Read<(Vec<u8>, &[u8])> {
    let mut body = Vec::new();
    loop {
        let (text, rest) = line(bytes)?;
        let size = text.split(|byte| *byte == b';').next().unwrap_or_default();
        let size = number(size.trim_ascii_end(), 16)?;
        if size == 0 {
            return Ok((body, trailers(rest)?));
        }
        body.extend_from_slice(rest.get(..size).ok_or(Unread::Incomplete)?);
        bytes = match &rest[size..] {
            [b'\r', b'\n', rest @ ..] => rest,
            [] | [b'\r'] => return Err(Unread::Incomplete),
            _ => return Err(Unread::Malformed),
        };
    }
}

fn trailers(mut bytes: &[u8]) -> Read<&[u8]> {
    loop {
        let (text, rest) = line(bytes)?;
        bytes = rest;
        if text.is_empty() {
            return Ok(rest);
        }
        field(text)?;
    }
}

/// The statuses of the answers on a connection: each ends where its own `Content-Length` says.
pub fn statuses(mut bytes: &[u8]) -> Vec<u16> {
    let mut statuses = Vec::new();
    while let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
        let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
        let status = head.strip_prefix("http/1.").and_then(|rest| rest.get(2..5)).and_then(|text| text.parse().ok());
        let status = status.unwrap_or_else(|| panic!("no answer: {head}"));
        let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
        let length: usize = length.map_or(0, |text| text.trim().parse().unwrap());
        if status != 100 {
            statuses.push(status);
        }
        bytes = bytes.get(end + 4 + length..).unwrap_or_default();
    }
    statuses
}

#[test]
fn takes_nothing_that_can_be_read_in_two_ways() {
    for twice in [
        "POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx",
        "POST / HTTP/1.1\r\nContent-Length: +1\r\n\r\nx",
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\nHost: a\n\n",
        "POST / HTTP/1.1\r\nA: b\r\n c\r\n\r\n",
        "POST / HTTP/1.1\r\nA : b\r\n\r\n",
        "POST / HTTP/1.1\r\nA: b\rC: d\r\n\r\n",
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\nx\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nxy\r\n0\r\n\r\n",
    ] {
        assert_eq!(requests(twice.as_bytes()), (Vec::new(), Some(Unread::Malformed)), "{twice:?}");
    }
}

#[test]
fn reads_what_is_plain() {
    let two = "\r\nPUT /a HTTP/1.1\r\nContent-Length: 003\r\n\r\nabcPOST /b HTTP/1.1\r\ntransfer-encoding: Chunked\r\n\r\n\
               A;x=y\r\n0123456789\r\n0\r\nT: v\r\n\r\n";
    let (read, unread) = requests(two.as_bytes());
    assert_eq!(unread, None);
    let bodies: Vec<&[u8]> = read.iter().map(|request| request.body.as_slice()).collect();
    assert_eq!(bodies, [&b"abc"[..], b"0123456789"]);
    assert_eq!(requests(&two.as_bytes()[..two.len() - 1]).1, Some(Unread::Incomplete));
    assert_eq!(statuses(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 400 Bad Request\r\n\r\n"), [200, 400]);
}
