//! The walk that only looks: it must see what the rewriter would, no more.

#![allow(clippy::unwrap_used, reason = "tests may fail loudly")]

use privet_json::{Index, Key, Limits, Node, PlanBuilder, PlanNodeId, Step, Visit, visit};

#[derive(Default)]
struct Seen(Vec<String>);

impl Visit<'_, char> for Seen {
    fn field(&mut self, action: char, value: Node<'_>) {
        self.0.push(format!("{action} {}", String::from_utf8_lossy(value.raw())));
    }
    fn undeclared(&mut self, nearest: PlanNodeId, key: Option<Key<'_>>, value: Node<'_>) {
        let key = key.map(|key| key.text().into_owned()).unwrap_or_default();
        self.0.push(format!("undeclared under {}: {key} {:?}", nearest.index(), value.kind()));
    }
}

#[test]
fn a_visit_sees_the_declared_fields_in_order_and_the_rest_once() {
    let mut plan = PlanBuilder::new();
    let a = plan.leaf(&[Step::key("a")], 'a');
    plan.leaf(&[Step::key("list"), Step::Element, Step::key("x")], 'x');
    plan.leaf(&[Step::key("any"), Step::AnyKey], '*');
    let plan = plan.build().unwrap();
    let body = br#"{"any":{"p":1,"q":[2]},"\u0061":null,"z":{"a":0},"list":[{"x":3,"y":4},5],"a2":6}"#;
    let mut index = Index::new();
    let root = index.read(body, &Limits::default()).unwrap();
    let mut seen = Seen::default();
    visit(index.node(body, root), &plan, &mut seen);
    assert_eq!(
        seen.0,
        [
            "* 1",
            "* [2]",
            "a null",
            "undeclared under 0: z Object",
            "x 3",
            "undeclared under 3: y Number",
            "undeclared under 3:  Number",
            "undeclared under 0: a2 Number",
        ]
    );
    assert_eq!(a.index(), 1);
}
