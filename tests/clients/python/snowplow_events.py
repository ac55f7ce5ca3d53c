"""snowplow-tracker: `snowplow_events.py ORIGIN MARKS post|get` prints the marks of the events that were accepted."""

import json
import os
import sys
import time
from urllib.parse import urlparse

from snowplow_tracker import Emitter, SelfDescribing, SelfDescribingJson, Subject, Tracker

import people

address, marks, method = urlparse(sys.argv[1]), json.loads(sys.argv[2]), sys.argv[3]
accepted = []
GIVEN_UP_SECS = 30


def mark_of(payload):
    return next(mark for mark in marks if mark in payload["co"])


emitter = Emitter(
    address.hostname,
    protocol="http",
    port=address.port,
    method=method,
    batch_size=1,
    on_success=lambda payloads: accepted.extend(mark_of(payload) for payload in payloads),
    on_failure=lambda sent, payloads: None,
)
subject = Subject().set_user_id(people.USER_ID).set_ip_address(people.IP).set_domain_user_id(people.ANONYMOUS_ID)
tracker = Tracker("sp1", [emitter], subject=subject, app_id="store", encode_base64=False)
for mark in marks:
    checkout = {"step": "address", "total": 27.5, "email": people.EMAIL, "consent": {"analytics": True}}
    product = {"sku": mark, "note": f"{people.NAME}, {people.PHONE}"}
    tracker.track(
        SelfDescribing(
            SelfDescribingJson("iglu:com.example.store/checkout/jsonschema/1-0-2", checkout),
            context=[SelfDescribingJson("iglu:com.example.store/product/jsonschema/1-0-0", product)],
        )
    )
tracker.flush()
deadline = time.monotonic() + GIVEN_UP_SECS
while len(accepted) < len(marks) and time.monotonic() < deadline:
    time.sleep(0.05)
print(json.dumps(accepted), flush=True)
# The timers of events that it gave up would keep the process.
os._exit(0)
