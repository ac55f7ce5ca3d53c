//! Looking at an event along a plan without writing anything.
//!
//! The same walk as the rewriter's, for those who only want to know what is
//! there: to check a contract, to find a subject, to show a decision.

use crate::node::{Key, Kind, Node};
use crate::plan::{Found, Plan, PlanNodeId, Verb};

/// The caller's eye in a visit of a body that lives for `'a`.
pub trait Visit<'a, A> {
    /// A value of any kind where the plan has a leaf.
    fn field(&mut self, action: A, value: Node<'a>);

    /// A member or element that the plan does not name; `nearest` is its
    /// nearest declared parent.
    fn undeclared(&mut self, nearest: PlanNodeId, key: Option<Key<'a>>, value: Node<'a>) {
        let _ = (nearest, key, value);
    }
}

/// Walks the part of a document that a plan names. Recursion follows the
/// plan's paths, never the body.
pub fn visit<'a, A: Copy, V: Visit<'a, A>>(node: Node<'a>, plan: &Plan<A>, visitor: &mut V) {
    enter(node, PlanNodeId::ROOT.0, plan, visitor);
}

fn enter<'a, A: Copy, V: Visit<'a, A>>(container: Node<'a>, id: u32, plan: &Plan<A>, visitor: &mut V) {
    let at = plan.node(id);
    match container.kind() {
        Kind::Object => {
            for (key, value) in container.members() {
                match plan.member(at, key) {
                    Some(found) => step(value, &found, plan, visitor),
                    None => visitor.undeclared(PlanNodeId(id), Some(key), value),
                }
            }
        }
        Kind::Array => {
            for element in container.elements() {
                match plan.element(at, element) {
                    Some(found) => step(element, &found, plan, visitor),
                    None => visitor.undeclared(PlanNodeId(id), None, element),
                }
            }
        }
        _ => {}
    }
}

#[inline]
fn step<'a, A: Copy, V: Visit<'a, A>>(value: Node<'a>, found: &Found, plan: &Plan<A>, visitor: &mut V) {
    let at = plan.node(found.child);
    if let Verb::Edit(action) = at.verb {
        visitor.field(action, value);
    }
    if value.kind().is_container() {
        if at.opens {
            enter(value, found.child, plan, visitor);
        }
    } else if matches!(at.verb, Verb::Unnamed) {
        visitor.undeclared(PlanNodeId(found.child), value.key(), value);
    }
}
