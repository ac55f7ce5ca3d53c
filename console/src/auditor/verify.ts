// Verifies a log over its published files: every record, every tile, every signature, every sum.
//
// Whoever serves the files is not trusted. What is not published, or cannot be known without a key and a
// checkpoint from elsewhere, is said.

import { type Absent, type Here, type Previous, type Removal, baseOf, numberOf, removalWrong, same, unbornWrong } from "./absent";
import { Books, type Sums } from "./books";
import { type Members, canonical, isMembers, parseCanonical } from "./canonical";
import { type Checkpoint, type Key, base64, hex, parseCheckpoint, parseKey, signedBy } from "./note";
import { TILE_WIDTH, isTileOf, recordsOf, tilePath, widthAt } from "./tiles";
import { type FilledTile, Tree, digest, leafHash, sameHash } from "./tree";

/** Where files of a log come from: the bytes at a path below `/v1/log/`, or undefined where there is no such file. */
export type Source = (path: string) => Promise<Uint8Array | undefined>;

export interface Finding {
  code: string;
  incarnation?: number;
  record?: number;
  message: string;
}

export interface IncarnationReport {
  number: number;
  origin: string;
  records: number;
  root: string;
  /** `closed`, `recovered`, or `running` for the newest that has no end yet. */
  end: string;
  fromMs: number;
  toMs: number;
}

export interface Report {
  records: number;
  bytes: number;
  tiles: number;
  signatures: number;
  incarnations: IncarnationReport[];
  policies: number;
  classes: number;
  proved: string[];
  assumed: string[];
  findings: Finding[];
  gaps: Finding[];
  /** More findings were there than are listed. */
  findingsLeftOut: number;
}

/** What the auditor brings, and what the sidecar says of itself. */
export interface Options {
  incarnations: number[];
  running: number;
  /** The recorder's own sums at a signed checkpoint. */
  summary: () => Promise<{ records: number; sums: Sums } | undefined>;
  keys: string[];
  anchor?: string;
  progress: (done: number, total: number) => void;
}

const FINDINGS_MAX = 200;
/** Two heartbeats, and the ten seconds that times may be rounded by. */
const SILENCE_MS_MAX = 130_000;
const KNOWN_TYPES = new Set([
  "open", "name", "policy.load", "policy.refused", "class", "batch", "outcome", "dp.charge", "dp.release", "heartbeat", "lease",
  "degraded", "gap", "recover", "close", "retired", "config", "bypass.check", "challenge", "clock",
]);

export type { Previous };

export async function verify(source: Source, options: Options): Promise<Report> {
  return new Verifier(source, options).run();
}

class Verifier {
  private readonly report: Report = {
    records: 0, bytes: 0, tiles: 0, signatures: 0, incarnations: [], policies: 0, classes: 0,
    proved: [], assumed: [], findings: [], gaps: [], findingsLeftOut: 0,
  };
  private readonly keys: Key[] = [];
  private readonly charges = new Map<string, Members>();
  private readonly releases = new Map<string, Members>();
  private readonly absent: Absent[] = [];
  private readonly here: Here[] = [];
  private readonly bundles = new Set<string>();
  private anchor: Checkpoint | undefined;
  private anchorMet = false;
  private total = 0;
  private unable = false;
  private readonly removals: Removal[] = [];
  private unlinked: number | undefined;
  private oldest: { number: number; linked: Previous } | undefined;
  private compared = false;
  private summary: { records: number; sums: Sums } | undefined;

  constructor(private readonly source: Source, private readonly options: Options) {}

  async run(): Promise<Report> {
    this.takeKeys();
    const { incarnations } = this.options;
    const checkpoints = new Map<number, Checkpoint | undefined>();
    for (const number of incarnations) {
      const checkpoint = await this.checkpointOf(number);
      checkpoints.set(number, number === this.options.running ? await this.withSummary(number, checkpoint) : checkpoint);
      this.total += checkpoint?.size ?? 0;
    }
    let before: Previous | undefined;
    for (const [at, number] of incarnations.entries()) {
      const next = incarnations[at + 1];
      const successor = next === undefined ? undefined : await this.linkOf(next);
      const one = new Incarnation(this, number, checkpoints.get(number), successor, next === undefined);
      const end = await one.verify();
      this.checkLink(number, one.open, before, at === 0);
      this.checkUnborn(number, one.open, end);
      before = end;
    }
    this.checkRemovals();
    const retired = this.checkOldest();
    this.checkKeys(retired);
    this.conclude();
    return this.report;
  }

  /** The running incarnation's checkpoint, and the recorder's totals at the very same one if they can be had. */
  private async withSummary(number: number, checkpoint: Checkpoint | undefined): Promise<Checkpoint | undefined> {
    this.summary = await this.options.summary();
    return this.summary?.records === checkpoint?.size ? checkpoint : this.checkpointOf(number);
  }

  read(path: string): Promise<Uint8Array | undefined> {
    return this.source(path);
  }

  finding(code: string, message: string, incarnation?: number, record?: number) {
    if (this.report.findings.length >= FINDINGS_MAX) this.report.findingsLeftOut += 1;
    else this.report.findings.push({ code, message, incarnation, record });
  }

  gap(code: string, message: string, incarnation: number, record?: number) {
    if (this.report.gaps.length < FINDINGS_MAX) this.report.gaps.push({ code, message, incarnation, record });
  }

  counted(records: number, bytes: number) {
    this.report.records += records;
    this.report.bytes += bytes;
    this.options.progress(this.report.records, Math.max(this.total, this.report.records));
  }

  countTile() {
    this.report.tiles += 1;
  }

  countClass() {
    this.report.classes += 1;
  }

  add(report: IncarnationReport) {
    this.report.incarnations.push(report);
  }

  private takeKeys() {
    const written = this.options.keys.map((line) => line.trim()).filter((line) => line && !line.startsWith("#"));
    for (const line of written) {
      const key = parseKey(line);
      if (key) this.keys.push(key);
      else this.finding("key", "a line that was given as a key is none: keys have the form NAME+KEYID+KEY");
    }
    if (this.options.anchor?.trim()) {
      const note = this.options.anchor.trimStart();
      this.anchor = parseCheckpoint(note.endsWith("\n") ? note : `${note}\n`);
      if (!this.anchor) this.finding("anchor", "what was given as an anchor is no signed checkpoint");
    }
  }

  async checkpointOf(number: number): Promise<Checkpoint | undefined> {
    const bytes = await this.read(`${number}/checkpoint`);
    return bytes && parseCheckpoint(new TextDecoder().decode(bytes));
  }

  /** What an incarnation's first record says of the one before it. */
  private async linkOf(number: number): Promise<Previous | undefined> {
    const checkpoint = await this.checkpointOf(number);
    if (!checkpoint) return undefined;
    const bundle = await this.read(`${number}/${tilePath("entries", 0, widthAt(0, 0, checkpoint.size))}`);
    const first = bundle && recordsOf(bundle)?.[0];
    const open = first && parseCanonical(first);
    return previousOf(open);
  }

  private checkLink(number: number, open: Members | undefined, before: Previous | undefined, first: boolean) {
    if (!open) return;
    const linked = previousOf(open);
    if (!linked && first) {
      this.unlinked = number;
      return;
    }
    if (linked && first) {
      this.oldest = { number, linked };
      return;
    }
    if (!linked || !before || !same(linked, before)) this.finding("link", `what it says came before is not the incarnation before it`, number, 0);
  }

  remove(removal: Removal) {
    this.removals.push(removal);
  }

  /** What an incarnation says of one that it did not find. */
  miss(absent: Absent) {
    this.absent.push(absent);
  }

  private isUnborn(number: number): boolean {
    return this.absent.some(({ reason, origin }) => reason === "unborn" && numberOf(origin) === number);
  }

  private checkUnborn(number: number, open: Members | undefined, end: Previous | undefined) {
    if (!open || !end) return;
    const one = { number, origin: String(open.origin), prev: previousOf(open), end, fromMs: Number(open.ts) };
    this.here.push(one);
    for (const wrong of unbornWrong(one, this.absent)) this.finding("unborn", wrong, number, 0);
  }

  /** Holds every statement of retention against all that is here. */
  private checkRemovals() {
    for (const one of this.removals) {
      const first = this.removals.find(({ origin }) => origin === one.origin) ?? one;
      for (const wrong of removalWrong(one, first, this.here)) {
        this.finding("retired", `of \`${one.origin}\`, said to be removed by retention: ${wrong}`, one.by, one.record);
      }
    }
  }

  /** An incarnation before which nothing came is the first, unless a record says of each before it that it never came to be. */
  private checkUnlinked(number: number) {
    for (let before = 1; before < number; before += 1) {
      if (this.isUnborn(before)) continue;
      return this.finding("missing_incarnation", `it says that nothing came before it, and incarnation ${before} is not here`, number, 0);
    }
  }

  /** What the oldest incarnation follows on was removed by retention, or is missing. Gives the number up to which incarnations were removed. */
  private checkOldest(): number {
    if (this.unlinked) this.checkUnlinked(this.unlinked);
    if (!this.oldest) return 0;
    const { number, linked } = this.oldest;
    if (this.removals.some((one) => same(one, linked))) {
      this.gap("retired", `\`${linked.origin}\` with ${linked.size} records, and what came before it, was removed by retention`, number, 0);
      return numberOf(linked.origin);
    }
    this.finding("missing_incarnation", `\`${linked.origin}\` with ${linked.size} records came before and is not here`, number, 0);
    return 0;
  }

  /** Checks the signature of a checkpoint by the key that the log's first record has. */
  async checkSignature(number: number, checkpoint: Checkpoint, key: Key | undefined, from: string, code = "signature") {
    if (!key) return this.finding(code, `${from} cannot be checked: there is no key for it`, number);
    const signed = await signedBy(checkpoint, key);
    if (signed === "right") this.report.signatures += 1;
    else if (signed === "unable") this.unable = true;
    else this.finding(code, signed === "wrong" ? `the signature of ${from} is wrong` : `${from} has no signature by the incarnation's key`, number);
  }

  /** The anchor, where it is of this origin. */
  anchorOf(origin: string): Checkpoint | undefined {
    return this.anchor?.origin === origin ? this.anchor : undefined;
  }

  meetAnchor() {
    this.anchorMet = true;
  }

  private opened: { number: number; key: string; published: boolean }[] = [];

  noteKey(number: number, key: string, published: boolean) {
    this.opened.push({ number, key, published });
  }

  /** Every incarnation's key has to be among those that were given; one that never published is vouched for by the next. */
  private checkKeys(retired: number) {
    if (this.keys.length === 0) return;
    let successorVouches = false;
    for (const { number, key, published } of [...this.opened].reverse()) {
      const trusted = this.keys.some(({ text }) => text === key);
      const vouched: boolean = successorVouches && !published;
      if (!trusted && !vouched) this.finding("key", "none of the given keys is that of this incarnation", number);
      successorVouches = trusted || vouched;
    }
    const base = baseOf(parseKey(this.opened[0]?.key ?? "")?.name);
    for (const key of this.keys.filter(({ name }) => baseOf(name) === base)) {
      const explained = numberOf(key.name) <= retired || this.absent.some(({ reason, origin }) => reason === "unborn" && origin === key.name);
      if (!explained && !this.opened.some((one) => one.key === key.text)) {
        this.finding("missing_incarnation", `a key of \`${key.name}\` was given, and the log holds no such incarnation`);
      }
    }
  }

  charge(record: Members, number: number) {
    const seq = Number(record.seq);
    const delta = (record.delta ?? {}) as Members;
    const name = `budget \`${record.account}\``;
    const known = this.charges.get(String(record.release));
    if (known) {
      // Said again after a crash, in the same words.
      if (!sameWords(known, record)) this.finding("budget_twice", `release \`${record.release}\` is paid for twice`, number, seq);
      return;
    }
    this.charges.set(String(record.release), record);
    for (const side of [record, delta]) {
      if (Number(side.before) + Number(side.amount) !== Number(side.after)) {
        this.finding("budget_sum", `${name}: ${side.before} and ${side.amount} are not ${side.after}`, number, seq);
      }
      if (Number(side.after) > Number(side.cap)) this.finding("budget_cap", `${name}: ${side.after} spent of ${side.cap}`, number, seq);
    }
  }

  release(record: Members, number: number) {
    const paid = this.charges.get(String(record.release));
    const fits = record.local !== undefined ? !paid : paid && paid.export === record.export && paid.start === record.start && paid.end === record.end;
    if (!fits) this.finding("release_unpaid", `a release of \`${record.export}\` has no charge for its window`, number, Number(record.seq));
    const known = this.releases.get(String(record.release));
    if (!known) this.releases.set(String(record.release), record);
    else if (!sameWords(known, record)) this.finding("release_twice", `\`${record.release}\` is released twice, with different bytes`, number, Number(record.seq));
  }

  /** The files of a policy that was loaded are those that its record names. */
  async policyFiles(record: Members, number: number) {
    const bundle = String(record.bundle);
    if (this.bundles.has(bundle)) return;
    this.bundles.add(bundle);
    const digestOf = String(record.digest).replace(/^sha256:/, "");
    for (const place of [digestOf, `${digestOf}-${bundle.replace(/^sha256:/, "")}`]) {
      if (await this.isBundle(place, record)) {
        this.report.policies += 1;
        return;
      }
    }
    this.finding("policy_files", `the files of policy ${record.digest} are not those that were loaded`, number, Number(record.seq));
  }

  private async isBundle(place: string, record: Members): Promise<boolean> {
    const listing = await this.read(`policies/${place}/`);
    if (!listing) return false;
    const { files } = JSON.parse(new TextDecoder().decode(listing)) as { files: string[] };
    if (files.length !== record.files) return false;
    const hashes: Members = {};
    const contents = await Promise.all(files.map((file) => this.read(`policies/${place}/${file.split("/").map(encodeURIComponent).join("/")}`)));
    for (const [at, bytes] of contents.entries()) {
      if (!bytes) return false;
      hashes[files[at] as string] = hex(digest(bytes));
    }
    return `sha256:${hex(digest(new TextEncoder().encode(canonical(hashes))))}` === record.bundle;
  }

  /** Holds the records of the running incarnation against what the recorder counted. */
  compare(size: number, sums: Sums, number: number) {
    const { summary } = this;
    if (!summary || summary.records !== size) {
      this.report.assumed.push("the recorder's own totals are of another checkpoint than the published one, so they were not compared: verify again");
      return;
    }
    const differing = differences(sums, summary.sums);
    for (const what of differing) this.finding("summary", `${what}: the records and the recorder's own totals differ`, number);
    this.compared = differing.length === 0;
  }

  private conclude() {
    const { report } = this;
    const { proved, assumed } = report;
    const count = (n: number, one: string, many: string) => `${n.toLocaleString("en")} ${n === 1 ? one : many}`;
    if (report.findings.length === 0) {
      proved.push(`${count(report.records, "record is", "records are")} the leaves of the trees that were published: each was hashed, and every tile and root worked out again`);
      if (report.signatures > 0) proved.push(`${count(report.signatures, "checkpoint signature is", "checkpoint signatures are")} right (Ed25519, checked by this browser)`);
      if (report.incarnations.length > 1) proved.push(`${report.incarnations.length} incarnations follow one another, each naming size and root of the one before`);
      proved.push("sequence numbers have no gap, and every batch adds up: in = kept + dropped + withheld + undecided, in events and in requests");
      if (report.policies > 0) proved.push(`the files of ${count(report.policies, "policy bundle", "policy bundles")} and ${count(report.classes, "class document", "class documents")} are those of their digests`);
      if (this.compared) proved.push("the batches of the running incarnation sum to the recorder's own totals, to the last event");
      if (this.keys.length > 0) proved.push("every incarnation's key is among those that were given");
      if (this.anchorMet) proved.push("the records continue the checkpoint that was given");
    }
    if (this.anchor && !this.anchorMet) this.finding("missing_incarnation", `the anchor is of \`${this.anchor.origin}\` at ${this.anchor.size} records, which is not here`);
    if (this.absent.some(({ reason }) => reason === "unborn")) assumed.push("that some starts came to nothing is the word of the start after them: whoever could write the log and the anchor could have removed what they wrote; a ledger knows");
    if (this.keys.length === 0) assumed.push("no key was given: each incarnation's key was taken from the log itself, so a log written anew and signed with other keys is not excluded");
    if (!this.anchor) assumed.push("no checkpoint from elsewhere was given: records cut off after an earlier checkpoint are not excluded");
    else if (this.anchorMet) assumed.push(`the checkpoint that was given covers ${this.anchor.size} records of \`${this.anchor.origin}\`; later ones may have been cut off`);
    if (this.unable) assumed.push("signatures were not checked: browsers give Ed25519 to pages on localhost or TLS alone, or this one does not have it");
    assumed.push("classes were not compiled again from their policies; sliding budgets, clocks, signers of policies and how often sockets were looked at were not worked out again: `privet-audit verify` does all of it");
    assumed.push("this page was served by the sidecar that is judged: `privet-audit` is the tool that need not trust it");
  }
}

/** Whether two records say the same, wherever and whenever they stand. */
const sameWords = (one: Members, other: Members) => {
  const said = ({ seq, ts, mono, ...words }: Members) => canonical(words);
  return said(one) === said(other);
};

/** What an `open` record says of the incarnation before it. */
export function previousOf(open: Members | undefined): Previous | undefined {
  const prev = open?.prev;
  return isMembers(prev) ? { origin: String(prev.origin), size: Number(prev.size), root: String(prev.root) } : undefined;
}

/** Where two summaries differ; names that only one has count as zero there. */
export function differences(one: Sums, other: Sums): string[] {
  const [a, b] = [flat(one), flat(other)];
  return [...new Set([...a.keys(), ...b.keys()])].filter((name) => (a.get(name) ?? 0) !== (b.get(name) ?? 0));
}

function flat(sums: Sums): Map<string, number> {
  const all = new Map<string, number>([["bytes", sums.bytes]]);
  const side = (name: string, members: Record<string, unknown>) => {
    for (const [member, value] of Object.entries(members)) if (typeof value === "number") all.set(`${name} ${member}`, value);
  };
  side("requests", sums.requests);
  side("requests refused", sums.requests.refused);
  side("events", sums.events);
  side("listener", sums.listeners);
  for (const { name, ...counts } of sums.destinations) side(`destination ${name}`, counts);
  for (const [n, count] of sums.classes) all.set(`class ${n}`, count);
  return all;
}

/** One incarnation on its way through the verifier. */
class Incarnation {
  open: Members | undefined;
  private readonly tree = new Tree();
  private readonly books: Books;
  private key: Key | undefined;
  private end = "running";
  private fromMs = 0;
  private fromMono = 0;
  private toMs = 0;
  private aliveMono = 0;
  private suspects: string | undefined;
  private unwatchedMost = 0;
  private stop = false;

  constructor(
    private readonly log: Verifier,
    private readonly number: number,
    private readonly checkpoint: Checkpoint | undefined,
    private readonly successor: Previous | undefined,
    private readonly isLast: boolean,
  ) {
    this.books = new Books((code, message) => this.finding(code, message));
  }

  private finding(code: string, message: string) {
    const record = this.tree.size > 0 ? this.tree.size - 1 : undefined;
    this.log.finding(code, message, this.number, record);
  }

  /** Gives size and root at its end. */
  async verify(): Promise<Previous | undefined> {
    const { checkpoint, successor } = this;
    if (!checkpoint) this.finding("checkpoint", "its checkpoint is missing, or is no signed checkpoint");
    const size = successor ? successor.size : checkpoint?.size ?? 0;
    if (checkpoint && checkpoint.size > size) this.finding("truncated", `a checkpoint was signed at ${checkpoint.size} records, and the next incarnation knows ${size}`);
    await this.readRecords(size);
    if (checkpoint) await this.log.checkSignature(this.number, checkpoint, this.key, "the checkpoint");
    if (checkpoint && this.open && checkpoint.origin !== this.open.origin) this.finding("origin", "the checkpoint is of another log");
    if (successor && !this.stop && base64(this.tree.root()) !== successor.root) this.finding("root", "its records do not have the root that the next incarnation names");
    await this.checkAnchor();
    await this.checkEdge();
    this.checkEnd();
    if (this.isLast && !this.stop && checkpoint && this.end === "running") this.log.compare(checkpoint.size, this.books.sums(), this.number);
    this.log.noteKey(this.number, String(this.open?.vkey ?? ""), checkpoint !== undefined);
    this.log.add({
      number: this.number, origin: String(this.open?.origin ?? ""), records: this.tree.size, root: base64(this.tree.root()),
      end: this.end, fromMs: this.fromMs, toMs: this.toMs,
    });
    return { origin: String(this.open?.origin ?? ""), size: this.tree.size, root: base64(this.tree.root()) };
  }

  private async readRecords(size: number) {
    const last = Math.ceil(size / TILE_WIDTH);
    const fetched = (index: number) => (index < last ? this.bundle(index, size) : undefined);
    let coming = fetched(0);
    for (let index = 0; index < last && !this.stop; index += 1) {
      const bundle = await coming;
      coming = fetched(index + 1);
      await this.readBundle(index, widthAt(0, index, size), bundle);
    }
  }

  /** Bundle and tile of one position; a partial one may have been followed by a wider one while we read. */
  private async bundle(index: number, size: number): Promise<[Uint8Array | undefined, Uint8Array | undefined]> {
    const width = widthAt(0, index, size);
    const read = (width: number) => Promise.all([
      this.log.read(`${this.number}/${tilePath("entries", index, width)}`),
      this.log.read(`${this.number}/${tilePath(0, index, width)}`),
    ]);
    const [entries, hashes] = await read(width);
    if (entries && hashes) return [entries, hashes];
    if (width === TILE_WIDTH || !this.isLast) return [entries, hashes];
    const newer = await this.log.checkpointOf(this.number);
    const wider = newer ? widthAt(0, index, newer.size) : 0;
    if (wider <= width) return [entries, hashes];
    const [more, moreHashes] = await read(wider);
    return [more, moreHashes?.subarray(0, width * 32)];
  }

  private async readBundle(index: number, width: number, [entries, hashes]: [Uint8Array | undefined, Uint8Array | undefined] = [undefined, undefined]) {
    if (!entries) return this.halt("tile_missing", `${tilePath("entries", index, width)} is missing, so records from ${index * TILE_WIDTH} on cannot be read`);
    const records = recordsOf(entries);
    if (!records || records.length < width) return this.halt("tile", `${tilePath("entries", index, width)} does not hold ${width} records`);
    const leaves = records.slice(0, width).map(leafHash);
    if (!hashes) this.finding("tile_missing", `${tilePath(0, index, width)} is missing`);
    else if (!isTileOf(hashes, leaves)) this.finding("tile", `${tilePath(0, index, width)} is not that of the records ${index * TILE_WIDTH} to ${index * TILE_WIDTH + width - 1}`);
    this.log.countTile();
    this.log.countTile();
    for (const [at, leaf] of leaves.entries()) await this.record(records[at] as Uint8Array, leaf);
    this.log.counted(width, entries.length);
  }

  private halt(code: string, message: string) {
    this.stop = true;
    this.finding(code, message);
  }

  private async record(bytes: Uint8Array, leaf: Uint8Array) {
    const filled = this.tree.push(leaf);
    for (const tile of filled.filter(({ level }) => level > 0)) await this.checkTile(tile);
    const record = parseCanonical(bytes);
    if (record && record.v === 1 && typeof record.t === "string") await this.entry(record);
    else {
      this.books.nextSeq += 1;
      this.finding("record", "it is not canonical JSON of format version 1");
    }
    if (this.checkpoint && this.tree.size === this.checkpoint.size) this.meet(this.checkpoint, "the checkpoint");
    const anchor = this.anchor();
    if (anchor && this.tree.size === anchor.size) {
      this.log.meetAnchor();
      this.meet(anchor, "the checkpoint that was given");
    }
  }

  private meet(checkpoint: Checkpoint, from: string) {
    if (!sameHash(this.tree.root(), checkpoint.root)) this.finding("root", `the first ${checkpoint.size} records do not have the root of ${from}`);
  }

  private anchor(): Checkpoint | undefined {
    return this.open ? this.log.anchorOf(String(this.open.origin)) : undefined;
  }

  private async checkAnchor() {
    const anchor = this.anchor();
    if (!anchor) return;
    await this.log.checkSignature(this.number, anchor, this.key, "the checkpoint that was given", "anchor");
    if (anchor.size > this.tree.size) {
      this.log.meetAnchor();
      this.finding("truncated", `${this.tree.size} records are here, and the checkpoint that was given was signed at ${anchor.size}`);
    }
  }

  private async entry(record: Members) {
    const [ts, mono] = [Number(record.ts), Number(record.mono)];
    // While the log could not be written, nothing could be.
    const excused = record.t === "gap" && record.lost === undefined;
    if (this.tree.size > 1 && !excused && mono - this.aliveMono > SILENCE_MS_MAX) {
      this.finding("silence", `no record for ${Math.floor((mono - this.aliveMono) / 1000)} s, where each 60 s has one`);
    }
    this.aliveMono = mono;
    this.books.apply(record);
    const stated = (code: string, message: string) => this.log.gap(code, message, this.number, Number(record.seq));
    switch (record.t) {
      case "open": return this.opened(record, ts);
      case "policy.load": return this.log.policyFiles(record, this.number);
      case "class": return this.classDocument(record);
      case "dp.charge": return this.log.charge(record, this.number);
      case "dp.release": return this.log.release(record, this.number);
      case "retired": this.removed(record, ts, mono); break;
      case "close": this.end = "closed"; break;
      case "recover":
        this.end = "recovered";
        stated("crash", `ended without closing: ${record.torn_bytes} bytes of unfinished writes, at most ${record.lease} events uncounted, ${record.unknown} releases unknown`);
        return;
      case "degraded": stated("degraded", `the log could not be written (${record.cause}); nothing was released`); break;
      case "gap":
        if (isMembers(record.lost)) this.missing(record.cause, record.lost, Number(record.seq));
        else stated("unwritable", `the log could not be written for ${Math.max(0, Math.floor((ts - Number(record.since)) / 1000))} s; nothing was released`);
        break;
      case "bypass.check": this.sockets(record); break;
      case "clock": stated("clock", `the wall clock moved by ${record.moved_ms} ms`); break;
      default:
        if (!KNOWN_TYPES.has(String(record.t))) stated("unknown_type", `a record of the type \`${record.t}\`: its bytes are proved, its meaning is not checked`);
    }
    this.toMs = ts;
  }

  /** A start did not find an incarnation whose key or checkpoint is anchored. */
  private missing(cause: unknown, lost: Members, seq: number) {
    const reason = cause === "unborn" && lost.size === 0 ? "unborn" : "lost";
    this.log.miss({ origin: String(lost.origin), reason, by: this.number });
    if (reason === "unborn") this.log.gap("unborn", `a start before this one came to nothing: \`${lost.origin}\``, this.number, seq);
    else if (lost.size === 0) this.finding("lost", `\`${lost.origin}\`, whose key was anchored, was missing at the start: what it held nobody knows`);
    else this.finding("lost", `\`${lost.origin}\`, anchored at ${lost.size} records, was missing at the start`);
  }

  private removed(record: Members, ts: number, mono: number) {
    const nowMs = Math.max(ts, this.fromMs + mono - this.fromMono);
    const end = { origin: String(record.origin), size: Number(record.size), root: String(record.root) };
    this.log.remove({ ...end, before: Number(record.before), days: Number(record.days), by: this.number, record: Number(record.seq), nowMs });
  }

  /** Suspect sockets at looks that follow one another, with the same reasons, are one finding. */
  private sockets(record: Members) {
    const reasons = Object.entries(isMembers(record.reasons) ? record.reasons : {});
    const words = Number(record.suspect) > 0 ? reasons.map(([word]) => word).join(" ") : undefined;
    if (words !== undefined && words !== this.suspects) {
      this.finding("bypass_suspect", `${record.suspect} sockets may be a way around the sidecar: ${reasons.map(([word, n]) => `${n} ${word}`).join(", ")}`);
    }
    this.suspects = words;
    const unwatched = record.unwatched === undefined ? Infinity : Number(record.unwatched);
    if (unwatched <= this.unwatchedMost) return;
    this.unwatchedMost = unwatched;
    this.log.gap("bypass_unwatched", `${record.unwatched ?? "the"} collectors on other machines were not watched: a connection straight there was not seen`, this.number, Number(record.seq));
  }

  private opened(record: Members, ts: number) {
    this.open = record;
    this.fromMs = ts;
    this.fromMono = Number(record.mono);
    this.toMs = ts;
    const key = parseKey(String(record.vkey));
    this.key = key?.name === record.origin ? key : undefined;
    if (!this.key) this.finding("key", "the first record does not hold the key of its origin");
    if (record.incarnation !== this.number || !String(record.origin).endsWith(`/${this.number}`)) {
      this.finding("origin", `the first record is that of incarnation ${record.incarnation} of \`${record.origin}\``);
    }
  }

  private async classDocument(record: Members) {
    const id = String(record.id).replace(/^sha256:/, "");
    const inline = record.doc === undefined ? undefined : canonical(record.doc);
    const bytes = inline === undefined ? await this.log.read(`${this.number}/class/${id}.json`) : new TextEncoder().encode(inline);
    if (!bytes || hex(digest(bytes)) !== id) this.finding("class_document", `class ${record.n}: the document is not the one of its digest`);
    else this.log.countClass();
  }

  private async checkTile({ level, index, hashes }: FilledTile) {
    const path = tilePath(level, index, hashes.length);
    const bytes = await this.log.read(`${this.number}/${path}`);
    this.log.countTile();
    if (!bytes) this.finding("tile_missing", `${path} is missing`);
    else if (!isTileOf(bytes, hashes)) this.finding("tile", `${path} is not that of the records`);
  }

  /** The tiles above the first level that are not full; one of a running log may have been followed by a wider one. */
  private async checkEdge() {
    if (this.stop) return;
    for (const tile of this.tree.edge().filter(({ level }) => level > 0)) {
      const there = await this.log.read(`${this.number}/${tilePath(tile.level, tile.index, tile.hashes.length)}`);
      const newer = there || !this.isLast ? undefined : await this.log.checkpointOf(this.number);
      const grown = newer && newer.size > (this.checkpoint?.size ?? 0);
      if (there || !grown) await this.checkTile(tile);
    }
  }

  private checkEnd() {
    if (this.stop) return;
    const published = this.checkpoint?.size ?? 0;
    if (!this.isLast && !this.books.ended) this.finding("unfinished", "it has no end, and another one follows it");
    if (this.end === "closed" && published !== this.tree.size) this.finding("signature", "it closed, and its last records are not under its checkpoint");
    if (this.isLast && this.end === "running") {
      this.log.gap("unpublished", `checked up to the checkpoint at ${published} records; what came since is in write-ahead segments, which are not served`, this.number);
    }
  }
}
