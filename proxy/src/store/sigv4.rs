//! AWS Signature Version 4 over a request's headers (docs.aws.amazon.com, "Authenticating Requests: Using the
//! Authorization Header").
//!
//! Promise: method, path, query, every header given, and the body's hash are under the signature. Not here: which headers
//! a request has, and sending it.

use privet_audit_log::tree::Hash;
use ring::hmac;
use zeroize::Zeroizing;

/// Who asks.
pub(super) struct Credentials {
    pub(super) access_key: String,
    pub(super) secret_key: Zeroizing<String>,
}

/// Where and when a signature holds.
pub(super) struct Scope<'a> {
    pub(super) region: &'a str,
    /// `YYYYMMDD'T'HHMMSS'Z'`.
    pub(super) time: &'a str,
}

/// What is signed. Path and query are encoded already; header names are in lower case.
pub(super) struct Signed<'a> {
    pub(super) method: &'a str,
    pub(super) path: &'a str,
    /// Pairs of an encoded name and an encoded value.
    pub(super) query: &'a [(String, String)],
    pub(super) headers: &'a [(&'static str, String)],
    /// SHA-256 of the body in hexadecimal.
    pub(super) body: &'a str,
}

/// Encodes all but what RFC 3986 leaves unreserved; a path keeps its `/`.
pub(super) fn encode(text: &str, keep_slash: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            b'/' if keep_slash => out.push('/'),
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    out
}

/// The query as it is signed and sent: sorted by its encoded names.
pub(super) fn query_text(query: &[(String, String)]) -> String {
    let mut pairs: Vec<String> = query.iter().map(|(name, value)| format!("{name}={value}")).collect();
    pairs.sort();
    pairs.join("&")
}

/// The value of the `Authorization` header.
pub(super) fn authorization(credentials: &Credentials, scope: &Scope<'_>, signed: &Signed<'_>) -> String {
    let mut headers: Vec<_> = signed.headers.to_vec();
    headers.sort();
    let lines: String = headers.iter().map(|(name, value)| format!("{name}:{}\n", value.trim())).collect();
    let names: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
    let names = names.join(";");
    let query = query_text(signed.query);
    let request = format!("{}\n{}\n{query}\n{lines}\n{names}\n{}", signed.method, signed.path, signed.body);
    let day = scope.time.get(..8).unwrap_or_default();
    let place = format!("{day}/{}/s3/aws4_request", scope.region);
    let digest = Hash::of(request.as_bytes()).to_hex();
    let text = format!("AWS4-HMAC-SHA256\n{}\n{place}\n{digest}", scope.time);
    let signature = hex(sign(&key(credentials, day, scope.region), &text).as_ref());
    let access_key = &credentials.access_key;
    format!("AWS4-HMAC-SHA256 Credential={access_key}/{place},SignedHeaders={names},Signature={signature}")
}

fn key(credentials: &Credentials, day: &str, region: &str) -> hmac::Key {
    let secret = Zeroizing::new(format!("AWS4{}", credentials.secret_key.as_str()));
    let first = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    [day, region, "s3", "aws4_request"]
        .into_iter()
        .fold(first, |key, part| hmac::Key::new(hmac::HMAC_SHA256, sign(&key, part).as_ref()))
}

fn sign(key: &hmac::Key, text: &str) -> hmac::Tag {
    hmac::sign(key, text.as_bytes())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn signature(
        method: &str,
        path: &str,
        query: &[(&str, &str)],
        headers: &[(&'static str, &str)],
        body: &str,
    ) -> String {
        let credentials = Credentials {
            access_key: "AKIAIOSFODNN7EXAMPLE".to_owned(),
            secret_key: Zeroizing::new("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".to_owned()),
        };
        let query: Vec<_> = query.iter().map(|(name, value)| (encode(name, false), encode(value, false))).collect();
        let mut all = vec![
            ("host", "examplebucket.s3.amazonaws.com".to_owned()),
            ("x-amz-content-sha256", body.to_owned()),
            ("x-amz-date", "20130524T000000Z".to_owned()),
        ];
        all.extend(headers.iter().map(|(name, value)| (*name, (*value).to_owned())));
        let path = encode(path, true);
        let signed = Signed { method, path: &path, query: &query, headers: &all, body };
        let scope = Scope { region: "us-east-1", time: "20130524T000000Z" };
        authorization(&credentials, &scope, &signed).rsplit('=').next().unwrap().to_owned()
    }

    /// The four examples of "Signature Calculations for the Authorization Header" in Amazon S3's API reference.
    #[test]
    fn the_published_examples_have_the_published_signatures() {
        assert_eq!(
            signature("GET", "/test.txt", &[], &[("range", "bytes=0-9")], EMPTY),
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
        );
        assert_eq!(
            signature(
                "PUT",
                "/test$file.text",
                &[],
                &[("date", "Fri, 24 May 2013 00:00:00 GMT"), ("x-amz-storage-class", "REDUCED_REDUNDANCY")],
                "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072"
            ),
            "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"
        );
        assert_eq!(
            signature("GET", "/", &[("lifecycle", "")], &[], EMPTY),
            "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"
        );
        assert_eq!(
            signature("GET", "/", &[("prefix", "J"), ("max-keys", "2")], &[], EMPTY),
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"
        );
    }
}
