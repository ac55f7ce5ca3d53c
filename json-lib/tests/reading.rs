//! What pass one refuses and where it says so, its limits, and its views.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests may fail loudly")]

use privet_json::{Index, Kind, Limits, Malformed, MalformedKind as Kinds};

fn read(body: impl AsRef<[u8]>) -> Result<(), Malformed> {
    Index::new().read(body.as_ref(), &Limits::default()).map(drop)
}

fn refused(body: impl AsRef<[u8]>) -> (Kinds, usize) {
    let malformed = read(body.as_ref()).unwrap_err();
    (malformed.kind, malformed.at)
}

#[test]
fn each_refusal_has_its_kind_and_place() {
    let cases: &[(&[u8], Kinds, usize)] = &[
        (b"", Kinds::UnexpectedEnd, 0),
        (b" \n", Kinds::UnexpectedEnd, 2),
        (b"\xef\xbb\xbf{}", Kinds::ByteOrderMark, 0),
        (b"[\"ab\xff\"]", Kinds::Utf8, 4),
        (b"[\"\xed\xa0\x80\"]", Kinds::Utf8, 2),
        (b"{} {}", Kinds::TrailingData, 3),
        (b"{}\0", Kinds::TrailingData, 2),
        (b"1 1", Kinds::TrailingData, 2),
        (b"[1 2]", Kinds::UnexpectedByte, 3),
        (b"[1,]", Kinds::UnexpectedByte, 3),
        (b"[,1]", Kinds::UnexpectedByte, 1),
        (b"[1", Kinds::UnexpectedEnd, 2),
        (b"[1}", Kinds::UnexpectedByte, 2),
        (b"{\"a\":1]", Kinds::UnexpectedByte, 6),
        (b"{\"a\":1,}", Kinds::UnexpectedByte, 7),
        (b"{\"a\" 1}", Kinds::UnexpectedByte, 5),
        (b"{\"a\":}", Kinds::UnexpectedByte, 5),
        (b"{a:1}", Kinds::UnexpectedByte, 1),
        (b"{1:1}", Kinds::UnexpectedByte, 1),
        (b"{\"a\"", Kinds::UnexpectedEnd, 4),
        (b"{\"a", Kinds::UnexpectedEnd, 3),
        (b"]", Kinds::UnexpectedByte, 0),
        (b"tru", Kinds::UnexpectedEnd, 3),
        (b"trux", Kinds::UnexpectedByte, 3),
        (b"truee", Kinds::TrailingData, 4),
        (b"'a'", Kinds::UnexpectedByte, 0),
        (b"[1]//", Kinds::TrailingData, 3),
        (b"\"a\nb\"", Kinds::ControlCharacter, 2),
        (b"\"a\0b\"", Kinds::ControlCharacter, 2),
        (b"{\"a\0\":1}", Kinds::ControlCharacter, 3),
        (b"\"\\x\"", Kinds::Escape, 1),
        (b"\"\\u12", Kinds::Escape, 1),
        (b"\"\\", Kinds::Escape, 1),
        (b"\"a\\ud800\"", Kinds::LoneSurrogate, 2),
        (b"{\"\\udc00\":1}", Kinds::LoneSurrogate, 2),
        (b"{\"a\\u0000\":1}", Kinds::NulInKey, 2),
        (b"-", Kinds::UnexpectedEnd, 1),
        (b"[-]", Kinds::Number, 2),
        (b"[1.]", Kinds::Number, 3),
        (b"[1e+]", Kinds::Number, 4),
        (b"[01]", Kinds::UnexpectedByte, 2),
        (b"\x0b1", Kinds::UnexpectedByte, 0),
        (b"[1\xc2\xa0]", Kinds::UnexpectedByte, 2),
    ];
    for (body, kind, at) in cases {
        assert_eq!(refused(body), (*kind, *at), "{}", String::from_utf8_lossy(body));
    }
}

#[test]
fn duplicate_keys_are_refused_however_they_are_written_and_wherever_they_are() {
    for body in [
        r#"{"a":1,"a":2}"#,
        r#"{"a":1,"b":2,"a":3}"#,
        r#"{"email":1,"\u0065mail":2}"#,
        r#"{"\u0065mail":1,"e\u006dail":2}"#,
        r#"{"":1,"":2}"#,
        r#"{"😀":1,"\ud83d\ude00":2}"#,
        r#"[[{"x":{"a":1,"a":1}}]]"#,
        r#"{"x":{"a":1},"y":[],"x":{"b":1}}"#,
    ] {
        let (kind, at) = refused(body);
        assert_eq!(kind, Kinds::DuplicateKey, "{body}");
        assert!(body[at..].starts_with('"') && at > 2, "{body} at {at}");
    }
    // The same key in other objects, and keys that only look alike, are fine.
    for body in [r#"{"a":{"a":{"a":1}}}"#, r#"[{"a":1},{"a":1}]"#, r#"{"a":1,"A":2}"#, "{\"é\":1,\"e\u{301}\":2}"] {
        read(body).unwrap();
    }
}

#[test]
fn duplicates_are_found_in_objects_of_every_size() {
    for size in [2, 3, 8, 31, 32, 33, 34, 100, 1000] {
        let mut members: Vec<String> = (0..size).map(|n| format!("\"key{n}\":{{\"in\":[{n}]}}")).collect();
        read(format!("{{{}}}", members.join(","))).unwrap();
        for place in [0, size / 3, size - 2] {
            let kept = std::mem::replace(&mut members[size - 1], format!("\"k\\u0065y{place}\":0"));
            let body = format!("{{{}}}", members.join(","));
            let at = body.rfind("\"k\\u").unwrap();
            assert_eq!(refused(&body), (Kinds::DuplicateKey, at), "{size} {place}");
            members[size - 1] = kept;
        }
    }
}

#[test]
fn limits_are_inclusive() {
    let limits = Limits { depth_max: 3, nodes_max: 5, key_bytes_max: 4, number_bytes_max: 6 };
    let mut index = Index::new();
    let mut kind = |body: &str| index.read(body.as_bytes(), &limits).map_err(|malformed| malformed.kind).map(drop);
    assert_eq!(kind("[[[1]]]"), Ok(()));
    assert_eq!(kind("[[[[]]]]"), Err(Kinds::TooDeep));
    assert_eq!(kind(r#"[{"a":[{}]}]"#), Err(Kinds::TooDeep));
    assert_eq!(kind("[1,2,3,4]"), Ok(()));
    assert_eq!(kind("[1,2,3,4,5]"), Err(Kinds::TooManyNodes));
    assert_eq!(kind(r#"{"1234":0}"#), Ok(()));
    assert_eq!(kind(r#"{"12345":0}"#), Err(Kinds::KeyTooLong));
    assert_eq!(kind(r#"{"\u0041":0}"#), Err(Kinds::KeyTooLong));
    assert_eq!(kind("123456"), Ok(()));
    assert_eq!(kind("-12345"), Ok(()));
    assert_eq!(kind("1234567"), Err(Kinds::NumberTooLong));
    assert_eq!(kind("1e12345"), Err(Kinds::NumberTooLong));
}

#[test]
fn nesting_without_end_is_refused_without_recursion() {
    for unit in ["[", "{\"a\":", "[{\"a\":"] {
        let (kind, at) = refused(unit.repeat(200_000));
        assert_eq!(kind, Kinds::TooDeep);
        assert!(at < 400);
    }
    // With the limit out of the way, depth costs memory in the index alone.
    let limits = Limits { depth_max: u16::MAX, ..Limits::default() };
    let body = "[".repeat(65_535) + &"]".repeat(65_535);
    let mut index = Index::new();
    let root = index.read(body.as_bytes(), &limits).unwrap();
    assert_eq!(index.node(body.as_bytes(), root).raw().len(), body.len());
    let body = "[".repeat(65_536) + &"]".repeat(65_536);
    assert_eq!(index.read(body.as_bytes(), &limits).unwrap_err().kind, Kinds::TooDeep);
}

#[test]
fn documents_of_one_body_share_an_index_and_its_node_limit() {
    let body = b"{\"a\":1}\n{\"a\":oops}\n [2] \n\"x\"";
    let mut index = Index::new();
    let limits = Limits { nodes_max: 5, ..Limits::default() };
    let first = index.read_range(body, 0..7, &limits).unwrap();
    let bad = index.read_range(body, 8..18, &limits).unwrap_err();
    assert_eq!((bad.kind, bad.at), (Kinds::UnexpectedByte, 13));
    assert_eq!(index.len(), 2);
    let third = index.read_range(body, 19..24, &limits).unwrap();
    let fourth = index.read_range(body, 25..28, &limits).unwrap();
    assert_eq!(index.node(body, first).raw(), b"{\"a\":1}");
    assert_eq!(index.node(body, third).span(), 20..23);
    assert_eq!(index.node(body, fourth).text().unwrap(), "x");
    assert_eq!(index.read_range(body, 0..7, &limits).unwrap_err().kind, Kinds::TooManyNodes);

    // A range is read as if nothing were around it.
    assert_eq!(index.read_range(body, 0..6, &Limits::default()).unwrap_err().kind, Kinds::UnexpectedEnd);
    assert_eq!(index.read_range(body, 7..7, &Limits::default()).unwrap_err().kind, Kinds::UnexpectedEnd);
    assert_eq!(index.read_range(body, 5..6, &Limits::default()).map(|id| index.node(body, id).raw()), Ok(&b"1"[..]));
    assert_eq!(index.read_range(body, 0..99, &Limits::default()).unwrap_err().kind, Kinds::UnexpectedEnd);
    assert_eq!(index.read_range("é1".as_bytes(), 1..3, &Limits::default()).unwrap_err().at, 1);
    index.clear();
    assert!(index.is_empty());
}

#[test]
fn views_show_what_was_written() {
    let body = br#" {"a" : [ null, true, -0.50e+1, "x\u00e9y", {} ], "\u0062": {"c": "plain"}} "#;
    let mut index = Index::new();
    let root = index.read(body, &Limits::default()).unwrap();
    let root = index.node(body, root);
    assert_eq!((root.kind(), root.len(), root.key().is_none()), (Kind::Object, 2, true));

    let keys: Vec<_> = root.members().map(|(key, node)| (key.text().into_owned(), key.raw(), node.kind())).collect();
    assert_eq!(keys[0], ("a".into(), &br#""a""#[..], Kind::Array));
    assert_eq!(keys[1], ("b".into(), &br#""\u0062""#[..], Kind::Object));

    let a = root.get("a").unwrap();
    let kinds: Vec<_> = a.elements().map(|element| element.kind()).collect();
    assert_eq!(kinds, [Kind::Null, Kind::Bool, Kind::Number, Kind::String, Kind::Object]);
    let elements: Vec<_> = a.elements().collect();
    assert_eq!((a.len(), elements.len(), a.elements().len()), (5, 5, 5));
    assert_eq!(elements[2].raw(), b"-0.50e+1");
    assert_eq!(elements[3].text().unwrap(), "xéy");
    assert_eq!((elements[3].plain_text(), elements[2].text()), (None, None));
    assert!(elements[3].is_text("xéy") && !elements[3].is_text("xé") && elements[3].text_starts_with("xé"));
    let mut room = Vec::new();
    assert_eq!(elements[3].text_in(&mut room), Some("xéy"));
    assert!(elements[4].is_empty() && elements[4].members().next().is_none());

    let b = root.get("b").unwrap();
    assert!(b.key().unwrap().is("b") && !b.key().unwrap().is("\\u0062"));
    assert_eq!(b.key().unwrap().text_in(&mut room), "b");
    assert_eq!(b.get("c").unwrap().plain_text(), Some("plain"));
    assert_eq!(b.get("c").unwrap().text_in(&mut room), Some("plain"));
    // Asking the wrong question gives nothing.
    assert!(root.get("c").is_none() && a.get("a").is_none() && a.members().next().is_none());
    assert!(root.elements().next().is_none() && elements[2].text_in(&mut room).is_none());
    assert_eq!(index.node(body, b.id()).span(), b.span());
}

#[test]
fn an_index_can_give_memory_back() {
    let mut index = Index::new();
    let body = format!("[{}0]", "0,".repeat(10_000));
    index.read(body.as_bytes(), &Limits::default()).unwrap();
    index.shrink_to(16);
    assert!(index.is_empty());
    index.read(body.as_bytes(), &Limits::default()).unwrap();
    assert_eq!(index.len(), 10_002);
}
