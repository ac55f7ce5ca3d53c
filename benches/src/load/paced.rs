//! The load at a rate: requests leave when their time has come, whether or not
//! others are answered, as long as a connection is free.
//!
//! A request's time is counted from when it should have left, so that a proxy
//! that makes others wait is charged with their waiting. Every event is about
//! one of so many people in turn, for whoever counts people.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::net::TcpStream;
use tokio::task::LocalSet;

use super::client::{Load, exchange, prepare};
use super::{Failed, while_doing};

/// How many people there are.
const PEOPLE: u64 = 200_000;
/// What stands before the eight digits that tell them apart.
const PERSON: &[u8] = br#""anonymousId":""#;

/// What is asked for.
#[derive(Clone, Copy)]
pub(super) struct Pace {
    pub(super) to: SocketAddr,
    pub(super) batch: usize,
    pub(super) connections: usize,
    pub(super) length: Duration,
    /// Requests in a second.
    pub(super) rate: u64,
    /// The number of the first person.
    pub(super) first: u64,
}

/// Runs and tells about it in one line on stdout.
pub(super) fn run(pace: Pace) -> Result<(), Failed> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(while_doing("cannot start a runtime"))?;
    let load = LocalSet::new().block_on(&runtime, all(pace));
    println!("{}", serde_json::to_string(&load).unwrap_or_default());
    Ok(())
}

async fn all(pace: Pace) -> Load {
    let requests: Rc<[Request]> =
        prepare(pace.to, pace.batch).iter().map(|one| Request::of(&one.bytes, one.leaves)).collect();
    let begun = Instant::now();
    let tasks: Vec<_> = (0..pace.connections)
        .map(|number| tokio::task::spawn_local(one(pace, Rc::clone(&requests), number as u64, begun)))
        .collect();
    Load::of(tasks, begun).await
}

/// A request, and where it names people.
#[derive(Clone)]
struct Request {
    bytes: Vec<u8>,
    people: Vec<usize>,
    leaves: bool,
}

impl Request {
    fn of(bytes: &[u8], leaves: bool) -> Self {
        let named = bytes.windows(PERSON.len()).enumerate().filter(|(_, window)| *window == PERSON);
        Self { bytes: bytes.to_vec(), people: named.map(|(place, _)| place + PERSON.len()).collect(), leaves }
    }

    /// Names other people, from a number on.
    fn about(&mut self, first: u64) {
        for (place, number) in self.people.iter().zip(first..) {
            let digits = format!("{:08}", number % PEOPLE);
            if let Some(named) = self.bytes.get_mut(*place..place + digits.len()) {
                named.copy_from_slice(digits.as_bytes());
            }
        }
    }
}

/// One connection's part: every `connections`th request.
async fn one(pace: Pace, requests: Rc<[Request]>, number: u64, begun: Instant) -> (Load, Vec<u32>) {
    let (mut load, mut micros) = (Load::default(), Vec::new());
    let Ok(mut stream) = TcpStream::connect(pace.to).await else {
        load.errors += 1;
        return (load, micros);
    };
    let _ = stream.set_nodelay(true);
    let mut room = Vec::with_capacity(4096);
    let total = pace.rate * pace.length.as_millis() as u64 / 1000;
    for place in (number..total).step_by(pace.connections) {
        let due = begun + Duration::from_nanos(place * 1_000_000_000 / pace.rate);
        let Some(mut request) = requests.get(place as usize % requests.len().max(1)).cloned() else { break };
        request.about(pace.first + place * pace.batch as u64);
        tokio::time::sleep_until(due.into()).await;
        match exchange(&mut stream, &request.bytes, &mut room).await {
            Some(200) => {
                load.requests += 1;
                load.leaving += u64::from(request.leaves);
                micros.push(u32::try_from(due.elapsed().as_micros()).unwrap_or(u32::MAX));
            }
            answer => {
                load.errors += 1;
                if answer.is_none() {
                    break;
                }
            }
        }
    }
    (load, micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_names_other_people_in_turn() {
        let mut request = Request::of(br#"[{"anonymousId":"00000000-a"},{"anonymousId":"00000001-b"}]"#, true);
        request.about(PEOPLE + 41);
        assert_eq!(request.bytes, br#"[{"anonymousId":"00000041-a"},{"anonymousId":"00000042-b"}]"#);
    }
}
