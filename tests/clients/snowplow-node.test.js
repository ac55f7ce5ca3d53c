// This tracker keeps what failed and sends it with the next flush, so the app flushes until all is through.

import { setTimeout as sleep } from "node:timers/promises";

import { buildSelfDescribingEvent, newTracker } from "@snowplow/node-tracker";

import { snowplow } from "./answers.js";
import { drives } from "./drives.js";
import { marla } from "./people.js";

const FLUSHES = 60;

const sendBy = (eventMethod, encodeBase64) => async (origin, marks) => {
  const accepted = [];
  const markOf = (payload) => marks.find((mark) => Buffer.from(payload.cx ?? "", "base64url").includes(mark) || payload.co?.includes(mark));
  const tracker = newTracker(
    { namespace: `sp${marks[0]}`, appId: "store", encodeBase64 },
    { endpoint: origin, eventMethod, bufferSize: 1, onRequestSuccess: (payloads) => accepted.push(...payloads.map(markOf)) },
  );
  tracker.setUserId(marla.userId);
  tracker.setIpAddress(marla.ip);
  tracker.setDomainUserId(marla.anonymousId);
  for (const mark of marks) {
    const checkout = { step: "address", total: 27.5, email: marla.email, consent: { analytics: true } };
    const product = { sku: mark, note: `${marla.name}, ${marla.phone}` };
    tracker.track(
      buildSelfDescribingEvent({ event: { schema: "iglu:com.example.store/checkout/jsonschema/1-0-2", data: checkout } }),
      [{ schema: "iglu:com.example.store/product/jsonschema/1-0-0", data: product }],
    );
  }
  for (let flushes = 0; flushes < FLUSHES && accepted.length < marks.length; flushes += 1) {
    tracker.flush();
    await sleep(250);
  }
  return accepted;
};

drives("@snowplow/node-tracker by post", { format: "snowplow", success: snowplow, send: sendBy("post", true) });
drives("@snowplow/node-tracker by get", { format: "snowplow", success: snowplow, send: sendBy("get", false) });
