//! Sealing to auditors: the age format, version 1, with X25519 recipients (age-encryption.org/v1), so that `age -d` opens
//! what was shipped.
//!
//! Promise: each object has a key of its own, which nobody can find out but the holders of the recipients' identities and
//! whoever has what is in it already. An object that is there can be told for ours without opening it, and nobody who does
//! not have what is in it can make one that passes. Not here: opening, which needs an identity that has no business in a pod.
//!
//! The format asks for a random file key; ours is derived from the object's name and all that it says (message-locked
//! encryption; Bellare, Keelveedhi, Ristenpart, <https://eprint.iacr.org/2012/631>). So whoever guesses an object's every byte can confirm
//! the guess: no more than by the hashes beside it, which are open. Two objects under one key are the same bytes. Each
//! sealing wraps that key anew, so headers differ; their MAC is under the key, and what follows them is always the same.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use ring::agreement::{EphemeralPrivateKey, UnparsedPublicKey, X25519, agree_ephemeral};
use ring::rand::SystemRandom;
use ring::{hkdf, hmac};
use zeroize::Zeroizing;

const VERSION_LINE: &str = "age-encryption.org/v1\n";
/// Plain bytes of one chunk of the payload.
const CHUNK_BYTES: usize = 64 << 10;

/// An auditor's public key, written `age1...`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipient([u8; 32]);

/// Not what `age-keygen` prints as a public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an age recipient: `age1` and 58 letters and digits, as `age-keygen` prints it")]
pub struct NotARecipient;

/// The system gave no random numbers, or a recipient's key is one that agrees with nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot seal: no random numbers, or a recipient that is no key")]
pub(crate) struct CannotSeal;

impl FromStr for Recipient {
    type Err = NotARecipient;

    fn from_str(text: &str) -> Result<Self, NotARecipient> {
        let words = bech32("age", text).ok_or(NotARecipient)?;
        eight_bits(&words).and_then(|bytes| bytes.try_into().ok()).map(Self).ok_or(NotARecipient)
    }
}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut words = five_bits(&self.0);
        words.extend(checksum("age", &words));
        let letters: String =
            words.iter().filter_map(|word| LETTERS.get(usize::from(*word))).map(|b| char::from(*b)).collect();
        write!(f, "age1{letters}")
    }
}

const LETTERS: &[u8; 32] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";

/// The checksum's polynomial over words of five bits (BIP 173).
fn polymod(words: impl Iterator<Item = u8>) -> u32 {
    const GENERATOR: [u32; 5] = [0x3b6a_57b2, 0x2650_8e6d, 0x1ea1_19fa, 0x3d42_33dd, 0x2a14_62b3];
    words.fold(1, |sum, word| {
        let top = sum >> 25;
        let shifted = ((sum & 0x01ff_ffff) << 5) ^ u32::from(word);
        (0..).zip(GENERATOR).filter(|(bit, _)| (top >> bit) & 1 == 1).fold(shifted, |sum, (_, term)| sum ^ term)
    })
}

fn expanded(prefix: &str) -> impl Iterator<Item = u8> + '_ {
    prefix.bytes().map(|byte| byte >> 5).chain([0]).chain(prefix.bytes().map(|byte| byte & 31))
}

fn checksum(prefix: &str, words: &[u8]) -> Vec<u8> {
    let sum = polymod(expanded(prefix).chain(words.iter().copied()).chain([0; 6])) ^ 1;
    (0..6).map(|at| u8::try_from((sum >> (5 * (5 - at))) & 31).unwrap_or_default()).collect()
}

/// The words of a Bech32 text with this prefix, its checksum taken off.
fn bech32(prefix: &str, text: &str) -> Option<Vec<u8>> {
    let letters = text.strip_prefix(prefix)?.strip_prefix('1')?;
    let place = |byte: u8| LETTERS.iter().position(|letter| *letter == byte).and_then(|at| u8::try_from(at).ok());
    let words: Vec<u8> = letters.bytes().map(place).collect::<Option<_>>()?;
    let right = polymod(expanded(prefix).chain(words.iter().copied())) == 1;
    let (words, _) = words.split_at_checked(words.len().checked_sub(6)?)?;
    right.then(|| words.to_vec())
}

/// Bytes of words of five bits; what is left over has to be fewer than five bits, all zero.
fn eight_bits(words: &[u8]) -> Option<Vec<u8>> {
    let (mut held, mut bits, mut bytes) = (0_u32, 0_u32, Vec::new());
    for word in words {
        held = (held << 5) | u32::from(*word);
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            bytes.push(u8::try_from(held >> bits).ok()?);
            held &= (1 << bits) - 1;
        }
    }
    (bits < 5 && held == 0).then_some(bytes)
}

fn five_bits(bytes: &[u8]) -> Vec<u8> {
    let (mut held, mut bits, mut words) = (0_u32, 0_u32, Vec::new());
    for byte in bytes {
        held = (held << 8) | u32::from(*byte);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            words.push(u8::try_from((held >> bits) & 31).unwrap_or_default());
        }
    }
    if bits > 0 {
        words.push(u8::try_from((held << (5 - bits)) & 31).unwrap_or_default());
    }
    words
}

/// An object to seal: its contents, and what else its key depends on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plain<'p> {
    /// Its name, for two objects of one content have nothing in common.
    pub(crate) name: &'p str,
    /// What has to be known beside its bytes for a guess of them to be confirmed; may be empty.
    pub(crate) beside: &'p [u8],
    /// Its contents.
    pub(crate) bytes: &'p [u8],
}

/// What an object's contents are encrypted under.
struct Keys {
    file: Zeroizing<[u8; 16]>,
    nonce: [u8; 16],
}

impl Plain<'_> {
    fn keys(&self) -> Result<Keys, CannotSeal> {
        let length = (self.beside.len() as u64).to_be_bytes();
        let secret = Zeroizing::new([length.as_slice(), self.beside, self.bytes].concat());
        let derived = derived(&secret, self.name.as_bytes(), b"privet sealed object, 1")?;
        let mut keys = Keys { file: Zeroizing::default(), nonce: [0; 16] };
        let (file, nonce) = derived.split_at(16);
        keys.file.iter_mut().zip(file).for_each(|(to, from)| *to = *from);
        keys.nonce.iter_mut().zip(nonce).for_each(|(to, from)| *to = *from);
        Ok(keys)
    }

    /// Seals it so that each of the recipients can open it.
    pub(crate) fn seal(&self, recipients: &[Recipient]) -> Result<Vec<u8>, CannotSeal> {
        let (random, keys) = (SystemRandom::new(), self.keys()?);
        let mut header = VERSION_LINE.to_owned();
        for recipient in recipients {
            header.push_str(&stanza(recipient, &keys.file, &random)?);
        }
        header.push_str("---");
        let mac = hmac::sign(&keys.header()?, header.as_bytes());
        let mut out = format!("{header} {}\n", STANDARD_NO_PAD.encode(mac)).into_bytes();
        out.extend(keys.payload(self.bytes)?);
        Ok(out)
    }

    /// Whether a sealed object is one of this: whoever sealed it had its contents.
    pub(crate) fn is_in(&self, sealed: &[u8]) -> Result<bool, CannotSeal> {
        let Some((header, mac, payload)) = parts(sealed) else { return Ok(false) };
        let keys = self.keys()?;
        let is_meant = hmac::verify(&keys.header()?, header, &mac).is_ok();
        Ok(is_meant && keys.payload(self.bytes)? == payload)
    }
}

impl Keys {
    /// The key of the header's MAC.
    fn header(&self) -> Result<hmac::Key, CannotSeal> {
        Ok(hmac::Key::new(hmac::HMAC_SHA256, derived(&self.file[..], &[], b"header")?.as_ref()))
    }

    /// All that follows the header.
    fn payload(&self, plain: &[u8]) -> Result<Vec<u8>, CannotSeal> {
        let mut out = self.nonce.to_vec();
        let key = derived(&self.file[..], &self.nonce, b"payload")?;
        stream(&key, plain, &mut out)?;
        Ok(out)
    }
}

/// Header up to its MAC, the MAC, and what follows; nothing where these are no parts of the format.
fn parts(sealed: &[u8]) -> Option<(&[u8], Vec<u8>, &[u8])> {
    let begin = b"\n--- ";
    let at = memchr::memmem::find(sealed, begin)?;
    let (header, rest) = sealed.split_at_checked(at + begin.len() - 1)?;
    let (line, payload) = rest.split_at_checked(memchr::memchr(b'\n', rest)?)?;
    let mac = STANDARD_NO_PAD.decode(line.strip_prefix(b" ")?).ok()?;
    header.starts_with(VERSION_LINE.as_bytes()).then_some((header, mac, payload.get(1..)?))
}

/// The file key, wrapped for one recipient.
fn stanza(recipient: &Recipient, file_key: &[u8; 16], random: &SystemRandom) -> Result<String, CannotSeal> {
    let ephemeral = EphemeralPrivateKey::generate(&X25519, random).map_err(|_| CannotSeal)?;
    let share = ephemeral.compute_public_key().map_err(|_| CannotSeal)?;
    let salt = [share.as_ref(), recipient.0.as_slice()].concat();
    // ring refuses an agreement of all zeroes, as the format asks.
    let wrap = agree_ephemeral(ephemeral, &UnparsedPublicKey::new(&X25519, recipient.0), |secret| {
        derived(secret, &salt, b"age-encryption.org/v1/X25519")
    });
    let key = wrap.map_err(|_| CannotSeal)??;
    let mut wrapped = file_key.to_vec();
    encrypt(&key, [0; 12], &mut wrapped)?;
    Ok(format!("-> X25519 {}\n{}\n", STANDARD_NO_PAD.encode(share), STANDARD_NO_PAD.encode(wrapped)))
}

/// HKDF-SHA-256 to 32 bytes.
fn derived(secret: &[u8], salt: &[u8], info: &[u8]) -> Result<Zeroizing<[u8; 32]>, CannotSeal> {
    let mut key = Zeroizing::new([0_u8; 32]);
    let extracted = hkdf::Salt::new(hkdf::HKDF_SHA256, salt).extract(secret);
    let info = [info];
    let expanded = extracted.expand(&info, hkdf::HKDF_SHA256).map_err(|_| CannotSeal)?;
    expanded.fill(key.as_mut()).map_err(|_| CannotSeal)?;
    Ok(key)
}

/// The payload: chunks of 64 KiB, numbered, the last one marked; an empty payload is one empty chunk.
fn stream(key: &[u8; 32], plain: &[u8], out: &mut Vec<u8>) -> Result<(), CannotSeal> {
    let chunks: Vec<&[u8]> = if plain.is_empty() { vec![plain] } else { plain.chunks(CHUNK_BYTES).collect() };
    let last = chunks.len() - 1;
    for (number, chunk) in chunks.into_iter().enumerate() {
        let mut nonce = [0_u8; 12];
        let (counter, flag) = nonce.split_at_mut(11);
        // Eleven bytes, big-endian; the upper three stay zero.
        counter.iter_mut().skip(3).zip((number as u64).to_be_bytes()).for_each(|(to, from)| *to = from);
        flag.fill(u8::from(number == last));
        let mut sealed = chunk.to_vec();
        encrypt(key, nonce, &mut sealed)?;
        out.extend_from_slice(&sealed);
    }
    Ok(())
}

fn encrypt(key: &[u8; 32], nonce: [u8; 12], bytes: &mut Vec<u8>) -> Result<(), CannotSeal> {
    let key = UnboundKey::new(&CHACHA20_POLY1305, key).map_err(|_| CannotSeal)?;
    let nonce = Nonce::assume_unique_for_key(nonce);
    LessSafeKey::new(key).seal_in_place_append_tag(nonce, Aad::empty(), bytes).map_err(|_| CannotSeal)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    /// The recipient in the age format's own documentation.
    const DOCUMENTED: &str = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";

    #[test]
    fn a_recipient_reads_back_and_a_mistyped_one_is_none() {
        let recipient: Recipient = DOCUMENTED.parse().unwrap();
        assert_eq!(recipient.to_string(), DOCUMENTED);
        for at in 4..DOCUMENTED.len() {
            let mut text = DOCUMENTED.as_bytes().to_vec();
            text[at] = if text[at] == b'q' { b'p' } else { b'q' };
            assert_eq!(String::from_utf8(text).unwrap().parse::<Recipient>(), Err(NotARecipient), "{at}");
        }
        for text in ["", "age1", "AGE1QL3", "ssh-ed25519 AAAA", &DOCUMENTED[..61], &format!("{DOCUMENTED}q")] {
            assert_eq!(text.parse::<Recipient>(), Err(NotARecipient), "{text}");
        }
    }

    fn object(bytes: &[u8]) -> Plain<'_> {
        Plain { name: "log/1/tile/entries/000", beside: b"", bytes }
    }

    #[test]
    fn an_object_is_told_for_ours_without_its_identity_and_no_other_passes() {
        let to = [DOCUMENTED.parse().unwrap()];
        let plain = vec![7; CHUNK_BYTES + 9];
        let (first, second) = (object(&plain).seal(&to).unwrap(), object(&plain).seal(&to).unwrap());
        assert_ne!(first, second, "each sealing wraps the key anew");
        assert!(object(&plain).is_in(&first).unwrap() && object(&plain).is_in(&second).unwrap());
        // Somebody who seals to the same recipients, but has other contents, name or company.
        let mut other = plain.clone();
        other[CHUNK_BYTES] ^= 1;
        let named = Plain { name: "log/2/tile/entries/000", ..object(&plain) };
        let beside = Plain { beside: b"more", ..object(&plain) };
        let shifted = Plain { beside: &plain[..1], ..object(&plain[1..]) };
        for stranger in [object(&other), object(b""), named, beside, shifted] {
            assert!(!object(&plain).is_in(&stranger.seal(&to).unwrap()).unwrap(), "{}", stranger.name);
        }
        // Whatever byte is changed, in a stanza, the MAC or the contents, and whatever is cut off or put behind.
        for at in (0..first.len()).step_by(first.len() / 300).chain(0..400) {
            let mut changed = first.clone();
            changed[at] ^= 1;
            assert!(!object(&plain).is_in(&changed).unwrap(), "{at}");
            assert!(!object(&plain).is_in(&first[..at]).unwrap(), "{at}");
        }
        assert!(!object(&plain).is_in(&[first, vec![0]].concat()).unwrap());
    }

    fn age(program: &str, args: &[&str], input: &[u8]) -> Vec<u8> {
        let mut child = Command::new(program)
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("`{program}` of the Debian package `age` opens what we seal: {error}"));
        // Both pipes at once: either may be full before the other is read.
        let mut stdin = child.stdin.take().unwrap();
        let done = std::thread::scope(|scope| {
            scope.spawn(move || {
                // Who needs no input may leave before it is written.
                stdin.write_all(input).ok();
                drop(stdin);
            });
            child.wait_with_output().unwrap()
        });
        assert!(done.status.success(), "{program} {args:?}");
        done.stdout
    }

    #[test]
    fn a_strangers_tool_opens_what_is_sealed_with_either_identity_and_not_without() {
        let dir = tempfile::tempdir().unwrap();
        let identity = |name: &str| {
            let file = dir.path().join(name);
            let text = String::from_utf8(age("age-keygen", &[], b"")).unwrap();
            let public = text.lines().find_map(|line| line.strip_prefix("# public key: ")).unwrap();
            let recipient: Recipient = public.parse().unwrap();
            std::fs::write(&file, &text).unwrap();
            (file.to_str().unwrap().to_owned(), recipient)
        };
        let ((first, one), (second, two), (stranger, _)) = (identity("a"), identity("b"), identity("c"));
        for length in [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES] {
            let plain: Vec<u8> = (0..length).map(|n| u8::try_from(n % 251).unwrap()).collect();
            let sealed = object(&plain).seal(&[one.clone(), two.clone()]).unwrap();
            assert_eq!(age("age", &["-d", "-i", &first], &sealed), plain, "{length}");
            assert_eq!(age("age", &["-d", "-i", &second], &sealed), plain, "{length}");
        }
        let sealed = dir.path().join("sealed");
        std::fs::write(&sealed, object(b"x").seal(&[one]).unwrap()).unwrap();
        let refused = Command::new("age").args(["-d", "-i", &stranger]).arg(&sealed).output().unwrap();
        assert!(!refused.status.success());
    }
}
