//! What it costs to decode a TC string that names 1,000 vendors, and to ask it ten purposes of one of them.

use std::hint::black_box;

use privet_policy::signals::tcf::TcString;

use crate::cpu;
use crate::sample::Samples;

const ROUNDS: usize = 9;
const STRINGS_PER_MEASUREMENT: usize = 20_000;
/// The most that decoding one may cost, in microseconds.
const TARGET_MICROS: f64 = 2.0;
const VENDORS: u32 = 1_000;
/// The vendor that is asked about, in the last part of every set.
const ASKED: u16 = 961;
/// A year after the strings were made.
const NOW_MS: i64 = 1_730_000_000_000;

/// How the vendors are written.
#[derive(Clone, Copy)]
enum Coding {
    /// A bit for each of 1,500, two of three set.
    Field,
    /// 50 ranges of 20.
    Ranges,
    /// A range for each, which no encoder would write: the most there is to read.
    Singles,
}

impl Coding {
    const ALL: [Self; 3] = [Self::Field, Self::Ranges, Self::Singles];

    const fn name(self) -> &'static str {
        match self {
            Self::Field => "bit field",
            Self::Ranges => "50 ranges",
            Self::Singles => "1,000 ranges of one",
        }
    }

    /// One set of vendors, as bits.
    fn vendors(self) -> String {
        match self {
            Self::Field => {
                let bits: String = (1..=VENDORS * 3 / 2).map(|id| if id % 3 == 0 { '0' } else { '1' }).collect();
                format!("{:016b}0{bits}", VENDORS * 3 / 2)
            }
            Self::Ranges => {
                let ranges: String = (0..50).map(|no| format!("1{:016b}{:016b}", no * 24 + 1, no * 24 + 20)).collect();
                format!("{:016b}1{:012b}{ranges}", 49 * 24 + 20, 50)
            }
            Self::Singles => {
                let ranges: String = (1..=VENDORS).map(|id| format!("0{id:016b}")).collect();
                format!("{VENDORS:016b}1{VENDORS:012b}{ranges}")
            }
        }
    }

    /// A string of TCF 2.3 with this set three times: consented to, not objected to, disclosed.
    fn text(self) -> String {
        let set = self.vendors();
        let moment = format!("{:036b}", 17_000_000_000_u64);
        let before = format!("000010{moment}{moment}{:012b}{:012b}{:06b}{:012b}{:012b}", 10, 1, 0, 0x10d, 7);
        let purposes = format!("{:024b}{:024b}", 0xff_e000, 0x41_e000);
        let core = format!("{before}{:06b}10{:012b}{purposes}0{:012b}{set}{set}{:012b}", 5, 0, 0xc4, 0);
        format!("{}.{}", base64url(&core), base64url(&format!("001{set}")))
    }
}

fn base64url(bits: &str) -> String {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let six = bits.as_bytes().chunks(6);
    let value = |six: &[u8]| six.iter().fold(0, |value, bit| value << 1 | usize::from(*bit == b'1')) << (6 - six.len());
    six.filter_map(|six| alphabet.get(value(six))).map(|letter| char::from(*letter)).collect()
}

/// Decodes a string; gives how many of ten purposes it consents to for one vendor.
fn decode_and_ask(text: &str) -> usize {
    let Ok(read) = TcString::read(black_box(text)) else { return 0 };
    let usable = read.usable(NOW_MS).is_ok();
    (1..=10).filter(|purpose| usable && read.consents(*purpose, Some(ASKED))).count()
}

/// Microseconds of CPU for one string.
fn measure(work: impl Fn() -> usize) -> std::io::Result<f64> {
    let begun = cpu::of_this_thread()?;
    for _ in 0..STRINGS_PER_MEASUREMENT {
        black_box(work());
    }
    let used = cpu::of_this_thread()?.saturating_sub(begun);
    Ok(used.as_secs_f64() * 1e6 / STRINGS_PER_MEASUREMENT as f64)
}

/// Prints what each coding costs.
///
/// # Errors
/// Where `/proc` does not tell the time, or a string does not decode to what it says.
pub fn table() -> Result<(), Box<dyn std::error::Error>> {
    println!("\nTC strings of 1,000 vendors, three sets each, median of {ROUNDS} rounds\n");
    println!("| coding | characters | us to decode | us with ten questions | spread |");
    println!("|---|---|---|---|---|");
    for coding in Coding::ALL {
        let text = coding.text();
        if decode_and_ask(&text) != 10 {
            return Err("a string does not say what it was made to say".into());
        }
        let (mut decoding, mut asking) = (Samples::default(), Samples::default());
        for _ in 0..ROUNDS {
            decoding.add(measure(|| TcString::read(black_box(&text)).map_or(0, |read| read.policy_version().into()))?);
            asking.add(measure(|| decode_and_ask(&text))?);
        }
        let (micros, asked) = (decoding.median(), asking.median());
        let (length, spread) = (text.len(), decoding.spread() * 100.0);
        println!("| {} | {length} | {micros:.2} | {asked:.2} | {spread:.0} % |", coding.name());
        if matches!(coding, Coding::Singles) {
            continue;
        }
        let word = if micros <= TARGET_MICROS { "within" } else { "OVER" };
        eprintln!("{}: {micros:.2} us a string, {word} {TARGET_MICROS} us", coding.name());
    }
    Ok(())
}
