//! Rows of words in columns.

use std::io::{self, Write};

/// Prints rows under their heads, each column as wide as its widest word; the last may be of any width.
pub(super) fn print<const N: usize>(out: &mut impl Write, heads: [&str; N], rows: &[[String; N]]) -> io::Result<()> {
    let heads = heads.map(str::to_owned);
    let mut widths = [0; N];
    for row in rows.iter().chain([&heads]) {
        for (width, word) in widths.iter_mut().zip(row) {
            *width = (*width).max(word.chars().count());
        }
    }
    for row in [&heads].into_iter().chain(rows) {
        let mut line = String::new();
        for (word, width) in row.iter().zip(widths) {
            line.push_str(word);
            line.extend(std::iter::repeat_n(' ', width + 2 - word.chars().count()));
        }
        writeln!(out, "  {}", line.trim_end())?;
    }
    Ok(())
}
