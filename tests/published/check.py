"""What privet publishes, read by others: Parquet by Apache Arrow, the request's signature by pyauth's http-message-signatures.

Its argument is a directory that the test of publishing recorded into.
"""

import base64
import hashlib
import json
import pathlib
import sys
from types import SimpleNamespace

import pyarrow.parquet
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from http_message_signatures import HTTPMessageVerifier, HTTPSignatureKeyResolver, algorithms
from http_message_signatures.exceptions import InvalidSignature
from http_message_signatures.structures import CaseInsensitiveDict

recorded = pathlib.Path(sys.argv[1])
receipt = json.loads((recorded / "receipt.json").read_bytes())


def table():
    """The rows and types of the Parquet file are those of the receipt."""
    read = pyarrow.parquet.read_table(recorded / "receipt.parquet")
    rows = read.to_pylist()
    values = [row for row in rows if not row["canary"]]
    canaries = [row for row in rows if row["canary"]]
    assert len(values) == len(receipt["values"]) and len(canaries) == len(receipt["canaries"])
    for row, value in zip(values, receipt["values"]):
        assert [row["key." + column] for column in receipt["columns"]] == value["key"]
        assert (row["of"], row["value"]) == (value["of"], value["value"])
        assert [row["ci95_low"], row["ci95_high"]] == value["ci95"]
        assert row["value_nonneg"] == value.get("value_nonneg") and row["truth"] is None
        assert (row["release_id"], row["query"]) == (receipt["release_id"], receipt["query"])
        assert row["window_start"].isoformat() == receipt["window"]["start"].replace("Z", "+00:00")
        assert row["window_end"].isoformat() == receipt["window"]["end"].replace("Z", "+00:00")
    for row, canary in zip(canaries, receipt["canaries"]):
        assert (row["of"], row["value"], row["truth"]) == (canary["of"], canary["value"], canary["truth"])
    types = {field.name: str(field.type) for field in read.schema}
    assert types["window_start"] == "timestamp[us, tz=UTC]" and types["value"] == "int64" and types["canary"] == "bool"
    print(f"pyarrow {pyarrow.__version__} reads {len(rows)} rows of {len(types)} columns as the receipt has them")


def message(request, **changed):
    headers = CaseInsensitiveDict({name: value for name, value in request["headers"]})
    headers.update(changed.get("headers", {}))
    return SimpleNamespace(method=changed.get("method", "POST"), url=changed.get("url", request["url"]), headers=headers)


def signature():
    """The signature holds for the request as it is, and for none that differs in what it covers."""
    request = json.loads((recorded / "request.json").read_text())
    public = Ed25519PublicKey.from_public_bytes(base64.b64decode(request["public"]))

    class Keys(HTTPSignatureKeyResolver):
        def resolve_public_key(self, key_id):
            assert key_id == "shop-pod"
            return public

        def resolve_private_key(self, key_id):
            raise NotImplementedError

    verifier = HTTPMessageVerifier(signature_algorithm=algorithms.ED25519, key_resolver=Keys())
    # The test's clock stands where its window ends, so the age of the signature is not looked at.
    (verified,) = verifier.verify(message(request), max_age=None)
    digest = base64.b64encode(hashlib.sha256((recorded / "body").read_bytes()).digest()).decode()
    assert message(request).headers["content-digest"] == f"sha-256=:{digest}:"
    covered = list(verified.covered_components)
    others = [
        {"method": "PUT"},
        {"url": request["url"] + "0"},
        {"headers": {"content-digest": "sha-256=:AAAA:"}},
        {"headers": {"content-type": "text/plain"}},
        {"headers": {"idempotency-key": '"another"'}},
    ]
    for changed in others:
        try:
            verifier.verify(message(request, **changed), max_age=None)
        except InvalidSignature:
            continue
        raise AssertionError(f"verifies with another {changed}")
    print(f"http-message-signatures verifies {len(covered)} components and refuses {len(others)} changed requests")


table()
signature()
