// An auditor's canaries: made by `privet-audit`, sent by `privet`, taken by a real sidecar, found in its log by `privet-audit`.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";

import { Collector } from "./collector.js";
import { found } from "./forms.js";
import { Privet } from "./privet.js";

const COUNT = 5;

/** Runs a binary; gives its exit status and what it printed. */
const run = (binary, ...args) =>
  new Promise((resolve) => {
    execFile(process.env[binary], args, { maxBuffer: 1 << 24 }, (error, stdout, stderr) => {
      resolve({ code: error ? error.code : 0, said: stdout + stderr, answer: stdout });
    });
  });

describe("an auditor's canaries", { timeout: 90_000 }, () => {
  let collector;
  let privet;
  const at = (name) => join(privet.directory, name);
  const check = (challenge, ...more) =>
    run("PRIVET_AUDIT_BIN", "challenge", "check", at("log"), challenge, "--key", at("anchor/vkey"), "--anchor", at("anchor/checkpoint"), ...more);

  /** Makes a challenge by the policies that the sidecar is about to run. */
  async function made(policies, out, ...more) {
    const { code, said } = await run("PRIVET_AUDIT_BIN", "challenge", "new", "--policies", policies, "--count", String(COUNT), "--format", "segment", "--out", out, ...more);
    assert.equal(code, 0, said);
  }

  before(async () => {
    collector = await Collector.start();
    privet = await Privet.start(collector.origin, ["segment"], async (path) => {
      await made(path("policies"), path("challenge"));
      await made(path("policies"), path("unsent"), "--key", path("challenge/auditor.key"));
      return { challenges: { auditors: [(await readFile(path("challenge/auditor.pub"), "utf8")).trim()] } };
    });
    const { code, said } = await run("PRIVET_BIN", "challenge", "send", at("challenge"), privet.origin);
    assert.equal(code, 0, said);
    await privet.stop();
  });

  after(async () => {
    await privet?.remove();
    await collector?.stop();
  });

  test("each is in the log, decided as the policy decides, and the log holds no token", async () => {
    const { code, said } = await check(at("challenge"));
    assert.equal(code, 0, said);
    const lines = (await readFile(at("challenge/requests.ndjson"), "utf8")).trim().split("\n").map(JSON.parse);
    assert.equal(lines.length, COUNT);
    const tokens = Object.fromEntries(lines.map(({ id }) => [id, id]));
    const { answer } = await run("PRIVET_AUDIT_BIN", "tail", at("log"), "--json");
    assert.ok(answer.includes('"t":"challenge"'), answer.slice(0, 500));
    assert.deepEqual(found(tokens, answer), []);
    assert.deepEqual(found({ header: "privet-challenge" }, collector.text()), []);
  });

  test("one that was never sent is a finding, and so is an expectation that was changed", async () => {
    const { code, said } = await check(at("unsent"));
    assert.equal(code, 1, said);
    const expectation = await readFile(at("challenge/expectation.json"), "utf8");
    await writeFile(at("challenge/expectation.json"), expectation.replace(/[0-9]/, (digit) => String(9 - Number(digit))));
    assert.notEqual((await check(at("challenge"))).code, 0);
  });
});
