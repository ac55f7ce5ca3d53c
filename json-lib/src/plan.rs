//! What may leave, as an immutable trie over paths.
//!
//! Promise: finding the child for a key costs the same in a plan of ten paths
//! and of ten thousand. A hash only finds a candidate; the key's text decides.

use std::ops::Range;

use crate::builder::Step;
use crate::hash::Front;
use crate::node::{Key, Kind, Node};

/// A node of a [`Plan`]: one declared path, or an ancestor of one. Ids run
/// from 0 (the root) to [`Plan::len`], so a caller's table by id is a `Vec`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PlanNodeId(pub(crate) u32);

impl PlanNodeId {
    /// The node of the whole document.
    pub const ROOT: Self = Self(0);

    /// The place of this node in a table.
    #[must_use]
    #[inline]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// No child.
pub(crate) const ABSENT: u32 = u32::MAX;

/// What is declared about the value at a node.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Verb<A> {
    /// Nothing: an ancestor of declared paths, or a declared container.
    Unnamed,
    /// It is what its element was chosen by: a scalar is copied, and says nothing more.
    Name,
    /// A scalar is copied.
    Keep,
    /// A scalar goes through an action.
    Edit(A),
    /// Anything is copied.
    Whole,
    /// Anything is written by the caller.
    Splice(u32),
}

/// A place in a key table: a key, as much of it as fits, and its node.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slot {
    pub(crate) hash: u32,
    pub(crate) child: u32,
    pub(crate) front: Front,
}

impl Slot {
    pub(crate) const EMPTY: Self = Self { hash: 0, child: ABSENT, front: Front::NONE };
}

/// Where a node's keys are: an open-addressed table, at most half full.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Table {
    pub(crate) start: u32,
    /// Its size, a power of two, less one.
    pub(crate) mask: u32,
    /// Which bits of a hash choose the place.
    pub(crate) shift: u32,
    /// How many places after its own a key may stand; mostly 0.
    pub(crate) reach: u32,
}

/// A condition on elements, and the node of those that meet it.
#[derive(Debug)]
pub(crate) struct Selector {
    pub(crate) hash: u32,
    pub(crate) key: Box<str>,
    pub(crate) test: Test,
    pub(crate) child: u32,
}

#[derive(Debug)]
pub(crate) enum Test {
    Equals(Box<str>),
    Starts(Box<str>),
}

impl Selector {
    fn takes(&self, member: Node<'_>) -> bool {
        match &self.test {
            Test::Equals(text) => member.is_text(text),
            Test::Starts(text) => member.text_starts_with(text),
        }
    }
}

#[derive(Debug)]
pub(crate) struct PlanNode<A> {
    pub(crate) verb: Verb<A>,
    /// Whether a container here leaves.
    pub(crate) opens: bool,
    /// Whether a container here was declared, so that it says something even if it is empty.
    pub(crate) stands: bool,
    /// Whether elements here were chosen by what they hold: one that says nothing besides does not leave.
    pub(crate) chosen: bool,
    pub(crate) key_action: Option<A>,
    pub(crate) table: Table,
    pub(crate) any_key: u32,
    pub(crate) element: u32,
    pub(crate) selectors: Range<u32>,
}

/// What happens to a value.
#[derive(Clone, Copy)]
pub(crate) enum Course<A> {
    Drop,
    Copy,
    /// Copied, without counting as something that leaves.
    Name,
    Enter,
    Edit(A),
    Splice(u32),
}

impl<A: Copy> PlanNode<A> {
    /// Decides about a value of `kind` here. Never looks at what a container
    /// holds.
    #[inline]
    pub(crate) const fn course(&self, kind: Kind) -> Course<A> {
        match (self.verb, kind) {
            (Verb::Whole, _) => Course::Copy,
            (Verb::Splice(tag), _) => Course::Splice(tag),
            (_, Kind::Array | Kind::Object) if self.opens => Course::Enter,
            (_, Kind::Array | Kind::Object) => Course::Drop,
            (Verb::Edit(action), _) => Course::Edit(action),
            (Verb::Keep, _) => Course::Copy,
            (Verb::Name, _) => Course::Name,
            (Verb::Unnamed, Kind::Null) if self.opens => Course::Name,
            (Verb::Unnamed, _) => Course::Drop,
        }
    }
}

/// The child that a member or an element falls under.
#[derive(Clone, Copy)]
pub(crate) struct Found {
    pub(crate) child: u32,
    /// Whether it was found under `*`, where keys may have an action.
    pub(crate) any: bool,
}

/// A compiled set of declarations; made by
/// [`PlanBuilder::build`](crate::PlanBuilder::build).
#[derive(Debug)]
pub struct Plan<A> {
    pub(crate) nodes: Box<[PlanNode<A>]>,
    pub(crate) parents: Box<[Option<(PlanNodeId, Step)>]>,
    pub(crate) slots: Box<[Slot]>,
    /// By node: the key it is found under.
    pub(crate) names: Box<[Box<str>]>,
    pub(crate) selectors: Box<[Selector]>,
}

impl<A: Copy> Plan<A> {
    /// How many nodes there are; never 0.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a plan always has its root")]
    pub const fn len(&self) -> usize {
        self.nodes.len()
    }

    /// The parent of a node and the step from it; `None` for the root and for
    /// an id of another plan.
    #[must_use]
    pub fn parent(&self, id: PlanNodeId) -> Option<(PlanNodeId, &Step)> {
        let (parent, step) = self.parents.get(id.index())?.as_ref()?;
        Some((*parent, step))
    }

    /// The path of a node from the root, to name it to the policy's author.
    #[must_use]
    pub fn steps(&self, id: PlanNodeId) -> Vec<&Step> {
        let mut steps = Vec::new();
        let mut below = id;
        while let Some((parent, step)) = self.parent(below) {
            steps.push(step);
            below = parent;
        }
        steps.reverse();
        steps
    }

    #[inline]
    pub(crate) fn node(&self, id: u32) -> &PlanNode<A> {
        self.nodes.get(id as usize).expect("a plan's links stay within it")
    }

    /// The child for a member: the exact key if there is one, else `*`.
    #[inline(always)]
    pub(crate) fn member(&self, at: &PlanNode<A>, key: Key<'_>) -> Option<Found> {
        let table = at.table;
        let place = key.hash() >> table.shift;
        for step in 0..=table.reach {
            let slot = self.slots.get((table.start + ((place + step) & table.mask)) as usize)?;
            if slot.hash == key.hash() && self.is_named(slot, key) {
                return Some(Found { child: slot.child, any: false });
            }
        }
        (at.any_key != ABSENT).then_some(Found { child: at.any_key, any: true })
    }

    #[inline]
    fn is_named(&self, slot: &Slot, key: Key<'_>) -> bool {
        match key.front() {
            Some(front) if front.is_whole() => front == slot.front,
            Some(front) if front != slot.front => false,
            _ => self.names.get(slot.child as usize).is_some_and(|name| key.is(name)),
        }
    }

    /// The child for an element: the first selector that takes it, else `[]`.
    #[inline]
    pub(crate) fn element(&self, at: &PlanNode<A>, element: Node<'_>) -> Option<Found> {
        let child = self.selected(at, element).unwrap_or(at.element);
        (child != ABSENT).then_some(Found { child, any: false })
    }

    fn selected(&self, at: &PlanNode<A>, element: Node<'_>) -> Option<u32> {
        let range = at.selectors.start as usize..at.selectors.end as usize;
        let selectors = self.selectors.get(range)?;
        // Neighbouring selectors mostly ask for one member.
        let mut last: Option<(&str, Option<Node<'_>>)> = None;
        for selector in selectors {
            let member = match last {
                Some((key, member)) if key == &*selector.key => member,
                _ => element.get_hashed(&selector.key, selector.hash),
            };
            last = Some((&selector.key, member));
            if member.is_some_and(|member| selector.takes(member)) {
                return Some(selector.child);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::PlanNodeId;
    use crate::hash::Seed;
    use crate::{Edit, Edits, Index, Key, Limits, Node, PlanBuilder, Step, rewrite};

    struct Nothing;

    impl Edits<()> for Nothing {
        fn edit(&mut self, (): (), _: Node<'_>, _: &mut Vec<u8>) -> Edit {
            Edit::Drop
        }
        fn edit_key(&mut self, (): (), _: Key<'_>, _: &mut Vec<u8>) -> Edit {
            Edit::Drop
        }
        fn splice(&mut self, _: u32, _: Node<'_>, _: &mut Vec<u8>) -> Edit {
            Edit::Drop
        }
        fn dropped(&mut self, _: PlanNodeId) {}
    }

    /// Keeps `declared`, reads an object of `sent`, and tells which leave, all
    /// under a seed by which every key has the same hash.
    fn left_of(declared: &[&str], sent: &[&str]) -> Vec<String> {
        let mut plan = PlanBuilder::<()>::new();
        for key in declared {
            plan.keep(&[Step::key(key)]);
        }
        let plan = plan.build_seeded(Seed::worst()).unwrap();
        let body: Vec<String> = sent.iter().map(|key| format!("\"{key}\":0")).collect();
        let body = format!("{{{}}}", body.join(","));
        let (mut index, mut out) = (Index::seeded(Seed::worst()), Vec::new());
        let root = index.read(body.as_bytes(), &Limits::default()).unwrap();
        let _ = rewrite(index.node(body.as_bytes(), root), &plan, &mut Nothing, &mut out);
        let root = index.read(&out, &Limits::default()).unwrap();
        index.node(&out, root).members().map(|(key, _)| key.text().into_owned()).collect()
    }

    #[test]
    fn keys_of_one_hash_are_told_apart_by_their_text() {
        let fifteen = "a name of some ";
        let keys: Vec<String> = ["", "e", "em", "email", "Email", "emails"]
            .iter()
            .map(|key| (*key).to_owned())
            .chain(["", "l", "m", "le", "lengths", "lengthy"].iter().map(|end| format!("{fifteen}{end}")))
            .collect();
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        for mask in 0..1_u32 << keys.len() {
            if mask.count_ones() > 3 && mask.count_ones() < 11 {
                continue;
            }
            let declared: Vec<&str> =
                keys.iter().enumerate().filter(|(n, _)| mask >> n & 1 == 1).map(|(_, key)| *key).collect();
            if !declared.is_empty() {
                assert_eq!(left_of(&declared, &keys), declared);
            }
        }
        assert_eq!(left_of(&["email"], &[r"\u0065mai", r"\u0065mail", r"\u0065mails"]), ["email"]);
    }
}
