//! The query of a request, where a format's collector reads it.
//!
//! Promise: no two readers understand it in two ways. A parameter that stands
//! twice, a `%` without two digits after it, bytes that are no UTF-8 and a NUL are
//! refused before anyone decides anything.

use std::borrow::Cow;
use std::collections::HashSet;

use percent_encoding::percent_decode;

use crate::formats::{Fault, Refusal};

/// More parameters than a client of ours has reason to send.
const PARAMETERS_MAX: usize = 1_024;

/// Refuses a query that could be read in two ways.
pub(super) fn check(target: &str) -> Result<(), Refusal> {
    let (_, query) = target.split_once('?').unwrap_or_default();
    let query = query.split('#').next().unwrap_or_default();
    let mut names = HashSet::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let both = plain(name).zip(plain(value));
        let new = both.is_some_and(|(name, _)| names.insert(name));
        if !new || names.len() > PARAMETERS_MAX {
            return Err(Refusal::malformed(Fault::Query, 0));
        }
    }
    Ok(())
}

/// A name or a value with its escapes undone.
fn plain(written: &str) -> Option<Cow<'_, str>> {
    let bytes = written.as_bytes();
    let mut signs = memchr::memchr_iter(b'%', bytes);
    let digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_hexdigit);
    let whole = signs.all(|at| digit(at + 1) && digit(at + 2));
    let text = percent_decode(bytes).decode_utf8().ok().filter(|text| whole && !text.contains('\0'))?;
    Some(if text.contains('+') { Cow::Owned(text.replace('+', " ")) } else { text })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_read_in_one_way_or_refused() {
        for target in
            ["/", "/?", "/?a=1&b=2", "/?a=1&A=1&&c", "/?api_secret=x%2By&measurement_id=G-1", "/?a=%C3%A9#a=1"]
        {
            assert_eq!(check(target), Ok(()), "{target}");
        }
        for target in
            ["/?a=1&a=2", "/?a&a", "/?a=1&%61=2", "/?a+b=1&a%20b=2", "/?a=%", "/?a=%4", "/?a=%zz", "/?a=%ff", "/?a=%00"]
        {
            assert_eq!(check(target), Err(Refusal::malformed(Fault::Query, 0)), "{target}");
        }
        let many = (0..=PARAMETERS_MAX).map(|number| format!("p{number}=1")).collect::<Vec<_>>().join("&");
        assert!(check(&format!("/?{many}")).is_err());
    }
}
