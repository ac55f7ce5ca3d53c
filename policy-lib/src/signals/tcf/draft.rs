//! TC strings written: for the requests that `prove` shows, and for tests.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// What a TC string shall say. It is of version 2.3, specific to a service, and
/// discloses every vendor that it names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Draft {
    /// When the person chose, in milliseconds since 1970.
    pub at_ms: i64,
    /// Purposes with consent, from 1 to 24.
    pub consents: Vec<u8>,
    /// Purposes with a legitimate interest.
    pub interests: Vec<u8>,
    /// Special features, from 1 to 12.
    pub special_features: Vec<u8>,
    /// Vendors with consent, from 1.
    pub vendors: Vec<u16>,
    /// Vendors with a legitimate interest.
    pub interested_vendors: Vec<u16>,
}

const POLICY_VERSION: u64 = 5;
const DISCLOSED_VENDORS: u64 = 1;
/// A consent platform; any does.
const CMP_ID: u64 = 10;
/// A list of vendors; any does.
const VENDOR_LIST: u64 = 100;

impl Draft {
    /// The string.
    #[must_use]
    pub fn encode(&self) -> String {
        let deciseconds = u64::try_from(self.at_ms / 100).unwrap_or_default();
        let mut core = Bits::default();
        for (value, bits) in [(2, 6), (deciseconds, 36), (deciseconds, 36), (CMP_ID, 12), (1, 12), (1, 6)] {
            core.number(value, bits);
        }
        core.letters("EN");
        core.number(VENDOR_LIST, 12);
        core.number(POLICY_VERSION, 6);
        // Specific to a service, with the standard texts.
        core.number(0b10, 2);
        core.set(self.special_features.iter().copied().map(u16::from), 12);
        core.set(self.consents.iter().copied().map(u16::from), 24);
        core.set(self.interests.iter().copied().map(u16::from), 24);
        core.number(0, 1);
        core.letters("AA");
        core.vendors(&self.vendors);
        core.vendors(&self.interested_vendors);
        core.number(0, 12);
        let mut disclosed = Bits::default();
        disclosed.number(DISCLOSED_VENDORS, 3);
        let both: Vec<u16> = self.vendors.iter().chain(&self.interested_vendors).copied().collect();
        disclosed.vendors(&both);
        format!("{}.{}", core.encode(), disclosed.encode())
    }
}

/// Bits, the most significant first.
#[derive(Default)]
struct Bits(Vec<bool>);

impl Bits {
    fn number(&mut self, value: u64, bits: u32) {
        self.0.extend((0..bits).rev().map(|bit| value >> bit & 1 == 1));
    }

    fn letters(&mut self, letters: &str) {
        letters.bytes().for_each(|letter| self.number(u64::from(letter.wrapping_sub(b'A')), 6));
    }

    /// One bit a number, counted from 1.
    fn set(&mut self, members: impl Iterator<Item = u16> + Clone, size: u16) {
        self.0.extend((1..=size).map(|number| members.clone().any(|member| member == number)));
    }

    fn vendors(&mut self, vendors: &[u16]) {
        let max = vendors.iter().copied().max().unwrap_or_default();
        self.number(u64::from(max), 16);
        // A bit field, no ranges.
        self.number(0, 1);
        self.set(vendors.iter().copied(), max);
    }

    fn encode(&self) -> String {
        let byte =
            |bits: &[bool]| (0..8).fold(0, |byte, at| byte << 1 | u8::from(bits.get(at).is_some_and(|bit| *bit)));
        URL_SAFE_NO_PAD.encode(self.0.chunks(8).map(byte).collect::<Vec<_>>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signals::tcf::TcString;

    #[test]
    fn what_is_written_reads_back() {
        let at_ms = 1_795_000_000_000;
        let draft = Draft {
            at_ms,
            consents: vec![1, 8, 24],
            interests: vec![9],
            special_features: vec![2],
            vendors: vec![3, 812],
            interested_vendors: vec![7],
        };
        let read = TcString::read(&draft.encode()).unwrap_or_else(|why| panic!("{why}"));
        assert_eq!(read.usable(at_ms), Ok(()));
        assert_eq!(read.last_updated_ms(), at_ms);
        let consents: Vec<u8> = (1..=24).filter(|purpose| read.purpose_consent(*purpose)).collect();
        assert_eq!(consents, draft.consents);
        assert!(read.purpose_interest(9) && !read.purpose_interest(8));
        assert!(read.special_feature(2) && !read.special_feature(1));
        let vendors: Vec<u16> = (1..1_000).filter(|vendor| read.vendor_consent(*vendor)).collect();
        assert_eq!(vendors, draft.vendors);
        assert!(read.vendor_interest(7) && read.disclosed(812) == Some(true) && read.disclosed(811) == Some(false));
        assert!(read.consents(8, Some(812)) && !read.consents(8, Some(7)) && !read.consents(9, None));
    }
}
