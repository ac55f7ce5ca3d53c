// Exposure: what can leave under the policy in force, exactly.

import { useMemo, useState } from "preact/hooks";

import { type Exposure as Table, type ExposureRow, json } from "./api";
import { Card, Empty, Problem, Scroll, Select, Waiting } from "./parts";
import { useFetched } from "./state";
import { count, shortDigest } from "./words";

const ROWS_AT_ONCE = 50;

const exposure = () => json<Table>("/v1/console/exposure");

const PICKS = [
  ["contract", "Contract"],
  ["destination", "Destination"],
  ["purpose", "Purpose"],
  ["action", "Leaves as"],
] as const;

type Pick = (typeof PICKS)[number][0];

export function Exposure() {
  const { value, problem } = useFetched(exposure);
  const [text, search] = useState("");
  const [picked, pick] = useState<Partial<Record<Pick, string>>>({});
  const [shown, show] = useState(ROWS_AT_ONCE);
  const rows = value?.rows ?? [];
  const found = useMemo(() => rows.filter((row) => fits(row, text, picked)), [rows, text, picked]);
  const fields = new Set(found.map((row) => `${row.contract} ${row.field}`)).size;
  if (!value) return problem ? <Problem>{problem}</Problem> : <Waiting />;
  const options = (key: Pick): [string, string][] => [["", "all"], ...[...new Set(rows.map((row) => row[key]))].sort().map((name): [string, string] => [name, name])];
  return (
    <Card title="What can leave" aside={<code title={value.policy}>{shortDigest(value.policy)}</code>}>
      <p class="fine">Every way in which a field can leave under the policy in force, worked out from the policy, not from traffic. What has no row here does not leave.</p>
      <div class="filters five" role="search" aria-label="Filter what can leave">
        <label class="field wide">
          <span>Search</span>
          <input type="search" value={text} placeholder="field, category or rule" onInput={(event) => search(event.currentTarget.value)} />
        </label>
        {PICKS.map(([key, label]) => (
          <Select key={key} label={label} value={picked[key] ?? ""} options={options(key)} onChange={(value) => pick({ ...picked, [key]: value })} />
        ))}
      </div>
      <p class="quiet" role="status">
        {count(found.length)} of {count(rows.length)} ways, {count(fields)} fields
      </p>
      {found.length === 0 ? (
        <Empty title={rows.length === 0 ? "Nothing can leave under this policy" : "Nothing fits this filter"} />
      ) : (
        <Scroll label="What can leave">
          <table class="cards">
            <caption class="unseen">What can leave, by field and destination</caption>
            <thead>
              <tr>
                {["Field", "Category", "Leaves as", "To", "If consent is", "Where"].map((name) => (
                  <th key={name} scope="col">
                    {name}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {found.slice(0, shown).map((row, at) => (
                <Row key={at} row={row} />
              ))}
            </tbody>
          </table>
        </Scroll>
      )}
      {found.length > shown && (
        <button type="button" onClick={() => show(shown + ROWS_AT_ONCE)}>
          Show {count(Math.min(ROWS_AT_ONCE, found.length - shown))} more
        </button>
      )}
    </Card>
  );
}

function fits(row: ExposureRow, text: string, picked: Partial<Record<Pick, string>>): boolean {
  const wanted = text.trim().toLowerCase();
  const said = `${row.contract} ${row.field} ${row.category} ${row.rule} ${row.form}`.toLowerCase();
  return said.includes(wanted) && PICKS.every(([key]) => !picked[key] || row[key] === picked[key]);
}

function Row({ row }: { row: ExposureRow }) {
  return (
    <tr>
      <th scope="row" data-label="Field">
        <code>{row.field ?? "(whole)"}</code>
        {row.part === "name" && <span class="tag">name</span>}
        <span class="sub">
          {row.contract} v{row.version}
        </span>
      </th>
      <td data-label="Category">
        {row.category ?? "–"}
        {row.may_contain.length > 0 && <span class="sub">may contain {row.may_contain.join(", ")}</span>}
      </td>
      <td data-label="Leaves as">
        <span class={`form ${row.action}`}>{row.form}</span>
        <span class="sub">by {row.rule}</span>
      </td>
      <td data-label="To">
        {row.destination}
        <span class="sub">for {row.purpose}</span>
      </td>
      <td data-label="If consent is">{row.consent.length === 4 ? "anything" : row.consent.join(" or ")}</td>
      <td data-label="Where">{row.jurisdictions.join(", ")}</td>
    </tr>
  );
}
