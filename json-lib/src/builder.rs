//! Compiling declared paths into a [`Plan`].
//!
//! Promise: a builder whose declarations contradict each other does not build;
//! nothing is resolved by the order of declarations but the order in which
//! selectors are tried.

use std::collections::BTreeMap;

use thiserror::Error;

use crate::hash::{Front, Seed};
use crate::plan::{ABSENT, Plan, PlanNode, PlanNodeId, Selector, Slot, Table, Test, Verb};

/// The longest path a plan takes. Pass two recurses on it, so it has a bound.
pub const STEPS_MAX: usize = 64;

/// One step of a path from the root of a document.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// The member with this key, compared after unescaping.
    Key(Box<str>),
    /// Every member whose key no [`Step::Key`] of the same object names.
    AnyKey,
    /// Every element that no selector of the same array takes.
    Element,
    /// Every element that is an object whose member `key` is the string
    /// `equals`.
    Where {
        /// The member to look at.
        key: Box<str>,
        /// What it decodes to.
        equals: Box<str>,
    },
    /// Every element that is an object whose member `key` is a string that
    /// begins with `starts`: an Iglu URI up to its model.
    WhereStarts {
        /// The member to look at.
        key: Box<str>,
        /// What its decoded text begins with.
        starts: Box<str>,
    },
}

impl Step {
    /// [`Step::Key`], from borrowed text.
    #[must_use]
    pub fn key(key: &str) -> Self {
        Self::Key(key.into())
    }
}

/// Why declarations do not make a plan.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum PlanConflict {
    /// One path was given two actions, or an action and a splice.
    #[error("a path is declared twice")]
    DeclaredTwice {
        /// The path's node.
        at: PlanNodeId,
    },
    /// A path that is copied whole or spliced has other declarations below it,
    /// which copying would disregard.
    #[error("a path is declared whole, and paths below it too")]
    WholeWithParts {
        /// The whole path's node.
        at: PlanNodeId,
    },
    /// A path of more than 64 steps.
    #[error("a path has more than 64 steps")]
    TooManySteps,
}

/// One node while the plan grows.
struct Draft<A> {
    verb: Verb<A>,
    container: bool,
    keys: BTreeMap<Box<str>, PlanNodeId>,
    any_key: Option<PlanNodeId>,
    key_action: Option<A>,
    selectors: Vec<(Step, PlanNodeId)>,
    element: Option<PlanNodeId>,
    parent: Option<(PlanNodeId, Step)>,
}

impl<A> Draft<A> {
    fn new(parent: Option<(PlanNodeId, Step)>) -> Self {
        Self {
            verb: Verb::Unnamed,
            container: false,
            keys: BTreeMap::new(),
            any_key: None,
            key_action: None,
            selectors: Vec::new(),
            element: None,
            parent,
        }
    }

    fn child(&self, step: &Step) -> Option<PlanNodeId> {
        match step {
            Step::Key(key) => self.keys.get(key).copied(),
            Step::AnyKey => self.any_key,
            Step::Element => self.element,
            selector => self.selectors.iter().find(|(held, _)| held == selector).map(|(_, id)| *id),
        }
    }

    fn attach(&mut self, step: Step, child: PlanNodeId) {
        match step {
            Step::Key(key) => drop(self.keys.insert(key, child)),
            Step::AnyKey => self.any_key = Some(child),
            Step::Element => self.element = Some(child),
            selector => self.selectors.push((selector, child)),
        }
    }

    fn children(&self) -> impl Iterator<Item = PlanNodeId> {
        let keys = self.keys.values().copied();
        keys.chain(self.any_key).chain(self.element).chain(self.selectors.iter().map(|(_, id)| *id))
    }

    fn has_parts(&self) -> bool {
        self.container || self.key_action.is_some() || self.children().next().is_some()
    }
}

/// Collects declarations about paths; see [`PlanBuilder::build`].
///
/// Every declaration returns the node of its path, which is what
/// [`Edits::dropped`](crate::Edits::dropped) will name.
pub struct PlanBuilder<A> {
    drafts: Vec<Draft<A>>,
    conflict: Option<PlanConflict>,
}

impl<A: Copy> Default for PlanBuilder<A> {
    fn default() -> Self {
        Self::new()
    }
}

impl<A: Copy> PlanBuilder<A> {
    /// A plan that names nothing, and so lets nothing out.
    #[must_use]
    pub fn new() -> Self {
        Self { drafts: vec![Draft::new(None)], conflict: None }
    }

    /// A scalar here, or a null, goes through `action`; a container is dropped
    /// unless paths below it are declared too.
    pub fn leaf(&mut self, steps: &[Step], action: A) -> PlanNodeId {
        self.declare(steps, Verb::Edit(action))
    }

    /// A scalar here is copied without asking: [`PlanBuilder::leaf`] with an
    /// action that always answers [`Edit::Keep`](crate::Edit::Keep), but faster.
    pub fn keep(&mut self, steps: &[Step]) -> PlanNodeId {
        self.declare(steps, Verb::Keep)
    }

    /// Whatever is here is copied byte for byte, with all that is below it.
    pub fn whole(&mut self, steps: &[Step]) -> PlanNodeId {
        self.declare(steps, Verb::Whole)
    }

    /// Whatever is here, of any kind, is written by
    /// [`Edits::splice`](crate::Edits::splice) under `tag`.
    pub fn splice(&mut self, steps: &[Step], tag: u32) -> PlanNodeId {
        self.declare(steps, Verb::Splice(tag))
    }

    /// A container here leaves, if only empty.
    pub fn container(&mut self, steps: &[Step]) -> PlanNodeId {
        let id = self.node(steps);
        self.draft(id).container = true;
        id
    }

    /// Nothing here leaves, and nothing that `*`, `[]` or another selector beside
    /// it says is about it; paths below it may still be declared.
    pub fn block(&mut self, steps: &[Step]) -> PlanNodeId {
        self.node(steps)
    }

    /// The whole document is copied byte for byte.
    pub fn keep_all(&mut self) -> PlanNodeId {
        self.whole(&[])
    }

    /// In the object at `steps`, the keys that [`Step::AnyKey`] stands for go
    /// through `action` before their members leave. It declares no member by
    /// itself.
    pub fn any_key_action(&mut self, steps: &[Step], action: A) -> PlanNodeId {
        let id = self.node(steps);
        let held = self.draft(id).key_action.replace(action);
        if held.is_some() {
            self.conflict.get_or_insert(PlanConflict::DeclaredTwice { at: id });
        }
        id
    }

    /// Makes the plan.
    ///
    /// # Errors
    /// The first contradiction among the declarations.
    pub fn build(self) -> Result<Plan<A>, PlanConflict> {
        self.build_seeded(Seed::of_this_process())
    }

    pub(crate) fn build_seeded(self, seed: Seed) -> Result<Plan<A>, PlanConflict> {
        if let Some(conflict) = self.conflict {
            return Err(conflict);
        }
        for (id, draft) in self.drafts.iter().enumerate() {
            if matches!(draft.verb, Verb::Whole | Verb::Splice(_)) && draft.has_parts() {
                return Err(PlanConflict::WholeWithParts { at: PlanNodeId(id as u32) });
            }
        }
        Ok(Compiler::new(seed).compile(self.drafts))
    }

    fn declare(&mut self, steps: &[Step], verb: Verb<A>) -> PlanNodeId {
        let id = self.node(steps);
        let draft = self.draft(id);
        match (&draft.verb, &verb) {
            (Verb::Unnamed, _) => draft.verb = verb,
            (Verb::Keep, Verb::Keep) | (Verb::Whole, Verb::Whole) => {}
            _ => drop(self.conflict.get_or_insert(PlanConflict::DeclaredTwice { at: id })),
        }
        id
    }

    /// The node of a path, made with its ancestors where it is missing.
    fn node(&mut self, steps: &[Step]) -> PlanNodeId {
        if steps.len() > STEPS_MAX {
            self.conflict.get_or_insert(PlanConflict::TooManySteps);
            return PlanNodeId::ROOT;
        }
        steps.iter().fold(PlanNodeId::ROOT, |parent, step| {
            self.draft(parent).child(step).unwrap_or_else(|| self.grow(parent, step))
        })
    }

    fn grow(&mut self, parent: PlanNodeId, step: &Step) -> PlanNodeId {
        let id = PlanNodeId(self.drafts.len() as u32);
        self.drafts.push(Draft::new(Some((parent, step.clone()))));
        self.draft(parent).attach(step.clone(), id);
        id
    }

    fn draft(&mut self, id: PlanNodeId) -> &mut Draft<A> {
        self.drafts.get_mut(id.index()).expect("a plan node id is used with its own builder")
    }
}

/// Lays the drafts out flat.
struct Compiler {
    seed: Seed,
    slots: Vec<Slot>,
    names: Vec<Box<str>>,
    selectors: Vec<Selector>,
}

impl Compiler {
    fn new(seed: Seed) -> Self {
        Self { seed, slots: Vec::new(), names: Vec::new(), selectors: Vec::new() }
    }

    fn compile<A: Copy>(mut self, mut drafts: Vec<Draft<A>>) -> Plan<A> {
        let mut opens = opening(&drafts);
        name_chosen(&mut drafts, &mut opens);
        self.names = drafts.iter().map(|draft| name(draft)).collect();
        let nodes = drafts.iter().zip(opens).map(|(draft, opens)| self.node(draft, opens)).collect();
        let parents = drafts.into_iter().map(|draft| draft.parent).collect();
        Plan { nodes, parents, slots: self.slots.into(), names: self.names.into(), selectors: self.selectors.into() }
    }

    fn node<A: Copy>(&mut self, draft: &Draft<A>, opens: bool) -> PlanNode<A> {
        let table = self.table(&draft.keys);
        let selectors_start = self.selectors.len() as u32;
        for (step, child) in &draft.selectors {
            let selector = self.selector(step, *child);
            self.selectors.extend(selector);
        }
        PlanNode {
            verb: draft.verb,
            opens,
            stands: draft.container,
            chosen: matches!(draft.parent, Some((_, Step::Where { .. } | Step::WhereStarts { .. }))),
            key_action: draft.key_action,
            table,
            any_key: draft.any_key.map_or(ABSENT, |id| id.0),
            element: draft.element.map_or(ABSENT, |id| id.0),
            selectors: selectors_start..self.selectors.len() as u32,
        }
    }

    fn selector(&self, step: &Step, child: PlanNodeId) -> Option<Selector> {
        let (key, test) = match step {
            Step::Where { key, equals } => (key, Test::Equals(equals.clone())),
            Step::WhereStarts { key, starts } => (key, Test::Starts(starts.clone())),
            Step::Key(_) | Step::AnyKey | Step::Element => return None,
        };
        Some(Selector { hash: self.seed.of(key.as_bytes()), key: key.clone(), test, child: child.0 })
    }

    /// Lays out the keys of one node. A node without keys has one empty slot.
    fn table(&mut self, keys: &BTreeMap<Box<str>, PlanNodeId>) -> Table {
        let slots: Vec<Slot> = keys.iter().map(|(key, child)| self.slot(key, *child)).collect();
        let (mut table, mut laid) = best_layout(&slots);
        table.start = self.slots.len() as u32;
        self.slots.append(&mut laid);
        table
    }

    fn slot(&self, key: &str, child: PlanNodeId) -> Slot {
        let length = u32::try_from(key.len()).unwrap_or(u32::MAX);
        let front = Front::of(key.as_bytes(), 0, length);
        Slot { hash: self.seed.of(key.as_bytes()), child: child.0, front }
    }
}

/// The layout in which the farthest key is nearest to its own place. Tables
/// are between half and an eighth full; up to some forty keys, nearly always
/// every key has its own place.
fn best_layout(slots: &[Slot]) -> (Table, Vec<Slot>) {
    let half = (2 * slots.len()).next_power_of_two() as u32;
    // Beyond this many keys the search would be long and in vain.
    let (sizes, shifts) = if slots.len() <= 64 { (3, 20) } else { (1, 1) };
    let sizes = (0..sizes).map(|doubling| half << doubling);
    let layouts = sizes.flat_map(|size| (0..shifts).map(move |shift| (size, shift)));
    let mut best = None;
    for (size, shift) in layouts {
        let found = layout(slots, size, shift);
        let (reach, least) = (found.0.reach, best.as_ref().map_or(u32::MAX, |(table, _): &(Table, _)| table.reach));
        if reach < least {
            best = Some(found);
        }
        if reach == 0 {
            break;
        }
    }
    best.unwrap_or_else(|| layout(slots, half, 0))
}

fn layout(slots: &[Slot], size: u32, shift: u32) -> (Table, Vec<Slot>) {
    let mut table = Table { start: 0, mask: size - 1, shift, reach: 0 };
    let mut laid = vec![Slot::EMPTY; size as usize];
    for slot in slots {
        let mut step = 0;
        let free = loop {
            let place = ((slot.hash >> shift) + step) & table.mask;
            match laid.get_mut(place as usize) {
                Some(taken) if taken.child != ABSENT => step += 1,
                free => break free,
            }
        };
        table.reach = table.reach.max(step);
        *free.expect("a table has more places than keys") = *slot;
    }
    (table, laid)
}

/// The key a node is found under, empty where it is found another way.
fn name<A>(draft: &Draft<A>) -> Box<str> {
    match &draft.parent {
        Some((_, Step::Key(key))) => key.clone(),
        _ => Box::default(),
    }
}

/// Which nodes let a container leave: those declared so and those with
/// anything declared below. Children stand after their parents.
fn opening<A>(drafts: &[Draft<A>]) -> Vec<bool> {
    let mut opens: Vec<bool> = drafts.iter().map(|draft| draft.container).collect();
    for (id, draft) in drafts.iter().enumerate().rev() {
        let declared = !matches!(draft.verb, Verb::Unnamed) || opens.get(id).copied().unwrap_or(false);
        if let Some((parent, _)) = &draft.parent
            && declared
            && let Some(open) = opens.get_mut(parent.index())
        {
            *open = true;
        }
    }
    opens
}

/// Gives what elements are chosen by a node of its own where nothing else is
/// declared about it: the text stands in the plan, so it leaves with its element.
fn name_chosen<A>(drafts: &mut Vec<Draft<A>>, opens: &mut Vec<bool>) {
    for id in 0..drafts.len() {
        let draft = drafts.get(id).filter(|_| opens.get(id).copied().unwrap_or(false));
        let Some(Draft { parent: Some((_, Step::Where { key, .. })), keys, .. }) = draft else { continue };
        if keys.contains_key(key) {
            continue;
        }
        let (at, step, name) = (PlanNodeId(id as u32), Step::Key(key.clone()), PlanNodeId(drafts.len() as u32));
        drafts.push(Draft { verb: Verb::Name, ..Draft::new(Some((at, step.clone()))) });
        opens.push(false);
        if let Some(draft) = drafts.get_mut(id) {
            draft.attach(step, name);
        }
    }
}
