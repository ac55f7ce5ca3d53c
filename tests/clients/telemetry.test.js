// What privet tells an OpenTelemetry collector about itself, read by OpenTelemetry's own classes.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:http";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";

import { Collector } from "./collector.js";
import { found } from "./forms.js";
import { marla, secrets } from "./people.js";
import { Privet } from "./privet.js";

const STEPS = ["decode", "decide", "transform", "record", "forward"];
const DEADLINE_MS = 30_000;

/** A collector of telemetry: keeps path and body of every message, and answers 200. */
async function listen() {
  const sent = [];
  const server = createServer(async (request, response) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    sent.push({ path: request.url, type: request.headers["content-type"], body: Buffer.concat(chunks).toString("base64") });
    response.writeHead(200, { "content-type": "application/x-protobuf" }).end();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return { sent, server, endpoint: `http://127.0.0.1:${server.address().port}` };
}

/** The messages, by OpenTelemetry's classes. */
async function decoded(sent) {
  const interpreter = process.env.PRIVET_CLIENTS_PYTHON;
  assert.ok(interpreter, "PRIVET_CLIENTS_PYTHON is not set: run `make clients`");
  const python = spawn(interpreter, [fileURLToPath(new URL("python/decode_otlp.py", import.meta.url))]);
  let [said, wrong] = ["", ""];
  python.stdout.setEncoding("utf8").on("data", (text) => (said += text));
  python.stderr.setEncoding("utf8").on("data", (text) => (wrong += text));
  python.stdin.end(JSON.stringify(sent));
  const [code] = await once(python, "close");
  assert.equal(code, 0, wrong);
  return JSON.parse(said);
}

const track = (origin, sku) =>
  fetch(`${origin}/v1/track`, {
    method: "POST",
    headers: { "content-type": "application/json", traceparent: `00-${"a".repeat(32)}-${"b".repeat(16)}-01` },
    body: JSON.stringify({
      type: "track", event: "Product Viewed", userId: marla.userId, anonymousId: marla.anonymousId, messageId: sku,
      properties: { sku, note: `for ${marla.email}`, via: marla.phone },
      context: { ip: marla.ip, consent: { categoryPreferences: { Analytics: true } } },
    }),
  });

describe("telemetry of privet itself", { timeout: 90_000 }, () => {
  let collector;
  let listener;
  let privet;
  let messages;

  before(async () => {
    [collector, listener] = [await Collector.start(), await listen()];
    const otlp = { endpoint: listener.endpoint, interval_secs: 5, traces_one_in: 1, service: "shop-privet" };
    privet = await Privet.start(collector.origin, ["segment"], () => ({ telemetry: { otlp } }));
    for (const sku of ["kettle-one", "kettle-two", "kettle-three"]) assert.ok((await track(privet.origin, sku)).ok);
    assert.equal((await fetch(`${privet.origin}/v1/track`, { method: "POST", body: `{"email":"${marla.email}"` })).status, 400);
    const arrived = (path) => listener.sent.some((one) => one.path === path);
    const deadline = Date.now() + DEADLINE_MS;
    while (!(arrived("/v1/metrics") && arrived("/v1/traces")) && Date.now() < deadline) await sleep(100);
    await privet.stop();
    messages = await decoded(listener.sent);
  });

  after(async () => {
    await privet?.remove();
    await collector?.stop();
    listener?.server.close();
  });

  const spans = () => messages.flatMap(({ resourceSpans = [] }) => resourceSpans.flatMap(({ scopeSpans }) => scopeSpans.flatMap((scope) => scope.spans)));
  const metrics = (message) => message.resourceMetrics.flatMap(({ scopeMetrics }) => scopeMetrics.flatMap((scope) => scope.metrics));
  const attributes = (holder) => Object.fromEntries((holder.attributes ?? []).map(({ key, value }) => [key, Object.values(value)[0]]));

  test("metrics are those of /metrics, the last ones from the end of the process", () => {
    assert.ok(listener.sent.every(({ type }) => type === "application/x-protobuf"));
    const last = messages.filter((message) => message.resourceMetrics).at(-1);
    assert.deepEqual(attributes(last.resourceMetrics[0].resource)["service.name"], "shop-privet");
    const byName = Object.fromEntries(metrics(last).map((metric) => [metric.name, metric]));
    const requests = byName.privet_requests.sum;
    assert.equal(requests.aggregationTemporality, "AGGREGATION_TEMPORALITY_CUMULATIVE");
    assert.equal(requests.isMonotonic, true);
    const counts = Object.fromEntries(requests.dataPoints.map((point) => [attributes(point).answer, point.asDouble]));
    assert.deepEqual([counts.success, counts.client_error], [3, 1]);
    const { dataPoints: [seconds] } = byName.privet_request_seconds.histogram;
    assert.equal(byName.privet_request_seconds.unit, "s");
    assert.equal(Number(seconds.count), seconds.bucketCounts.reduce((sum, count) => sum + Number(count), 0));
    assert.equal(seconds.bucketCounts.length, seconds.explicitBounds.length + 1);
    assert.ok(byName.privet_ready.gauge);
  });

  test("every traced request has its steps in order, within it, and only ids of privet's own", () => {
    const roots = spans().filter((span) => !span.parentSpanId);
    assert.equal(roots.length, 4);
    assert.equal(new Set(roots.map((root) => root.traceId)).size, 4);
    for (const root of roots) {
      const steps = spans().filter((span) => span.parentSpanId === root.spanId);
      const refused = attributes(root)["privet.refused"];
      assert.deepEqual(steps.map((step) => step.name), refused ? [] : STEPS);
      assert.ok(steps.every((step) => step.traceId === root.traceId && step.startTimeUnixNano >= root.startTimeUnixNano && step.endTimeUnixNano <= root.endTimeUnixNano));
      assert.equal(attributes(root)["privet.listener"], "events");
      assert.equal(Number(attributes(root)["http.response.status_code"]), refused ? 400 : 200);
      assert.notEqual(Buffer.from(root.traceId, "base64").toString("hex"), "a".repeat(32));
    }
    assert.equal(roots.filter((root) => attributes(root)["privet.refused"] === "unparseable").length, 1);
  });

  test("no value from an event is in any byte", () => {
    const bytes = listener.sent.map(({ body }) => Buffer.from(body, "base64").toString("latin1")).join("\n");
    assert.ok(bytes.length > 5_000);
    assert.deepEqual(found({ ...secrets, sku: "kettle-one", event: "Product Viewed" }, bytes), []);
  });
});
