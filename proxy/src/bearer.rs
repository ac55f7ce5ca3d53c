//! Bearer tokens of those who may ask and change things on the admin address.
//!
//! Promise: a token is never printed, and two of one length are compared whole,
//! however many bytes of them agree.

use std::io;
use std::path::Path;

use http::{HeaderMap, header};
use sha2::{Digest as _, Sha256};

/// The shortest token that counts as one.
const TOKEN_BYTES_MIN: usize = 16;

/// The hash of a token.
pub struct Token([u8; 32]);

impl Token {
    /// The token in a file, without the white space around it.
    ///
    /// # Errors
    /// A file that cannot be read, or holds too little to be a secret.
    pub fn in_file(file: &Path) -> io::Result<Self> {
        let written = std::fs::read(file)?;
        let token = written.trim_ascii();
        if token.len() < TOKEN_BYTES_MIN {
            let why = format!("it holds fewer than {TOKEN_BYTES_MIN} bytes");
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
        Ok(Self::of(token))
    }

    fn of(written: &[u8]) -> Self {
        Self(Sha256::digest(written).into())
    }

    fn is(&self, other: &Self) -> bool {
        self.0.iter().zip(other.0).fold(0, |differing, (a, b)| differing | (a ^ b)) == 0
    }

    /// Whether a request carries it, in its only `Authorization` header.
    #[must_use]
    pub fn lets_in(&self, headers: &HeaderMap) -> bool {
        let mut written = headers.get_all(header::AUTHORIZATION).iter();
        let (Some(one), None) = (written.next(), written.next()) else { return false };
        let token = one.as_bytes().split_at_checked(7).filter(|(scheme, _)| scheme.eq_ignore_ascii_case(b"bearer "));
        token.is_some_and(|(_, token)| self.is(&Self::of(token.trim_ascii())))
    }
}
