//! The codings themselves: each undone a little at a time.
//!
//! Promise: a coded part ends where its coding says, with its checksums verified
//! where it has any; the input that was not used is known to the byte. No step
//! grows anything but the room it is given and the coding's own window.
//!
//! Not here: how much may come out, which is [`coding`](super::coding)'s to say.

use std::io::Read;

use brotli_decompressor::reader::StandardAlloc;
use brotli_decompressor::{BrotliDecompressStream, BrotliResult, BrotliState};
use flate2::bufread::GzDecoder;
use flate2::{Decompress, FlushDecompress, Status};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

/// The largest window that a zstd frame may ask for: what RFC 8878, section
/// 3.1.1.1.2, has every decoder support, and no sender rely on more.
const ZSTD_WINDOW_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// One coded part of a body.
pub(super) trait Inflate<'b> {
    /// Writes what comes next and gives its length; 0 is the end. `None` where
    /// what is coded is broken or breaks off.
    fn step(&mut self, room: &mut [u8]) -> Option<usize>;

    /// What was not used of the body.
    fn rest(&self) -> &'b [u8];
}

/// One member of gzip (RFC 1952).
pub(super) struct Gzip<'b>(GzDecoder<&'b [u8]>);

impl<'b> Gzip<'b> {
    pub(super) fn new(body: &'b [u8]) -> Self {
        Self(GzDecoder::new(body))
    }
}

impl<'b> Inflate<'b> for Gzip<'b> {
    fn step(&mut self, room: &mut [u8]) -> Option<usize> {
        self.0.read(room).ok()
    }

    fn rest(&self) -> &'b [u8] {
        self.0.get_ref()
    }
}

/// HTTP's `deflate`: the zlib format (RFC 1950), or bare deflate (RFC 1951), which
/// some clients send under that name.
pub(super) struct Deflate<'b> {
    state: Decompress,
    rest: &'b [u8],
}

impl<'b> Deflate<'b> {
    pub(super) fn new(body: &'b [u8]) -> Self {
        Self { state: Decompress::new(has_zlib_header(body)), rest: body }
    }
}

/// Whether a body begins as RFC 1950, section 2.2, wants: method 8, a window that
/// fits, a header that divides by 31, no preset dictionary.
fn has_zlib_header(body: &[u8]) -> bool {
    let &[method, flags, ..] = body else { return false };
    let whole = u16::from_be_bytes([method, flags]);
    method & 0x0f == 8 && method >> 4 <= 7 && whole.is_multiple_of(31) && flags & 0x20 == 0
}

impl<'b> Inflate<'b> for Deflate<'b> {
    fn step(&mut self, room: &mut [u8]) -> Option<usize> {
        let (read, written) = (self.state.total_in(), self.state.total_out());
        let status = self.state.decompress(self.rest, room, FlushDecompress::None).ok()?;
        let read = usize::try_from(self.state.total_in() - read).ok()?;
        let written = usize::try_from(self.state.total_out() - written).ok()?;
        self.rest = self.rest.get(read..)?;
        // Nothing more comes, and the end was not seen.
        let broke_off = written == 0 && status != Status::StreamEnd;
        (!broke_off).then_some(written)
    }

    fn rest(&self) -> &'b [u8] {
        self.rest
    }
}

/// One frame of zstd (RFC 8878), without a dictionary.
pub(super) struct Zstd<'b> {
    state: FrameDecoder,
    begun: bool,
    written: u64,
    rest: &'b [u8],
}

impl<'b> Zstd<'b> {
    pub(super) fn new(body: &'b [u8]) -> Self {
        let mut state = FrameDecoder::new();
        state.set_max_window_size(ZSTD_WINDOW_BYTES_MAX);
        Self { state, begun: false, written: 0, rest: body }
    }

    /// Whether the frame holds what its header and its checksum say.
    fn holds_what_it_says(&self) -> bool {
        let sum = self.state.get_checksum_from_data();
        let size = self.state.content_size();
        sum.is_none_or(|sum| self.state.get_calculated_checksum() == Some(sum)) && (size == 0 || size == self.written)
    }
}

impl<'b> Inflate<'b> for Zstd<'b> {
    fn step(&mut self, room: &mut [u8]) -> Option<usize> {
        if !self.begun {
            self.state.reset(&mut self.rest).ok()?;
            self.begun = true;
        }
        while self.state.can_collect() == 0 && !self.state.is_finished() {
            self.state.decode_blocks(&mut self.rest, BlockDecodingStrategy::UptoBlocks(1)).ok()?;
        }
        let written = self.state.read(room).ok()?;
        self.written += u64::try_from(written).ok()?;
        (written > 0 || self.holds_what_it_says()).then_some(written)
    }

    fn rest(&self) -> &'b [u8] {
        self.rest
    }
}

/// Brotli (RFC 7932); its window is 16 MiB at most, the larger ones of later
/// inventions are refused.
pub(super) struct Brotli<'b> {
    state: Box<BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>>,
    body: &'b [u8],
    at: usize,
    ended: bool,
}

impl<'b> Brotli<'b> {
    pub(super) fn new(body: &'b [u8]) -> Self {
        let alloc = StandardAlloc::default;
        Self { state: Box::new(BrotliState::new_strict(alloc(), alloc(), alloc())), body, at: 0, ended: false }
    }
}

impl<'b> Inflate<'b> for Brotli<'b> {
    fn step(&mut self, room: &mut [u8]) -> Option<usize> {
        if self.ended {
            return Some(0);
        }
        let (mut waiting, mut free) = (self.rest().len(), room.len());
        let (mut written, mut total) = (0, 0);
        let result = BrotliDecompressStream(
            &mut waiting,
            &mut self.at,
            self.body,
            &mut free,
            &mut written,
            room,
            &mut total,
            &mut self.state,
        );
        match result {
            BrotliResult::ResultSuccess => self.ended = true,
            BrotliResult::NeedsMoreOutput if written > 0 => {}
            // All of the body was there to be used.
            BrotliResult::NeedsMoreInput | BrotliResult::NeedsMoreOutput | BrotliResult::ResultFailure => return None,
        }
        Some(written)
    }

    fn rest(&self) -> &'b [u8] {
        self.body.get(self.at..).unwrap_or_default()
    }
}
