// The CloudEvents SDK makes the messages; sending and trying again are the app's part, as its documentation has it.

import { setTimeout as sleep } from "node:timers/promises";

import { CloudEvent, HTTP } from "cloudevents";

import { cloudevents } from "./answers.js";
import { drives } from "./drives.js";
import { marla } from "./people.js";

const TRIES = 8;

const eventOf = (mark) => new CloudEvent({
  type: "com.example.order.placed", source: "/orders", subject: marla.userId, correlationid: marla.anonymousId,
  consentpurposes: "analytics",
  data: { template: mark, customerId: marla.userId, email: marla.email, phone: marla.phone, message: `for ${marla.name}` },
});

/** Sends as a web hook's sender must: what is not 2xx again, after as long as it was told to wait. */
async function post(url, { headers, body }) {
  for (let tries = 0; tries < TRIES; tries += 1) {
    const answer = await fetch(url, { method: "POST", headers, body }).catch(() => undefined);
    if (answer?.ok) return true;
    await sleep(1000 * Number(answer?.headers.get("retry-after") ?? 0.5));
  }
  return false;
}

const sendBy = (write) => async (origin, marks) => {
  const told = await Promise.all(marks.map(async (mark) => [mark, await post(`${origin}/events`, write(eventOf(mark)))]));
  return told.filter(([, accepted]) => accepted).map(([mark]) => mark);
};

drives("cloudevents, binary", { format: "cloudevents", success: cloudevents, send: sendBy(HTTP.binary) });
drives("cloudevents, structured", { format: "cloudevents", success: cloudevents, send: sendBy(HTTP.structured) });
