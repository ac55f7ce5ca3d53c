// What the collectors of each format say to an accepted request.

export const snowplow = { status: 200, headers: { "content-type": "text/plain" }, body: "ok" };
export const otlp = { status: 200, headers: { "content-type": "application/json" }, body: "{}" };
export const otlpProtobuf = { status: 200, headers: { "content-type": "application/x-protobuf" }, body: "" };
export const cloudevents = { status: 202, headers: {}, body: "" };
export const rudderstack = { status: 200, headers: { "content-type": "text/plain" }, body: "ok" };
