//! The load: connections that ask again as soon as they are answered.
//!
//! The requests are made beforehand and the answers looked at no further than
//! their status and length, so that the client is not what is measured.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::{JoinHandle, LocalSet};

use super::{Failed, while_doing};
use crate::traffic::{AUTHORIZATION, TARGET, batches};

/// An answer is small; one that is longer than this is a mistake.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// What came of one run of the client.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Load {
    /// Answered with 200.
    pub(super) requests: u64,
    /// Of these, the ones of which something may leave.
    pub(super) leaving: u64,
    /// The bytes of their bodies.
    pub(super) bytes: u64,
    /// Everything else.
    pub(super) errors: u64,
    pub(super) secs: f64,
    pub(super) p50_us: f64,
    pub(super) p99_us: f64,
}

/// One request, ready to be written.
pub(super) struct Prepared {
    pub(super) bytes: Vec<u8>,
    body_bytes: u64,
    pub(super) leaves: bool,
}

/// Runs and tells about it in one line on stdout.
pub(super) fn run(to: SocketAddr, batch: usize, connections: usize, length: Duration) -> Result<(), Failed> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(while_doing("cannot start a runtime"))?;
    let load = LocalSet::new().block_on(&runtime, all(to, prepare(to, batch), connections, length));
    println!("{}", serde_json::to_string(&load).unwrap_or_default());
    Ok(())
}

pub(super) fn prepare(to: SocketAddr, batch: usize) -> Rc<[Prepared]> {
    let prepared = batches(batch).into_iter().map(|batch| {
        let head = format!(
            "POST {TARGET} HTTP/1.1\r\nhost: {to}\r\nauthorization: {AUTHORIZATION}\r\ncontent-type: application/json\r\nuser-agent: load\r\ncontent-length: {}\r\n\r\n",
            batch.body.len()
        );
        Prepared {
            bytes: [head.as_bytes(), batch.body.as_bytes()].concat(),
            body_bytes: batch.body.len() as u64,
            leaves: batch.leaving > 0,
        }
    });
    prepared.collect()
}

async fn all(to: SocketAddr, prepared: Rc<[Prepared]>, connections: usize, length: Duration) -> Load {
    let begun = Instant::now();
    let until = begun + length;
    let tasks: Vec<_> = (0..connections)
        .map(|number| tokio::task::spawn_local(one(to, Rc::clone(&prepared), number * 7, until)))
        .collect();
    Load::of(tasks, begun).await
}

impl Load {
    /// What came of all connections together, each of which gives its part and its times.
    pub(super) async fn of(connections: Vec<JoinHandle<(Self, Vec<u32>)>>, begun: Instant) -> Self {
        let (mut load, mut micros) = (Self::default(), Vec::new());
        for connection in connections {
            let Ok((part, times)) = connection.await else { continue };
            load.requests += part.requests;
            load.leaving += part.leaving;
            load.bytes += part.bytes;
            load.errors += part.errors;
            micros.extend(times);
        }
        load.secs = begun.elapsed().as_secs_f64();
        micros.sort_unstable();
        load.p50_us = quantile(&micros, 50);
        load.p99_us = quantile(&micros, 99);
        load
    }
}

fn quantile(sorted: &[u32], percent: usize) -> f64 {
    sorted.get(sorted.len() * percent / 100).map_or(f64::NAN, |micros| f64::from(*micros))
}

/// One connection; it begins where `number` says in the list of requests.
async fn one(to: SocketAddr, prepared: Rc<[Prepared]>, number: usize, until: Instant) -> (Load, Vec<u32>) {
    let (mut load, mut micros) = (Load::default(), Vec::new());
    let Ok(mut stream) = TcpStream::connect(to).await else {
        load.errors += 1;
        return (load, micros);
    };
    let _ = stream.set_nodelay(true);
    let mut room = Vec::with_capacity(4096);
    for request in prepared.iter().cycle().skip(number % prepared.len()) {
        let asked = Instant::now();
        if asked >= until {
            break;
        }
        match exchange(&mut stream, &request.bytes, &mut room).await {
            Some(200) => {
                load.requests += 1;
                load.leaving += u64::from(request.leaves);
                load.bytes += request.body_bytes;
                micros.push(u32::try_from(asked.elapsed().as_micros()).unwrap_or(u32::MAX));
            }
            Some(_) => load.errors += 1,
            None => {
                load.errors += 1;
                break;
            }
        }
    }
    (load, micros)
}

/// Sends a request and reads its answer to the end; gives the status.
pub(super) async fn exchange(stream: &mut TcpStream, request: &[u8], room: &mut Vec<u8>) -> Option<u16> {
    stream.write_all(request).await.ok()?;
    room.clear();
    loop {
        if stream.read_buf(room).await.ok()? == 0 || room.len() > ANSWER_BYTES_MAX {
            return None;
        }
        if let Some((status, length)) = head(room)
            && room.len() >= length
        {
            return Some(status);
        }
    }
}

/// The status of an answer and the length of all of it, once its head is there.
fn head(answer: &[u8]) -> Option<(u16, usize)> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(answer.get(..end)?).ok()?;
    let mut lines = text.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let length: usize = lines
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, value)| value.trim().parse().ok())?;
    Some((status, end + length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_has_a_status_and_an_end() {
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
        assert_eq!(head(answer), Some((200, answer.len())));
        assert_eq!(head(b"HTTP/1.1 200 OK\r\nContent-Le"), None);
        let bare = b"HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n";
        assert_eq!(head(bare), Some((503, bare.len())));
    }

    #[test]
    fn a_quantile_is_one_of_the_values() {
        assert_eq!(quantile(&[1, 2, 3, 4], 50), 3.0);
        assert_eq!(quantile(&[1, 2, 3, 4], 99), 4.0);
        assert!(quantile(&[], 50).is_nan());
    }
}
