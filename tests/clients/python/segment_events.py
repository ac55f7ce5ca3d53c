"""segment-analytics-python: `segment_events.py ORIGIN MARKS [gzip]` prints the marks of the events that were accepted."""

import json
import sys

from segment.analytics.client import Client

import people

origin, marks = sys.argv[1], json.loads(sys.argv[2])
failed = set()


def on_error(error, items):
    failed.update(item["properties"]["product_id"] for item in items)


client = Client("wk_loopback_test", host=origin, on_error=on_error, max_retries=4, gzip="gzip" in sys.argv[3:])
for mark in marks:
    client.track(
        user_id=people.USER_ID,
        anonymous_id=people.ANONYMOUS_ID,
        event="Product Viewed",
        properties={"product_id": mark, "email": people.EMAIL, "name": f"for {people.EMAIL}"},
        context={
            "ip": people.IP,
            "page": {"url": people.PAGE},
            "traits": {"name": people.NAME, "phone": people.PHONE},
            "consent": {"categoryPreferences": {"Analytics": True}},
        },
    )
client.flush()
client.join()
print(json.dumps([mark for mark in marks if mark not in failed]))
