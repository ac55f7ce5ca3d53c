// Change: what the last change of policy lets leave more, less, or otherwise.

import { useState } from "preact/hooks";

import { type Cell, type ChangeKind, type Content, type Diff, json } from "./api";
import { Card, Empty, Problem, Scroll, Waiting } from "./parts";
import { useFetched } from "./state";
import { count, shortDigest } from "./words";

const difference = () => json<Diff | null>("/v1/console/diff");

const KINDS: [kind: ChangeKind, sign: string, title: string, about: string][] = [
  ["loosen", "+", "Loosens", "leaves now, or leaves finer, and did not before"],
  ["tighten", "−", "Tightens", "left before, or left finer, and does not now"],
  ["neutral", "≈", "Neither", "leaves otherwise, no finer and no coarser"],
];

export function Change() {
  const { value, problem } = useFetched(difference, 10_000);
  if (problem && value === undefined) return <Problem>{problem}</Problem>;
  if (value === undefined) return <Waiting />;
  if (value === null) {
    return (
      <Card title="Last change of policy">
        <Empty title="The policy has not changed">Since this process started, the one policy has been in force. Earlier changes stand in the log as <code>policy.load</code>.</Empty>
      </Card>
    );
  }
  return (
    <>
      <Card title="Last change of policy" aside={<span class="quiet"><code>{shortDigest(value.old)}</code> to <code>{shortDigest(value.new)}</code></span>}>
        <dl class="figures three">
          {KINDS.map(([kind, sign, title, about]) => (
            <div class={`figure change ${kind}`} key={kind}>
              <dt>
                <span class="sign" aria-hidden="true">
                  {sign}
                </span>{" "}
                {title}
              </dt>
              <dd>
                <span class="value">{count(value.summary[kind])}</span>
                <span class="note">{about}</span>
              </dd>
            </div>
          ))}
        </dl>
        <p class="fine">Both policies were compiled again from the files that the log keeps.</p>
      </Card>
      {KINDS.map(([kind, sign, title]) => {
        const cells = value.cells.filter((cell) => cell.change === kind);
        const others = value.others.filter((other) => other.change === kind);
        return cells.length + others.length > 0 && <Kind key={kind} title={`${sign} ${title}`} cells={cells} others={others} />;
      })}
    </>
  );
}

const ROWS_AT_ONCE = 40;

function Kind({ title, cells, others }: { title: string; cells: Cell[]; others: Diff["others"] }) {
  const [shown, show] = useState(ROWS_AT_ONCE);
  return (
    <Card title={title} aside={<span class="quiet">{count(cells.length + others.length)}</span>}>
      {others.length > 0 && (
        <ul class="plain">
          {others.map((other) => (
            <li key={`${other.kind} ${other.name} ${other.what}`}>
              <b>
                {other.kind} {other.name}
              </b>
              : {other.what}
            </li>
          ))}
        </ul>
      )}
      {cells.length > 0 && (
        <Scroll label={title}>
          <table class="cards">
            <caption class="unseen">{title}: fields, before and after</caption>
            <thead>
              <tr>
                {["Field", "To", "For", "Where", "Before", "After"].map((name) => (
                  <th key={name} scope="col">
                    {name}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {cells.slice(0, shown).map((cell, at) => (
                <tr key={at}>
                  <th scope="row" data-label="Field">
                    <code>{cell.field}</code>
                    {cell.part === "name" && <span class="tag">name</span>}
                    <span class="sub">{cell.contract}</span>
                  </th>
                  <td data-label="To">{cell.destination}</td>
                  <td data-label="For">{cell.purpose}</td>
                  <td data-label="Where">{cell.jurisdictions.join(", ")}</td>
                  <td data-label="Before"><Leaving content={cell.old} /></td>
                  <td data-label="After"><Leaving content={cell.new} /></td>
                </tr>
              ))}
            </tbody>
          </table>
        </Scroll>
      )}
      {cells.length > shown && (
        <button type="button" onClick={() => show(shown * 4)}>
          Show {count(Math.min(shown * 3, cells.length - shown))} more
        </button>
      )}
    </Card>
  );
}

function Leaving({ content }: { content: Content | null }) {
  if (!content) return <span class="quiet">does not leave</span>;
  return (
    <span>
      <span class={`form ${content.action}`}>{content.form}</span>
      <span class="sub">
        if {content.consent.length === 4 ? "anything" : content.consent.join(" or ")}, by {content.rule}
      </span>
    </span>
  );
}
