// One table of cases for every client: what it is told, what the collector got, and that both agree.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import { CLOSE, Collector } from "./collector.js";
import { found } from "./forms.js";
import { secrets } from "./people.js";
import { Privet } from "./privet.js";

/** How long the collector, or privet itself, is away. */
const AWAY_MS = 1_500;

/** What the collector does with the first request of a case. */
const TROUBLES = {
  "429 with Retry-After": (collector) => collector.next({ status: 429, headers: { "retry-after": "1" } }),
  "503 with Retry-After": (collector) => collector.next({ status: 503, headers: { "retry-after": "1" } }),
  "a connection that breaks": (collector) => collector.next(CLOSE),
};

/** A word for each event, which leaves as it is: by it an event is known again, wherever it stands. */
function* words() {
  for (let count = 0; ; count += 1) {
    yield `kettle${[...count.toString(26).padStart(4, "0")].map((digit) => "abcdefghijklmnopqrstuvwxyz"[parseInt(digit, 26)]).join("")}`;
  }
}

/** Those of `marks` that stand in `text`. */
const marksIn = (marks, text) => found(Object.fromEntries(marks.map((mark) => [mark, mark])), text);

/**
 * Drives one client through all cases.
 *
 * `client.send(origin, marks)` sends one event about Marla for each mark, waits until the client is done with them, and
 * gives back the marks of those that the client says were accepted. `client.givesUp` names the troubles after which
 * this client, by its own design, reports failure where others try again.
 */
export function drives(name, client) {
  describe(`${name} through privet`, { timeout: 120_000 }, () => {
    const givesUp = new Set(client.givesUp ?? []);
    const mark = words();
    const accepted = [];
    let collector;
    let privet;

    before(async () => {
      collector = await Collector.start(client.success);
      try {
        privet = await Privet.start(collector.origin, [client.format]);
      } catch (error) {
        await collector.stop();
        throw error;
      }
    });

    after(async () => {
      if (!privet) return;
      await privet.remove();
      await collector.stop();
    });

    /** Sends while `meanwhile` runs; nothing that the client was told is accepted may be missing. */
    async function deliver(trouble, count = 2, meanwhile = async () => {}) {
      const marks = Array.from({ length: count }, () => mark.next().value);
      // Both to their end, also where one fails: the next case needs a collector and a privet that are up.
      const [sent, back] = await Promise.allSettled([client.send(privet.origin, marks), meanwhile()]);
      for (const { status, reason } of [sent, back]) if (status === "rejected") throw reason;
      const told = sent.value;
      accepted.push(...told);
      const arrived = marksIn(marks, collector.acknowledged());
      assert.deepEqual(told.filter((one) => !arrived.includes(one)), [], "accepted, and never acknowledged by the collector");
      if (givesUp.has(trouble)) return assert.deepEqual([...told], [], "the client says it failed");
      assert.deepEqual([...told].sort(), marks, "the client says all were accepted");
    }

    test("success: the client is told, and the events are there", () => deliver("success", 3));

    for (const [trouble, arrange] of Object.entries(TROUBLES)) {
      test(`${trouble}: ${givesUp.has(trouble) ? "the client reports it" : "tried again until accepted"}`, async () => {
        arrange(collector);
        await deliver(trouble);
      });
    }

    test("a collector that is down: privet's own answer is one to try again after", async () => {
      await collector.pause();
      await deliver("a collector that is down", 1, async () => {
        await sleep(AWAY_MS);
        await collector.resume();
      });
    });

    test(`privet itself down: ${givesUp.has("privet down") ? "the client reports it" : "tried again until accepted"}`, async () => {
      await privet.stop();
      await deliver("privet down", 1, async () => {
        await sleep(AWAY_MS);
        await privet.resume();
      });
    });

    // The tests above have sent everything; these look back on all of it.
    test("nothing that was accepted is lost", () => {
      assert.ok(accepted.length >= 3);
      assert.deepEqual(marksIn(accepted, collector.acknowledged()).sort(), [...accepted].sort());
    });

    test("nothing personal is in any byte that the collector got, nor in what privet said", async () => {
      assert.ok(collector.text().length > 500, "there is something to search");
      assert.deepEqual(found(secrets, collector.text()), []);
      await privet.stop();
      assert.deepEqual(found(secrets, privet.said), []);
      assert.match(await privet.verify(), /log verified/);
    });
  });
}
