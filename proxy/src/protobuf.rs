//! Protobuf's wire format, written field by field.
//!
//! Promise: a message holds its fields in the order they were written, each
//! with its number and wire type, and no length is longer than what follows it.
//!
//! Not here: reading, which is the business of whoever knows which fields there are.
//!
//! Source: <https://protobuf.dev/programming-guides/encoding/>.

/// The wire types that fields are told apart by.
pub(crate) const VARINT: u64 = 0;
pub(crate) const FIXED64: u64 = 1;
pub(crate) const LENGTH: u64 = 2;
pub(crate) const FIXED32: u64 = 5;

/// Writes a field of four or eight bytes, as its wire type says.
pub(crate) fn write_fixed(number: u32, wire: u64, bytes: &[u8], out: &mut Vec<u8>) {
    write_tag(number, wire, out);
    out.extend_from_slice(bytes);
}

/// Writes a field of bytes or text.
pub(crate) fn write_bytes(number: u32, bytes: &[u8], out: &mut Vec<u8>) {
    write_tag(number, LENGTH, out);
    write_varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

/// Writes what stands before a field.
pub(crate) fn write_tag(number: u32, wire: u64, out: &mut Vec<u8>) {
    write_varint(u64::from(number) << 3 | wire, out);
}

/// Writes seven bits a byte, the lowest first.
pub(crate) fn write_varint(mut value: u64, out: &mut Vec<u8>) {
    while value > 0x7f {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Writes a message within a message: whatever `fields` writes, with its length before it.
pub(crate) fn write_message(number: u32, out: &mut Vec<u8>, fields: impl FnOnce(&mut Vec<u8>)) {
    write_tag(number, LENGTH, out);
    let begun = out.len();
    fields(out);
    let mut length = Vec::new();
    write_varint((out.len() - begun) as u64, &mut length);
    out.splice(begun..begun, length);
}
