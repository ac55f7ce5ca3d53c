//! How an identifier is written, character by character.

/// One way of writing an identifier: which of its characters are digits, which
/// letters, and where it may be parted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    pub len: usize,
    digits: u32,
    letters: u32,
    cuts: u32,
}

impl Shape {
    /// Reads `9` for a digit, `A` for a letter, `X` for either, and `-` for a
    /// place where the number may be parted: at all of these or at none.
    ///
    /// Fails at compile time on anything else.
    pub(super) const fn new(pattern: &str) -> Self {
        let (mut len, mut digits, mut letters, mut cuts) = (0, 0, 0, 0);
        let mut rest = pattern.as_bytes();
        while let [sign, tail @ ..] = rest {
            match *sign {
                b'9' => digits |= 1 << len,
                b'A' => letters |= 1 << len,
                b'-' => cuts |= 1 << len,
                other => assert!(other == b'X', "a shape is made of 9, A, X and -"),
            }
            len += if *sign == b'-' { 0 } else { 1 };
            rest = tail;
        }
        Self { len, digits, letters, cuts }
    }

    /// Whether it is written so, each mask with a bit a character: where digits are, and before which a separator stands.
    pub(super) const fn is(&self, len: usize, digits: u32, cuts: u32) -> bool {
        self.len == len
            && digits & self.digits == self.digits
            && digits & self.letters == 0
            && (cuts == 0 || cuts == self.cuts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parted_everywhere_or_nowhere() {
        const SHAPE: Shape = Shape::new("A9-9X");
        assert!(SHAPE.is(4, 0b0110, 0) && SHAPE.is(4, 0b1110, 0b0100));
        for (len, digits, cuts) in [(5, 0b0110, 0), (4, 0b0111, 0), (4, 0b0010, 0), (4, 0b0110, 0b0010)] {
            assert!(!SHAPE.is(len, digits, cuts), "{len} {digits:b} {cuts:b}");
        }
    }
}
