// Verify: the log checked by this browser, and what that proves.

import { useEffect, useRef, useState } from "preact/hooks";

import { token } from "./api";
import type { Finding, Report } from "./auditor/verify";
import type { News, Order } from "./auditor/worker";
import { Card, Mark, Problem, Scroll } from "./parts";
import { bytes, count, moment } from "./words";

type State = { at: "rest" } | { at: "work"; done: number; total: number } | { at: "end"; report: Report; seconds: number } | { at: "failed"; why: string };

/** The one script that is made at run time: the auditor, at a fixed address. */
const auditor = (): string => {
  const address = "/console/auditor.js";
  const types = (globalThis as { trustedTypes?: { createPolicy(name: string, rules: object): { createScriptURL(url: string): string } } }).trustedTypes;
  policy ??= types?.createPolicy("privet", { createScriptURL: () => address });
  return policy?.createScriptURL(address) ?? address;
};
let policy: { createScriptURL(url: string): string } | undefined;

export function Verify() {
  const [state, set] = useState<State>({ at: "rest" });
  const [keys, setKeys] = useState("");
  const [anchor, setAnchor] = useState("");
  const [dropped, drop] = useState("");
  const worker = useRef<Worker>();
  useEffect(() => () => worker.current?.terminate(), []);

  const begin = () => {
    worker.current?.terminate();
    const order: Order = { token: token.value, keys: keys.split("\n").filter((line) => line.trim() !== ""), anchor: anchor.trim() ? anchor : undefined };
    const thread = new Worker(auditor(), { type: "module" });
    worker.current = thread;
    thread.onmessage = ({ data }: MessageEvent<News>) => {
      if (data.kind === "progress") set({ at: "work", done: data.done, total: data.total });
      else if (data.kind === "failed") set({ at: "failed", why: data.why });
      else set({ at: "end", report: data.report, seconds: data.seconds });
    };
    thread.onerror = () => set({ at: "failed", why: "the auditor's thread ended" });
    thread.postMessage(order);
    set({ at: "work", done: 0, total: 0 });
  };
  const stop = () => {
    worker.current?.terminate();
    set({ at: "rest" });
  };
  const take = async (files: FileList | null | undefined) => {
    for (const file of files ?? []) {
      const text = await file.text();
      if (text.includes("\n\n\u2014 ")) setAnchor(text);
      else setKeys(text);
      drop(`${file.name} was read as ${text.includes("\n\n\u2014 ") ? "a checkpoint" : "keys"}`);
    }
  };

  return (
    <>
      <Card title="Verify the log">
        <p class="lead">Your browser fetches every published record, hashes it, works out every tile and root again, checks signatures and sums. The sidecar is not asked to vouch for itself.</p>
        <div class="evidence" onDragOver={(event) => event.preventDefault()} onDrop={(event) => { event.preventDefault(); void take(event.dataTransfer?.files); }}>
          <label class="field">
            <span>Verification keys, from elsewhere (optional)</span>
            <textarea rows={3} spellcheck={false} value={keys} placeholder="NAME+KEYID+KEY, one a line: the file anchor/vkey" onInput={(event) => setKeys(event.currentTarget.value)} />
          </label>
          <label class="field">
            <span>A signed checkpoint, from elsewhere (optional)</span>
            <textarea rows={3} spellcheck={false} value={anchor} placeholder="the file anchor/checkpoint, whole" onInput={(event) => setAnchor(event.currentTarget.value)} />
          </label>
          <label class="field file">
            <span>Or drop these files here, or choose them</span>
            <input type="file" multiple onChange={(event) => void take(event.currentTarget.files)} />
          </label>
          <p class="fine" role="status">{dropped}</p>
        </div>
        <div class="toolbar">
          <button type="button" class="primary" onClick={begin} disabled={state.at === "work"}>
            {state.at === "end" ? "Verify again" : "Verify"}
          </button>
          {state.at === "work" && (
            <button type="button" onClick={stop}>
              Stop
            </button>
          )}
        </div>
        {state.at === "work" && <Progress done={state.done} total={state.total} />}
        {state.at === "failed" && <Problem>The log could not be verified: {state.why}</Problem>}
      </Card>
      <div aria-live="polite">{state.at === "end" && <Outcome report={state.report} seconds={state.seconds} />}</div>
    </>
  );
}

function Progress({ done, total }: { done: number; total: number }) {
  return (
    <div class="progress">
      <progress max={Math.max(1, total)} value={done} aria-label="Records verified" />
      <span>
        {count(done)} of {count(total)} records
      </span>
    </div>
  );
}

function Outcome({ report, seconds }: { report: Report; seconds: number }) {
  const clean = report.findings.length === 0;
  const found = report.findings.length + report.findingsLeftOut;
  return (
    <>
      <section class={`outcome ${clean ? "good" : "bad"}`} aria-labelledby="outcome">
        <h2 id="outcome">
          <Mark kind={clean ? "good" : "bad"} /> {clean ? "Nothing is wrong with what was published" : `${count(found)} ${found === 1 ? "finding" : "findings"}: do not rely on this log before they are explained`}
        </h2>
        <p>
          {count(report.records)} records of {bytes(report.bytes)}, {count(report.tiles)} tiles and bundles, {count(report.signatures)} {report.signatures === 1 ? "signature" : "signatures"}, in {seconds.toFixed(1)} s
        </p>
      </section>
      {!clean && <Items title="Found" kind="bad" items={report.findings.map(placed)} more={report.findingsLeftOut} />}
      {report.proved.length > 0 && <Items title="Proved" kind="good" items={report.proved} />}
      <Items title="Assumed, not proved" kind="note" items={report.assumed} />
      {report.gaps.length > 0 && <Items title="Gaps that the log states" kind="note" items={report.gaps.map(placed)} />}
      <Card title="Incarnations">
        <Scroll label="Incarnations">
          <table class="cards">
            <caption class="unseen">Incarnations that were verified</caption>
            <thead>
              <tr>
                <th scope="col" class="n">No.</th>
                <th scope="col">Origin</th>
                <th scope="col" class="n">Records</th>
                <th scope="col">End</th>
                <th scope="col">From (UTC)</th>
                <th scope="col">To (UTC)</th>
                <th scope="col">Root</th>
              </tr>
            </thead>
            <tbody>
              {report.incarnations.map((one) => (
                <tr key={one.number}>
                  <th scope="row" class="n" data-label="No.">{one.number}</th>
                  <td data-label="Origin">{one.origin}</td>
                  <td class="n" data-label="Records">{count(one.records)}</td>
                  <td data-label="End">{one.end}</td>
                  <td class="time" data-label="From (UTC)">{moment(one.fromMs)}</td>
                  <td class="time" data-label="To (UTC)">{moment(one.toMs)}</td>
                  <td data-label="Root"><code>{one.root}</code></td>
                </tr>
              ))}
            </tbody>
          </table>
        </Scroll>
      </Card>
    </>
  );
}

function placed({ code, incarnation, record, message }: Finding): string {
  const place = [incarnation !== undefined && `incarnation ${incarnation}`, record !== undefined && `record ${record}`].filter(Boolean).join(", ");
  return `${place ? `${place}: ` : ""}${message} (${code})`;
}

function Items({ title, kind, items, more = 0 }: { title: string; kind: "good" | "bad" | "note"; items: string[]; more?: number }) {
  return (
    <Card title={title} aside={<span class="quiet">{count(items.length + more)}</span>}>
      <ul class="items">
        {items.map((item) => (
          <li key={item}>
            <Mark kind={kind} /> <span>{item}</span>
          </li>
        ))}
        {more > 0 && <li>and {count(more)} more</li>}
      </ul>
    </Card>
  );
}
