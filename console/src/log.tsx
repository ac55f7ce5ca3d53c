// Log: the records as they are published, newest first, with what is missing said.

import { useCallback, useEffect, useState } from "preact/hooks";

import { type Listing, Problem as Missing, ask, json } from "./api";
import { type Checkpoint, parseCheckpoint } from "./auditor/note";
import { TILE_WIDTH, recordsOf, tilePath, widthAt } from "./auditor/tiles";
import { type Members, isMembers, parseCanonical } from "./auditor/canonical";
import { previousOf } from "./auditor/verify";
import { Card, Empty, Mark, Problem, Scroll, Select, Waiting } from "./parts";
import { useFetched } from "./state";
import { count, moment, nano, spoken } from "./words";

const ROWS = 50;
/** How many bundles one search looks through before it asks whether to go on. */
const BUNDLES_AT_ONCE = 40;
const SILENCE_MS_MAX = 130_000;

const TYPES = [
  "open", "config", "name", "policy.load", "policy.refused", "class", "batch", "outcome", "challenge", "dp.charge", "dp.release",
  "bypass.check", "heartbeat", "lease", "clock", "degraded", "gap", "recover", "retired", "close",
];
/** What says that something is missing. */
const GAPS = new Set(["gap", "degraded", "recover", "clock"]);

interface Row {
  record: Members;
  text: string;
  /** Silence before it, in seconds, where it is longer than heartbeats allow. */
  silence?: number;
}

interface Page {
  rows: Row[];
  /** The next record to look at; below zero at the end. */
  next: number;
  looked: number;
}

const listing = () => json<Listing>("/v1/log/");

export function Log() {
  const { value, problem } = useFetched(listing);
  const [incarnation, choose] = useState<number>();
  const [type, filter] = useState("");
  if (!value) return problem ? <Problem>{problem}</Problem> : <Waiting />;
  const number = incarnation ?? value.running;
  return (
    <Card title="Records" aside={<span class="quiet">{count(value.incarnations.length)} {value.incarnations.length === 1 ? "incarnation" : "incarnations"}</span>}>
      <p class="fine">An incarnation is one start of the process. Records hold numbers and declared names, and nothing of an event. What is shown is not verified yet: that is <a href="#verify">Verify</a>.</p>
      <div class="filters">
        <Select label="Incarnation" value={String(number)} options={[...value.incarnations].reverse().map((n): [string, string] => [String(n), n === value.running ? `${n}, running` : String(n)])} onChange={(n) => choose(Number(n))} />
        <Select label="Type" value={type} options={[["", "all types"], ["gaps", "gaps and faults"], ...TYPES.map((name): [string, string] => [name, name])]} onChange={filter} />
      </div>
      <Records key={`${number} ${type}`} incarnation={number} next={value.incarnations[value.incarnations.indexOf(number) + 1]} type={type} />
    </Card>
  );
}

function Records({ incarnation, next, type }: { incarnation: number; next: number | undefined; type: string }) {
  const fetch = useCallback(() => extentOf(incarnation, next), [incarnation, next]);
  const { value: extent, problem, again } = useFetched(fetch);
  const [pages, set] = useState<Page[]>([]);
  const [state, tell] = useState<{ busy: boolean; problem?: string }>({ busy: true });
  const more = useCallback(
    async (from: number, before: Page[], size: number) => {
      tell({ busy: true });
      try {
        const page = await look(incarnation, size, from, type);
        set([...before, page]);
        tell({ busy: false });
      } catch (error) {
        tell({ busy: false, problem: error instanceof Error ? error.message : String(error) });
      }
    },
    [incarnation, type],
  );
  useEffect(() => {
    if (extent) void more(extent.size - 1, [], extent.size);
  }, [extent, more]);
  if (!extent) return problem ? <Problem>{problem}</Problem> : <Waiting />;
  const rows = pages.flatMap(({ rows }) => rows);
  const last = pages.at(-1);
  return (
    <>
      <div class="toolbar">
        <p class="quiet" role="status">
          {count(rows.length)} shown of {count(extent.size)} records{next === undefined ? " under the newest checkpoint; newer ones wait in write-ahead segments for the next, at most 10 s" : extent.size > extent.signed ? `, the last ${count(extent.size - extent.signed)} written after a crash: the next incarnation vouches for them` : ""}
        </p>
        <button type="button" onClick={again}>
          Look again
        </button>
      </div>
      {state.problem && <Problem>{state.problem}. The log may have moved on: look again.</Problem>}
      {rows.length === 0 && !state.busy && !state.problem ? (
        <Empty title={type === "gaps" ? "No gap is stated here" : "No record of this type here"} />
      ) : (
        <Scroll label="Records">
          <table class="records">
            <caption class="unseen">Records, newest first</caption>
            <thead>
              <tr>
                <th scope="col" class="n">Record</th>
                <th scope="col">Time (UTC)</th>
                <th scope="col">Type</th>
                <th scope="col">Says</th>
              </tr>
            </thead>
            <tbody>
              {rows.map((row) => (
                <RecordRow key={String(row.record.seq)} row={row} />
              ))}
            </tbody>
          </table>
        </Scroll>
      )}
      {state.busy ? <Waiting /> : last && last.next >= 0 && (
        <button type="button" onClick={() => void more(last.next, pages, extent.size)}>
          {last.rows.length < ROWS ? `Look further back (${count(last.next + 1)} records not looked at)` : "Show earlier records"}
        </button>
      )}
    </>
  );
}

function RecordRow({ row: { record, text, silence } }: { row: Row }) {
  const [open, set] = useState(false);
  const type = String(record.t);
  return (
    <>
      <tr class={GAPS.has(type) ? "gap" : ""}>
        <td class="n">
          <button type="button" class="link" aria-expanded={open} onClick={() => set(!open)}>
            <span class="unseen">Record </span>
            {count(Number(record.seq))}
          </button>
        </td>
        <td class="time">{moment(Number(record.ts))}</td>
        <td>
          <span class={`type ${GAPS.has(type) ? "bad" : ""}`}>{type}</span>
        </td>
        <td class="says">{says(record)}</td>
      </tr>
      {open && (
        <tr class="json">
          <td colSpan={4}>
            <pre tabIndex={0} aria-label={`Record ${record.seq} as JSON`}>{JSON.stringify(record, null, 2)}</pre>
            <p class="fine">{count(text.length)} bytes in the log, as one line of canonical JSON</p>
          </td>
        </tr>
      )}
      {silence !== undefined && (
        <tr class="gap">
          <td colSpan={4}>
            <Mark kind="bad" /> No record for {count(silence)} s before this, where each 60 s has one
          </td>
        </tr>
      )}
    </>
  );
}

/** A record in a few words. */
function says(record: Members): string {
  const [requests, events] = [record.requests as Members | undefined, record.events as Members | undefined];
  switch (record.t) {
    case "open": return `${record.origin}, ${record.software}`;
    case "name": return `${record.kind} ${record.n} is ${record.name}`;
    case "policy.load": return `policy ${record.n}: ${String(record.digest).slice(0, 19)}…, ${record.files} files${Array.isArray(record.signers) ? `, signed by ${record.signers.join(", ")}` : ""}`;
    case "policy.refused": return `${spoken(String(record.reason))}: ${String(record.digest).slice(0, 19)}…`;
    case "class": return `class ${record.n} of policy ${record.policy}${isMembers(record.doc) ? `: ${record.doc.outcome}, ${record.doc.contract ?? record.doc.format}` : ""}`;
    case "batch": return `${count(Number(requests?.in))} requests and ${count(Number(events?.in))} events in, ${count(Number(events?.kept))} kept, ${count(Number(events?.dropped))} dropped, ${count(Number(events?.withheld))} withheld`;
    case "outcome": return outcome((record.rows as number[][]) ?? []);
    case "dp.charge": return charge(record);
    case "dp.release": return `${record.export} released`;
    case "config": return `durability ${record.durability}, consent ${record.consent}, exports ${record.exports}`;
    case "challenge": return `${record.events} canary events in batch ${record.batch}`;
    case "bypass.check": return `${record.listening} listening, ${record.established} established, ${record.suspect} suspect`;
    case "clock": return `the wall clock moved by ${record.moved_ms} ms`;
    case "heartbeat": return "alive, with nothing to say";
    case "lease": return `${record.events} events`;
    case "degraded": return `the log could not be written (${record.cause})`;
    case "gap": return record.cause === "lost" ? "an incarnation is missing" : `the log could be written again, for the first time since ${moment(Number(record.since))}`;
    case "recover": return `ended without closing: at most ${record.lease} events uncounted, ${record.unknown} releases unknown`;
    case "retired": return `${record.origin} and what came before it was removed after ${record.days} days`;
    case "close": return `ended well, ${record.unknown} releases unknown`;
    default: return "of a later version";
  }
}

function charge(record: Members): string {
  const unit = record.measure === "zcdp" ? "ρ" : "ε";
  return `${record.export}: ${unit} ${nano(Number(record.amount))} charged, ${nano(Number(record.after))} of ${nano(Number(record.cap))} spent`;
}

function outcome(rows: number[][]): string {
  const sum = (at: number) => rows.reduce((sum, row) => sum + (row[at] ?? 0), 0);
  return `${count(sum(2))} acknowledged, ${count(sum(3))} refused, ${count(sum(4))} unknown`;
}

async function checkpointOf(incarnation: number): Promise<Checkpoint> {
  const note = await (await ask(`/v1/log/${incarnation}/checkpoint`)).text();
  const checkpoint = parseCheckpoint(note);
  if (!checkpoint) throw new Error("the checkpoint of this incarnation is no signed checkpoint");
  return checkpoint;
}

/** How many records there are, and how many of them are under the incarnation's own checkpoint. */
interface Extent {
  size: number;
  signed: number;
}

/** An incarnation that ended is as long as the one after it says: a crash leaves records after the last checkpoint. */
async function extentOf(incarnation: number, next: number | undefined): Promise<Extent> {
  const signed = (await checkpointOf(incarnation)).size;
  if (next === undefined) return { size: signed, signed };
  const [first] = await bundle(next, 0, widthAt(0, 0, (await checkpointOf(next)).size));
  const linked = previousOf(first && parseCanonical(first));
  return { size: Math.max(signed, linked?.size ?? 0), signed };
}

/** Goes back through bundles until enough records fit, or enough bundles were looked at. */
async function look(incarnation: number, size: number, from: number, type: string): Promise<Page> {
  const rows: Row[] = [];
  let next = from;
  for (let looked = 0; next >= 0 && rows.length < ROWS && looked < BUNDLES_AT_ONCE; looked += 1) {
    const index = Math.floor(next / TILE_WIDTH);
    const records = await bundle(incarnation, index, widthAt(0, index, size));
    for (; next >= index * TILE_WIDTH && rows.length < ROWS; next -= 1) {
      const at = next - index * TILE_WIDTH;
      const row = rowOf(records[at], records[at - 1]);
      if (row && fits(row, type)) rows.push(row);
    }
  }
  return { rows, next, looked: from - next };
}

/** A bundle; where a wider one has taken its place meanwhile, as much of that. */
async function bundle(incarnation: number, index: number, width: number): Promise<Uint8Array[]> {
  const read = (width: number) => ask(`/v1/log/${incarnation}/${tilePath("entries", index, width)}`);
  const answer = await read(width).catch(async (problem: unknown) => {
    const wider = widthAt(0, index, (await checkpointOf(incarnation)).size);
    if (!(problem instanceof Missing) || problem.status !== 404 || wider <= width) throw problem;
    return read(wider);
  });
  const records = recordsOf(new Uint8Array(await answer.arrayBuffer()));
  if (!records) throw new Error("an entry bundle cannot be read: verify the log");
  return records.slice(0, width);
}

function rowOf(bytes: Uint8Array | undefined, before: Uint8Array | undefined): Row | undefined {
  const read = (bytes: Uint8Array | undefined) => (bytes ? new TextDecoder().decode(bytes) : undefined);
  try {
    const text = read(bytes);
    if (!text) return undefined;
    const record = JSON.parse(text) as Members;
    const earlier = before && (JSON.parse(read(before) as string) as Members);
    const silent = earlier ? Number(record.mono) - Number(earlier.mono) : 0;
    return { record, text, silence: silent > SILENCE_MS_MAX ? Math.floor(silent / 1000) : undefined };
  } catch {
    return { record: { t: "unreadable", seq: -1 }, text: "" };
  }
}

function fits({ record, silence }: Row, type: string): boolean {
  if (type === "") return true;
  return type === "gaps" ? GAPS.has(String(record.t)) || silence !== undefined : record.t === type;
}
