//! The bytes of one connection on their way to hyper.
//!
//! Promise: hyper sees every byte unchanged. On the way past, this notes when
//! a request's headers begin, so that slow ones can be cut off, and how they are
//! framed, because hyper removes `Content-Length` when there is a
//! `Transfer-Encoding` too, and takes a line that ends in LF alone, where others
//! read on: a request with both, or with such a line, must be refused.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

use super::pulse::Pulse;

/// What every HTTP/2 connection starts with.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Which HTTP a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    H1,
    H2,
}

/// Bytes read while finding out the version.
#[derive(Clone, Copy, Default)]
pub(super) struct Prefix {
    bytes: [u8; PREFACE.len()],
    from: usize,
    to: usize,
}

/// Reads until it is clear which version this is. The caller sets the time limit.
pub(super) async fn sniff<I: AsyncRead + Unpin>(io: &mut I) -> io::Result<(Version, Prefix)> {
    let mut prefix = Prefix::default();
    while prefix.seen() == PREFACE.get(..prefix.to).unwrap_or_default() && prefix.to < PREFACE.len() {
        let read = io.read(prefix.bytes.get_mut(prefix.to..).unwrap_or_default()).await?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        prefix.to += read;
    }
    let version = if prefix.seen() == PREFACE { Version::H2 } else { Version::H1 };
    Ok((version, prefix))
}

impl Prefix {
    fn seen(&self) -> &[u8] {
        self.bytes.get(self.from..self.to).unwrap_or_default()
    }
}

/// A connection that gives back what was read too early and watches what is read.
pub(super) struct Wire<I> {
    io: I,
    prefix: Prefix,
    watch: Option<Watch>,
}

struct Watch {
    pulse: Arc<Pulse>,
    head: HeadScanner,
}

impl<I> Wire<I> {
    /// An HTTP/1 connection, whose heads are watched.
    pub fn h1(io: I, prefix: Prefix, pulse: Arc<Pulse>) -> Self {
        Self { io, prefix, watch: Some(Watch { pulse, head: HeadScanner::default() }) }
    }

    /// An HTTP/2 connection, whose framing hyper checks whole.
    pub const fn h2(io: I, prefix: Prefix) -> Self {
        Self { io, prefix, watch: None }
    }
}

impl Watch {
    fn saw(&mut self, bytes: &[u8]) {
        if self.pulse.bytes_came() {
            self.head = HeadScanner::default();
        }
        if self.pulse.in_head() && self.head.scan(bytes) == Progress::Ended {
            self.pulse.head_ended(self.head.framing);
        }
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Wire<I> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let early = this.prefix.seen();
        if early.is_empty() {
            std::task::ready!(Pin::new(&mut this.io).poll_read(cx, buf))?;
        } else {
            let fits = early.len().min(buf.remaining());
            buf.put_slice(early.get(..fits).unwrap_or_default());
            this.prefix.from += fits;
        }
        let new = buf.filled().get(before..).unwrap_or_default();
        if let Some(watch) = this.watch.as_mut().filter(|_| !new.is_empty()) {
            watch.saw(new);
        }
        Poll::Ready(Ok(()))
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Wire<I> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }
}

/// The framing headers that stood in one head.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Framing {
    /// There was a `Content-Length`.
    pub length: bool,
    /// There was a `Transfer-Encoding`.
    pub coding: bool,
    /// A line ended in LF without CR.
    pub bare_lf: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    Going,
    Ended,
}

const LENGTH: &[u8] = b"content-length:";
const CODING: &[u8] = b"transfer-encoding:";

/// Finds the framing headers of one head, however it is cut into reads.
///
/// Lines end at `\n`, as they do for hyper. A line's name is compared while its
/// first bytes are kept, no more than the longest name that matters.
#[derive(Default)]
struct HeadScanner {
    framing: Framing,
    line: [u8; CODING.len()],
    /// Bytes of this line so far, carriage returns not counted.
    line_bytes: usize,
    /// Whether a request line came; blank lines before it are skipped.
    started: bool,
    /// Whether the last byte so far is a carriage return.
    after_cr: bool,
}

impl HeadScanner {
    fn scan(&mut self, mut bytes: &[u8]) -> Progress {
        while let Some(end) = memchr::memchr(b'\n', bytes) {
            let (line, rest) = bytes.split_at(end);
            self.extend(line);
            self.framing.bare_lf |= !self.after_cr;
            self.after_cr = false;
            if self.end_line() == Progress::Ended {
                return Progress::Ended;
            }
            bytes = rest.get(1..).unwrap_or_default();
        }
        self.extend(bytes);
        Progress::Going
    }

    fn extend(&mut self, part: &[u8]) {
        self.after_cr = part.last().map_or(self.after_cr, |byte| *byte == b'\r');
        let part = part.strip_suffix(b"\r").unwrap_or(part);
        if let Some(room) = self.line.get_mut(self.line_bytes..) {
            for (place, byte) in room.iter_mut().zip(part) {
                *place = *byte;
            }
        }
        self.line_bytes += part.len();
    }

    fn end_line(&mut self) -> Progress {
        if self.line_bytes == 0 {
            return if self.started { Progress::Ended } else { Progress::Going };
        }
        self.started = true;
        match self.line.first().map(u8::to_ascii_lowercase) {
            Some(b'c') => self.framing.length |= self.line_is(LENGTH),
            Some(b't') => self.framing.coding |= self.line_is(CODING),
            _ => {}
        }
        self.line_bytes = 0;
        Progress::Going
    }

    fn line_is(&self, name: &[u8]) -> bool {
        self.line_bytes >= name.len()
            && self.line.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BOTH: Framing = Framing { length: true, coding: true, bare_lf: false };

    fn scanned(pieces: &[&[u8]]) -> (Progress, Framing) {
        let mut scanner = HeadScanner::default();
        let mut progress = Progress::Going;
        for piece in pieces {
            if progress == Progress::Going {
                progress = scanner.scan(piece);
            }
        }
        (progress, scanner.framing)
    }

    #[test]
    fn finds_framing_headers_in_any_case() {
        let head = b"POST / HTTP/1.1\r\ncontent-LENGTH: 3\r\nX: y\r\nTransfer-Encoding: chunked\r\n\r\nabc";
        assert_eq!(scanned(&[head]), (Progress::Ended, BOTH));
    }

    #[test]
    fn a_name_elsewhere_is_no_header() {
        let head = b"POST /content-length: HTTP/1.1\r\nX-Content-Length: 3\r\nY: transfer-encoding: x\r\n\r\n";
        assert_eq!(scanned(&[head]), (Progress::Ended, Framing::default()));
    }

    #[test]
    fn the_body_is_not_looked_at() {
        let head = b"\r\nPOST / HTTP/1.1\r\n\r\nContent-Length: 3\n\n";
        assert_eq!(scanned(&[head]), (Progress::Ended, Framing::default()));
    }

    #[test]
    fn a_line_that_ends_in_lf_alone_is_noted_wherever_reads_are_cut() {
        let bare = Framing { bare_lf: true, ..Framing::default() };
        for head in
            ["\nGET / HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\n\r\n", "GET / HTTP/1.1\r\nA: b\n\r\n", "GET / HTTP/1.1\r\n\n"]
        {
            for cut in 0..head.len() {
                let (first, second) = head.as_bytes().split_at(cut);
                assert_eq!(scanned(&[first, second]), (Progress::Ended, bare), "{head:?} cut at {cut}");
            }
        }
    }

    proptest! {
        #[test]
        fn reads_may_be_cut_anywhere(cuts in proptest::collection::vec(0_usize..80, 0..12)) {
            let head = b"POST /v1/t HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n";
            let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(head.len())).collect();
            cuts.push(0);
            cuts.push(head.len());
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &head[pair[0]..pair[1]]).collect();
            prop_assert_eq!(scanned(&pieces), (Progress::Ended, BOTH));
        }
    }

    #[tokio::test]
    async fn a_preface_cut_in_two_is_still_http2() {
        let (client, mut server) = tokio::io::duplex(64);
        let (_, mut client) = tokio::io::split(client);
        let writer = async {
            use tokio::io::AsyncWriteExt;
            client.write_all(&PREFACE[..3]).await.unwrap();
            tokio::task::yield_now().await;
            client.write_all(&PREFACE[3..]).await.unwrap();
        };
        let (sniffed, ()) = tokio::join!(sniff(&mut server), writer);
        assert_eq!(sniffed.unwrap().0, Version::H2);
    }

    #[tokio::test]
    async fn what_was_read_early_is_read_again() {
        let (mut client, mut server) = tokio::io::duplex(64);
        tokio::io::AsyncWriteExt::write_all(&mut client, b"PROPFIND / HTTP/1.1\r\n\r\n").await.unwrap();
        drop(client);
        let (version, prefix) = sniff(&mut server).await.unwrap();
        assert_eq!(version, Version::H1);
        let mut text = String::new();
        Wire::h2(server, prefix).read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "PROPFIND / HTTP/1.1\r\n\r\n");
    }
}
