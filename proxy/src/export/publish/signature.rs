//! HTTP Message Signatures (RFC 9421) with Ed25519, over a `Content-Digest` (RFC 9530).
//!
//! Promise: method, target, body, its type and the idempotency key are all
//! signed, so a request that was changed on its way, or sent on to another
//! address, does not verify. Receivers verify with any library for RFC 9421.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use ring::digest::{SHA256, digest};

use crate::signing::SigningKey;

/// The key under which a receiver knows a repetition (draft-ietf-httpapi-idempotency-key-header).
pub(super) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const CONTENT_DIGEST: HeaderName = HeaderName::from_static("content-digest");
const SIGNATURE: HeaderName = HeaderName::from_static("signature");
const SIGNATURE_INPUT: HeaderName = HeaderName::from_static("signature-input");

const COMPONENTS: &str = r#"("@method" "@target-uri" "content-digest" "content-type" "idempotency-key")"#;

/// The headers of one signed POST: type, idempotency key, digest and signature.
/// `created` is in seconds since the epoch. `None` if a name cannot stand in a header.
pub(super) fn headers(key: &SigningKey, url: &Uri, release: &str, body: &[u8], created: i64) -> Option<HeaderMap> {
    let content_digest = format!("sha-256=:{}:", STANDARD.encode(digest(&SHA256, body)));
    let parameters = format!(r#"{COMPONENTS};created={created};keyid="{}";alg="ed25519""#, key.public().name());
    let idempotency = format!(r#""{release}""#);
    let base = format!(
        "\"@method\": POST\n\"@target-uri\": {url}\n\"content-digest\": {content_digest}\n\"content-type\": \
         application/json\n\"idempotency-key\": {idempotency}\n\"@signature-params\": {parameters}"
    );
    let signature = format!("sig1=:{}:", STANDARD.encode(key.sign_request(&base)));
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(IDEMPOTENCY_KEY, HeaderValue::try_from(idempotency).ok()?);
    headers.insert(CONTENT_DIGEST, HeaderValue::try_from(content_digest).ok()?);
    headers.insert(SIGNATURE_INPUT, HeaderValue::try_from(format!("sig1={parameters}")).ok()?);
    headers.insert(SIGNATURE, HeaderValue::try_from(signature).ok()?);
    Some(headers)
}
