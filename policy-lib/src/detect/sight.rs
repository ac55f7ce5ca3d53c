//! First sight of a text: how many bytes of each telling class it holds.
//!
//! One pass that the compiler turns into vector instructions; most texts hold
//! too little of anything for a detector to be worth running.

/// Counts of the byte classes that detectors ask for.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sight {
    pub digits: usize,
    pub dots: usize,
    pub colons: usize,
    pub dashes: usize,
    /// ASCII letters.
    pub letters: usize,
    /// Percent signs, which may hide any other byte.
    pub percents: usize,
    /// Bytes that are, or may begin a spelling of, an at sign: `@ % & \` and the lead byte of full-width forms.
    pub at_signs: usize,
}

/// Small enough that a class cannot be counted past a byte.
const CHUNK_BYTES: usize = 128;

impl Sight {
    pub(super) fn of(text: &[u8]) -> Self {
        let mut sight = Self::default();
        for chunk in text.chunks(CHUNK_BYTES) {
            let (mut digits, mut dots, mut colons, mut dashes) = (0_u8, 0_u8, 0_u8, 0_u8);
            let (mut letters, mut percents, mut at_signs) = (0_u8, 0_u8, 0_u8);
            for &byte in chunk {
                digits += u8::from(byte.is_ascii_digit());
                dots += u8::from(byte == b'.');
                colons += u8::from(byte == b':');
                dashes += u8::from(byte == b'-');
                letters += u8::from(byte.is_ascii_alphabetic());
                percents += u8::from(byte == b'%');
                at_signs +=
                    u8::from((byte == b'@') | (byte == b'%') | (byte == b'&') | (byte == b'\\') | (byte == 0xEF));
            }
            sight.digits += usize::from(digits);
            sight.dots += usize::from(dots);
            sight.colons += usize::from(colons);
            sight.dashes += usize::from(dashes);
            sight.letters += usize::from(letters);
            sight.percents += usize::from(percents);
            sight.at_signs += usize::from(at_signs);
        }
        sight
    }
}
