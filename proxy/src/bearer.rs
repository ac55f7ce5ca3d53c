//! Bearer tokens of those who may ask and change things on the admin address.
//!
//! Promise: a token is never printed, and two of one length are compared whole,
//! however many bytes of them agree.

use std::io;
use std::path::Path;

use http::{HeaderMap, HeaderValue, header};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

/// The shortest token that counts as one.
const TOKEN_BYTES_MIN: usize = 16;

/// The `Authorization` header with the token in a file: what a request of our own carries.
///
/// # Errors
/// A file that cannot be read, or holds no token: one line of visible characters.
pub(crate) fn header_in(file: &Path) -> io::Result<HeaderValue> {
    let text = Zeroizing::new(std::fs::read_to_string(file)?);
    let token = text.trim_ascii();
    let visible = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
    let header = Zeroizing::new(format!("Bearer {token}"));
    let header = HeaderValue::from_str(&header).ok().filter(|_| visible);
    let why = "it holds no token: one line of visible characters";
    let mut header = header.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, why))?;
    header.set_sensitive(true);
    Ok(header)
}

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
