//! Views of indexed values: two words and an offset, copied freely.
//!
//! Promise: nothing here allocates but the owned half of a `Cow`, which only a
//! string with an escape in it needs. `Debug` prints kinds and places, never a
//! byte of the body.

use std::borrow::Cow;
use std::fmt;
use std::iter::FusedIterator;
use std::ops::Range;

use crate::escape;
use crate::hash::Front;
use crate::index::{Index, NodeId, Record};

/// The kinds of JSON value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `null`
    Null,
    /// `true` or `false`
    Bool,
    /// A number, whose text is kept as it was written.
    Number,
    /// A string.
    String,
    /// An array.
    Array,
    /// An object.
    Object,
}

impl Kind {
    /// Whether values of this kind hold other values.
    #[must_use]
    #[inline]
    pub const fn is_container(self) -> bool {
        matches!(self, Self::Array | Self::Object)
    }
}

/// A value in a body.
#[derive(Clone, Copy)]
pub struct Node<'a> {
    index: &'a Index,
    body: &'a [u8],
    record: &'a Record,
    id: u32,
}

impl<'a> Node<'a> {
    #[inline]
    pub(crate) fn new(index: &'a Index, body: &'a [u8], id: u32) -> Self {
        Self { index, body, record: index.record(id), id }
    }

    /// The name of this value in its index.
    #[must_use]
    #[inline]
    pub const fn id(&self) -> NodeId {
        NodeId(self.id)
    }

    /// What kind of value it is.
    #[must_use]
    #[inline]
    pub const fn kind(&self) -> Kind {
        self.record.kind
    }

    /// Where the value is, in bytes of the body; a string's quotes are within.
    #[must_use]
    #[inline]
    pub const fn span(&self) -> Range<usize> {
        self.record.start as usize..self.record.end as usize
    }

    /// The value exactly as it was written.
    #[must_use]
    #[inline]
    pub fn raw(&self) -> &'a [u8] {
        slice(self.body, self.span())
    }

    /// The whole body that this value lies in.
    #[must_use]
    #[inline]
    pub const fn body(&self) -> &'a [u8] {
        self.body
    }

    /// The key of this value, where its parent is an object.
    #[must_use]
    #[inline]
    pub const fn key(&self) -> Option<Key<'a>> {
        if self.record.key_end == 0 {
            return None;
        }
        Some(Key { body: self.body, record: self.record })
    }

    /// A string's text, decoded; `None` for every other kind.
    #[must_use]
    pub fn text(&self) -> Option<Cow<'a, str>> {
        self.inner().map(|inner| decoded(inner, self.record.value_escaped))
    }

    /// A string's text where it stands in the body as it is, without an
    /// escape; `None` otherwise, and for every other kind.
    #[must_use]
    pub fn plain_text(&self) -> Option<&'a str> {
        self.inner().filter(|_| !self.record.value_escaped).map(utf8)
    }

    /// A string's text, decoded into `room` where it must be; `None` for every
    /// other kind. Allocates nothing once `room` is large enough.
    #[must_use]
    pub fn text_in<'r>(&self, room: &'r mut Vec<u8>) -> Option<&'r str>
    where
        'a: 'r,
    {
        let inner = self.inner()?;
        Some(decoded_in(inner, self.record.value_escaped, room))
    }

    /// Whether this is a string that decodes to `text`.
    #[must_use]
    pub fn is_text(&self, text: &str) -> bool {
        self.inner().is_some_and(|inner| same(inner, self.record.value_escaped, text))
    }

    /// Whether this is a string that, decoded, begins with `text`.
    #[must_use]
    pub fn text_starts_with(&self, text: &str) -> bool {
        self.inner().is_some_and(|inner| {
            if self.record.value_escaped {
                escape::starts_with(inner, text.as_bytes())
            } else {
                inner.starts_with(text.as_bytes())
            }
        })
    }

    /// How many members or elements there are; 0 in a scalar.
    #[must_use]
    #[inline]
    pub const fn len(&self) -> usize {
        self.record.count as usize
    }

    /// Whether there are no members or elements, as in every scalar.
    #[must_use]
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.record.count == 0
    }

    /// The members of an object, in the order they were written; none for
    /// every other kind.
    #[must_use]
    #[inline]
    pub fn members(&self) -> Members<'a> {
        Members(self.children(Kind::Object))
    }

    /// The elements of an array; none for every other kind.
    #[must_use]
    #[inline]
    pub fn elements(&self) -> Elements<'a> {
        Elements(self.children(Kind::Array))
    }

    /// The member whose decoded key is `key`; there is at most one. Linear in
    /// the members; `None` for every kind but objects.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<Node<'a>> {
        self.get_hashed(key, self.index.seed().of(key.as_bytes()))
    }

    #[inline]
    pub(crate) fn get_hashed(&self, key: &str, hash: u32) -> Option<Node<'a>> {
        self.members().find(|(found, _)| found.hash() == hash && found.is(key)).map(|(_, node)| node)
    }

    /// The members of an object, the elements of an array.
    #[inline]
    pub(crate) const fn all(&self) -> Children<'a> {
        Children { index: self.index, body: self.body, id: self.id + 1, left: self.record.count }
    }

    #[inline]
    fn children(&self, of: Kind) -> Children<'a> {
        let left = if self.record.kind == of { self.record.count } else { 0 };
        Children { index: self.index, body: self.body, id: self.id + 1, left }
    }

    /// What is between the quotes of a string.
    #[inline]
    fn inner(&self) -> Option<&'a [u8]> {
        let span = self.span();
        (self.record.kind == Kind::String).then(|| slice(self.body, span.start + 1..span.end - 1))
    }
}

impl fmt::Debug for Node<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} at {:?}", self.kind(), self.span())
    }
}

/// The key of a member.
#[derive(Clone, Copy)]
pub struct Key<'a> {
    body: &'a [u8],
    record: &'a Record,
}

impl<'a> Key<'a> {
    /// Where the key is, in bytes of the body, with its quotes.
    #[must_use]
    #[inline]
    pub const fn span(&self) -> Range<usize> {
        self.record.key_start as usize..self.record.key_end as usize
    }

    /// The key exactly as it was written, with its quotes.
    #[must_use]
    #[inline]
    pub fn raw(&self) -> &'a [u8] {
        slice(self.body, self.span())
    }

    /// The key, decoded.
    #[must_use]
    pub fn text(&self) -> Cow<'a, str> {
        decoded(self.inner(), self.record.key_escaped)
    }

    /// The key, decoded into `room` where it must be.
    #[must_use]
    pub fn text_in<'r>(&self, room: &'r mut Vec<u8>) -> &'r str
    where
        'a: 'r,
    {
        decoded_in(self.inner(), self.record.key_escaped, room)
    }

    /// Whether the key decodes to `text`.
    #[must_use]
    #[inline]
    pub fn is(&self, text: &str) -> bool {
        same(self.inner(), self.record.key_escaped, text)
    }

    #[inline]
    pub(crate) const fn hash(&self) -> u32 {
        self.record.hash
    }

    /// The key's front, or `None` where it must be decoded first.
    #[inline]
    pub(crate) fn front(&self) -> Option<Front> {
        let (start, end) = (self.record.key_start, self.record.key_end);
        (!self.record.key_escaped).then(|| Front::of(self.body, start as usize + 1, end - start - 2))
    }

    #[inline]
    fn inner(&self) -> &'a [u8] {
        let span = self.span();
        slice(self.body, span.start + 1..span.end - 1)
    }
}

impl fmt::Debug for Key<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "key at {:?}", self.span())
    }
}

/// The children of a container, by the links of the index.
#[derive(Clone)]
pub(crate) struct Children<'a> {
    index: &'a Index,
    body: &'a [u8],
    id: u32,
    left: u32,
}

impl<'a> Iterator for Children<'a> {
    type Item = Node<'a>;

    #[inline]
    fn next(&mut self) -> Option<Node<'a>> {
        self.left = self.left.checked_sub(1)?;
        let node = Node::new(self.index, self.body, self.id);
        self.id = node.record.next;
        Some(node)
    }
}

/// Iterator over the members of an object; see [`Node::members`].
#[derive(Clone)]
pub struct Members<'a>(Children<'a>);

impl<'a> Iterator for Members<'a> {
    type Item = (Key<'a>, Node<'a>);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(|node| (Key { body: node.body, record: node.record }, node))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.0.left as usize, Some(self.0.left as usize))
    }
}

impl ExactSizeIterator for Members<'_> {}
impl FusedIterator for Members<'_> {}

/// Iterator over the elements of an array; see [`Node::elements`].
#[derive(Clone)]
pub struct Elements<'a>(Children<'a>);

impl<'a> Iterator for Elements<'a> {
    type Item = Node<'a>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.0.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.0.left as usize, Some(self.0.left as usize))
    }
}

impl ExactSizeIterator for Elements<'_> {}
impl FusedIterator for Elements<'_> {}

#[inline]
fn slice(body: &[u8], span: Range<usize>) -> &[u8] {
    body.get(span).expect("a node is used with the body that its index has read")
}

fn utf8(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("the index has checked that its body is UTF-8")
}

fn decoded(inner: &[u8], escaped: bool) -> Cow<'_, str> {
    if !escaped {
        return Cow::Borrowed(utf8(inner));
    }
    let mut text = Vec::with_capacity(inner.len());
    escape::decode(inner, &mut text);
    Cow::Owned(String::from_utf8(text).expect("UTF-8 stays UTF-8 when escapes become characters"))
}

fn decoded_in<'r>(inner: &'r [u8], escaped: bool, room: &'r mut Vec<u8>) -> &'r str {
    if !escaped {
        return utf8(inner);
    }
    room.clear();
    escape::decode(inner, room);
    utf8(room)
}

#[inline]
fn same(inner: &[u8], escaped: bool, text: &str) -> bool {
    if escaped { escape::equals(inner, text.as_bytes()) } else { inner == text.as_bytes() }
}
