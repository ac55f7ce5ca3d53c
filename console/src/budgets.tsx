// Budgets: what is left of each, over time, and what was published for it.

import { useCallback, useState } from "preact/hooks";

import { type Export, type Loss, type Receipt, type ReceiptLine, json } from "./api";
import { Card, Empty, Problem, Scroll, Select, Waiting } from "./parts";
import { useFetched, useWidth } from "./state";
import { count, moment, nano, share } from "./words";

const EVERY_MS = 15_000;
const ROWS_SHOWN = 200;

const exports = () => json<{ exports: Export[] }>("/v1/console/exports");

export function Budgets() {
  const { value, problem } = useFetched(exports, EVERY_MS);
  if (!value) return problem ? <Problem>{problem}</Problem> : <Waiting />;
  if (value.exports.length === 0) return <Card title="Privacy budgets"><Empty title="Nothing is exported">The policy in force declares no export, and no receipt is out.</Empty></Card>;
  return (
    <>
      <p class="fine intro">A budget bounds what everything that was published tells of one privacy unit (a user, say) over a sliding horizon. It holds against those who read the published values, not against readers of this console: the log counts exactly.</p>
      {value.exports.map((one) => (one.kind === "local" || one.receipts.some(({ kind }) => kind === "local") ? <Local key={one.name} one={one} /> : <Central key={one.name} one={one} />))}
    </>
  );
}

const amount = (loss: Loss | null | undefined) => loss?.epsilon_nano ?? loss?.rho_nano ?? 0;
const measure = (loss: Loss | null | undefined) => (loss?.rho_nano !== undefined ? "ρ" : "ε");
const said = (loss: Loss | null | undefined) => `${measure(loss)} ${nano(amount(loss))}`;

function Central({ one }: { one: Export }) {
  const last = one.receipts.at(-1);
  const limit = one.limit ?? last?.limit;
  const [cap, spent] = [amount(limit), amount(last?.spent)];
  const left = Math.max(0, cap - spent);
  return (
    <Card title={one.name} aside={<span class="quiet">{one.declared ? one.purpose : "not in the policy in force"}</span>}>
      <dl class="figures three">
        <div class="figure accent">
          <dt>Left of the budget</dt>
          <dd>
            <span class="value">{said({ ...limit, ...fill(limit, left) } as Loss)}</span>
            <span class="note">{share(left, cap)} of {said(limit)}</span>
          </dd>
        </div>
        <div class="figure">
          <dt>Horizon</dt>
          <dd>
            <span class="value">{one.horizon ?? last?.horizon ?? "–"}</span>
            <span class="note">sliding{one.releases_in_horizon ? `, ${count(one.releases_in_horizon)} releases in it` : ""}</span>
          </dd>
        </div>
        <div class="figure">
          <dt>One release costs</dt>
          <dd>
            <span class="value">{said(one.charge ?? last?.this)}</span>
            <span class="note">per {one.unit ?? last?.unit ?? "unit"}</span>
          </dd>
        </div>
      </dl>
      <svg class="meter wide" viewBox="0 0 100 3" preserveAspectRatio="none" role="img" aria-label={`${share(left, cap)} of the budget is left`}>
        <rect class="ground" width="100" height="3" />
        <rect class="bar kept" width={cap > 0 ? (left / cap) * 100 : 0} height="3" />
      </svg>
      {one.receipts.length === 0 ? (
        <Empty title="Nothing published yet">The first receipt comes when the first window ends.</Empty>
      ) : (
        <>
          <BurnDown receipts={one.receipts} cap={cap} unit={measure(limit)} />
          <Published one={one} />
        </>
      )}
    </Card>
  );
}

const fill = (limit: Loss | undefined, left: number) => (limit?.rho_nano !== undefined ? { rho_nano: left } : { epsilon_nano: left });

function Local({ one }: { one: Export }) {
  const last = one.receipts.at(-1);
  return (
    <Card title={one.name} aside={<span class="quiet">{one.purpose ?? "not in the policy in force"}</span>}>
      <p class="lead">
        Randomized on devices: nothing is charged here. {last?.per_report && <>One report tells at most <b>{said(last.per_report)}</b>.</>}
      </p>
      {one.receipts.length === 0 ? <Empty title="Nothing published yet" /> : <Published one={one} />}
    </Card>
  );
}

const PLOT = { height: 190, left: 54, right: 12, top: 14, bottom: 26 };

/** What was left after each release, as steps, with the same numbers as a table. */
function BurnDown({ receipts, cap, unit }: { receipts: ReceiptLine[]; cap: number; unit: string }) {
  const [width, place] = useWidth();
  const points = receipts.filter(({ spent }) => spent).map((line) => ({ at: line.observed_until, left: Math.max(0, cap - amount(line.spent)), line }));
  const first = Math.min(...points.map(({ line }) => line.observed_from));
  const last = Math.max(...points.map(({ at }) => at), first + 1);
  // A little room after the last release shows where it left the budget.
  const end = last + Math.max(1, (last - first) * 0.06);
  const inner = Math.max(1, width - PLOT.left - PLOT.right);
  const tall = PLOT.height - PLOT.top - PLOT.bottom;
  const x = (at: number) => PLOT.left + ((at - first) / (end - first)) * inner;
  const y = (left: number) => PLOT.top + (1 - left / Math.max(1, cap)) * tall;
  const steps = points.reduce((path, { at, left }) => `${path}H${x(at).toFixed(1)}V${y(left).toFixed(1)}`, `M${x(first).toFixed(1)} ${y(cap).toFixed(1)}`).concat(`H${x(end).toFixed(1)}`);
  return (
    <figure class="plot" ref={place}>
      <figcaption>What is left after each release</figcaption>
      {width > 0 && (
        <svg width={width} height={PLOT.height} viewBox={`0 0 ${width} ${PLOT.height}`} role="img" aria-label="Budget left over time; the table below has the same numbers">
          {[0, 0.25, 0.5, 0.75, 1].map((part) => (
            <g key={part}>
              <line class="grid" x1={PLOT.left} x2={width - PLOT.right} y1={y(cap * part)} y2={y(cap * part)} />
              <text class="tick" x={PLOT.left - 8} y={y(cap * part) + 4} text-anchor="end">
                {nano(Math.round(cap * part))}
              </text>
            </g>
          ))}
          <text class="tick" x={PLOT.left} y={PLOT.height - 6}>
            {moment(first * 1000)}
          </text>
          <text class="tick" x={width - PLOT.right} y={PLOT.height - 6} text-anchor="end">
            {moment(last * 1000)}
          </text>
          <path class="area" d={`${steps}V${y(0)}H${x(first)}z`} />
          <path class="curve" d={steps} />
          {points.length <= 80 && points.map(({ at, left, line }) => <circle key={line.file} class="point" cx={x(at)} cy={y(left)} r="3.5" />)}
        </svg>
      )}
      <details>
        <summary>As a table ({count(points.length)} releases)</summary>
        <Scroll label="Releases and what they cost">
          <table class="cards">
            <caption class="unseen">Releases, newest first</caption>
            <thead>
              <tr>
                <th scope="col">Counted from (UTC)</th>
                <th scope="col">Counted</th>
                <th scope="col" class="n">Cost, {unit}</th>
                <th scope="col" class="n">Spent, {unit}</th>
                <th scope="col" class="n">Left, {unit}</th>
                <th scope="col" class="n">ε at δ</th>
              </tr>
            </thead>
            <tbody>
              {[...points].reverse().map(({ left, line }) => (
                <tr key={line.file}>
                  <th scope="row" data-label="From (UTC)">{moment(line.observed_from * 1000)}</th>
                  <td data-label="Counted">{line.status.replaceAll("_", " ")}</td>
                  <td class="n" data-label={`Cost, ${unit}`}>{nano(amount(line.this))}</td>
                  <td class="n" data-label={`Spent, ${unit}`}>{nano(amount(line.spent))}</td>
                  <td class="n" data-label={`Left, ${unit}`}>{nano(left)}</td>
                  <td class="n" data-label="ε at δ">{line.epsilon_at_delta ? `${line.epsilon_at_delta.epsilon} at ${line.epsilon_at_delta.delta}` : "–"}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </Scroll>
      </details>
    </figure>
  );
}

function Published({ one }: { one: Export }) {
  const newest = one.receipts.at(-1)?.file ?? "";
  const [picked, pick] = useState<string>();
  const file = picked ?? newest;
  const fetch = useCallback(() => json<Receipt>(`/v1/console/receipts/${encodeURIComponent(one.name)}/${encodeURIComponent(file)}`), [one.name, file]);
  const { value, problem } = useFetched(fetch);
  const options = [...one.receipts].reverse().map((line): [string, string] => [line.file, `${moment(line.observed_from * 1000)} UTC, ${count(line.values)} values`]);
  return (
    <div class="published">
      <div class="filters">
        <Select label="Published values, by when counting began" value={file} options={options} onChange={pick} />
      </div>
      {problem && !value ? <Problem>{problem}</Problem> : value ? <Values receipt={value} /> : <Waiting />}
    </div>
  );
}

function Values({ receipt }: { receipt: Receipt }) {
  const values = receipt.values.slice(0, ROWS_SHOWN);
  if (values.length === 0) return <Empty title="No key was published in this window" />;
  const ends = values.flatMap(({ value, ci95 }) => [value, ...(ci95 ?? [])]);
  const [least, most] = [Math.min(0, ...ends), Math.max(1, ...ends)];
  const measured = new Set(values.map(({ of }) => of));
  const alike = measured.size === 1;
  const decimals = receipt.aggregate?.decimals ?? 0;
  const number = (n: number) => (n / 10 ** decimals).toLocaleString("en", { maximumFractionDigits: decimals });
  const x = (n: number) => ((n - least) / (most - least)) * 100;
  return (
    <>
      <Scroll label="Published values">
        <table>
          <caption class="unseen">Published values with their 95 % intervals</caption>
          <thead>
            <tr>
              {receipt.columns.map((name) => (
                <th key={name} scope="col">
                  {name}
                </th>
              ))}
              {!alike && <th scope="col">Measured</th>}
              <th scope="col" class="n">{alike ? `${values[0]?.of}, with noise` : "Value, with noise"}</th>
              <th scope="col" class="n">95 % interval</th>
              <th scope="col" class="interval-head"><span class="unseen">Drawn</span></th>
            </tr>
          </thead>
          <tbody>
            {values.map(({ key, of, value, ci95 }) => (
              <tr key={`${key.join(" ")} ${of}`}>
                {key.map((part, at) => (at === 0 ? <th key={at} scope="row">{part}</th> : <td key={at}>{part}</td>))}
                {!alike && <td>{of}</td>}
                <td class="n">{number(value)}</td>
                <td class="n">{ci95 ? `${number(ci95[0])} to ${number(ci95[1])}` : "–"}</td>
                <td class="interval">
                  <svg viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">
                    <line class="grid" x1={x(0)} x2={x(0)} y1="0" y2="10" />
                    {ci95 && <rect class="whisker" x={x(ci95[0])} width={Math.max(0.6, x(ci95[1]) - x(ci95[0]))} y="3.4" height="3.2" />}
                    <rect class="bar kept" x={x(value) - 0.5} width="1" y="0.5" height="9" />
                  </svg>
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </Scroll>
      {receipt.values.length > ROWS_SHOWN && <p class="fine">{count(receipt.values.length - ROWS_SHOWN)} more values stand in the receipt.</p>}
      <p class="fine">
        {receipt.stages?.map(({ noise, scale }) => `${noise.replaceAll("_", " ")} of scale ${scale}`).join("; ")}
        {receipt.privacy.side_information && receipt.privacy.side_information.length > 0 && `. The guarantee does not hold against readers of: ${receipt.privacy.side_information.map((one) => one.replaceAll("_", " ")).join(", ")}.`}
      </p>
    </>
  );
}
