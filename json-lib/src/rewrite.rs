//! Pass two: copies out of a body what a plan names.
//!
//! Promise: default deny. The output holds bytes of the body that the plan
//! keeps, bytes that [`Edits`] wrote, and the commas between them; it is valid
//! JSON if what `Edits` wrote is. Neighbouring kept members leave in one copy
//! with the white space between them. Whether a container leaves depends on
//! the plan alone, never on what it holds.
//!
//! Recursion follows the plan's paths (at most 64 steps), never the body.

use crate::node::{Key, Kind, Node};
use crate::plan::{Course, Found, Plan, PlanNodeId};

/// What becomes of a value or a key that [`Edits`] was asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edit {
    /// It leaves as it was written.
    Keep,
    /// What was appended to `out` leaves instead. Nothing appended counts as
    /// [`Edit::Drop`].
    Written,
    /// The member or element does not leave.
    Drop,
}

/// The caller's hand in a rewriting.
///
/// The methods that get `out` append to it exactly one JSON value (for a key:
/// one JSON string) and answer [`Edit::Written`], or answer otherwise and what
/// they appended is taken back. They leave what is already in `out` alone.
pub trait Edits<A> {
    /// A scalar where the plan has a leaf.
    fn edit(&mut self, action: A, value: Node<'_>, out: &mut Vec<u8>) -> Edit;

    /// A key under `*` where the plan has a key action, before its value. Two
    /// keys of one object must not become one.
    fn edit_key(&mut self, action: A, key: Key<'_>, out: &mut Vec<u8>) -> Edit;

    /// A value of any kind where the plan has a splice.
    fn splice(&mut self, tag: u32, node: Node<'_>, out: &mut Vec<u8>) -> Edit;

    /// A member or element was dropped because the plan does not name it, or
    /// names it with another shape. `nearest` is its nearest declared node:
    /// its parent, or itself where only the shape is wrong.
    fn dropped(&mut self, nearest: PlanNodeId);
}

/// Whether a document left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Emitted {
    /// One JSON value was appended.
    Value,
    /// The plan lets nothing of this document out; nothing was appended.
    Nothing,
}

/// Appends to `out` what `plan` lets out of `node`, as one JSON value.
pub fn rewrite<A: Copy, E: Edits<A>>(node: Node<'_>, plan: &Plan<A>, edits: &mut E, out: &mut Vec<u8>) -> Emitted {
    let span = node.span();
    out.reserve(span.len());
    let mark = out.len();
    let mut pass = Pass { plan, edits, out, body: node.body(), copied: span.start };
    let root = Found { child: PlanNodeId::ROOT.0, any: false };
    // The document is the one member of a container that is not copied.
    let mut seam = Seam { tail: span.start, gap: false, filled: false, told: false };
    pass.member(&mut seam, root, None, node);
    if seam.filled {
        pass.copy_to(span.end);
        Emitted::Value
    } else {
        pass.out.truncate(mark);
        Emitted::Nothing
    }
}

/// Where the next member or element of an open container joins the output.
struct Seam {
    /// The end in the body of the last that leaves, or of the opening bracket.
    tail: usize,
    /// Whether anything was dropped after `tail`.
    gap: bool,
    /// Whether anything leaves before here.
    filled: bool,
    /// Whether any of that says more than what its element was chosen by.
    told: bool,
}

impl Seam {
    /// Moves past a value that leaves.
    #[inline]
    const fn pass(&mut self, value: Node<'_>, told: bool) {
        (self.tail, self.gap, self.filled) = (value.span().end, false, true);
        self.told |= told;
    }
}

/// What leaves of a value.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Left {
    /// Something that was declared.
    Value,
    /// A name, a null or an empty container.
    Name,
    Nothing,
}

/// The state of pass two. The body up to `copied` is dealt with; from there to
/// where the pass stands, everything leaves as it is and waits to be copied.
struct Pass<'a, A, E> {
    plan: &'a Plan<A>,
    edits: &'a mut E,
    out: &'a mut Vec<u8>,
    body: &'a [u8],
    copied: usize,
}

impl<A: Copy, E: Edits<A>> Pass<'_, A, E> {
    /// Passes through a container that leaves; says whether anything declared in it does.
    #[inline(never)]
    fn enter(&mut self, container: Node<'_>, id: u32) -> bool {
        let plan = self.plan;
        let at = plan.node(id);
        let span = container.span();
        let is_object = container.kind() == Kind::Object;
        let mut seam = Seam { tail: span.start + 1, gap: false, filled: false, told: false };
        for child in container.all() {
            let found = match child.key() {
                Some(key) if is_object => plan.member(at, key),
                _ => plan.element(at, child),
            };
            match found {
                Some(found) => self.member(&mut seam, found, at.key_action.filter(|_| found.any), child),
                None => self.undeclared(&mut seam, id),
            }
        }
        if seam.gap {
            self.copy_to(seam.tail);
            self.copied = span.end - 1;
        }
        seam.told || at.stands
    }

    #[inline]
    fn undeclared(&mut self, seam: &mut Seam, nearest: u32) {
        seam.gap = true;
        self.edits.dropped(PlanNodeId(nearest));
    }

    /// Deals with one member or element that the plan names.
    #[inline(always)]
    fn member(&mut self, seam: &mut Seam, found: Found, key_action: Option<A>, value: Node<'_>) {
        let plan = self.plan;
        let course = plan.node(found.child).course(value.kind());
        match course {
            Course::Drop => self.undeclared(seam, found.child),
            Course::Copy if key_action.is_none() => {
                if seam.gap {
                    self.join(seam, value);
                }
                seam.pass(value, true);
            }
            _ => self.deal(seam, found, key_action, value),
        }
    }

    /// Deals with one whose key or value is not simply copied.
    #[inline(never)]
    fn deal(&mut self, seam: &mut Seam, found: Found, key_action: Option<A>, value: Node<'_>) {
        let plan = self.plan;
        let at = plan.node(found.child);
        let course = at.course(value.kind());
        let mark = self.join(seam, value);
        let left = if self.key(key_action, value) { self.value(course, found.child, value) } else { Left::Nothing };
        match left {
            Left::Value => seam.pass(value, true),
            Left::Name if !at.chosen => seam.pass(value, false),
            Left::Name | Left::Nothing => {
                // What waits before the member may not have been copied yet.
                self.out.truncate(mark);
                (self.copied, seam.gap) = (self.copied.min(seam.tail), true);
            }
        }
    }

    /// Makes the place for a member: after a gap, copies what waits and
    /// writes the comma. Gives the length of `out` that undoes the member.
    #[inline]
    fn join(&mut self, seam: &Seam, value: Node<'_>) -> usize {
        if !seam.gap {
            return self.out.len() + (seam.tail - self.copied);
        }
        self.copy_to(seam.tail);
        let mark = self.out.len();
        if seam.filled {
            self.out.push(b',');
        }
        self.copied = value.key().map_or(value.span().start, |key| key.span().start);
        mark
    }

    /// Passes a key under `*` through its action; false when it may not leave.
    #[inline]
    fn key(&mut self, action: Option<A>, value: Node<'_>) -> bool {
        let (Some(action), Some(key)) = (action, value.key()) else { return true };
        let span = key.span();
        self.copy_to(span.start);
        let before = self.out.len();
        let edit = self.edits.edit_key(action, key, self.out);
        self.settle(edit, before, span.end)
    }

    #[inline]
    fn value(&mut self, course: Course<A>, id: u32, value: Node<'_>) -> Left {
        let span = value.span();
        let (before, edit) = match course {
            Course::Drop => return Left::Nothing,
            Course::Copy => return Left::Value,
            Course::Name => return Left::Name,
            Course::Enter => return if self.enter(value, id) { Left::Value } else { Left::Name },
            Course::Edit(action) => {
                self.copy_to(span.start);
                (self.out.len(), self.edits.edit(action, value, self.out))
            }
            Course::Splice(tag) => {
                self.copy_to(span.start);
                (self.out.len(), self.edits.splice(tag, value, self.out))
            }
        };
        if self.settle(edit, before, span.end) { Left::Value } else { Left::Nothing }
    }

    /// Carries out an edit of what ends at `end`; `before` is where it wrote.
    #[inline]
    fn settle(&mut self, edit: Edit, before: usize, end: usize) -> bool {
        match edit {
            Edit::Written => {
                self.copied = end;
                self.out.len() > before
            }
            Edit::Keep => {
                self.out.truncate(before);
                true
            }
            Edit::Drop => false,
        }
    }

    /// Copies what waits, up to `end`.
    #[inline]
    fn copy_to(&mut self, end: usize) {
        let waiting = self.body.get(self.copied..end).expect("the pass only moves forward");
        self.out.extend_from_slice(waiting);
        self.copied = end;
    }
}
