//! What senders are told, preflights included, and what of a collector's answer they see.

use crate::{asked, request};
use http::header;
use http::{HeaderMap, HeaderName, HeaderValue};
use privet::formats::{
    Bound, Fault, Refusal, Unready, answer_refusal, answer_success, pass_response_headers, preflight,
};
use privet_policy::format::Format;
use privet_policy::policy::Response as Listed;

#[test]
fn every_refusal_has_the_answer_that_its_client_bears() {
    let unready = |because| Refusal::Unavailable { because, retry_after_secs: 7 };
    let rows = [
        (Refusal::malformed(Fault::Empty, 0), [400, 400, 400]),
        (Refusal::TooLarge(Bound::Body), [400, 413, 413]),
        (Refusal::UnsupportedCoding, [400, 415, 415]),
        (Refusal::UnsupportedCharset, [400, 415, 415]),
        (Refusal::UnsupportedMedia, [400, 415, 415]),
        (Refusal::UnknownFormat, [415, 415, 415]),
        (Refusal::NotAnEventPath, [404, 404, 404]),
        (Refusal::MethodNotAllowed, [405, 405, 405]),
        (Refusal::Aggregates, [403, 403, 403]),
        (unready(Unready::Policy), [429, 503, 503]),
        (unready(Unready::Log), [429, 503, 503]),
        (unready(Unready::Keys), [429, 503, 503]),
        (unready(Unready::Destination), [429, 503, 503]),
        (unready(Unready::Draining), [429, 503, 503]),
        (unready(Unready::Overload), [429, 429, 429]),
        (Refusal::Internal, [503, 503, 503]),
    ];
    for (refusal, statuses) in rows {
        for (format, status) in [Some(Format::Segment), Some(Format::CloudEvents), None].into_iter().zip(statuses) {
            let answer = answer_refusal(format, &refusal, &asked(&HeaderMap::new()));
            assert_eq!(answer.status(), status, "{refusal:?} {format:?}");
            assert_eq!(answer.headers()[header::CONTENT_TYPE], "application/json");
            assert_eq!(answer.headers().contains_key(header::RETRY_AFTER), matches!(status, 429 | 503), "{refusal:?}");
        }
    }
    let answer = answer_refusal(
        None,
        &Refusal::Unavailable { because: Unready::Log, retry_after_secs: 0 },
        &asked(&HeaderMap::new()),
    );
    assert_eq!(answer.headers()[header::RETRY_AFTER], "1");
}

#[test]
fn success_is_what_the_sdks_take_for_one() {
    for (format, status) in
        [(Format::Segment, 200), (Format::CloudEvents, 204), (Format::Json, 200), (Format::Ndjson, 200)]
    {
        let answer = answer_success(format, &asked(&HeaderMap::new()));
        assert_eq!(answer.status(), status, "{format}");
        assert_eq!(answer.headers().contains_key(header::CONTENT_TYPE), !answer.body().is_empty());
    }
    assert_eq!(answer_success(Format::Segment, &asked(&HeaderMap::new())).body(), "{\"success\": true}");
}

#[test]
fn preflights_get_what_the_browser_asked_for_and_nothing_else_is_one() {
    let headers = [
        ("origin", "https://shop.example"),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "anonymousid,sentat"),
    ];
    for format in Format::ALL {
        let answer = preflight(&request(&[format], "OPTIONS", "/v1/t", &headers, "")).unwrap();
        assert_eq!(answer.status(), 204);
        assert_eq!(answer.headers()[header::ACCESS_CONTROL_ALLOW_ORIGIN], "https://shop.example");
        assert_eq!(answer.headers()[header::ACCESS_CONTROL_ALLOW_CREDENTIALS], "true");
        assert_eq!(answer.headers()[header::ACCESS_CONTROL_ALLOW_HEADERS], "anonymousid,sentat");
        assert!(answer.headers()[header::ACCESS_CONTROL_ALLOW_METHODS].to_str().unwrap().contains("POST"));
    }
    let asks =
        |method: &str, headers: &[(&str, &str)]| preflight(&request(&[Format::Segment], method, "/v1/t", headers, ""));
    assert!(asks("POST", &headers).is_none());
    assert!(asks("OPTIONS", &headers[..1]).is_none());
    assert!(asks("OPTIONS", &headers[1..]).is_none());
    assert!(asks("OPTIONS", &[("webhook-request-origin", "sender.example")]).is_none());
    let odd = [headers[0], headers[1], ("access-control-request-headers", "x y, (bad)")];
    let allowed = asks("OPTIONS", &odd).unwrap().headers()[header::ACCESS_CONTROL_ALLOW_HEADERS].clone();
    assert!(allowed.to_str().unwrap().starts_with("authorization, content-type"));
}

#[test]
fn web_hook_senders_get_their_permission() {
    let headers = [("webhook-request-origin", "sender.example"), ("webhook-request-rate", "120")];
    let answer = preflight(&request(&[Format::CloudEvents], "OPTIONS", "/hook", &headers, "")).unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["webhook-allowed-origin"], "sender.example");
    assert_eq!(answer.headers()["webhook-allowed-rate"], "*");
    assert_eq!(answer.headers()[header::ALLOW], "POST, PUT, OPTIONS");
}

#[test]
fn answers_can_be_read_by_the_page_that_asked() {
    let mut headers = HeaderMap::new();
    assert!(
        !answer_success(Format::Segment, &asked(&headers)).headers().contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN)
    );
    headers.insert(header::ORIGIN, HeaderValue::from_static("https://shop.example"));
    let refusal = Refusal::Unavailable { because: Unready::Overload, retry_after_secs: 3 };
    for answer in [
        answer_success(Format::Segment, &asked(&headers)),
        answer_refusal(Some(Format::Segment), &refusal, &asked(&headers)),
    ] {
        assert_eq!(answer.headers()[header::ACCESS_CONTROL_ALLOW_ORIGIN], "https://shop.example");
        assert_eq!(answer.headers()[header::ACCESS_CONTROL_EXPOSE_HEADERS], "Retry-After");
        assert_eq!(answer.headers()[header::VARY], "Origin");
    }
    headers.insert(header::ORIGIN, HeaderValue::from_str(&"x".repeat(600)).unwrap());
    assert!(
        !answer_success(Format::Segment, &asked(&headers)).headers().contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN)
    );
}

#[test]
fn a_collector_s_cookies_tags_and_redirects_stay_behind() {
    let mut from = HeaderMap::new();
    for (name, value) in [
        ("content-type", "application/json"),
        ("retry-after", "9"),
        ("set-cookie", "sp=1"),
        ("etag", "\"1\""),
        ("location", "https://elsewhere.example/?u=1"),
        ("x-request-id", "1"),
        ("access-control-allow-origin", "*"),
        ("server", "c"),
    ] {
        from.append(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    let mut into = HeaderMap::new();
    pass_response_headers(&from, &Listed::default(), &HeaderMap::new(), &mut into);
    let mut names: Vec<_> = into.keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["content-type", "retry-after", "vary"]);
}

#[test]
fn what_a_destination_s_policy_lists_comes_back_and_no_other_cookie() {
    let mut from = HeaderMap::new();
    for (name, value) in
        [("set-cookie", "sp=1; Path=/; Secure"), ("set-cookie", "uid=u-1"), ("etag", "\"1\""), ("set-cookie", "sp")]
    {
        from.append(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    let listed = Listed { headers: vec!["etag".into()], cookies: vec!["sp".into()] };
    let mut into = HeaderMap::new();
    pass_response_headers(&from, &listed, &HeaderMap::new(), &mut into);
    assert_eq!(into.get_all("set-cookie").iter().collect::<Vec<_>>(), ["sp=1; Path=/; Secure"]);
    assert_eq!(into["etag"], "\"1\"");
}
