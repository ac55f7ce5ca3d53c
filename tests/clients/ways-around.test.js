// Another process in the pod goes around privet: the log says so, and the auditor's tool finds it.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { once } from "node:events";
import { createServer, connect } from "node:net";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import { Collector } from "./collector.js";
import { Privet } from "./privet.js";

/** Looks are 2 s apart, and something new is recorded at most 10 s after the record before. */
const SEEN_WITHIN_MS = 20_000;

describe("what goes around privet in its pod", { timeout: 90_000 }, () => {
  let collector;
  let privet;
  let open;
  let past;
  let report;

  before(async () => {
    collector = await Collector.start();
    privet = await Privet.start(collector.origin, ["segment"], () => ({ bypass: { check: "record" } }));
    open = createServer().listen(0, "0.0.0.0");
    await once(open, "listening");
    past = connect(collector.port, "127.0.0.1");
    await once(past, "connect");
    const deadline = Date.now() + SEEN_WITHIN_MS;
    while (Date.now() < deadline && !(await metrics()).every((count) => count > 0)) await sleep(200);
    // What is new since the last record is written with the next look that may record.
    await sleep(12_500);
    await privet.stop();
    report = await verified();
  });

  after(async () => {
    past?.destroy();
    open?.close();
    await privet?.remove();
    await collector?.stop();
  });

  async function metrics() {
    const text = await (await fetch(`${privet.metrics}/metrics`)).text();
    return ["listens", "collector_reached"].map((reason) => Number(text.match(new RegExp(`privet_bypass_suspect\\{reason="${reason}"\\} (\\d+)`))?.[1] ?? 0));
  }

  async function verified() {
    const at = (name) => join(privet.directory, name);
    const args = ["verify", at("log"), "--key", at("anchor/vkey"), "--anchor", at("anchor/checkpoint"), "--json"];
    return new Promise((resolve) => {
      execFile(process.env.PRIVET_AUDIT_BIN, args, { maxBuffer: 1 << 24 }, (error, stdout) => resolve({ code: error?.code ?? 0, ...JSON.parse(stdout) }));
    });
  }

  test("each look is a record, and each way around a finding with its reason and no address", () => {
    assert.equal(report.code, 1);
    const found = report.findings.filter(({ code }) => code === "bypass_suspect");
    assert.ok(found.length > 0, JSON.stringify(report.findings));
    assert.deepEqual(report.findings.filter(({ code }) => code !== "bypass_suspect"), []);
    const said = found.map(({ message }) => message).join("\n");
    assert.match(said, /listens/);
    assert.match(said, /collector_reached/);
    assert.ok(!said.includes(String(open.address().port)) && !said.includes("127.0.0.1"), said);
  });
});
