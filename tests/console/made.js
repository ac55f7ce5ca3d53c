// Logs made up after the format, for the page's verifier: trees too large to wait for from a sidecar, and files to spoil.

import { createHash, generateKeyPairSync, sign } from "node:crypto";

const WIDTH = 256;
const sha256 = (...parts) => parts.reduce((hash, part) => hash.update(part), createHash("sha256")).digest();
const leaf = (record) => sha256(Buffer.of(0), record);
const node = (left, right) => sha256(Buffer.of(1), left, right);

/** The hash of a list of leaves, as RFC 6962 defines it. */
function rootOf(hashes) {
  if (hashes.length === 0) return sha256("");
  if (hashes.length === 1) return hashes[0];
  const half = 2 ** Math.floor(Math.log2(hashes.length - 1));
  return node(rootOf(hashes.slice(0, half)), rootOf(hashes.slice(half)));
}

function path(level, index, width) {
  const digits = String(index);
  const groups = digits.padStart(Math.ceil(digits.length / 3) * 3, "0").match(/.{3}/g);
  const name = groups.map((group, at) => (at < groups.length - 1 ? `x${group}` : group)).join("/");
  return `tile/${level}/${name}${width < WIDTH ? `.p/${width}` : ""}`;
}

const chunks = (list) => Array.from({ length: Math.ceil(list.length / WIDTH) }, (_, at) => list.slice(at * WIDTH, (at + 1) * WIDTH));

function canonical(value) {
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  return `{${Object.keys(value).sort().map((name) => `${JSON.stringify(name)}:${canonical(value[name])}`).join(",")}}`;
}

/** A key pair under a name, as signed notes have it. */
function keyFor(name) {
  const { privateKey, publicKey } = generateKeyPairSync("ed25519");
  const raw = publicKey.export({ format: "der", type: "spki" }).subarray(-32);
  const typed = Buffer.concat([Buffer.of(1), raw]);
  const id = sha256(`${name}\n`, typed).subarray(0, 4);
  return {
    vkey: `${name}+${id.toString("hex")}+${typed.toString("base64")}`,
    note: (text) => `${text}\n\u2014 ${name} ${Buffer.concat([id, sign(null, Buffer.from(text), privateKey)]).toString("base64")}\n`,
  };
}

/** One batch of an event that was kept and one that was dropped, and what became of the first. */
function* traffic(batches) {
  for (let batch = 1; batch <= batches; batch += 1) {
    yield {
      t: "batch", batch, since: 1795344000000, bytes: 900, listeners: [[0, 1]], classes: [[0, 1], [1, 1]], released: [[0, 1]],
      requests: { carry_in: 0, in: 1, answered: 1, refused: [], aborted: 0, carry_out: 0 },
      events: { carry_in: 0, in: 2, kept: 1, dropped: 1, withheld: 0, carry_out: 0 },
    };
    yield { t: "outcome", rows: [[batch, 0, 1, 0, 0]] };
  }
}

const BUNDLE = { "rules.yaml": "kind: Rule\n" };

function declarations() {
  const hashes = Object.fromEntries(Object.entries(BUNDLE).map(([name, text]) => [name, sha256(text).toString("hex")]));
  const bundle = `sha256:${sha256(canonical(hashes)).toString("hex")}`;
  const digest = `sha256:${"ab".repeat(32)}`;
  const documents = [{ contract: "storefront.search/5", outcome: "ruled" }, { format: "segment", outcome: "unmatched" }];
  return [
    { t: "policy.load", n: 0, digest, bundle, files: 1 },
    { t: "name", kind: "listener", n: 0, name: "events" },
    { t: "name", kind: "destination", n: 0, name: "collector" },
    ...documents.map((doc, n) => ({ t: "class", n, policy: 0, id: `sha256:${sha256(canonical(doc)).toString("hex")}`, doc })),
  ];
}

/**
 * A log of incarnations with so many batches each and what else they say, the last one running: its files by path below `/v1/log/`, its keys, and its newest
 * checkpoint. `first` is the number of the first one, which `head` begins after its `open`.
 */
export function makeLog(batches, said = [], { first = 1, head = [] } = {}) {
  const files = new Map();
  const keys = [];
  let prev = null;
  let checkpoint;
  batches.forEach((count, at) => {
    const number = at + first;
    const origin = `privet.example/made/${number}`;
    const key = keyFor(origin);
    const open = { t: "open", origin, incarnation: number, vkey: key.vkey, prev, lease: 0, refusals: ["unparseable"], software: "made" };
    const end = at < batches.length - 1 ? [{ t: "close", abandoned_requests: 0, abandoned_events: 0, unknown: 0 }] : [];
    const records = [open, ...(at === 0 ? head : []), ...declarations(), ...traffic(count), ...(said[at]?.(prev) ?? []), ...end].map((record, seq) => Buffer.from(canonical({ v: 1, seq, ts: 1795344000000 + seq * 100, mono: seq * 100, ...record })));
    const leaves = records.map(leaf);
    chunks(records).forEach((chunk, index) => {
      const bundle = Buffer.concat(chunk.flatMap((record) => [Buffer.of(record.length >> 8, record.length & 255), record]));
      files.set(`${number}/${path("entries", index, chunk.length)}`, bundle);
    });
    for (let [level, hashes] = [0, leaves]; hashes.length > 0; level += 1) {
      chunks(hashes).forEach((chunk, index) => files.set(`${number}/${path(level, index, chunk.length)}`, Buffer.concat(chunk)));
      hashes = chunks(hashes).filter((chunk) => chunk.length === WIDTH).map(rootOf);
    }
    const root = rootOf(leaves).toString("base64");
    checkpoint = key.note(`${origin}\n${records.length}\n${root}\n`);
    files.set(`${number}/checkpoint`, Buffer.from(checkpoint));
    keys.push(key.vkey);
    prev = { origin, size: records.length, root };
  });
  const place = `policies/${"ab".repeat(32)}/`;
  files.set(place, Buffer.from(JSON.stringify({ files: Object.keys(BUNDLE) })));
  for (const [name, text] of Object.entries(BUNDLE)) files.set(place + name, Buffer.from(text));
  return { files, keys, checkpoint };
}
