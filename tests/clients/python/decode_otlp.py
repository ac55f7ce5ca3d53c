"""Reads OTLP messages as OpenTelemetry's own protobuf classes do.

Takes on standard input a JSON list of {"path": ..., "body": base64}; prints a JSON list of the same messages, in protobuf's JSON
form. A message with a field that the classes do not know is an error.
"""

import base64
import json
import sys

from google.protobuf.json_format import MessageToDict
from google.protobuf.unknown_fields import UnknownFieldSet
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

CLASSES = {"/v1/metrics": ExportMetricsServiceRequest, "/v1/traces": ExportTraceServiceRequest}


def all_known(message):
    """Refuses a message in which something stands that its class does not know."""
    if len(UnknownFieldSet(message)):
        raise SystemExit(f"unknown fields in {type(message).__name__}")
    for field, value in message.ListFields():
        if field.message_type:
            for part in value if isinstance(value, (list, tuple)) or hasattr(value, "append") else [value]:
                all_known(part)


messages = []
for sent in json.load(sys.stdin):
    message = CLASSES[sent["path"]]()
    message.ParseFromString(base64.b64decode(sent["body"]))
    all_known(message)
    messages.append(MessageToDict(message))
print(json.dumps(messages))
