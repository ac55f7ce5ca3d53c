//! privet-ldp for a page: what the browser calls, and what it must bring.
//!
//! Promise: [`respond`] is the whole rule of the permanent response. It loads
//! what this device answered before, makes a response only when there is none
//! and the budget reaches, has it stored, and only then hands out the report.
//! No state is kept between calls, and there is no block of unsafe code.
//!
//! Not here: sending, and where a page stores its bytes.
//! `check.mjs` is an example of a host.
#![no_std]
#![deny(unsafe_code, missing_docs)]

use core::panic::PanicInfo;

use privet_ldp::{
    Entropy, Epsilon, Ledger, Memory, Method, NoEntropy, REPORT_TEXT_MAX, Randomizer, Report, memory_bytes,
};

/// How many different answers a page remembers.
const PLACES: usize = 16;

/// How many bytes the host stores for it: 2,369.
const STORED_BYTES: usize = memory_bytes(PLACES);

/// How many bytes [`random`] is asked for at once.
const RANDOM_BYTES: usize = 64;

/// A report was handed out.
const DONE: i32 = 0;
/// The method's number, the answers or the epsilon are none.
const CANNOT_ASK: i32 = -1;
/// The host stored bytes that are no memory, or could not store or load.
const CANNOT_REMEMBER: i32 = -2;
/// No report: the budget is spent, memory is full, or there is no such answer or no randomness.
const CANNOT_RESPOND: i32 = -3;

#[expect(unsafe_code, reason = "imports are declared so; each takes a reference to as many bytes as it says")]
#[link(wasm_import_module = "privet")]
unsafe extern "C" {
    /// Fills the bytes by `crypto.getRandomValues`. Zero when it did.
    safe fn random(bytes: &mut [u8; RANDOM_BYTES]) -> i32;
    /// Fills the bytes with what was stored. Zero when it did, one when nothing ever was.
    safe fn load(bytes: &mut [u8; STORED_BYTES]) -> i32;
    /// Stores the bytes, durably. Zero when it did.
    safe fn store(bytes: &[u8; STORED_BYTES]) -> i32;
    /// Takes the report's text, which has `length` characters.
    safe fn report(text: &[u8; REPORT_TEXT_MAX], length: usize);
    /// The next answer to randomize, or -1 for no more.
    safe fn answer() -> i32;
}

/// Hands out the response of this device to a question: the one it made for
/// the same answer before, or a new one out of `budget_nano` billionths of
/// epsilon, which count when nothing is stored yet.
#[expect(unsafe_code, reason = "the page calls it by name")]
#[unsafe(no_mangle)]
pub extern "C" fn respond(
    method: u32,
    answers: u32,
    epsilon_nano: u64,
    question: u32,
    answer: u32,
    budget_nano: u64,
) -> i32 {
    let Some(randomizer) = randomizer(method, answers, epsilon_nano) else { return CANNOT_ASK };
    let mut bytes = [0; STORED_BYTES];
    let memory = match load(&mut bytes) {
        0 => Memory::open(&mut bytes).ok(),
        1 => Epsilon::from_nano(budget_nano)
            .ok()
            .and_then(|budget| Memory::begin(&mut bytes, Ledger::with_budget(budget)).ok()),
        _ => None,
    };
    let Some(mut memory) = memory else { return CANNOT_REMEMBER };
    let Ok(response) = memory.respond(question, answer, &randomizer, &mut Host) else { return CANNOT_RESPOND };
    if store(&bytes) != 0 {
        return CANNOT_REMEMBER;
    }
    hand_out(&response);
    DONE
}

/// Randomizes every answer that the host has, and remembers none: for a host
/// that keeps reports itself, and to measure.
#[expect(unsafe_code, reason = "the page calls it by name")]
#[unsafe(no_mangle)]
pub extern "C" fn randomize_each(method: u32, answers: u32, epsilon_nano: u64) -> i32 {
    let Some(randomizer) = randomizer(method, answers, epsilon_nano) else { return CANNOT_ASK };
    while let Ok(given) = u32::try_from(answer()) {
        let Ok(response) = randomizer.randomize(given, &mut Host) else { return CANNOT_RESPOND };
        hand_out(&response);
    }
    DONE
}

/// The page's randomness, by the block.
struct Host;

impl Entropy for Host {
    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), NoEntropy> {
        for chunk in bytes.chunks_mut(RANDOM_BYTES) {
            let mut block = [0; RANDOM_BYTES];
            if random(&mut block) != 0 {
                return Err(NoEntropy);
            }
            chunk.iter_mut().zip(block).for_each(|(place, byte)| *place = byte);
        }
        Ok(())
    }
}

fn randomizer(method: u32, answers: u32, epsilon_nano: u64) -> Option<Randomizer> {
    let method = match method {
        1 => Method::Kary,
        2 => Method::Unary,
        3 => Method::Projective,
        _ => return None,
    };
    Randomizer::new(method, answers, Epsilon::from_nano(epsilon_nano).ok()?).ok()
}

fn hand_out(response: &Report) {
    let text = response.text();
    let mut characters = [0; REPORT_TEXT_MAX];
    characters.iter_mut().zip(text.as_bytes()).for_each(|(place, character)| *place = *character);
    report(&characters, text.as_bytes().len());
}

#[panic_handler]
fn stop(_: &PanicInfo<'_>) -> ! {
    core::arch::wasm32::unreachable()
}
