//! Reading one request body whole.
//!
//! Promise: nothing is read that was not paid for from the byte budget, nothing
//! beyond `body_bytes_max`, and nothing after `body_timeout`. A body that came
//! in one piece is not copied.

use std::pin::Pin;
use std::task::Poll;

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame};
use tokio::time::Instant;

use super::Refusal;
use super::budget::{ByteBudget, Held};
use crate::config::Limits;

/// How much a body of unknown length pays for ahead.
const STEP_BYTES: usize = 64 << 10;

/// A body in memory and what it holds of the budget.
#[derive(Debug)]
pub(super) struct Whole<'a> {
    pub bytes: Bytes,
    pub held: Held<'a>,
}

/// Reads to the end of the body.
pub(super) async fn read_whole<'a, B>(
    mut body: B,
    limits: &Limits,
    budget: &'a ByteBudget,
) -> Result<Whole<'a>, Refusal>
where
    B: Body<Data = Bytes> + Unpin,
{
    if body.is_end_stream() {
        return Ok(Whole { bytes: Bytes::new(), held: budget.hold_none() });
    }
    let declared = body.size_hint().exact();
    let mut reading = Reading::begin(declared, limits, budget)?;
    let Some(first) = reading.next(&mut body).await? else { return Ok(reading.done(Bytes::new())) };
    if body.is_end_stream() {
        return Ok(reading.done(first));
    }
    let mut all = BytesMut::with_capacity(first.len().max(reading.expected));
    all.extend_from_slice(&first);
    while let Some(piece) = reading.next(&mut body).await? {
        all.extend_from_slice(&piece);
    }
    Ok(reading.done(all.freeze()))
}

struct Reading<'a> {
    held: Held<'a>,
    read_bytes: usize,
    bytes_max: usize,
    /// The declared length, 0 if there is none.
    expected: usize,
    deadline: Instant,
}

impl<'a> Reading<'a> {
    fn begin(declared: Option<u64>, limits: &Limits, budget: &'a ByteBudget) -> Result<Self, Refusal> {
        let bytes_max = limits.body_bytes_max;
        let declared = declared.map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
        if declared.is_some_and(|bytes| bytes > bytes_max) {
            return Err(Refusal::TooLarge);
        }
        let held = budget.hold(declared.unwrap_or(STEP_BYTES.min(bytes_max))).ok_or(Refusal::Overloaded)?;
        let deadline = Instant::now() + limits.body_timeout;
        Ok(Self { held, read_bytes: 0, bytes_max, expected: declared.unwrap_or(0), deadline })
    }

    /// The next piece of data, paid for; trailers are passed over.
    async fn next<B>(&mut self, body: &mut B) -> Result<Option<Bytes>, Refusal>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        loop {
            let Some(frame) = self.frame(body).await? else { return Ok(None) };
            if let Ok(data) = frame.into_data() {
                self.pay_for(data.len())?;
                return Ok(Some(data));
            }
        }
    }

    /// What is there already is taken without setting a timer.
    async fn frame<B>(&self, body: &mut B) -> Result<Option<Frame<Bytes>>, Refusal>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let ready = std::future::poll_fn(|cx| Poll::Ready(Pin::new(&mut *body).poll_frame(cx))).await;
        let frame = match ready {
            Poll::Ready(frame) => frame,
            Poll::Pending => {
                let frame = std::future::poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx));
                tokio::time::timeout_at(self.deadline, frame).await.map_err(|_| Refusal::TimedOut)?
            }
        };
        frame.transpose().map_err(|_| Refusal::Malformed)
    }

    fn pay_for(&mut self, bytes: usize) -> Result<(), Refusal> {
        self.read_bytes += bytes;
        if self.read_bytes > self.bytes_max {
            return Err(Refusal::TooLarge);
        }
        let short = self.read_bytes.saturating_sub(self.held.bytes());
        if short == 0 {
            return Ok(());
        }
        let more = short.next_multiple_of(STEP_BYTES).min(self.bytes_max - self.held.bytes());
        if self.held.grow(more) { Ok(()) } else { Err(Refusal::Overloaded) }
    }

    fn done(self, bytes: Bytes) -> Whole<'a> {
        Whole { bytes, held: self.held }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;
    use std::collections::VecDeque;
    use std::convert::Infallible;
    use std::time::Duration;

    fn limits(body_bytes_max: usize) -> Limits {
        Limits { body_bytes_max, body_timeout: Duration::from_millis(50), ..Limits::default() }
    }

    /// A body of pieces whose length nobody declared; it may never end.
    struct Pieces {
        left: VecDeque<Bytes>,
        ends: bool,
    }

    fn pieces(sizes: &[usize]) -> Pieces {
        Pieces { left: sizes.iter().map(|size| Bytes::from(vec![b'x'; *size])).collect(), ends: true }
    }

    impl Body for Pieces {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            match self.left.pop_front() {
                Some(piece) => Poll::Ready(Some(Ok(Frame::data(piece)))),
                None if self.ends => Poll::Ready(None),
                None => Poll::Pending,
            }
        }
    }

    #[tokio::test]
    async fn one_piece_is_not_copied() {
        let budget = ByteBudget::new(1000);
        let bytes = Bytes::from_static(b"{}");
        let body = http_body_util::Full::new(bytes.clone());
        let whole = read_whole(body, &limits(10), &budget).await.unwrap();
        assert_eq!(whole.bytes.as_ptr(), bytes.as_ptr());
        assert_eq!(budget.held(), 2);
        drop(whole);
        assert_eq!(budget.held(), 0);
    }

    #[tokio::test]
    async fn pieces_come_together_and_pay_in_steps() {
        let budget = ByteBudget::new(300 << 10);
        let whole = read_whole(pieces(&[1, 70_000, 0, 5]), &limits(200 << 10), &budget).await.unwrap();
        assert_eq!(whole.bytes.len(), 70_006);
        assert_eq!(budget.held(), 2 * STEP_BYTES);
    }

    #[tokio::test]
    async fn a_body_that_grows_too_large_is_refused() {
        let budget = ByteBudget::new(1 << 20);
        let refused = read_whole(pieces(&[60, 60]), &limits(100), &budget).await.unwrap_err();
        assert_eq!(refused, Refusal::TooLarge);
        assert_eq!(budget.held(), 0);
    }

    #[tokio::test]
    async fn a_declared_length_is_refused_before_a_byte_is_read() {
        let budget = ByteBudget::new(1 << 20);
        let body = http_body_util::Full::new(Bytes::from(vec![0; 101]));
        assert_eq!(read_whole(body, &limits(100), &budget).await.unwrap_err(), Refusal::TooLarge);
    }

    #[tokio::test]
    async fn a_budget_that_is_used_up_refuses() {
        let budget = ByteBudget::new(100);
        let _other = budget.hold(60).unwrap();
        let body = http_body_util::Full::new(Bytes::from(vec![0; 41]));
        assert_eq!(read_whole(body, &limits(100), &budget).await.unwrap_err(), Refusal::Overloaded);
        let slow = read_whole(pieces(&[30, 30]), &limits(50), &budget).await.unwrap_err();
        assert_eq!(slow, Refusal::Overloaded);
    }

    #[tokio::test]
    async fn a_body_that_stalls_is_given_up() {
        let budget = ByteBudget::new(1 << 20);
        let body = Pieces { ends: false, ..pieces(&[1]) };
        assert_eq!(read_whole(body, &limits(100), &budget).await.unwrap_err(), Refusal::TimedOut);
        assert_eq!(budget.held(), 0);
    }

    #[tokio::test]
    async fn trailers_are_passed_over() {
        let trailers = std::future::ready(Some(Ok(http::HeaderMap::new())));
        let body = http_body_util::Full::new(Bytes::from_static(b"{}")).with_trailers(trailers);
        let budget = ByteBudget::new(1 << 20);
        let whole = read_whole(body, &limits(100), &budget).await.unwrap();
        assert_eq!(&whole.bytes[..], b"{}");
    }
}
