//! What the events of one request share: its headers, and what a batch says once.
//!
//! A shared fact leaves only as far as every matched event would let it: it
//! takes the coarsest ruling over all of them, and an event that is withheld
//! from a destination counts as dropping all that is about a person.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, RwLock};

use crate::action::Action;
use crate::batch::Levels;
use crate::path::{Origin, Step};
use crate::plan::{self, Rewrite};
use crate::policy::{DestinationNo, Field, Policy};
use crate::taxonomy::covers;
use crate::verdict::{Because, Ruling, Verdict};

/// What leaves of a request's shared facts for one destination.
#[derive(Debug)]
pub struct SharedTreatment {
    /// The fields that some matched contract declares; what not all declare alike is dropped.
    pub fields: Vec<Field>,
    /// One ruling a field.
    pub rulings: Vec<Ruling>,
    /// For fields with a key category, the ruling on the member names.
    pub key_rulings: Vec<Option<Ruling>>,
    /// The rewrites of the objects around a batch's events, the outermost first; never empty.
    pub rewrites: Vec<Rewrite>,
    /// What leaves of the request outside of its body.
    pub outside: Outside,
}

/// The parts of a request outside of its body that may leave: names, and places
/// in [`SharedTreatment::fields`].
#[derive(Debug, Default)]
pub struct Outside {
    /// Headers, in lower case.
    pub headers: Vec<(String, u16)>,
    /// Cookies.
    pub cookies: Vec<(String, u16)>,
    /// Query parameters.
    pub query: Vec<(String, u16)>,
    /// Segments of the path by their place, counted from 0.
    pub segments: Vec<(usize, u16)>,
}

impl Outside {
    fn of(fields: &[Field], rulings: &[Ruling], inside: impl Fn(u16) -> bool) -> Self {
        let mut outside = Self::default();
        for (number, (field, ruling)) in (0..).zip(fields.iter().zip(rulings)) {
            let [Step::Key(name)] = field.path.steps.as_slice() else { continue };
            let leaves = ruling.action != Action::Drop || inside(number);
            let named = match field.path.origin {
                _ if !leaves => continue,
                Origin::Event => continue,
                Origin::PathSegment => {
                    outside.segments.extend(name.parse().ok().map(|place| (place, number)));
                    continue;
                }
                Origin::Header => &mut outside.headers,
                Origin::Cookie => &mut outside.cookies,
                Origin::Query => &mut outside.query,
            };
            named.push((name.clone(), number));
        }
        outside
    }
}

/// The verdicts of a request's matched events, each once.
#[derive(Debug, Default)]
pub struct Matched {
    verdicts: Vec<Arc<Verdict>>,
}

impl Matched {
    /// Takes one more event's verdict into account.
    pub fn add(&mut self, verdict: &Arc<Verdict>) {
        if let Err(place) = self.verdicts.binary_search_by_key(&verdict.number, |known| known.number) {
            self.verdicts.insert(place, verdict.clone());
        }
    }

    /// Whether any of these events may go to the destination.
    #[must_use]
    pub fn any_leaves(&self, destination: DestinationNo) -> bool {
        self.verdicts.iter().any(|verdict| verdict.treatment(destination).is_some())
    }
}

impl Policy {
    /// What leaves of the shared facts of these events for one destination.
    /// `levels` lead to a batch's events; none where nothing stands around them.
    #[must_use]
    pub fn shared(&self, matched: &Matched, destination: DestinationNo, levels: Levels) -> Arc<SharedTreatment> {
        let key = SharedKey {
            verdicts: matched.verdicts.iter().map(|verdict| verdict.number).collect(),
            destination,
            levels,
        };
        self.shared.find(&key).unwrap_or_else(|| {
            let treatment = Arc::new(self.compile_shared(matched, destination, levels));
            self.shared.keep(key, treatment)
        })
    }

    fn compile_shared(&self, matched: &Matched, destination: DestinationNo, levels: Levels) -> SharedTreatment {
        let mut fields = Vec::new();
        let mut rulings = Vec::new();
        let mut key_rulings = Vec::new();
        for field in self.declared_by_any(matched) {
            let each = matched.verdicts.iter().map(|verdict| self.facts_of(verdict, destination, field));
            let coarsest = each.reduce(|a, b| match (a, b) {
                (Some(a), Some(b)) => Some((a.0.coarser(b.0), a.1.zip(b.1).map(|(a, b)| a.coarser(b)))),
                _ => None,
            });
            // What one of them does not declare, or declares otherwise, does not leave; it still
            // has its place, so that no `*` of theirs takes it for another.
            let (ruling, key_ruling) = coarsest.flatten().unwrap_or((Ruling::DEFAULT_DROP, None));
            fields.push(field.clone());
            rulings.push(ruling);
            key_rulings.push(key_ruling);
        }
        let around = |member: &&str| plan::of_batch(member, &fields, &rulings, &key_rulings);
        let mut rewrites: Vec<Rewrite> = levels.iter().map(around).collect();
        if rewrites.is_empty() {
            rewrites.push(plan::of_event(&fields, &rulings, &key_rulings));
        }
        let opened = |field| rewrites.iter().any(|rewrite| rewrite.inside(field).is_some());
        let outside = Outside::of(&fields, &rulings, opened);
        SharedTreatment { fields, rulings, key_rulings, rewrites, outside }
    }

    /// The fields that some matched contract declares, each path once. More than
    /// can be numbered are too many: then none leaves.
    fn declared_by_any(&self, matched: &Matched) -> Vec<&Field> {
        let mut paths = HashSet::new();
        let all = matched.verdicts.iter().flat_map(|verdict| &self.contract(verdict.key.contract).fields);
        let each: Vec<&Field> = all.filter(|field| paths.insert(&field.path)).collect();
        if each.len() > usize::from(u16::MAX) { Vec::new() } else { each }
    }

    /// One event's ruling on a field that others declare too; `None` where its contract
    /// does not, or says that it is encoded in another way.
    fn facts_of(
        &self,
        verdict: &Verdict,
        destination: DestinationNo,
        field: &Field,
    ) -> Option<(Ruling, Option<Ruling>)> {
        let fields = &self.contract(verdict.key.contract).fields;
        let number = fields.iter().position(|known| known.path == field.path && known.encoding == field.encoding)?;
        let category = fields.get(number)?.category.as_deref();
        let Some(treatment) = verdict.treatment(destination) else {
            // What is not about a person is not the withheld person's to keep.
            let personal = category.is_none_or(|category| covers("user", category));
            let because = Ruling { action: Action::Drop, because: Because::Withheld, purpose: None };
            let silent = Ruling { action: Action::Keep, because: Because::Withheld, purpose: None };
            return Some(if personal { (because.clone(), Some(because)) } else { (silent.clone(), Some(silent)) });
        };
        Some((treatment.rulings.get(number)?.clone(), treatment.key_rulings.get(number)?.clone()))
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct SharedKey {
    verdicts: Vec<u32>,
    destination: DestinationNo,
    levels: Levels,
}

/// Treatments compiled so far; past the bound they are compiled again each time.
#[derive(Debug, Default)]
pub(crate) struct SharedCache(RwLock<HashMap<SharedKey, Arc<SharedTreatment>>>);

impl SharedCache {
    const MAX: usize = 4_096;

    fn find(&self, key: &SharedKey) -> Option<Arc<SharedTreatment>> {
        self.0.read().ok()?.get(key).cloned()
    }

    fn keep(&self, key: SharedKey, treatment: Arc<SharedTreatment>) -> Arc<SharedTreatment> {
        let Ok(mut known) = self.0.write() else { return treatment };
        if known.len() >= Self::MAX {
            return treatment;
        }
        known.entry(key).or_insert(treatment).clone()
    }
}
