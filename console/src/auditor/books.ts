// Double-entry books over the records of one incarnation: what went in came out, and every number was declared.

import { type Members, isMembers } from "./canonical";

/** Says what does not add up. */
export type Report = (code: string, message: string) => void;

type Pairs = [number, number][];

/** What the batches and outcomes of an incarnation sum to; the shape of `/v1/console/summary`. */
export interface Sums {
  requests: { in: number; answered: number; refused: Record<string, number>; aborted: number; in_flight: number };
  events: { in: number; kept: number; dropped: number; withheld: number; undecided: number };
  bytes: number;
  listeners: Record<string, number>;
  destinations: { name: string; released: number; acknowledged: number; refused: number; unknown: number; open: number }[];
  classes: Pairs;
}

export class Books {
  nextSeq = 0;
  ended = false;
  policies: string[] = [];
  private nextBatch = 1;
  private inFlight = { requests: 0, events: 0 };
  private lease = 0;
  private refusals: string[] = [];
  private listeners: string[] = [];
  private destinations: string[] = [];
  private classes = 0;
  private outstanding = new Map<string, number>();
  private configured = false;
  private signersRequired = 0;
  /** What challenges of the batch to come count, by class. */
  private challenged = new Map<number, number>();
  /** What the batch just made counts that no challenge has, by class. */
  private unchallenged = new Map<number, number>();
  private totals = {
    requests: { in: 0, answered: 0, aborted: 0 },
    events: { in: 0, kept: 0, dropped: 0, withheld: 0 },
    bytes: 0,
    refused: new Map<number, number>(),
    listeners: new Map<number, number>(),
    classes: new Map<number, number>(),
    fates: new Map<number, [released: number, acknowledged: number, refused: number, unknown: number]>(),
  };

  constructor(private readonly report: Report) {}

  /** Enters a record. Types that are not of the books change nothing. */
  apply(record: Members) {
    this.place(record);
    switch (record.t) {
      case "open":
        this.refusals = (record.refusals as string[]) ?? [];
        this.lease = number(record.lease);
        break;
      case "name":
        this.name(record);
        break;
      case "policy.load":
        this.policy(number(record.n), String(record.digest), list(record.signers).length);
        break;
      case "policy.refused":
        this.refused(record);
        break;
      case "config":
        this.config(record);
        break;
      case "class":
        this.classes = this.countUp(this.classes, number(record.n), "class");
        this.declared(number(record.policy), this.policies.length, "policy");
        break;
      case "batch":
        this.batch(record);
        break;
      case "outcome":
        for (const row of (record.rows as number[][]) ?? []) this.outcome(row);
        break;
      case "challenge":
        this.challenge(record);
        break;
      case "bypass.check":
        this.bypass(record);
        break;
      case "lease":
        this.lease = number(record.events);
        break;
      case "recover":
        if (number(record.lease) !== this.lease) this.report("lease", `a lease of ${record.lease} is stated, ${this.lease} was granted`);
        this.end(record);
        break;
      case "close":
        this.end(record);
        break;
    }
  }

  private place(record: Members) {
    if (record.seq !== this.nextSeq) this.report("sequence", `the record says it is ${record.seq}, and it is ${this.nextSeq}`);
    if ((this.nextSeq === 0) !== (record.t === "open")) this.report("open", `record ${this.nextSeq} is \`${record.t}\`: \`open\` stands first, and only there`);
    if (this.ended) this.report("after_end", "a record after the end of the incarnation");
    this.nextSeq += 1;
  }

  private name(record: Members) {
    const names = record.kind === "destination" ? this.destinations : this.listeners;
    this.countUp(names.length, number(record.n), String(record.kind));
    names.push(String(record.name));
  }

  private config(record: Members) {
    const wrong = (message: string) => this.report("config", message);
    if (this.configured || this.nextBatch > 1) wrong("`config` stands once, and before the first batch");
    this.configured = true;
    if ((record.durability === "lease") !== this.lease > 0) wrong(`the durability is not that of a lease of ${this.lease} events`);
    if (!isAddress(record.digest)) wrong("the digest of the configuration is none");
    if (!isMembers(record.signatures)) return;
    const { required, required_to_loosen: toLoosen, signers } = record.signatures;
    this.signersRequired = number(required);
    const inReach = (n: unknown) => number(n) >= 1 && number(n) <= list(signers).length;
    if (!inReach(required) || !inReach(toLoosen)) wrong("policies need signatures of none, or of more than there are signers");
  }

  private refused(record: Members) {
    const [signed, needed] = [list(record.signers).length, number(record.required)];
    if (signed >= needed) this.report("policy_refused", `a policy was refused that ${signed} signed where ${needed} were needed`);
    if (typeof record.stays === "string" && !this.policies.includes(record.stays)) {
      this.report("policy_refused", `policy ${record.stays} is said to stay in force, and never came into it`);
    }
  }

  /** A challenge is recorded in one commit with what it counts: in the batch just made, or in the one to come. */
  private challenge(record: Members) {
    const [classes, batch] = [(record.classes ?? []) as Pairs, number(record.batch)];
    this.check(classes, this.classes, "class");
    if (number(record.events) === 0 || total(classes) !== number(record.events)) {
      this.report("challenge", `a challenge of ${record.events} events has others by class`);
    }
    if (!isAddress(record.token)) this.report("challenge", "the token of a challenge is no digest");
    if (batch === this.nextBatch) for (const [n, count] of classes) add(this.challenged, n, count);
    else if (batch + 1 === this.nextBatch) this.takeAway(classes, batch);
    else this.report("challenge", `a challenge names batch ${batch}, which is not now`);
  }

  /** Takes what challenges count out of what their batch counts. */
  private takeAway(classes: Iterable<[number, number]>, batch: number) {
    for (const [n, count] of classes) {
      const left = this.unchallenged.get(n) ?? 0;
      if (count > left) this.report("challenge", `batch ${batch} has ${left} events of class ${n} left, and a challenge ${count}`);
      this.unchallenged.set(n, Math.max(0, left - count));
    }
  }

  private policy(n: number, digest: string, signed: number) {
    if (signed < this.signersRequired) this.report("policy_unsigned", `a policy came into force that ${signed} signed of ${this.signersRequired}`);
    const known = this.policies[n];
    if (known === undefined) {
      this.countUp(this.policies.length, n, "policy");
      this.policies[n] = digest;
    } else if (known !== digest) {
      this.report("numbering", `policy ${n} was another one before`);
    }
  }

  private countUp(known: number, n: number, what: string): number {
    if (n !== known) this.report("numbering", `${what} ${n} declared where ${known} was due`);
    return n + 1;
  }

  private declared(n: number, known: number, what: string) {
    if (n >= known) this.report("undeclared", `${what} ${n} was never declared`);
  }

  private batch(record: Members) {
    const n = number(record.batch);
    const [requests, events] = [record.requests as Members, record.events as Members];
    const pairs = (value: unknown) => (value ?? []) as Pairs;
    if (n !== this.nextBatch) this.report("batch_number", `batch ${n} where ${this.nextBatch} was due`);
    this.nextBatch = n + 1;
    if (requests.carry_in !== this.inFlight.requests || events.carry_in !== this.inFlight.events) {
      this.report("carry", `batch ${n} does not carry in what the batch before carried out`);
    }
    const count = (side: Members, names: string[]) => names.reduce((sum, name) => sum + number(side[name]), 0);
    const refused = pairs(requests.refused);
    this.balance(n, "requests", count(requests, ["carry_in", "in"]), count(requests, ["answered", "aborted", "carry_out"]) + total(refused));
    this.balance(n, "events", count(events, ["carry_in", "in"]), count(events, ["kept", "dropped", "withheld", "carry_out"]));
    const [classes, listeners, released] = [pairs(record.classes), pairs(record.listeners), pairs(record.released)];
    const decided = count(events, ["kept", "dropped"]);
    if (total(classes) !== decided) this.report("classes_sum", `batch ${n}: classes sum to ${total(classes)}, decided are ${decided}`);
    if (total(listeners) !== requests.in) this.report("listeners_sum", `batch ${n}: listeners sum to ${total(listeners)}, requests in are ${requests.in}`);
    const most = Math.max(0, ...released.map(([, events]) => events));
    if (most > number(events.kept) || total(released) < number(events.kept)) {
      this.report("released_sum", `batch ${n}: ${events.kept} events kept cannot be released as recorded`);
    }
    this.check(refused, this.refusals.length, "refusal");
    this.check(listeners, this.listeners.length, "listener");
    this.check(classes, this.classes, "class");
    this.check(released, this.destinations.length, "destination");
    this.inFlight = { requests: number(requests.carry_out), events: number(events.carry_out) };
    this.unchallenged = new Map(classes);
    this.takeAway([...this.challenged].sort(([one], [other]) => one - other), n);
    this.challenged.clear();
    for (const [to, events] of released) this.outstanding.set(`${n} ${to}`, events);
    this.addUp(requests, events, number(record.bytes), { refused, listeners, classes, released });
  }

  private balance(batch: number, what: string, wentIn: number, cameOut: number) {
    if (wentIn !== cameOut) this.report("balance", `batch ${batch}: ${wentIn} ${what} went in and ${cameOut} came out`);
  }

  private check(pairs: Pairs, known: number, what: string) {
    let before = -1;
    for (const [n, count] of pairs) {
      this.declared(n, known, what);
      if (count === 0 || n <= before) this.report("pairs", `counts by ${what} out of order, repeated, or zero`);
      before = n;
    }
  }

  private addUp(requests: Members, events: Members, bytes: number, by: { refused: Pairs; listeners: Pairs; classes: Pairs; released: Pairs }) {
    const totals = this.totals;
    for (const name of ["in", "answered", "aborted"] as const) totals.requests[name] += number(requests[name]);
    for (const name of ["in", "kept", "dropped", "withheld"] as const) totals.events[name] += number(events[name]);
    totals.bytes += bytes;
    for (const [n, count] of by.refused) add(totals.refused, n, count);
    for (const [n, count] of by.listeners) add(totals.listeners, n, count);
    for (const [n, count] of by.classes) add(totals.classes, n, count);
    for (const [n, count] of by.released) this.fate(n)[0] += count;
  }

  private fate(destination: number): [number, number, number, number] {
    const known = this.totals.fates.get(destination) ?? [0, 0, 0, 0];
    this.totals.fates.set(destination, known);
    return known;
  }

  private outcome([batch, to, acknowledged, refused, unknown]: number[]) {
    const key = `${batch} ${to}`;
    const open = this.outstanding.get(key) ?? 0;
    const sum = number(acknowledged) + number(refused) + number(unknown);
    if (sum > open || sum === 0) {
      this.report("outcome_sum", `batch ${batch}, destination ${to}: outcomes of ${sum} events where ${open} were released and open`);
    }
    if (sum < open) this.outstanding.set(key, open - sum);
    else this.outstanding.delete(key);
    const fate = this.fate(number(to));
    fate[1] += number(acknowledged);
    fate[2] += number(refused);
    fate[3] += number(unknown);
  }

  private bypass(record: Members) {
    const reasons = Object.entries((record.reasons ?? {}) as Record<string, unknown>);
    const sum = reasons.reduce<number>((sum, [, n]) => sum + number(n), 0);
    const words = reasons.every(([word, n]) => number(n) > 0 && /^[a-z_]{1,40}$/.test(word));
    if (sum !== number(record.suspect) || !words) this.report("bypass_reasons", `${record.suspect} sockets are suspect, and ${sum} have a reason that is a word`);
  }

  private end(record: Members) {
    this.ended = true;
    if (record.abandoned_requests !== this.inFlight.requests || record.abandoned_events !== this.inFlight.events) {
      this.report("abandoned", `what is stated as abandoned is not what was in flight`);
    }
    if (this.challenged.size > 0) this.report("challenge", "a challenge was recorded, and no batch counts it");
    if (this.outstanding.size > 0) this.report("outcome_missing", `${this.outstanding.size} releases have no outcome at the end`);
  }

  /** Everything so far, as the summary says it. */
  sums(): Sums {
    const { totals } = this;
    const named = (names: string[], counts: Map<number, number>) => names.map((name, n) => [name, counts.get(n) ?? 0] as const);
    return {
      requests: { ...totals.requests, refused: Object.fromEntries(named(this.refusals, totals.refused).filter(([, n]) => n > 0)), in_flight: this.inFlight.requests },
      events: { ...totals.events, undecided: this.inFlight.events },
      bytes: totals.bytes,
      listeners: Object.fromEntries(named(this.listeners, totals.listeners)),
      destinations: this.destinations.map((name, n) => {
        const [released, acknowledged, refused, unknown] = totals.fates.get(n) ?? [0, 0, 0, 0];
        return { name, released, acknowledged, refused, unknown, open: released - acknowledged - refused - unknown };
      }),
      classes: [...totals.classes].sort(([one], [other]) => one - other),
    };
  }
}

const number = (value: unknown): number => (typeof value === "number" ? value : 0);

const list = (value: unknown): unknown[] => (Array.isArray(value) ? value : []);

const isAddress = (value: unknown): boolean => typeof value === "string" && /^sha256:[0-9a-f]{64}$/.test(value);

const total = (pairs: Pairs): number => pairs.reduce((sum, [, count]) => sum + count, 0);

const add = (counts: Map<number, number>, n: number, count: number) => counts.set(n, (counts.get(n) ?? 0) + count);
