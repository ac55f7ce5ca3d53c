//! The enforcement core's JSON: a strict index of spans over a body, and a
//! rewriter that copies out what a plan names.
//!
//! Promise: what the reader accepts has one meaning for every reader that
//! follows RFC 8259 (no duplicate keys, no lone surrogates, nothing after the
//! value), and what the rewriter emits is made of bytes it was told to copy and
//! bytes its caller wrote. A byte nobody named does not leave. Untouched bytes
//! leave as they came: number text, escapes, key order, white space.
//!
//! Refuses to do: know a policy, build a tree, allocate for a field, recurse on
//! what a sender nests, or say a value of the body in an error or in `Debug`.
//!
//! ```
//! use privet_json::{Edit, Edits, Index, Key, Limits, Node, PlanBuilder, PlanNodeId, Step, rewrite};
//!
//! #[derive(Clone, Copy)]
//! enum Action { Keep, Redact }
//!
//! struct Rules { undeclared: u32 }
//!
//! impl Edits<Action> for Rules {
//!     fn edit(&mut self, action: Action, _: Node<'_>, out: &mut Vec<u8>) -> Edit {
//!         match action {
//!             Action::Keep => Edit::Keep,
//!             Action::Redact => { out.extend_from_slice(br#""""#); Edit::Written }
//!         }
//!     }
//!     fn edit_key(&mut self, _: Action, _: Key<'_>, _: &mut Vec<u8>) -> Edit { Edit::Keep }
//!     fn splice(&mut self, _: u32, _: Node<'_>, _: &mut Vec<u8>) -> Edit { Edit::Drop }
//!     fn dropped(&mut self, _: PlanNodeId) { self.undeclared += 1; }
//! }
//!
//! let mut plan = PlanBuilder::new();
//! plan.leaf(&[Step::key("event")], Action::Keep);
//! plan.leaf(&[Step::key("traits"), Step::key("email")], Action::Redact);
//! let plan = plan.build()?;
//!
//! let body = br#"{"event": "Signed In", "ip": "192.0.2.7", "traits": {"email": "odalys@example.org"}}"#;
//! let mut index = Index::new();
//! let root = index.read(body, &Limits::default())?;
//! let (mut rules, mut out) = (Rules { undeclared: 0 }, Vec::new());
//! rewrite(index.node(body, root), &plan, &mut rules, &mut out);
//! assert_eq!(out, br#"{"event": "Signed In","traits": {"email": ""}}"#);
//! assert_eq!(rules.undeclared, 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod builder;
mod escape;
mod hash;
mod index;
mod keys;
mod malformed;
mod node;
mod plan;
mod rewrite;
mod scan;
mod visit;

pub use builder::{PlanBuilder, PlanConflict, STEPS_MAX, Step};
pub use escape::write_string;
pub use index::{Index, NodeId};
pub use malformed::{Limits, Malformed, MalformedKind};
pub use node::{Elements, Key, Kind, Members, Node};
pub use plan::{Plan, PlanNodeId};
pub use rewrite::{Edit, Edits, Emitted, rewrite};
pub use visit::{Visit, visit};
