use proptest::prelude::*;

use super::*;

fn found(text: &str, set: DetectorSet) -> Vec<(Detector, &str)> {
    let mut found = Vec::new();
    find(text, set, &mut found);
    found.iter().map(|one| (one.detector, &text[one.start..one.end])).collect()
}

/// What one detector finds.
fn only(detector: Detector, text: &str) -> Vec<&str> {
    found(text, DetectorSet::from_iter([detector])).into_iter().map(|(_, text)| text).collect()
}

fn scrubbed(text: &str, set: DetectorSet) -> (String, usize) {
    let mut out = String::new();
    let replaced = scrub(text, set, &mut out);
    (out, replaced)
}

#[test]
fn emails_however_they_are_written() {
    for (text, expected) in [
        ("marla@quillfeather.example", "marla@quillfeather.example"),
        ("write to Marla.Q+news@mail.quillfeather.example, please", "Marla.Q+news@mail.quillfeather.example"),
        ("mailto:marla@home.example?subject=x", "marla@home.example"),
        ("https://a.example/?user=marla@home.example&x=1", "marla@home.example"),
        ("https://a.example/?user=marla%40home.example&x=1", "marla%40home.example"),
        ("next=%2Fa%3Fuser%3Dmarla%2540home.example%26x", "marla%2540home.example"),
        ("?u=marla%2Bnews%40home%2Eexample", "marla%2Bnews%40home%2Eexample"),
        ("&lt;marla&#64;home.example&gt;", "marla&#64;home.example"),
        ("&#109;arla&commat;home&period;example", "&#109;arla&commat;home&period;example"),
        (r#"{\"to\":\"marla\u0040home.example\"}"#, r"marla\u0040home.example"),
        (r"hello\nmarla@home.example\n", "marla@home.example"),
        ("odalys.bränd@höhe.example", "odalys.bränd@höhe.example"),
        ("用户@例子.中国", "用户@例子.中国"),
        ("我的邮箱是marla@home.example谢谢", "marla@home.example"),
        ("xxmarla@home.example__tail", "xxmarla@home.example"),
        ("id|marla@home.example|7", "marla@home.example"),
        ("marla@home.example2024-01-02", "marla@home.example"),
        ("marla@xn--80ak6aa92e.com", "marla@xn--80ak6aa92e.com"),
        ("a@xn--d1acufc.xn--p1ai", "a@xn--d1acufc.xn--p1ai"),
        ("\"marla q\"@home.example", "\"marla q\"@home.example"),
        ("'o'brandreth@home.example'", "o'brandreth@home.example"),
        ("marla@[192.0.2.1]", "marla@[192.0.2.1]"),
        ("bounce+marla=home.example@list.example", "bounce+marla=home.example@list.example"),
        ("marla＠home.example", "marla＠home.example"),
        ("ftp://marla@home.example/x", "marla@home.example"),
        ("**marla@home.example**", "marla@home.example"),
        ("mar****@home.example", "mar****@home.example"),
        ("...marla@home.example...", "marla@home.example"),
    ] {
        assert_eq!(only(Detector::EmailAddress, text), [expected], "{text}");
    }
}

#[test]
fn what_is_no_email() {
    for text in [
        "@marla",
        "marla@",
        "marla@home",
        "@",
        "a @ b.example",
        "logo@2x.png",
        "privet@1.2.3",
        "x@y.z",
        "100%40",
        "@home.example",
        "&#64;&#64;",
    ] {
        assert_eq!(only(Detector::EmailAddress, text), [""; 0], "{text}");
    }
}

#[test]
fn phones_by_shape() {
    for (text, expected) in [
        ("763-555-2342", "763-555-2342"),
        ("+1-202-555-0143", "+1-202-555-0143"),
        ("+44 20 7946 0958", "+44 20 7946 0958"),
        ("(202) 555-0143", "(202) 555-0143"),
        ("(202)555-0143", "(202)555-0143"),
        ("+1234567890", "+1234567890"),
        ("1-800-555-0199", "1-800-555-0199"),
        ("202.555.0143", "202.555.0143"),
        ("202 555 0143", "202 555 0143"),
        ("+44 (0)20 7946 0958", "+44 (0)20 7946 0958"),
        ("(+44) 20 7946 0958", "(+44) 20 7946 0958"),
        ("0044 20 7946 0958", "0044 20 7946 0958"),
        ("011 44 20 7946 0958", "011 44 20 7946 0958"),
        ("020 7946 0958", "020 7946 0958"),
        ("01.84.17.61.18", "01.84.17.61.18"),
        ("07700900123", "07700900123"),
        ("(64) 3591-3246", "(64) 3591-3246"),
        ("202-555-0143 x12", "202-555-0143 x12"),
        ("202-555-0143, ext. 4567.", "202-555-0143, ext. 4567"),
        ("tel:+12025550143", "+12025550143"),
        ("?phone=%2B1%20202%20555%200143&x", "%2B1%20202%20555%200143"),
        ("?phone=202-555-0143&x", "202-555-0143"),
        ("?q=202+555+0143", "202+555+0143"),
        ("ring 202‑555‑0143", "202‑555‑0143"),
        ("Odalys (202-555-0143)", "202-555-0143"),
        ("(+12025550143)", "+12025550143"),
        ("8 (301) 123-45-67", "8 (301) 123-45-67"),
        ("+0044 20 7946 0958", "+0044 20 7946 0958"),
    ] {
        assert_eq!(only(Detector::PhoneNumber, text), [expected], "{text}");
    }
    assert_eq!(only(Detector::PhoneNumber, "202-555-0143 202-555-0144"), ["202-555-0143", "202-555-0144"]);
    assert_eq!(only(Detector::PhoneNumber, "202-555-0143,+44 20 7946 0958"), ["202-555-0143", "+44 20 7946 0958"]);
}

#[test]
fn phones_by_the_words_around() {
    for (text, expected) in [
        ("call me on 450 0840", "450 0840"),
        ("my mobile: 9472 7916", "9472 7916"),
        ("655 437 108 office", "655 437 108"),
        ("phoneNumber=2025550143", "2025550143"),
        ("My number is 13812345678", "13812345678"),
    ] {
        assert_eq!(only(Detector::PhoneNumber, text), [expected], "{text}");
    }
}

#[test]
fn what_is_no_phone() {
    for text in [
        "2025550143",
        "1700000123",
        "1700000123456",
        "12345678",
        "order 4500840",
        "call about order 12345678",
        "order number 2025550143",
        "2024-01-31",
        "31/01/2024",
        "01.02.2024 10:30",
        "2024-01-31 10:30:00",
        "2015-02-02T00:30:12.984Z",
        "12:30:45",
        "$1,234,567",
        "1.234.567,89",
        "3.14159265",
        "48.8566, 2.3522",
        "-122.4194155",
        "192.168.100.200",
        "853-37-1694",
        "550e8400-e29b-41d4-a716-446655440000",
        "12345678-1234-1234-1234-123456789012",
        "978-3-16-148410-0",
        "MAC: 01-23-45-67-89-AB",
        "v2025.0143.2",
        "4111 1111 1111 1111",
        "#20255501",
        "0123 items",
        "100 200 300",
        "1 000 000 000",
        "12345-6789",
        "ORD-2024-000123",
        "SKU 555-0143",
        "1280x1024 60Hz",
        "a1b2c3d4e5f6071829",
        "+1",
        "+++",
        "+12 34",
        "(2019) 123456",
        "/mobile/000/034/772/x",
    ] {
        assert_eq!(only(Detector::PhoneNumber, text), [""; 0], "{text}");
    }
}

#[test]
fn cards() {
    for (text, expected) in [
        ("4111111111111111", "4111111111111111"),
        ("4111 1111 1111 1111", "4111 1111 1111 1111"),
        ("4111-1111-1111-1111", "4111-1111-1111-1111"),
        ("4111.1111.1111.1111", "4111.1111.1111.1111"),
        ("pan=4111%201111%201111%201111;", "4111%201111%201111%201111"),
        ("card%3D4111111111111111", "4111111111111111"),
        ("378282246310005", "378282246310005"),
        ("3782 822463 10005", "3782 822463 10005"),
        ("30569309025904", "30569309025904"),
        ("6011111111111117", "6011111111111117"),
        ("2223003122003222", "2223003122003222"),
        ("3566002020360505", "3566002020360505"),
        ("6200000000000005", "6200000000000005"),
        ("4111 1111 1111 1111 12/29", "4111 1111 1111 1111"),
        ("my card 501864667909 is lost", "501864667909"),
        ("cc: 4222222222222", "4222222222222"),
    ] {
        assert_eq!(only(Detector::CreditCard, text), [expected], "{text}");
    }
    for text in [
        "4111111111111112",
        "41111111111111111",
        "0000000000000000",
        "1748503543012",
        "501864667909",
        "a4111111111111111",
        "4111111111111111b",
        "0.4111111111111111",
        "9111111111111111",
        "RS35 2600 0560 1001 6113 79",
        "4111 1111 1111",
    ] {
        assert_eq!(only(Detector::CreditCard, text), [""; 0], "{text}");
    }
}

#[test]
fn ip_addresses() {
    for (text, expected) in [
        ("192.0.2.7", "192.0.2.7"),
        ("from 192.0.2.7:8080.", "192.0.2.7"),
        ("192.0.2.0/24", "192.0.2.0/24"),
        ("ip%3D192.0.2.7%26x", "192.0.2.7"),
        ("ip_192.0.2.7", "192.0.2.7"),
        ("page 12 ............................................................ 192.0.2.7", "192.0.2.7"),
        ("12..............................................................192.0.2.7", "192.0.2.7"),
        ("2001:db8::7", "2001:db8::7"),
        ("[2001:db8::7]:443", "2001:db8::7"),
        ("ip=2001%3Adb8%3A%3A7&x", "2001%3Adb8%3A%3A7"),
        ("peer:2001:db8::7: refused", "2001:db8::7"),
        ("::ffff:192.0.2.7", "::ffff:192.0.2.7"),
        ("fe80::1%eth0", "fe80::1%eth0"),
        ("2001:0db8:85a3:0000:0000:8a2e:0370:7334", "2001:0db8:85a3:0000:0000:8a2e:0370:7334"),
        ("http://192.0.2.7/x", "192.0.2.7"),
        ("::", "::"),
        ("listen on ::", "::"),
    ] {
        assert_eq!(only(Detector::IpAddress, text), [expected], "{text}");
    }
    for text in [
        "1.2.3",
        "version 1.2.3.4",
        "v1.2.3.4",
        "Chrome/120.0.0.0",
        "1.3.6.1.4.1.311",
        "192.0.2.256",
        "01.84.17.61.18",
        "12:30:45",
        "aa:bb:cc:dd:ee:ff",
        "std::cout",
        "a::b",
        "foo :: Int",
        "fe80::1text",
        "2001::db8::1",
        "1.2.3.4.5.6",
        "1.2..3.4",
        "12:30",
        "1~2.35.41.101",
    ] {
        assert_eq!(only(Detector::IpAddress, text), [""; 0], "{text}");
    }
}

#[test]
fn where_two_detectors_meet_the_surer_names_the_whole() {
    let text = "marla.202-555-0143@home.example";
    assert_eq!(found(text, DetectorSet::ALL), [(Detector::EmailAddress, text)]);
}

#[test]
fn scrubbing_leaves_tags() {
    let text = "Marla, marla@home.example or 202-555-0143, from 192.0.2.7, paid with 4111 1111 1111 1111.";
    let expected = "Marla, <EMAIL_ADDRESS> or <PHONE_NUMBER>, from <IP_ADDRESS>, paid with <CREDIT_CARD>.";
    assert_eq!(scrubbed(text, DetectorSet::ALL), (expected.to_owned(), 4));
    assert_eq!(scrubbed(text, DetectorSet::EMPTY), (text.to_owned(), 0));
    // A tag is no evidence for the number beside it.
    assert_eq!(scrubbed("202-555-0143, 450 0840", DetectorSet::ALL).0, "<PHONE_NUMBER>, 450 0840");
}

#[test]
fn names() {
    for detector in Detector::ALL {
        assert_eq!(detector.name().parse(), Ok(detector));
        assert_eq!(detector.tag(), format!("<{detector}>"));
        assert!(DetectorSet::ALL.contains(detector));
    }
    assert_eq!("EMAIL".parse::<Detector>(), Err(UnknownDetector));
    assert_eq!(DetectorSet::ALL.iter().count(), Detector::ALL.len());
    let one = DetectorSet::EMPTY.with(Detector::IpAddress);
    assert!(one.is_subset(DetectorSet::ALL) && !DetectorSet::ALL.is_subset(one) && DetectorSet::EMPTY.is_empty());
}

/// The longest a mebibyte may take where the compiler does not optimize much and the machine has other work.
/// Quadratic work on a mebibyte would take hours.
const LINEAR_MAX: std::time::Duration = std::time::Duration::from_secs(15);

#[test]
fn a_mebibyte_of_anything_takes_linear_time() {
    for piece in [
        "@",
        ".",
        ":",
        "%",
        "&",
        ">",
        "\"",
        "7",
        "a",
        "é",
        "+",
        "(",
        "%40",
        "&#64;",
        "\\u0040",
        "a@",
        "a@a.",
        "@[",
        "\"@",
        "=a@",
        "a=a.a+",
        "1.",
        "1:",
        "::",
        "::1 ",
        "1 ",
        "1-",
        "(1)",
        "+1 ",
        "call 5550143 ",
        "call ",
        "1.1.1.1 ",
        "card 4111 ",
        "1111 ",
        "<A>",
        "12:",
        "fe80::1%a",
        "0 ",
        "00 1 ",
        "a1",
        "A1 ",
        "ab 1 ",
        "id 1-",
        "id 123456789 ",
        "AB12 ",
        "GB29 NWBK ",
        "aa-",
        "0x",
        "bc1q",
        "ey",
        "eyJ.",
        "eyJhbGciOiJub25lIn0",
        "-----BEGIN ",
        "-----BEGIN PRIVATE KEY-----",
        "key=",
        "sk-",
        "AKIA",
        "http://",
        "http://a.b/",
        "www.",
        "a.com ",
        "May ",
        "May 1 ",
        "1/1/",
        "2024-01-01T",
        "since 1984 ",
        "0532 ",
    ] {
        let text = piece.repeat(1024 * 1024 / piece.len());
        let start = std::time::Instant::now();
        let mut found = Vec::new();
        find(&text, DetectorSet::ALL, &mut found);
        assert!(start.elapsed() < LINEAR_MAX, "{piece} took {:?}", start.elapsed());
    }
}

/// Texts made of what detectors look at.
fn texts() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        any::<String>(),
        "[0-9 .()+/-]{0,24}",
        "[0-9a-f:.%]{0,24}",
        "[a-zé@.%=+_-]{0,24}",
        proptest::sample::select(vec![
            "marla@home.example",
            "%40",
            "&#64;",
            "\\u0040",
            "\"",
            "@[",
            "]",
            "call ",
            "card ",
            "<PHONE_NUMBER>",
            "<",
            ">",
            "4111111111111111",
            "4111 1111 ",
            "1111 1111",
            "+44 20 7946 0958",
            "202-555-0143",
            "555-0143",
            " x12",
            "192.0.2.7",
            "2001:db8::1",
            "::",
            "fe80::1%eth0",
            "/24",
            "%3A",
            "%2",
            "\\n",
            "é",
            "用",
            "…",
            "1.2.3.4",
            "a@b.c",
            " my id is ",
            "SSN: ",
            "passport ",
            "driver's license ",
            "078-05-1123",
            "912803456",
            "AB123456C",
            "AB51 ABC",
            "SW1A 1AA",
            "GB29 NWBK 6016 1331 9268 19",
            "DE89370400440532013000",
            "44051401458",
            "199109242397",
            "RSSMRA85T10A562S",
            "27ABCDE1234F1Z5",
            "https://home.example/x?y=1",
            "www.home.example",
            "home.com",
            "2024-03-15T14:30:00Z",
            "born 3 May 1990",
            "since 1984",
            "sunday",
            "eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0.x",
            "-----BEGIN PRIVATE KEY-----",
            "-----END PRIVATE KEY-----",
            "AKIAIOSFODNN7EXAMPLE",
            "api_key=",
            "0a1b2c3d4e5f60718293a4b5",
            "idfa ",
            "6D92078A-8246-4BA4-AE5B-76104861E7DC",
            "00:1A:2B:3C:4D:5E",
            "16Yeky6GMjeNkAiNcBY7ZhrLoMSgg1BoyZ",
            "+90 532 123 45 67",
            "\n",
            ", ",
            "_",
        ])
        .prop_map(str::to_owned),
    ];
    proptest::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

fn sets() -> impl Strategy<Value = DetectorSet> {
    let few = proptest::collection::vec(proptest::sample::select(Detector::ALL.to_vec()), 0..6);
    let many = proptest::collection::vec(any::<bool>(), Detector::ALL.len()).prop_map(|chosen| {
        Detector::ALL.into_iter().zip(chosen).filter_map(|(one, is_in)| is_in.then_some(one)).collect()
    });
    prop_oneof![few.prop_map(DetectorSet::from_iter), many]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn findings_are_sorted_apart_and_on_character_boundaries(text in texts(), set in sets()) {
        let mut found = Vec::new();
        find(&text, set, &mut found);
        let mut from = 0;
        for one in &found {
            prop_assert!(from <= one.start && one.start < one.end && one.end <= text.len());
            prop_assert!(text.is_char_boundary(one.start) && text.is_char_boundary(one.end));
            prop_assert!(set.contains(one.detector) && one.score <= 100);
            from = one.end;
        }
    }

    #[test]
    fn a_larger_set_covers_what_a_smaller_one_does(text in texts(), a in sets(), b in sets()) {
        let (mut small, mut large) = (Vec::new(), Vec::new());
        find(&text, a, &mut small);
        find(&text, a.union(b), &mut large);
        for one in &small {
            prop_assert!(large.iter().any(|other| other.start <= one.start && one.end <= other.end));
        }
    }

    #[test]
    fn scrubbed_is_clean_for_the_set_and_for_every_smaller_one(text in texts(), a in sets(), b in sets()) {
        let (clean, replaced) = scrubbed(&text, a.union(b));
        prop_assert_eq!(found(&clean, a), []);
        prop_assert_eq!(scrubbed(&clean, a.union(b)), (clean.clone(), 0));
        prop_assert_eq!(replaced == 0, clean == text);
    }
}
