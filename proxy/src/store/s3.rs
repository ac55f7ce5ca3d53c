//! A bucket of an S3-compatible store, addressed by path.
//!
//! Promise: every request is signed with its body's hash, over TLS wherever it leaves this machine; key files are read
//! again for each request, so that they can be rotated. What is placed asks for `If-None-Match: *`, and what is replaced
//! for `If-Match`: a store has to know both.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use http::uri::{Authority, PathAndQuery};
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use http_body_util::Full;
use privet_audit_log::tree::Hash;
use quick_xml::Reader;
use quick_xml::events::Event;
use zeroize::Zeroizing;

use super::sigv4::{Credentials, Scope, Signed, authorization, encode, query_text};
use super::{Fault, Key, Object, Over, Page, Tag};
use crate::clock::Clock;
use crate::config::Bucket;
use crate::tls::TlsError;
use crate::web::{NoAnswer, Web};

/// A listing of 1,000 keys takes less.
const LISTING_BYTES_MAX: usize = 4 << 20;
/// What a store says beside its status is not read further.
const WORD_BYTES_MAX: usize = 64 << 10;

pub(crate) struct S3 {
    web: Web,
    at: Bucket,
    authority: Authority,
    clock: Arc<dyn Clock>,
}

impl S3 {
    pub(super) fn open(at: &Bucket, clock: Arc<dyn Clock>) -> Result<Self, TlsError> {
        let web = Web::open(&at.tls, at.timeout)?;
        let authority = at.endpoint.authority().cloned().unwrap_or_else(|| Authority::from_static("localhost"));
        Ok(Self { web, at: at.clone(), authority, clock })
    }

    pub(super) async fn read(&self, key: &Key, bytes_max: usize) -> Result<Option<Object>, Fault> {
        let answer = self.ask(Method::GET, &self.path(Some(key)), &[], &[], Vec::new(), bytes_max).await?;
        match answer.status() {
            StatusCode::NOT_FOUND => Ok(None),
            StatusCode::OK => {
                let tag = answer.headers().get(header::ETAG).and_then(|tag| tag.to_str().ok());
                let tag = Tag(tag.ok_or(Fault::Unreadable)?.to_owned());
                Ok(Some(Object { bytes: answer.into_body().to_vec(), tag }))
            }
            status => Err(judged(status)),
        }
    }

    pub(super) async fn write(&self, key: &Key, bytes: Vec<u8>, over: Over<'_>) -> Result<bool, Fault> {
        let condition = match over {
            Over::Nothing => Some(("if-none-match", "*".to_owned())),
            Over::This(tag) => Some(("if-match", tag.0.clone())),
            Over::Anything => None,
        };
        let headers: Vec<_> = condition.into_iter().collect();
        let answer = self.ask(Method::PUT, &self.path(Some(key)), &[], &headers, bytes, WORD_BYTES_MAX).await?;
        match answer.status() {
            status if status.is_success() => Ok(true),
            StatusCode::PRECONDITION_FAILED => Ok(false),
            // Who asks for `If-Match` of something that is gone is told 404.
            StatusCode::NOT_FOUND if matches!(over, Over::This(_)) => Ok(false),
            status => Err(judged(status)),
        }
    }

    pub(super) async fn list(&self, under: &Key, from: Option<&str>) -> Result<Page, Fault> {
        let prefix = format!("{}/", self.named(under));
        let pair = |name: &str, value: &str| (encode(name, false), encode(value, false));
        let mut query = vec![pair("list-type", "2"), pair("prefix", &prefix)];
        query.extend(from.map(|from| pair("continuation-token", from)));
        let answer = self.ask(Method::GET, &self.path(None), &query, &[], Vec::new(), LISTING_BYTES_MAX).await?;
        match answer.status() {
            StatusCode::OK => listing(&answer.into_body(), &prefix).ok_or(Fault::Unreadable),
            status => Err(judged(status)),
        }
    }

    pub(super) async fn remove(&self, key: &Key) -> Result<(), Fault> {
        let answer = self.ask(Method::DELETE, &self.path(Some(key)), &[], &[], Vec::new(), WORD_BYTES_MAX).await?;
        match answer.status() {
            StatusCode::NOT_FOUND => Ok(()),
            status if status.is_success() => Ok(()),
            status => Err(judged(status)),
        }
    }

    fn named(&self, key: &Key) -> String {
        if self.at.prefix.is_empty() { key.as_str().to_owned() } else { format!("{}/{}", self.at.prefix, key.as_str()) }
    }

    /// The encoded path of an object, or of the bucket.
    fn path(&self, key: Option<&Key>) -> String {
        let base = self.at.endpoint.path().trim_end_matches('/');
        let key = key.map(|key| format!("/{}", encode(&self.named(key), true))).unwrap_or_default();
        format!("{base}/{}{key}", encode(&self.at.bucket, false))
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        query: &[(String, String)],
        more: &[(&'static str, String)],
        body: Vec<u8>,
        most: usize,
    ) -> Result<Response<Bytes>, Fault> {
        let digest = Hash::of(&body).to_hex();
        let time = self.clock.now().strftime("%Y%m%dT%H%M%SZ").to_string();
        let mut headers = vec![
            ("host", self.authority.to_string()),
            ("x-amz-content-sha256", digest.clone()),
            ("x-amz-date", time.clone()),
        ];
        headers.extend(more.iter().cloned());
        let signed = Signed { method: method.as_str(), path, query, headers: &headers, body: &digest };
        let scope = Scope { region: &self.at.region, time: &time };
        headers.push(("authorization", authorization(&self.credentials()?, &scope, &signed)));
        let request = self.request(method, path, query, headers, body).ok_or(Fault::Unreadable)?;
        self.web.ask(request, most).await.map_err(|why| match why {
            NoAnswer::InTime => Fault::Unanswered,
            NoAnswer::ShortEnough => Fault::TooMuch,
        })
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        query: &[(String, String)],
        headers: Vec<(&'static str, String)>,
        body: Vec<u8>,
    ) -> Option<Request<Full<Bytes>>> {
        let target = if query.is_empty() { path.to_owned() } else { format!("{path}?{}", query_text(query)) };
        let mut uri = self.at.endpoint.clone().into_parts();
        uri.path_and_query = Some(PathAndQuery::try_from(target).ok()?);
        let mut request = Request::new(Full::new(Bytes::from(body)));
        *request.method_mut() = method;
        *request.uri_mut() = Uri::from_parts(uri).ok()?;
        for (name, value) in headers {
            let mut value = HeaderValue::from_str(&value).ok()?;
            value.set_sensitive(name == "authorization");
            request.headers_mut().insert(HeaderName::from_static(name), value);
        }
        Some(request)
    }

    fn credentials(&self) -> Result<Credentials, Fault> {
        let access_key = word(&self.at.access_key_file)?.to_string();
        Ok(Credentials { access_key, secret_key: word(&self.at.secret_key_file)? })
    }
}

/// One visible word in a file.
fn word(file: &Path) -> Result<Zeroizing<String>, Fault> {
    let text = std::fs::read_to_string(file).map(Zeroizing::new).map_err(|_| Fault::Keys)?;
    let word = text.trim();
    let visible = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_graphic());
    if visible { Ok(Zeroizing::new(word.to_owned())) } else { Err(Fault::Keys) }
}

/// What a status that is no success means for trying again.
fn judged(status: StatusCode) -> Fault {
    let passing = [StatusCode::REQUEST_TIMEOUT, StatusCode::CONFLICT, StatusCode::TOO_MANY_REQUESTS];
    // What a store does not know of the protocol it will not know later.
    let never = status == StatusCode::NOT_IMPLEMENTED;
    if !never && (status.is_server_error() || passing.contains(&status)) {
        Fault::Later(status)
    } else {
        Fault::Refused(status)
    }
}

/// Reads a page of `ListObjectsV2`.
fn listing(xml: &[u8], prefix: &str) -> Option<Page> {
    let mut reader = Reader::from_str(std::str::from_utf8(xml).ok()?);
    let mut page = Page::default();
    let (mut element, mut text, mut key, mut tag) = (String::new(), String::new(), None, None);
    // A page that was cut off, or that is another document, would pass for an empty store.
    let (mut depth, mut is_listing) = (0_usize, false);
    let mut next = None;
    let mut more = false;
    loop {
        match reader.read_event().ok()? {
            Event::Start(start) => {
                element = start.local_name().as_ref().to_owned();
                is_listing |= depth == 0 && element == "ListBucketResult";
                depth += 1;
                text.clear();
            }
            Event::Text(part) => text.push_str(&part),
            Event::GeneralRef(reference) => text.push(referred(&reference)?),
            Event::End(end) => {
                depth = depth.checked_sub(1)?;
                let closes = end.local_name().as_ref() == element;
                match end.local_name().as_ref() {
                    "Key" if closes => key = Some(std::mem::take(&mut text)),
                    "ETag" if closes => tag = Some(Tag(std::mem::take(&mut text))),
                    "NextContinuationToken" if closes => next = Some(std::mem::take(&mut text)),
                    "IsTruncated" if closes => more = text == "true",
                    "Contents" => {
                        let name = key.take()?.strip_prefix(prefix)?.to_owned();
                        page.objects.push((name, tag.take()?));
                    }
                    _ => {}
                }
            }
            Event::Eof => break,
            _ => {}
        }
    }
    if more {
        page.next = Some(next?);
    }
    (depth == 0 && is_listing).then_some(page)
}

/// The character behind `&quot;` and its like, or a numbered one.
fn referred(reference: &quick_xml::events::BytesRef<'_>) -> Option<char> {
    if let Some(character) = reference.resolve_char_ref().ok()? {
        return Some(character);
    }
    match reference.as_ref() {
        "quot" => Some('"'),
        "amp" => Some('&'),
        "apos" => Some('\''),
        "lt" => Some('<'),
        "gt" => Some('>'),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_gives_names_and_tags_and_where_the_next_begins() {
        let xml = br#"<?xml version="1.0" encoding="UTF-8"?>
<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>b</Name><Prefix>p/heads/</Prefix><KeyCount>2</KeyCount>
<IsTruncated>true</IsTruncated><NextContinuationToken>a&amp;b=</NextContinuationToken>
<Contents><Key>p/heads/one</Key><ETag>&quot;11&quot;</ETag><Owner><ID>x</ID></Owner></Contents>
<Contents><Key>p/heads/two</Key><ETag>"22"</ETag></Contents></ListBucketResult>"#;
        let page = listing(xml, "p/heads/").unwrap();
        let expected = [("one".to_owned(), Tag("\"11\"".into())), ("two".to_owned(), Tag("\"22\"".into()))];
        assert_eq!(page.objects, expected);
        assert_eq!(page.next.as_deref(), Some("a&b="));
        assert!(listing(b"<ListBucketResult><Contents><Key>elsewhere/one</Key>", "p/").is_none());
        let listed = |inside: &str| listing(format!("<ListBucketResult>{inside}</ListBucketResult>").as_bytes(), "p/");
        assert!(listed("<IsTruncated>false</IsTruncated>").unwrap().objects.is_empty());
        assert!(listed("<Contents><Key>other/x</Key><ETag>1</ETag></Contents>").is_none());
        assert!(listed("<IsTruncated>true</IsTruncated>").is_none(), "a page without its successor");
        for other in ["", "<html></html>", "<html><ListBucketResult></ListBucketResult></html>"] {
            assert!(listing(other.as_bytes(), "p/").is_none(), "{other}");
        }
    }

    #[test]
    fn what_may_pass_is_tried_again_and_what_will_not_is_told() {
        for status in [408_u16, 409, 429, 500, 502, 503] {
            assert!(matches!(judged(StatusCode::from_u16(status).unwrap()), Fault::Later(_)), "{status}");
        }
        for status in [301_u16, 400, 403, 404, 501] {
            assert!(matches!(judged(StatusCode::from_u16(status).unwrap()), Fault::Refused(_)), "{status}");
        }
    }
}
