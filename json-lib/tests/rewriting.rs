//! The semantics of pass two, case by case.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests may fail loudly")]

use privet_json::{
    Edit, Edits, Emitted, Index, Key, Limits, Node, Plan, PlanBuilder, PlanConflict, PlanNodeId, Step, rewrite,
};

#[derive(Clone, Copy, Debug)]
enum Action {
    Keep,
    Drop,
    Stars,
    /// Appends, then answers `Keep`.
    Regret,
    /// Appends, then answers `Drop`.
    RegretAll,
    /// Answers `Written` without having written.
    Silent,
}

#[derive(Default)]
struct Recorder {
    dropped: Vec<PlanNodeId>,
    edited: Vec<String>,
}

fn act(action: Action, out: &mut Vec<u8>) -> Edit {
    match action {
        Action::Keep => return Edit::Keep,
        Action::Drop => return Edit::Drop,
        Action::Silent => return Edit::Written,
        Action::Stars | Action::Regret | Action::RegretAll => out.extend_from_slice(b"\"***\""),
    }
    match action {
        Action::Regret => Edit::Keep,
        Action::RegretAll => Edit::Drop,
        _ => Edit::Written,
    }
}

impl Edits<Action> for Recorder {
    fn edit(&mut self, action: Action, value: Node<'_>, out: &mut Vec<u8>) -> Edit {
        self.edited.push(String::from_utf8(value.raw().to_vec()).unwrap());
        act(action, out)
    }
    fn edit_key(&mut self, action: Action, key: Key<'_>, out: &mut Vec<u8>) -> Edit {
        self.edited.push(key.text().into_owned());
        act(action, out)
    }
    fn splice(&mut self, tag: u32, node: Node<'_>, out: &mut Vec<u8>) -> Edit {
        out.extend_from_slice(format!("[{tag},{}]", node.len()).as_bytes());
        if tag == 0 { Edit::Drop } else { Edit::Written }
    }
    fn dropped(&mut self, nearest: PlanNodeId) {
        self.dropped.push(nearest);
    }
}

/// Reads `a.b`, `*`, `[]`, `[k=v]`, `[k^=v]`.
fn steps(path: &str) -> Vec<Step> {
    let step = |part: &str| match part {
        "*" => Step::AnyKey,
        "[]" => Step::Element,
        _ => match part.strip_prefix('[').and_then(|part| part.strip_suffix(']')?.split_once('=')) {
            None => Step::key(part),
            Some((key, text)) => match key.strip_suffix('^') {
                Some(key) => Step::WhereStarts { key: key.into(), starts: text.into() },
                None => Step::Where { key: key.into(), equals: text.into() },
            },
        },
    };
    path.split('.').filter(|part| !part.is_empty()).map(step).collect()
}

/// A plan of leaves.
fn leaves(paths: &[(&str, Action)]) -> Plan<Action> {
    let mut plan = PlanBuilder::new();
    for (path, action) in paths {
        plan.leaf(&steps(path), *action);
    }
    plan.build().unwrap()
}

fn run(plan: &Plan<Action>, body: &str) -> (Option<String>, Recorder) {
    let mut index = Index::new();
    let root = index.read(body.as_bytes(), &Limits::default()).unwrap();
    let (mut recorder, mut out) = (Recorder::default(), b"before".to_vec());
    let emitted = rewrite(index.node(body.as_bytes(), root), plan, &mut recorder, &mut out);
    let written = String::from_utf8(out).unwrap();
    let written = written.strip_prefix("before").unwrap().to_owned();
    assert_eq!(emitted == Emitted::Nothing, written.is_empty());
    if emitted == Emitted::Value {
        index.read(written.as_bytes(), &Limits::default()).unwrap();
    }
    ((emitted == Emitted::Value).then_some(written), recorder)
}

fn out(plan: &Plan<Action>, body: &str) -> String {
    run(plan, body).0.unwrap_or_else(|| "nothing".into())
}

#[test]
fn a_plan_that_names_nothing_lets_nothing_out() {
    let plan = leaves(&[]);
    for body in ["1", "null", "\"x\"", "{}", "[]", r#"{"a":[1,{"b":2}]}"#] {
        let (written, recorder) = run(&plan, body);
        assert_eq!(written, None);
        assert_eq!(recorder.dropped, [PlanNodeId::ROOT]);
    }
}

#[test]
fn commas_are_right_whoever_leaves() {
    let names = ["a", "b", "c", "d"];
    let (body, empty) = (r#"{ "a" : 1 , "b" : 2 , "c" : 3 , "d" : 4 }"#, "{");
    for mask in 0..16_u32 {
        for fate in [Action::Drop, Action::RegretAll, Action::Silent] {
            let fates = |n: usize| if mask & (1 << n) == 0 { fate } else { Action::Regret };
            let paths: Vec<_> = names.iter().enumerate().map(|(n, name)| (*name, fates(n))).collect();
            let written = out(&leaves(&paths), body);
            let value: serde_json::Value = serde_json::from_str(&written).unwrap();
            let left: Vec<_> = value.as_object().unwrap().keys().map(String::as_str).collect();
            let expected: Vec<_> = (0..4).filter(|n| mask & (1 << n) != 0).map(|n| names[n]).collect();
            assert_eq!(left, expected, "{written}");
            assert!(written.starts_with(empty));
        }
    }
    assert_eq!(out(&leaves(&[("a", Action::Keep), ("c", Action::Keep)]), body), r#"{ "a" : 1,"c" : 3}"#);
    assert_eq!(out(&leaves(&[("b", Action::Keep), ("c", Action::Keep)]), body), r#"{"b" : 2 , "c" : 3}"#);
    assert_eq!(out(&leaves(&[("[].[]", Action::Keep)]), "[ 1, [ 2 , 3 ], {}, [4],[] ]"), "[[ 2 , 3 ], {}, [4],[] ]");
}

#[test]
fn what_is_kept_leaves_as_it_was_written() {
    let body = "{\"n\" :\t1.50e+03 ,\r\n \"\\u0065\" : \"\\u00e9\\/\" , \"big\": 123456789012345678901234567890}";
    let mut plan = PlanBuilder::<Action>::new();
    for key in ["n", "e", "big"] {
        plan.keep(&[Step::key(key)]);
    }
    assert_eq!(out(&plan.build().unwrap(), body), body);
    let plan = leaves(&[("n", Action::Keep), ("e", Action::Regret), ("big", Action::Keep)]);
    assert_eq!(out(&plan, body), body);
    let plan = leaves(&[("n", Action::Keep), ("e", Action::Stars), ("big", Action::Keep)]);
    assert_eq!(out(&plan, body), body.replace("\"\\u00e9\\/\"", "\"***\""));
}

#[test]
fn a_leaf_meets_scalars_alone() {
    let plan = leaves(&[("a", Action::Keep), ("b.c", Action::Stars)]);
    assert_eq!(out(&plan, r#"{"a":{"secret":1},"b":{"c":[1]}}"#), r#"{"b":{}}"#);
    let (written, recorder) = run(&plan, r#"{"a":[1],"b":"scalar","x":1}"#);
    assert_eq!(written.unwrap(), "{}");
    let dropped: Vec<_> = recorder.dropped.iter().map(|id| plan.steps(*id)).collect();
    let (a, b) = (Step::key("a"), Step::key("b"));
    assert_eq!(dropped, [vec![&a], vec![&b], vec![]]);
    assert!(recorder.edited.is_empty());
}

#[test]
fn a_node_may_be_a_leaf_and_a_parent() {
    let plan = leaves(&[("a", Action::Stars), ("a.b", Action::Keep), ("a.[]", Action::Keep)]);
    assert_eq!(out(&plan, r#"{"a":1}"#), r#"{"a":"***"}"#);
    assert_eq!(out(&plan, r#"{"a":{"b":1,"c":2}}"#), r#"{"a":{"b":1}}"#);
    assert_eq!(out(&plan, r#"{"a":[1,{"b":1},2]}"#), r#"{"a":[1,2]}"#);
    assert_eq!(out(&plan, r#"{"a":null}"#), r#"{"a":"***"}"#);
}

#[test]
fn null_stands_for_a_scalar_or_for_a_container_that_would_leave() {
    let mut plan = PlanBuilder::new();
    plan.leaf(&steps("leaf"), Action::Stars);
    plan.leaf(&steps("parent.x"), Action::Drop);
    plan.container(&steps("declared"));
    plan.whole(&steps("whole"));
    plan.any_key_action(&steps("keys"), Action::Keep);
    let plan = plan.build().unwrap();
    let body = r#"{"leaf":null,"parent":null,"declared":null,"whole":null,"keys":null,"other":null}"#;
    let (written, recorder) = run(&plan, body);
    assert_eq!(written.unwrap(), r#"{"leaf":"***","parent":null,"declared":null,"whole":null}"#);
    assert_eq!(recorder.dropped.len(), 2);
}

#[test]
fn a_container_leaves_or_not_whatever_it_holds() {
    let plan = leaves(&[("a.b.c", Action::Drop), ("list.[].x", Action::Keep)]);
    for (body, written) in [
        (r#"{"a":{"b":{"c":1}}}"#, r#"{"a":{"b":{}}}"#),
        (r#"{"a":{"b":{}}}"#, r#"{"a":{"b":{}}}"#),
        (r#"{"a":{"z":0}}"#, r#"{"a":{}}"#),
        (r#"{"list":[{"x":1,"y":2},{"y":2},3,[4]]}"#, r#"{"list":[{"x":1},{},[]]}"#),
        (r#"{"list":[]}"#, r#"{"list":[]}"#),
        (r#"{"list":{"x":1}}"#, r#"{"list":{}}"#),
    ] {
        assert_eq!(out(&plan, body), written, "{body}");
    }
}

#[test]
fn whole_and_splice_take_any_kind() {
    let mut plan = PlanBuilder::new();
    plan.whole(&steps("w"));
    plan.splice(&steps("s"), 7);
    plan.splice(&steps("gone"), 0);
    let plan = plan.build().unwrap();
    for value in ["1", "null", "\"x\"", "[1, 2]", "{\"a\" : [ {} ]}"] {
        let body = format!("{{\"gone\":{value},\"w\":{value},\"s\":{value}}}");
        let length = serde_json::from_str::<serde_json::Value>(value).unwrap();
        let length = length.as_array().map_or(length.as_object().map_or(0, |members| members.len()), Vec::len);
        assert_eq!(out(&plan, &body), format!("{{\"w\":{value},\"s\":[7,{length}]}}"));
    }
}

#[test]
fn an_exact_key_beats_any_key_however_it_is_escaped() {
    let plan = leaves(&[("*.id", Action::Keep), ("secret.name", Action::Stars), ("*", Action::Keep)]);
    let body = r#"{"s\u0065cret":{"id":1,"name":2},"open":{"id":1,"name":2},"n":5}"#;
    assert_eq!(out(&plan, body), r#"{"s\u0065cret":{"name":"***"},"open":{"id":1},"n":5}"#);
}

#[test]
fn selectors_are_tried_in_order_before_element() {
    let plan = leaves(&[
        ("[key=email].value", Action::Stars),
        ("[key=city].value", Action::Keep),
        ("[schema^=iglu:acme/page/jsonschema/1-].data", Action::Keep),
        ("[key=city].late", Action::Keep),
        ("[].other", Action::Keep),
        ("[]", Action::Keep),
    ]);
    let body = r#"[{"value":1,"key":"\u0065mail"},{"key":"city","value":2,"late":3,"other":4},
        {"schema":"iglu:acme/page/jsonschema/1-0-3","data":5,"key":["city"]},
        {"schema":"iglu:acme/page/jsonschema/2-0-0","data":6,"other":7},{"key":"emai","other":8},9]"#;
    let expected =
        r#"[{"value":"***","key":"email"},{"key":"city","value":2,"late":3},{"data":5},{"other":7},{"other":8},9]"#;
    let written: serde_json::Value = serde_json::from_str(&out(&plan, body)).unwrap();
    assert_eq!(written, serde_json::from_str::<serde_json::Value>(expected).unwrap());
}

#[test]
fn a_chosen_element_leaves_with_what_it_was_chosen_by_or_not_at_all() {
    let mut plan = PlanBuilder::new();
    plan.leaf(&steps("[key=id].value.text"), Action::Stars);
    plan.leaf(&steps("[key=id].value.number"), Action::Drop);
    plan.leaf(&steps("[key=list].value.values.[].text"), Action::Keep);
    plan.container(&steps("[key=empty].value"));
    plan.block(&steps("[key=secret].key"));
    plan.keep(&steps("[key=secret].value"));
    plan.block(&steps("[key=blocked].value"));
    plan.leaf(&steps("[schema^=iglu:a/].data"), Action::Keep);
    let plan = plan.build().unwrap();
    for (body, written) in [
        (r#"[{"key":"id","value":{"text":"u-1"},"more":1}]"#, r#"[{"key":"id","value":{"text":"***"}}]"#),
        (r#"[{"value":{"text":"u-1"} , "k\u0065y":"id"}]"#, r#"[{"value":{"text":"***"} , "k\u0065y":"id"}]"#),
        (r#"[{"key":"id","value":{"number":7}}, {"key":"id","value":{}}]"#, "[]"),
        (
            r#"[{"key":"id","value":null},{"key":"id"},{"key":"id","value":{"text":"u"}}]"#,
            r#"[{"key":"id","value":{"text":"***"}}]"#,
        ),
        (r#"[{"key":"list","value":{"values":[{"other":1},{}]}}]"#, "[]"),
        (
            r#"[{"key":"list","value":{"values":[{},{"text":null}]}}]"#,
            r#"[{"key":"list","value":{"values":[{},{"text":null}]}}]"#,
        ),
        (r#"[{"key":"empty","value":{"x":1}}]"#, r#"[{"key":"empty","value":{}}]"#),
        (r#"[{"key":"empty"}]"#, "[]"),
        (r#"[{"key":"secret","value":1}]"#, r#"[{"value":1}]"#),
        (r#"[{"key":"blocked","value":1}]"#, "[]"),
        (r#"[{"schema":"iglu:a/b","data":1},{"schema":"iglu:a/c","other":1}]"#, r#"[{"data":1}]"#),
    ] {
        assert_eq!(out(&plan, body), written, "{body}");
    }
}

#[test]
fn keys_under_any_key_pass_through_their_action() {
    let keyed = |key_action| {
        let mut plan = PlanBuilder::new();
        plan.leaf(&steps("m.*"), Action::Keep);
        plan.leaf(&steps("m.named"), Action::Keep);
        plan.any_key_action(&steps("m"), key_action);
        plan.build().unwrap()
    };
    let body = r#"{"m": {"named": 1, "free" : 2, "deep": {}}}"#;
    assert_eq!(out(&keyed(Action::Keep), body), r#"{"m": {"named": 1, "free" : 2}}"#);
    assert_eq!(out(&keyed(Action::Regret), body), r#"{"m": {"named": 1, "free" : 2}}"#);
    assert_eq!(out(&keyed(Action::Stars), body), r#"{"m": {"named": 1, "***" : 2}}"#);
    for gone in [Action::Drop, Action::RegretAll, Action::Silent] {
        assert_eq!(out(&keyed(gone), body), r#"{"m": {"named": 1}}"#);
    }
    // A member that cannot leave does not even show its key.
    assert_eq!(run(&keyed(Action::Keep), body).1.edited, ["1", "free", "2"]);

    // A key that was written goes again when its value does.
    let mut plan = PlanBuilder::new();
    plan.leaf(&steps("*"), Action::RegretAll);
    plan.any_key_action(&[], Action::Stars);
    assert_eq!(out(&plan.build().unwrap(), r#"{"a":1,"b":2}"#), "{}");
}

#[test]
fn the_root_obeys_too() {
    assert_eq!(out(&leaves(&[("", Action::Keep)]), " 1 "), "1");
    assert_eq!(out(&leaves(&[("", Action::Stars)]), " 1 "), "\"***\"");
    assert_eq!(out(&leaves(&[("", Action::Drop)]), "1"), "nothing");
    assert_eq!(out(&leaves(&[("", Action::RegretAll)]), "1"), "nothing");
    assert_eq!(out(&leaves(&[("", Action::Keep)]), "[1]"), "nothing");
    assert_eq!(out(&leaves(&[("a", Action::Keep)]), " {\"b\":1} "), "{}");
}

#[test]
fn contradictions_do_not_build() {
    let conflict = |declare: &dyn Fn(&mut PlanBuilder<Action>)| {
        let mut plan = PlanBuilder::new();
        declare(&mut plan);
        plan.build().map(drop).unwrap_err()
    };
    let twice = conflict(&|plan| {
        plan.leaf(&steps("a"), Action::Keep);
        plan.leaf(&steps("a"), Action::Drop);
    });
    assert!(matches!(twice, PlanConflict::DeclaredTwice { at } if at.index() == 1));
    let both = conflict(&|plan| {
        plan.keep(&steps("a"));
        plan.whole(&steps("a"));
    });
    assert!(matches!(both, PlanConflict::DeclaredTwice { .. }));
    for below in ["a.b", "a.*", "a.[]", "a.[k=v]"] {
        let parts = conflict(&|plan| {
            plan.leaf(&steps(below), Action::Drop);
            plan.whole(&steps("a"));
        });
        assert!(matches!(parts, PlanConflict::WholeWithParts { at } if at.index() == 1), "{below}");
    }
    let spliced = conflict(&|plan| {
        plan.splice(&steps("a"), 1);
        plan.container(&steps("a"));
    });
    assert!(matches!(spliced, PlanConflict::WholeWithParts { .. }));
    let long = conflict(&|plan| _ = plan.keep(&vec![Step::Element; 65]));
    assert_eq!(long, PlanConflict::TooManySteps);
    let keys = conflict(&|plan| {
        plan.any_key_action(&[], Action::Keep);
        plan.any_key_action(&[], Action::Drop);
    });
    assert!(matches!(keys, PlanConflict::DeclaredTwice { at: PlanNodeId::ROOT }));
}

#[test]
fn the_longest_path_can_be_walked() {
    let mut plan = PlanBuilder::<Action>::new();
    plan.keep(&vec![Step::Element; 64]);
    let body = "[".repeat(64) + "1" + &"]".repeat(64);
    assert_eq!(out(&plan.build().unwrap(), &body), body);
}

#[test]
fn ten_thousand_names_are_each_found_and_their_neighbours_are_not() {
    let mut plan = PlanBuilder::<Action>::new();
    for n in (0..20_000).step_by(2) {
        plan.keep(&[Step::key("p"), Step::key(&format!("k{n}"))]);
    }
    let plan = plan.build().unwrap();
    let members: Vec<String> = (0..20_000).map(|n| format!("\"k{n}\":{n}")).collect();
    let (written, recorder) = run(&plan, &format!("{{\"p\":{{{}}}}}", members.join(",")));
    let even: Vec<String> = members.into_iter().step_by(2).collect();
    assert_eq!(written.unwrap(), format!("{{\"p\":{{{}}}}}", even.join(",")));
    assert_eq!(recorder.dropped.len(), 10_000);
    assert!(recorder.dropped.iter().all(|id| plan.steps(*id) == [&Step::key("p")]));
}
