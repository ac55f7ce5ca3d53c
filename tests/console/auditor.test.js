// The page's verifier by itself: logs too large to wait for, and every file of one spoilt in every way that we know.

import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";

import { makeLog } from "./made.js";

const PAGE = fileURLToPath(new URL("../../console/", import.meta.url));
const SPOILT = 300;

let directory, verify;

before(async () => {
  directory = await mkdtemp(join(tmpdir(), "privet-auditor-"));
  const outfile = join(directory, "verify.mjs");
  const { build } = createRequire(join(PAGE, "build.js"))("esbuild");
  await build({ entryPoints: [join(PAGE, "src/auditor/verify.ts")], bundle: true, format: "esm", outfile, logLevel: "warning" });
  ({ verify } = await import(outfile));
});

after(() => rm(directory, { recursive: true, force: true }));

const judge = ({ files, keys, checkpoint }, incarnations, brought = { keys, anchor: checkpoint }) =>
  verify(async (path) => files.get(path), { incarnations, running: incarnations.at(-1), summary: async () => undefined, progress: () => {}, ...brought });

test("a log of three levels of tiles is whole, and how fast that is known", async (t) => {
  const log = makeLog([40, 35_000]);
  const begun = performance.now();
  const report = await judge(log, [1, 2]);
  const rate = (report.records / (performance.now() - begun)) * 1000;
  assert.deepEqual(report.findings, []);
  assert.ok(report.records > 70_000);
  assert.equal(report.signatures, 3);
  assert.equal(report.policies, 1);
  assert.ok([...log.files.keys()].some((path) => path.startsWith("2/tile/2/")));
  t.diagnostic(`${report.records} records, ${Math.round(rate)} a second`);
});

test("without key and checkpoint from elsewhere, both are said to be assumed", async () => {
  const report = await judge(makeLog([3]), [1], { keys: [] });
  assert.deepEqual(report.findings, []);
  assert.equal(report.assumed.filter((what) => /no key was given|no checkpoint from elsewhere/.test(what)).length, 2);
});

/** Numbers that are the same in every run. */
function* numbers(seed) {
  for (let state = seed; ; ) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    yield state;
  }
}

test(`${SPOILT} ways to spoil one file are all found`, async () => {
  const random = numbers(7);
  const below = (n) => random.next().value % n;
  const whole = makeLog([150, 200]);
  const names = [...whole.files.keys()];
  const kinds = {
    flip: (bytes) => { const changed = Buffer.from(bytes); changed[below(bytes.length)] ^= 1 << below(8); return changed; },
    cut: (bytes) => bytes.subarray(0, below(bytes.length)),
    grow: (bytes) => Buffer.concat([bytes, Buffer.of(below(256))]),
    swap: (bytes, name) => { const other = whole.files.get(names[below(names.length)]); return other.equals(bytes) ? kinds.flip(bytes, name) : other; },
    remove: () => undefined,
  };
  const missed = [];
  for (let turn = 0; turn < SPOILT; turn += 1) {
    const name = names[below(names.length)];
    const kind = Object.keys(kinds)[below(5)];
    const files = new Map(whole.files);
    files.set(name, kinds[kind](files.get(name), name));
    const report = await judge({ ...whole, files }, [1, 2]).catch((error) => ({ findings: [error] }));
    if (report.findings.length === 0) missed.push(`${kind} ${name}`);
  }
  assert.deepEqual(missed, []);
});

test("what is cut off, replayed or signed anew is found by key and checkpoint", async () => {
  const [long, short] = [makeLog([20, 60]), makeLog([20, 50])];
  const cut = await judge({ ...short, files: short.files }, [1, 2], { keys: long.keys, anchor: long.checkpoint });
  assert.ok(cut.findings.some(({ code }) => code === "key"));
  const gone = await judge(long, [1]);
  assert.deepEqual(gone.findings.map(({ code }) => code), ["missing_incarnation", "missing_incarnation"]);
  assert.ok(gone.findings.some(({ message }) => message.startsWith("the anchor is of ")));
  const headless = await judge(long, [2]);
  assert.ok(headless.findings.some(({ code }) => code === "missing_incarnation"));
});

test("an incarnation that retention removed is a stated gap, and only the one that was stated", async () => {
  const retired = (prev) => [{ t: "retired", ...prev, before: 1795344000000, days: 30, ts: 1795344000000 + 30 * 86_400_000 }];
  const log = makeLog([20, 30], [undefined, retired]);
  const report = await judge(log, [2]);
  assert.deepEqual(report.findings, []);
  assert.ok(report.gaps.some(({ code }) => code === "retired"));
  const other = makeLog([20, 30], [undefined, (prev) => retired({ ...prev, size: prev.size + 1 })]);
  assert.deepEqual((await judge(other, [2])).findings.map(({ code }) => code), ["missing_incarnation", "missing_incarnation"]);
});

test("what a challenge and a check for bypasses say has to add up", async () => {
  const said = (events, suspect) => () => [
    { t: "challenge", token: `sha256:${"cd".repeat(32)}`, batch: 2, events, classes: [[0, 1]] },
    { t: "bypass.check", listening: 3, established: 4, suspect, reasons: suspect === 1 ? {} : { unknown_listener: 1 } },
  ];
  assert.deepEqual((await judge(makeLog([2], [() => said(1, 0)().slice(0, 1)]), [1])).findings, []);
  assert.deepEqual((await judge(makeLog([2], [said(2, 0)]), [1])).findings.map(({ code }) => code), ["challenge", "bypass_reasons"]);
});

test("sums that a signer would have us believe are worked out all the same", async () => {
  const log = makeLog([2]);
  const totals = {
    requests: { in: 2, answered: 2, refused: {}, aborted: 0, in_flight: 0 }, events: { in: 4, kept: 2, dropped: 2, withheld: 0, undecided: 0 }, bytes: 1800,
    listeners: { events: 2 }, destinations: [{ name: "collector", released: 2, acknowledged: 2, refused: 0, unknown: 0, open: 0 }], classes: [[0, 2], [1, 2]],
  };
  const records = Number(log.checkpoint.split("\n")[1]);
  const asked = (sums) => judge(log, [1], { keys: log.keys, anchor: log.checkpoint, summary: async () => ({ records, sums }) });
  const same = await asked(totals);
  assert.deepEqual(same.findings, []);
  assert.ok(same.proved.some((what) => what.includes("to the last event")));
  const other = await asked({ ...totals, events: { ...totals.events, kept: 3 } });
  assert.deepEqual(other.findings.map(({ message }) => message), ["events kept: the records and the recorder's own totals differ"]);
});
