// Both verifiers, the page's and `privet-audit`, read the same logs and find the same: code by code, so that neither drifts.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";

import { makeLog } from "./made.js";

const PAGE = fileURLToPath(new URL("../../console/", import.meta.url));
/** What the page says that it does not work out: docs/console.md. */
const NOT_HERE = new Set(["budget_chain", "bypass_gap", "clock_unstated", "policy_signature"]);

let directory, verify;

before(async () => {
  directory = await mkdtemp(join(tmpdir(), "privet-agreement-"));
  const outfile = join(directory, "verify.mjs");
  const { build } = createRequire(join(PAGE, "build.js"))("esbuild");
  await build({ entryPoints: [join(PAGE, "src/auditor/verify.ts")], bundle: true, format: "esm", outfile, logLevel: "warning" });
  ({ verify } = await import(outfile));
});

after(() => rm(directory, { recursive: true, force: true }));

const codes = (all) => [...new Set(all.map(({ code }) => code))].filter((code) => !NOT_HERE.has(code)).sort();

async function byThePage({ files, keys, checkpoint }, incarnations) {
  const options = { incarnations, running: incarnations.at(-1), summary: async () => undefined, progress: () => {}, keys, anchor: checkpoint };
  const report = await verify(async (path) => files.get(path), options);
  return { findings: codes(report.findings), gaps: codes(report.gaps), assumed: report.assumed };
}

async function byPrivetAudit({ files, keys, checkpoint }, incarnations) {
  const root = await mkdtemp(join(directory, "log-"));
  const write = async (path, bytes) => {
    await mkdir(dirname(join(root, path)), { recursive: true });
    await writeFile(join(root, path), bytes);
  };
  const here = [...files].filter(([path]) => !path.endsWith("/") && (path.startsWith("policies/") || incarnations.some((n) => path.startsWith(`${n}/`))));
  for (const [path, bytes] of here) await write(`log/${path}`, bytes);
  await write("vkey", keys.map((key) => `${key}\n`).join(""));
  await write("checkpoint", checkpoint);
  const at = (path) => join(root, path);
  const args = ["verify", at("log"), "--key", at("vkey"), "--anchor", at("checkpoint"), "--json"];
  const [error, stdout, stderr] = await new Promise((resolve) => {
    execFile(process.env.PRIVET_AUDIT_BIN, args, { maxBuffer: 1 << 26 }, (...done) => resolve(done));
  });
  assert.ok(error === null || error.code === 1, stderr);
  const report = JSON.parse(stdout);
  return { findings: codes(report.findings), gaps: codes(report.gaps) };
}

const TOKEN = `sha256:${"cd".repeat(32)}`;
const DIGEST = `sha256:${"ef".repeat(32)}`;
const challenge = (members) => ({ t: "challenge", token: TOKEN, batch: 2, events: 1, classes: [[0, 1]], ...members });
const looked = (suspect, reasons) => ({ t: "bypass.check", listening: 3, established: 4, suspect, reasons });
const config = (members) => ({
  t: "config", digest: DIGEST, durability: "sync", signatures: null, consent: "memory", exports: "off", ship: "none", sealed: false, bypass: "off", ...members,
});
const delta = { amount: 0, before: 0, after: 0, cap: 0 };
const charge = (members) => ({
  t: "dp.charge", account: "a/userId", export: "a", release: "r1", policy: DIGEST, start: 0, end: 3600, horizon: 86400, measure: "pure", amount: 10,
  before: 0, after: 10, cap: 40, delta, stages: [{ part: "count", noise: "discrete_laplace", scale: "60" }], keys_per_unit: 1, rows_per_key: 1, ...members,
});
const release = (members) => ({ t: "dp.release", export: "a", release: "r1", start: 0, end: 3600, output: DIGEST, ...members });
const signatures = { required: 2, required_to_loosen: 2, signers: ["ada", "bo"] };
const nobody = (n) => ({ t: "gap", cause: "unborn", since: 1795344000000, lost: { origin: `privet.example/made/${n}`, size: 0, root: "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=" } });
const refused = (members) => ({ t: "policy.refused", digest: DIGEST, reason: "too_few_signers", signers: ["ada"], required: 2, loosens: null, stays: null, ...members });

/** A log's records beyond the usual, and the codes that both verifiers find. */
const CASES = {
  "nothing wrong": [[]],
  "a charge and its release": [[charge(), release()]],
  "a charge that is said again in the same words": [[charge(), release(), charge(), release()]],
  "one release charged twice": [[charge(), charge({ before: 10, after: 20 })], "budget_twice"],
  "one release with two outputs": [[charge(), release(), release({ output: TOKEN })], "release_twice"],
  "a release that nobody paid for": [[release()], "release_unpaid"],
  "a release for another window than was paid for": [[charge(), release({ end: 7200 })], "release_unpaid"],
  "a release whose reports brought their noise": [[release({ local: { method: "kary", answers: 4, epsilon: 1_000_000_000 } })]],
  "a charge that does not add up": [[charge({ after: 11 }), release()], "budget_sum"],
  "a delta that does not add up": [[charge({ delta: { ...delta, after: 1, cap: 9 } }), release()], "budget_sum"],
  "a charge over its cap": [[charge({ amount: 50, after: 50 }), release()], "budget_cap"],
  "a challenge of the batch just made": [[challenge()]],
  "two challenges that share a batch": [[challenge(), challenge({ token: DIGEST, classes: [[1, 1]] })]],
  "two challenges of one event": [[challenge(), challenge({ token: DIGEST })], "challenge"],
  "a challenge of more than its batch has": [[challenge({ events: 2, classes: [[0, 2]] })], "challenge"],
  "a challenge whose classes do not sum": [[challenge({ events: 2 })], "challenge"],
  "a challenge of no event": [[challenge({ events: 0, classes: [] })], "challenge"],
  "a challenge of a batch long ago": [[challenge({ batch: 1 })], "challenge"],
  "a challenge of a batch that never came": [[challenge({ batch: 3 }), { t: "close", abandoned_requests: 0, abandoned_events: 0, unknown: 0 }], "challenge"],
  "a challenge whose token is none": [[challenge({ token: "x" })], "challenge"],
  "a challenge of a class that is none": [[challenge({ classes: [[7, 1]] })], "challenge", "undeclared"],
  "sockets that are as they should be": [[looked(0, {})]],
  "sockets that are suspect": [[looked(1, { listens: 1 }), looked(1, { listens: 1 })], "bypass_suspect"],
  "suspects without a reason": [[looked(1, {})], "bypass_reasons", "bypass_suspect"],
  "a reason that is no word": [[looked(1, { "10.0.0.1": 1 })], "bypass_reasons", "bypass_suspect"],
  "a configuration too late": [[config()], "config"],
  "a policy refused that enough had signed": [[refused({ signers: ["ada", "bo"] })], "policy_refused"],
  "a policy that stays and never came": [[refused({ stays: TOKEN })], "policy_refused"],
  "a policy refused for another": [[refused()]],
  "a type of a later version": [[{ t: "roster", of: [1] }]],
  "a disk that was full": [[{ t: "degraded", cause: "no_space" }, { t: "gap", cause: "disk", since: 1795344000000 }]],
  "an incarnation that was lost": [[{ t: "gap", cause: "lost", since: 1795344000000, lost: { origin: "privet.example/made/9", size: 4, root: "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=" } }], "lost"],
  "an outcome of what was never released": [[{ t: "outcome", rows: [[2, 0, 1, 0, 0]] }], "outcome_sum"],
  "a name out of order": [[{ t: "name", kind: "destination", n: 5, name: "other" }], "numbering"],
};

for (const [what, [records, ...found]] of Object.entries(CASES)) {
  test(`both verifiers of ${what}: ${found.join(", ") || "nothing"}`, async () => {
    const log = makeLog([2], [() => records]);
    const [page, audit] = [await byThePage(log, [1]), await byPrivetAudit(log, [1])];
    assert.deepEqual(audit.findings, found, "privet-audit");
    assert.deepEqual(page.findings, found, "the page");
  });
}

/** What stands right after the first record. */
const HEADS = {
  "a configuration in its place": [[config()]],
  "a configuration twice": [[config(), config()], "config"],
  "a configuration of another durability": [[config({ durability: "lease" })], "config"],
  "more signatures than signers": [[config({ signatures: { ...signatures, required: 3 } })], "config", "policy_unsigned"],
  "a policy that nobody signed": [[config({ signatures })], "policy_unsigned"],
};

for (const [what, [head, ...found]] of Object.entries(HEADS)) {
  test(`both verifiers of ${what}: ${found.join(", ") || "nothing"}`, async () => {
    const log = makeLog([2], [], { head });
    const [page, audit] = [await byThePage(log, [1]), await byPrivetAudit(log, [1])];
    assert.deepEqual(audit.findings, found, "privet-audit");
    assert.deepEqual(page.findings, found, "the page");
  });
}

test("a start that came to nothing is a gap where a start can know it, and missing where no record says so", async () => {
  const said = makeLog([2], [], { first: 2, head: [nobody(1)] });
  const keys = [...makeLog([1]).keys, ...said.keys];
  for (const verifier of [byThePage, byPrivetAudit]) {
    const report = await verifier({ ...said, keys }, [2]);
    assert.deepEqual([report.findings, report.gaps.includes("unborn")], [[], true], verifier.name);
    const unsaid = await verifier(makeLog([2], [], { first: 3, head: [nobody(2)] }), [3]);
    assert.deepEqual(unsaid.findings, ["missing_incarnation"], verifier.name);
    const two = await verifier(makeLog([2], [], { first: 3, head: [nobody(1), nobody(2)] }), [3]);
    assert.deepEqual(two.findings, ["unborn"], verifier.name);
    const itself = await verifier(makeLog([2], [], { head: [nobody(4)] }), [1]);
    assert.deepEqual(itself.findings, ["unborn"], verifier.name);
    const keyAlone = await verifier(makeLog([2], [], { first: 2, head: [{ ...nobody(1), cause: "lost" }] }), [2]);
    assert.deepEqual(keyAlone.findings, ["lost", "missing_incarnation"], verifier.name);
  }
  assert.ok((await byThePage({ ...said, keys }, [2])).assumed.some((what) => what.includes("came to nothing")));
});

test("a removal by retention is a gap where it is the one that was stated, and old enough", async () => {
  const [BEGAN, DAYS] = [1795344000000, 30];
  const record = (prev, members) => ({ t: "retired", ...prev, before: BEGAN, days: DAYS, ts: BEGAN + DAYS * 86_400_000, ...members });
  const stated = (...all) => makeLog([20, 30], [undefined, (prev) => all.map((members) => record(prev, members))]);
  for (const verifier of [byThePage, byPrivetAudit]) {
    const whole = await verifier(stated({}), [2]);
    assert.deepEqual([whole.findings, whole.gaps.includes("retired")], [[], true], verifier.name);
    for (const [members, ...found] of [
      [{ before: BEGAN + 1 }, "retired"],
      [{ ts: BEGAN + DAYS * 86_400_000 - 3_000 }, "retired"],
      [{ size: 1 }, "missing_incarnation"],
      [{ origin: "privet.example/made/2" }, "missing_incarnation", "retired"],
    ]) {
      assert.deepEqual((await verifier(stated(members), [2])).findings, found, `${verifier.name} of ${JSON.stringify(members)}`);
    }
    assert.deepEqual((await verifier(stated({}, { size: 7 }), [2])).findings, ["retired"], `${verifier.name} of two statements`);
    assert.deepEqual((await verifier(stated({ size: 7 }), [1, 2])).findings, ["retired"], `${verifier.name} of one that is here`);
  }
});

test("what is cut off, gone, or anchored by another is the same to both", async () => {
  const [log, other] = [makeLog([20, 60]), makeLog([20, 70])];
  for (const verifier of [byThePage, byPrivetAudit]) {
    assert.deepEqual((await verifier(log, [1, 2])).findings, [], verifier.name);
    assert.deepEqual((await verifier(log, [1])).findings, ["missing_incarnation"], verifier.name);
    assert.deepEqual((await verifier({ ...log, keys: other.keys }, [1, 2])).findings, ["key", "missing_incarnation"], verifier.name);
    assert.deepEqual((await verifier({ ...log, checkpoint: other.checkpoint }, [1, 2])).findings, ["anchor", "truncated"], verifier.name);
  }
});

/** Numbers that are the same in every run. */
function* numbers(seed) {
  for (let state = seed; ; ) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    yield state;
  }
}

test("of 60 logs with one file spoilt both verifiers find each", async () => {
  const random = numbers(11);
  const below = (n) => random.next().value % n;
  const whole = makeLog([30, 40], [() => [charge(), release()], () => [challenge({ batch: 40 }), looked(0, {})]]);
  const names = [...whole.files.keys()].filter((name) => !name.endsWith("/"));
  const missed = [];
  for (let turn = 0; turn < 60; turn += 1) {
    const name = names[below(names.length)];
    const bytes = Buffer.from(whole.files.get(name));
    if (turn % 3 === 0) bytes[below(bytes.length)] ^= 1 << below(8);
    const spoilt = [bytes, bytes.subarray(0, below(bytes.length)), Buffer.concat([bytes, Buffer.of(below(256))])][turn % 3];
    const log = { ...whole, files: new Map(whole.files).set(name, spoilt) };
    for (const verifier of [byThePage, byPrivetAudit]) {
      const found = await verifier(log, [1, 2]).then(({ findings }) => findings, (error) => [error]);
      if (found.length === 0) missed.push(`${verifier.name}: ${["flip", "cut", "grow"][turn % 3]} ${name}`);
    }
  }
  assert.deepEqual(missed, []);
});
