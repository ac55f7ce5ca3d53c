// The app developer's side: the Segment library they have, with one URL changed.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { Analytics } from "@segment/analytics-node";

import { Collector } from "./collector.js";
import { found } from "./forms.js";
import { Privet } from "./privet.js";

// What follows from the shipped policies, all of it here.
const CATEGORIES = ["Analytics", "Functional", "Advertising"];
const LEAVES_WHEN_GRANTED = ["identify", "track", "page", "screen", "group", "alias"];
const LEAVES_WHEN_REFUSED = [];
const MATCHED = "Product Viewed";
const UNMATCHED = "Zeppelin Wound Backwards";
// The auditor's counts, from `privet-audit verify --json`.
const totals = ({ totals: { events, kept, dropped } }) => ({ events, kept, dropped });

const people = {
  granted: {
    consent: Object.fromEntries(CATEGORIES.map((category) => [category, true])),
    name: "Marla Quillfeather", email: "marla.quillfeather@example.com", phone: "+1-202-555-0143",
    userId: "user-quillfeather-1001", anonymousId: "anon-5f0c2d8e-quillfeather", ip: "203.0.113.41",
  },
  refused: {
    consent: Object.fromEntries(CATEGORIES.map((category) => [category, false])),
    name: "Odalys Brandreth", email: "odalys.brandreth@example.org", phone: "+44 20 7946 0958",
    userId: "user-brandreth-1002", anonymousId: "anon-a91b77c4-brandreth", ip: "2001:db8:4a::17",
  },
};

const secrets = Object.fromEntries(
  Object.entries(people).flatMap(([who, person]) =>
    ["name", "email", "phone", "userId", "anonymousId", "ip"].map((field) => [`${who}.${field}`, person[field]]),
  ),
);

/** One event of each kind, as an app would send them about `person`. */
function eventsOf({ consent, name, email, phone, userId, anonymousId, ip }) {
  const context = {
    ip,
    userAgent: "Mozilla/5.0 (X11; Linux x86_64) Test/1.0",
    page: { url: `https://shop.example/item?email=${encodeURIComponent(email)}&utm_source=news` },
    consent: { categoryPreferences: consent },
  };
  return [
    ["identify", { userId, traits: { name, email, phone, plan: "pro" }, context }],
    ["track", { userId, event: MATCHED, properties: { product_id: "p-1", category: "games", price: 18.99, email }, context }],
    ["page", { userId, anonymousId, name: "Pricing", properties: { url: `https://shop.example/?q=${encodeURIComponent(name)}` }, context }],
    ["screen", { userId, anonymousId, name: "Home", properties: { note: `call me at ${phone}` }, context }],
    ["group", { userId, groupId: "grp-7", traits: { company: "Fernwick Ltd", contact: email }, context }],
    ["alias", { userId, previousId: anonymousId, context }],
  ];
}

/** Sends `events` through the real library and tells for each whether the library reported success. */
async function send(origin, events, settings) {
  const analytics = new Analytics({ writeKey: "wk_loopback_test", host: origin, maxRetries: 1, flushInterval: 200, ...settings });
  const broken = [];
  analytics.on("error", (error) => broken.push(`${error.code}: ${error.reason?.message ?? error.reason}`));
  const reported = events.map(
    ([call, event]) => new Promise((resolve) => analytics[call](event, (error) => resolve(error ? `${call} failed` : "success"))),
  );
  await analytics.closeAndFlush({ timeout: 20_000 });
  return { reported: await Promise.all(reported), broken };
}

describe("@segment/analytics-node through privet", { timeout: 120_000 }, () => {
  let collector;
  let privet;
  let sent = 0;

  before(async () => {
    collector = await Collector.start();
    try {
      privet = await Privet.start(collector.origin);
    } catch (error) {
      // A collector left listening would keep this process alive.
      await collector.stop();
      throw error;
    }
  });

  after(async () => {
    if (!privet) return;
    await privet.remove();
    await collector.stop();
  });

  /** Sends, expects success for each event, and returns what the collector got from it. */
  async function deliver(events, settings) {
    const earlier = collector.events().length;
    const { reported, broken } = await send(privet.origin, events, settings);
    sent += events.length;
    assert.deepEqual(broken, []);
    assert.deepEqual(reported, events.map(() => "success"));
    return collector.events().slice(earlier);
  }

  const kinds = (events) => events.map(({ type }) => type).sort();

  for (const [name, settings] of [["one event a request", { flushAt: 1 }], ["one batch", { flushAt: 20 }]]) {
    test(`${name}: with consent each kind arrives, fit for use`, async () => {
      const arrived = await deliver(eventsOf(people.granted), settings);
      assert.deepEqual(kinds(arrived), [...LEAVES_WHEN_GRANTED].sort());
      for (const event of arrived) {
        assert.ok(typeof event.messageId === "string" && event.messageId.length > 8, `messageId of ${event.type}`);
        const id = event.userId ?? event.anonymousId;
        assert.ok(typeof id === "string" && id.length > 8, `an identifier of ${event.type}`);
        assert.ok(!Number.isNaN(Date.parse(event.timestamp)), `timestamp of ${event.type}`);
      }
      assert.equal(new Set(arrived.map(({ messageId }) => messageId)).size, arrived.length, "message ids stay distinct");
      assert.equal(arrived.find(({ type }) => type === "track").event, MATCHED);
      const ids = new Set(arrived.filter(({ userId }) => userId).map(({ userId }) => userId));
      assert.equal(ids.size, 1, "one person keeps one pseudonym, so that events still join");
    });

    test(`${name}: without consent only what needs none arrives, and the app sees success`, async () => {
      const arrived = await deliver(eventsOf(people.refused), settings);
      assert.deepEqual(kinds(arrived), [...LEAVES_WHEN_REFUSED].sort());
    });
  }

  test("two people in one batch: each by their own choice", async () => {
    const arrived = await deliver([...eventsOf(people.refused), ...eventsOf(people.granted)], { flushAt: 50 });
    assert.deepEqual(kinds(arrived), [...LEAVES_WHEN_GRANTED, ...LEAVES_WHEN_REFUSED].sort());
  });

  test("an event that no contract knows is dropped alone", async () => {
    const [identify] = eventsOf(people.granted);
    const { userId, context } = identify[1];
    const arrived = await deliver([["track", { userId, event: UNMATCHED, properties: {}, context }], identify], { flushAt: 20 });
    assert.deepEqual(kinds(arrived), ["identify"]);
  });

  // The tests above have sent everything; these two look back on all of it.
  test("nothing personal is in any byte that the collector got", () => {
    assert.ok(collector.text().length > 1000, "there is something to search");
    assert.deepEqual(found(secrets, collector.text()), []);
  });

  test("the log accounts for every event, and privet never wrote a value down", async () => {
    const received = collector.events().length;
    await privet.stop();
    assert.deepEqual(found(secrets, privet.said), []);
    assert.match(await privet.verify(), /log verified/);
    const { events, kept, dropped } = totals(JSON.parse(await privet.verify("--json")));
    assert.deepEqual({ events, kept, dropped }, { events: sent, kept: received, dropped: sent - received });
  });
});
