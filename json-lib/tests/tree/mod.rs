//! The reference: the same rules over trees and lists, as plainly as can be.

use std::collections::BTreeSet;
use std::fmt;

use privet_json::{Kind, Node, Step};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// What an action does to the scalars and keys it meets.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fate {
    Keep,
    Drop,
    Replace,
    /// Writes, then thinks better of it.
    WriteAndKeep,
    WriteAndDrop,
}

pub const FATES: [Fate; 5] = [Fate::Keep, Fate::Drop, Fate::Replace, Fate::WriteAndKeep, Fate::WriteAndDrop];

pub const REPLACEMENT: &str = "replaced \"text\"";

/// One-to-one, and into names that no document here uses.
pub fn replaced_key(key: &str) -> String {
    format!("key \"{key}\"")
}

#[derive(Clone, Debug)]
pub enum What {
    Leaf(Fate),
    Keep,
    Whole,
    Splice(u32),
    Container,
    AnyKeyAction(Fate),
}

pub type Declaration = (Vec<Step>, What);

/// The declarations at or below one place, and the way there.
struct Place<'a> {
    here: Vec<(&'a [Step], &'a What)>,
    path: Vec<Step>,
}

pub fn rewrite(value: &Value, declarations: &[Declaration], dropped: &mut Vec<Vec<Step>>) -> Option<Value> {
    let here = declarations.iter().map(|(steps, what)| (steps.as_slice(), what)).collect();
    Place { here, path: Vec::new() }.rewrite(value, dropped).map(|left| left.value)
}

/// What leaves, and whether it is more than the names of chosen elements.
struct Left {
    value: Value,
    told: bool,
}

impl Left {
    fn told(value: Value) -> Self {
        Self { value, told: true }
    }
}

impl<'a> Place<'a> {
    fn rewrite(&self, value: &Value, dropped: &mut Vec<Vec<Step>>) -> Option<Left> {
        let container = value.is_array() || value.is_object();
        for what in self.of_this_place() {
            match what {
                What::Whole => return Some(Left::told(value.clone())),
                What::Splice(0) => return None,
                What::Splice(_) => return Some(Left::told(serde_json::json!({"spliced": length(value)}))),
                What::Keep if !container => return Some(Left::told(value.clone())),
                What::Leaf(fate) if !container => return act(*fate, value).map(Left::told),
                _ => {}
            }
        }
        match value {
            Value::Null if self.opens() => Some(Left { value: Value::Null, told: false }),
            Value::Object(members) if self.opens() => {
                let (kept, told) = self.object(members, dropped);
                let said = told || self.stands();
                (said || !self.is_chosen()).then_some(Left { value: Value::Object(kept), told: said })
            }
            Value::Array(elements) if self.opens() => {
                let (kept, told) = self.array(elements, dropped);
                Some(Left { value: Value::Array(kept), told: told || self.stands() })
            }
            _ => {
                dropped.push(self.path.clone());
                None
            }
        }
    }

    fn object(&self, members: &Map<String, Value>, dropped: &mut Vec<Vec<Step>>) -> (Map<String, Value>, bool) {
        let mut kept = Map::new();
        let mut told = false;
        for (key, value) in members {
            let exact = self.below(&Step::key(key));
            let chosen_by = matches!(self.path.last(), Some(Step::Where { key: by, .. }) if **by == **key);
            if chosen_by && exact.here.is_empty() {
                kept.insert(key.clone(), value.clone());
                continue;
            }
            let (place, any) = if exact.here.is_empty() { (self.below(&Step::AnyKey), true) } else { (exact, false) };
            if place.here.is_empty() {
                dropped.push(self.path.clone());
                continue;
            }
            let key_fate = self.key_fate().filter(|_| any).unwrap_or(Fate::Keep);
            if matches!(key_fate, Fate::Drop | Fate::WriteAndDrop) {
                // Nothing below counts, but a value of the wrong shape does.
                dropped.extend(place.misshapen(value).then(|| place.path.clone()));
                continue;
            }
            let key = if key_fate == Fate::Replace { replaced_key(key) } else { key.clone() };
            let left = place.rewrite(value, dropped);
            told |= left.as_ref().is_some_and(|left| left.told);
            kept.extend(left.map(|left| (key, left.value)));
        }
        (kept, told)
    }

    fn array(&self, elements: &[Value], dropped: &mut Vec<Vec<Step>>) -> (Vec<Value>, bool) {
        let mut kept = Vec::new();
        let mut told = false;
        for element in elements {
            let selector = self.here.iter().filter_map(|(steps, _)| steps.first()).find(|step| takes(step, element));
            let place = self.below(selector.unwrap_or(&Step::Element));
            if place.here.is_empty() {
                dropped.push(self.path.clone());
            } else {
                let left = place.rewrite(element, dropped);
                told |= left.as_ref().is_some_and(|left| left.told);
                kept.extend(left.map(|left| left.value));
            }
        }
        (kept, told)
    }

    fn below(&self, step: &Step) -> Place<'a> {
        let goes_on = |(steps, what): &(&'a [Step], &'a What)| {
            steps.split_first().filter(|(first, _)| *first == step).map(|(_, rest)| (rest, *what))
        };
        let path = self.path.iter().chain([step]).cloned().collect();
        Place { here: self.here.iter().filter_map(goes_on).collect(), path }
    }

    /// Whether this place takes no value of this shape at all.
    fn misshapen(&self, value: &Value) -> bool {
        let container = value.is_array() || value.is_object();
        let scalars = |what: &What| matches!(what, What::Leaf(_) | What::Keep);
        let all = |what: &What| matches!(what, What::Whole | What::Splice(_));
        let taken = self.of_this_place().any(|what| all(what) || (!container && scalars(what)));
        !taken && !((container || value.is_null()) && self.opens())
    }

    fn of_this_place(&self) -> impl Iterator<Item = &What> {
        self.here.iter().filter(|(steps, _)| steps.is_empty()).map(|(_, what)| *what)
    }

    fn opens(&self) -> bool {
        let below = |(steps, what): &(&[Step], &What)| !steps.is_empty() && !matches!(what, What::AnyKeyAction(_));
        self.of_this_place().any(|what| matches!(what, What::Container)) || self.here.iter().any(below)
    }

    /// Whether a container was declared here.
    fn stands(&self) -> bool {
        self.of_this_place().any(|what| matches!(what, What::Container))
    }

    /// Whether this is an element that was chosen by what it holds.
    fn is_chosen(&self) -> bool {
        matches!(self.path.last(), Some(Step::Where { .. } | Step::WhereStarts { .. }))
    }

    fn key_fate(&self) -> Option<Fate> {
        self.of_this_place().find_map(|what| if let What::AnyKeyAction(fate) = what { Some(*fate) } else { None })
    }
}

fn act(fate: Fate, value: &Value) -> Option<Value> {
    match fate {
        Fate::Keep | Fate::WriteAndKeep => Some(value.clone()),
        Fate::Replace => Some(REPLACEMENT.into()),
        Fate::Drop | Fate::WriteAndDrop => None,
    }
}

fn takes(step: &Step, element: &Value) -> bool {
    match step {
        Step::Where { key, equals } => element.get(&**key).and_then(Value::as_str) == Some(&**equals),
        Step::WhereStarts { key, starts } => {
            element.get(&**key).and_then(Value::as_str).is_some_and(|text| text.starts_with(&**starts))
        }
        _ => false,
    }
}

fn length(value: &Value) -> usize {
    value.as_array().map_or(value.as_object().map_or(0, Map::len), Vec::len)
}

/// Declarations about paths that `body` has, chosen by `dice`.
pub fn declarations_for(body: &str, dice: &[u64]) -> Vec<Declaration> {
    let value: Value = serde_json::from_str(body).unwrap();
    dice.iter()
        .map(|dice| {
            let mut steps = Vec::new();
            let what = descend(&value, *dice, &mut steps);
            (steps, what)
        })
        .collect()
}

fn descend(value: &Value, dice: u64, steps: &mut Vec<Step>) -> What {
    let (choice, rest) = ((dice % 97) as usize, dice / 97);
    match value {
        Value::Object(members) if !members.is_empty() && choice > 2 => {
            let (key, below) = members.iter().nth(choice % members.len()).unwrap();
            steps.push(if choice % 11 == 0 { Step::AnyKey } else { Step::key(key) });
            descend(below, rest, steps)
        }
        Value::Array(elements) if !elements.is_empty() && choice > 2 => {
            let below = &elements[choice % elements.len()];
            let text = below.as_object().and_then(|below| below.iter().find(|(_, value)| value.is_string()));
            steps.push(match text {
                Some((key, Value::String(text))) if choice % 2 == 0 => {
                    Step::Where { key: key.as_str().into(), equals: text.as_str().into() }
                }
                _ => Step::Element,
            });
            descend(below, rest, steps)
        }
        Value::Object(_) | Value::Array(_) if choice == 0 => What::Whole,
        Value::Object(_) | Value::Array(_) => What::Container,
        _ => What::Leaf(FATES[choice % FATES.len()]),
    }
}

/// A document as `serde_json` reads it, with every duplicate kept.
pub enum Tree {
    Null,
    Bool(bool),
    Number(f64),
    Text(String),
    Array(Vec<Tree>),
    Object(Vec<(String, Tree)>),
}

impl Tree {
    pub fn read(body: &[u8]) -> serde_json::Result<Self> {
        serde_json::from_slice(body)
    }

    fn children(&self) -> Vec<&Tree> {
        match self {
            Self::Array(elements) => elements.iter().collect(),
            Self::Object(members) => members.iter().map(|(_, value)| value).collect(),
            _ => Vec::new(),
        }
    }

    fn any(&self, bad: &impl Fn(&[(String, Tree)]) -> bool) -> bool {
        let here = if let Self::Object(members) = self { bad(members) } else { false };
        here || self.children().iter().any(|child| child.any(bad))
    }

    pub fn has_duplicate_key(&self) -> bool {
        self.any(&|members| members.iter().map(|(key, _)| key).collect::<BTreeSet<_>>().len() < members.len())
    }

    pub fn has_nul_key(&self) -> bool {
        self.any(&|members| members.iter().any(|(key, _)| key.contains('\0')))
    }

    pub fn depth(&self) -> usize {
        let container = matches!(self, Self::Array(_) | Self::Object(_));
        usize::from(container) + self.children().iter().map(|child| child.depth()).max().unwrap_or(0)
    }

    /// Whether a node shows what this tree holds, in every part and every view.
    pub fn agrees(&self, node: Node<'_>) -> bool {
        let mut room = Vec::new();
        match self {
            Self::Null => node.kind() == Kind::Null && node.raw() == b"null",
            Self::Bool(truth) => node.kind() == Kind::Bool && node.raw() == truth.to_string().as_bytes(),
            Self::Number(number) => {
                let text = std::str::from_utf8(node.raw()).unwrap();
                node.kind() == Kind::Number && text.parse::<f64>().unwrap() == *number
            }
            Self::Text(text) => {
                node.text().as_deref() == Some(text)
                    && node.text_in(&mut room) == Some(text)
                    && node.plain_text().is_none_or(|plain| plain == text)
                    && node.is_text(text)
                    && node.text_starts_with(text)
                    && !node.is_text(&format!("{text}x"))
            }
            Self::Array(elements) => {
                node.kind() == Kind::Array
                    && node.len() == elements.len()
                    && node.elements().count() == elements.len()
                    && node.elements().zip(elements).all(|(node, element)| element.agrees(node))
            }
            Self::Object(members) => {
                node.kind() == Kind::Object
                    && node.len() == members.len()
                    && node.members().count() == members.len()
                    && node.members().zip(members).all(|((key, node), (text, value))| {
                        key.text() == *text && key.text_in(&mut room) == text && key.is(text) && value.agrees(node)
                    })
                    && members.iter().all(|(key, value)| node.get(key).is_some_and(|node| value.agrees(node)))
            }
        }
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Grower)
    }
}

struct Grower;

impl<'de> Visitor<'de> for Grower {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }
    fn visit_unit<E: Error>(self) -> Result<Tree, E> {
        Ok(Tree::Null)
    }
    fn visit_bool<E: Error>(self, truth: bool) -> Result<Tree, E> {
        Ok(Tree::Bool(truth))
    }
    fn visit_u64<E: Error>(self, number: u64) -> Result<Tree, E> {
        Ok(Tree::Number(number as f64))
    }
    fn visit_i64<E: Error>(self, number: i64) -> Result<Tree, E> {
        Ok(Tree::Number(number as f64))
    }
    fn visit_f64<E: Error>(self, number: f64) -> Result<Tree, E> {
        Ok(Tree::Number(number))
    }
    fn visit_str<E: Error>(self, text: &str) -> Result<Tree, E> {
        Ok(Tree::Text(text.to_owned()))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Tree, A::Error> {
        let mut grown = Vec::new();
        while let Some(element) = elements.next_element()? {
            grown.push(element);
        }
        Ok(Tree::Array(grown))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Tree, A::Error> {
        let mut grown = Vec::new();
        while let Some(member) = members.next_entry()? {
            grown.push(member);
        }
        Ok(Tree::Object(grown))
    }
}
