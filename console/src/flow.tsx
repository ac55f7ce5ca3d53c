// Flow: what came in and where it went, adding up, live.

import { useEffect, useRef, useState } from "preact/hooks";

import { type ClassCount, type Summary, json } from "./api";
import type { Sums } from "./auditor/books";
import { Card, Empty, Figure, Mark, Problem, Scroll, Waiting } from "./parts";
import { type Ribbon, Sankey, type Stop } from "./sankey";
import { useFetched, useWidth } from "./state";
import { bytes, compact, count, share, shortDigest, spoken } from "./words";

const EVERY_MS = 2000;
const CONTRACTS_SHOWN = 7;
const SANKEY_PX_MIN = 620;
const TOLD_EVERY_MS = 30_000;

const summary = () => json<Summary>("/v1/console/summary");

export function Flow() {
  const [paused, pause] = useState(false);
  const { value, problem } = useFetched(summary, EVERY_MS, paused);
  const rate = useRate(value);
  if (!value) return problem ? <Problem>{problem}</Problem> : <Waiting />;
  const { events, requests } = value.durable;
  const nothing = requests.in === 0;
  return (
    <>
      <div class="toolbar">
        <p class="live">
          <span class={paused || problem ? "dot" : "dot on"} /> {problem ? "No answer: the numbers are the last known" : paused ? "Paused" : "Live, every 2 s"} · since this process started (incarnation {value.incarnation})
        </p>
        <button type="button" aria-pressed={paused} onClick={() => pause(!paused)}>
          {paused ? "Go on" : "Pause"}
        </button>
      </div>
      <dl class="figures">
        <Figure label="Events in" value={compact(events.in)} note={rate === undefined ? `${bytes(value.durable.bytes)} in ${compact(requests.in)} requests` : `${compact(rate)} a second now`} />
        <Figure label="Kept" value={compact(events.kept)} note={`${share(events.kept, events.in)} left for at least one destination`} tone="accent" />
        <Figure label="Dropped" value={compact(events.dropped)} note={`${share(events.dropped, events.in)} left for none`} />
        <Figure label="Requests refused" value={compact(refused(value.durable))} note={`${share(refused(value.durable), requests.in)} of ${compact(requests.in)}`} />
      </dl>
      <Announce events={events} />
      {nothing ? (
        <Empty title="Nothing came in yet">The numbers appear with the first request.</Empty>
      ) : (
        <>
          <Events value={value} />
          <Requests sums={value.durable} />
          <Classes value={value} />
        </>
      )}
    </>
  );
}

const refused = (sums: Sums) => Object.values(sums.requests.refused).reduce((sum, n) => sum + n, 0);

/** Events a second between the last two answers. */
function useRate(value: Summary | undefined): number | undefined {
  const last = useRef<{ at: number; events: number; incarnation: number }>();
  const [rate, set] = useState<number>();
  useEffect(() => {
    if (!value) return;
    const now = { at: performance.now(), events: value.durable.events.in, incarnation: value.incarnation };
    const before = last.current;
    if (before && before.incarnation === now.incarnation && now.at > before.at) set(Math.max(0, Math.round(((now.events - before.events) * 1000) / (now.at - before.at))));
    last.current = now;
  }, [value]);
  return rate;
}

/** Tells a screen reader twice a minute, not every two seconds. */
function Announce({ events }: { events: Sums["events"] }) {
  const [said, say] = useState("");
  const newest = useRef(events);
  newest.current = events;
  useEffect(() => {
    const tell = () => say(`${count(newest.current.in)} events in, ${count(newest.current.kept)} kept, ${count(newest.current.dropped)} dropped`);
    tell();
    const timer = setInterval(tell, TOLD_EVERY_MS);
    return () => clearInterval(timer);
  }, []);
  return (
    <p class="unseen" aria-live="polite">
      {said}
    </p>
  );
}

function Events({ value }: { value: Summary }) {
  const [width, place] = useWidth();
  const { stops, ribbons } = drawn(value);
  const { events } = value.durable;
  const out = events.kept + events.dropped + events.withheld + events.undecided;
  return (
    <Card title="Events" aside={<Sum left={events.in} right={out} />}>
      <p class="lead">
        <b>{count(events.in)}</b> in = <b>{count(events.kept)}</b> kept + <b>{count(events.dropped)}</b> dropped + <b>{count(events.withheld)}</b> withheld + <b>{count(events.undecided)}</b> undecided
      </p>
      <div ref={place}>
        {width >= SANKEY_PX_MIN ? (
          <Sankey stops={stops} ribbons={ribbons} columns={["Came in as", "Decided", "Released to", "Became"]} width={width} label="Events from their contracts to destinations; the tables below have the same numbers" />
        ) : (
          <Stages stops={stops} />
        )}
      </div>
      <p class="fine">One event can go to several destinations, so what was released can be more than what was kept. Withheld: its request ended before it was decided, and it did not leave.</p>
      <Destinations sums={value.durable} />
    </Card>
  );
}

/** Whether a sum adds up, in a word and a shape. */
function Sum({ left, right }: { left: number; right: number }) {
  return left === right ? (
    <span class="verdict good">
      <Mark kind="good" /> adds up
    </span>
  ) : (
    <span class="verdict bad">
      <Mark kind="bad" /> {count(Math.abs(left - right))} unaccounted
    </span>
  );
}

const WHY: Record<string, string> = { ruled: "by policy", unmatched: "no contract", invalid: "broke its contract", malformed: "unreadable" };

/** Groups classes by what they came in as and what was decided. */
function drawn(value: Summary): { stops: Stop[]; ribbons: Ribbon[] } {
  const { events, destinations } = value.durable;
  const groups = new Map<string, number>();
  for (const one of value.classes) groups.set(cameAs(one), (groups.get(cameAs(one)) ?? 0) + one.events);
  const ranked = [...groups].sort(([, one], [, other]) => other - one);
  const shown = new Set(ranked.slice(0, CONTRACTS_SHOWN).map(([name]) => name));
  const into = new Map<string, Map<string, number>>();
  const carry = (from: string, to: string, n: number) => {
    const row = into.get(from) ?? new Map<string, number>();
    into.set(from, row.set(to, (row.get(to) ?? 0) + n));
  };
  for (const one of value.classes) carry(shown.has(cameAs(one)) ? cameAs(one) : "other contracts", decided(one), one.events);
  carry("other contracts", "kept", value.other_classes.events);
  carry("not decided", "withheld", events.withheld);
  carry("not decided", "undecided", events.undecided);
  const stops = new Map<string, Stop>();
  const ribbons: Ribbon[] = [];
  const grow = (name: string, column: number, amount: number, tone: Stop["tone"]) => {
    const known = stops.get(name);
    stops.set(name, { name, column, amount: (known?.amount ?? 0) + amount, tone });
  };
  for (const [from, row] of into) {
    for (const [to, amount] of row) {
      grow(`in ${from}`, 0, amount, "plain");
      grow(`decided ${to}`, 1, amount, to === "kept" ? "kept" : "dropped");
      ribbons.push({ from: `in ${from}`, to: `decided ${to}`, amount });
    }
  }
  const released = destinations.reduce((sum, { released }) => sum + released, 0);
  const kept = stops.get("decided kept");
  if (kept) kept.amount = Math.max(kept.amount, released);
  for (const to of destinations) {
    grow(`to ${to.name}`, 2, to.released, "kept");
    ribbons.push({ from: "decided kept", to: `to ${to.name}`, amount: to.released });
    for (const [fate, tone] of FATES) {
      grow(`became ${fate}`, 3, to[fate], tone);
      ribbons.push({ from: `to ${to.name}`, to: `became ${fate}`, amount: to[fate] });
    }
  }
  const noted = [...stops.values()].map((stop) => ({ ...stop, note: stop.column < 2 ? share(stop.amount, events.in) : undefined }));
  return { stops: noted.sort((one, other) => one.column - other.column || rank(one) - rank(other) || other.amount - one.amount), ribbons };
}

const FATES: ["acknowledged" | "refused" | "unknown" | "open", Stop["tone"]][] = [["acknowledged", "kept"], ["refused", "bad"], ["unknown", "bad"], ["open", "plain"]];
/** What was kept stands first, what is summed up last. */
const rank = ({ name, tone }: Stop) => (tone === "kept" ? 0 : name === "in other contracts" ? 2 : 1);
const cameAs = (one: ClassCount) => one.contract ?? (one.format ? `${one.format}, no contract` : "unnamed");

function decided(one: ClassCount): string {
  if (one.outcome === "ruled") return Object.keys(one.to).length > 0 ? "kept" : "dropped by policy";
  return `dropped: ${WHY[one.outcome ?? ""] ?? "otherwise"}`;
}

/** The same stops as bars, one under another, where the page is narrow. */
function Stages({ stops }: { stops: Stop[] }) {
  return (
    <div class="stages">
      {["Came in as", "Decided", "Released to", "Became"].map((title, column) => {
        const rows = stops.filter((stop) => stop.column === column && stop.amount > 0);
        const most = Math.max(1, ...rows.map(({ amount }) => amount));
        return (
          <div key={title}>
            <h3>{title}</h3>
            <ul>
              {rows.map(({ name, amount, tone, note }) => (
                <li key={name}>
                  <span class="name">{name.slice(name.indexOf(" ") + 1)}</span>
                  <span class="amount">
                    {compact(amount)}
                    {note && ` · ${note}`}
                  </span>
                  <svg class="meter" viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true">
                    <rect class="ground" width="100" height="6" />
                    <rect class={`bar ${tone}`} width={(amount / most) * 100} height="6" />
                  </svg>
                </li>
              ))}
            </ul>
          </div>
        );
      })}
    </div>
  );
}

const DESTINATION_FIGURES = ["Released", "Acknowledged", "Refused", "Unknown", "Open"];

function Destinations({ sums }: { sums: Sums }) {
  if (sums.destinations.length === 0) return null;
  return (
    <Scroll label="Events by destination">
      <table class="cards">
        <caption>By destination, in events</caption>
        <thead>
          <tr>
            <th scope="col">Destination</th>
            {DESTINATION_FIGURES.map((name) => (
              <th key={name} scope="col" class="n">
                {name}
              </th>
            ))}
            <th scope="col">Sum</th>
          </tr>
        </thead>
        <tbody>
          {sums.destinations.map((to) => (
            <tr key={to.name}>
              <th scope="row" data-label="Destination">{to.name}</th>
              {[to.released, to.acknowledged, to.refused, to.unknown, to.open].map((n, at) => (
                <td key={at} class="n" data-label={DESTINATION_FIGURES[at]}>
                  {count(n)}
                </td>
              ))}
              <td data-label="Sum">
                <Sum left={to.released} right={to.acknowledged + to.refused + to.unknown + to.open} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </Scroll>
  );
}

function Requests({ sums }: { sums: Sums }) {
  const { requests } = sums;
  const parts: [name: string, n: number, tone: string][] = [
    ["answered", requests.answered, "kept"],
    ...Object.entries(requests.refused).map(([name, n]): [string, number, string] => [`refused: ${spoken(name)}`, n, "dropped"]),
    ["aborted", requests.aborted, "bad"],
    ["in flight", requests.in_flight, "plain"],
  ];
  const out = parts.reduce((sum, [, n]) => sum + n, 0);
  let x = 0;
  return (
    <Card title="Requests" aside={<Sum left={requests.in} right={out} />}>
      <svg class="split" viewBox="0 0 100 4" preserveAspectRatio="none" role="img" aria-label="Requests by how they ended; the table has the same numbers">
        {parts.map(([name, n, tone]) => {
          const wide = requests.in > 0 ? (n / requests.in) * 100 : 0;
          const at = x;
          x += wide;
          return wide > 0 ? <rect key={name} class={`bar ${tone}`} x={at} width={Math.max(0.2, wide - 0.3)} height="4" /> : null;
        })}
      </svg>
      <Scroll label="Requests by how they ended">
        <table>
          <caption>Of {count(requests.in)} requests</caption>
          <thead>
            <tr>
              <th scope="col">Ended as</th>
              <th scope="col" class="n">
                Requests
              </th>
              <th scope="col" class="n">
                Share
              </th>
            </tr>
          </thead>
          <tbody>
            {parts.map(([name, n, tone]) => (
              <tr key={name}>
                <th scope="row">
                  <span class={`swatch ${tone}`} /> {name}
                </th>
                <td class="n">{count(n)}</td>
                <td class="n">{share(n, requests.in)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </Scroll>
    </Card>
  );
}

function Classes({ value }: { value: Summary }) {
  const [all, showAll] = useState(false);
  const rows = all ? value.classes : value.classes.slice(0, 12);
  const { classes, events } = value.other_classes;
  const several = new Set(value.classes.map(({ policy }) => policy)).size > 1;
  return (
    <Card title="Classes of decisions" aside={<span class="quiet">{count(value.classes.length + classes)}</span>}>
      <p class="fine">Events with the same decision are counted together. A class names what the policy decided, and nothing of an event.</p>
      <Scroll label="Classes of decisions">
        <table class="cards">
          <caption class="unseen">Events by class of decision</caption>
          <thead>
            <tr>
              <th scope="col">Came in as</th>
              <th scope="col">Decided</th>
              <th scope="col">Where</th>
              <th scope="col">Leaves for</th>
              <th scope="col" class="n">
                Events
              </th>
            </tr>
          </thead>
          <tbody>
            {rows.map((one) => (
              <tr key={one.n}>
                <th scope="row" data-label="Came in as">
                  {cameAs(one)}
                  {several && <span class="sub">under policy {shortDigest(one.policy)}</span>}
                </th>
                <td data-label="Decided">{decided(one)}</td>
                <td data-label="Where">{[one.jurisdiction, one.age === "unknown" ? null : one.age].filter(Boolean).join(", ") || "–"}</td>
                <td data-label="Leaves for">{Object.entries(one.to).map(([to, purposes]) => `${to} (${purposes.join(", ")})`).join("; ") || "nobody"}</td>
                <td class="n" data-label="Events">{count(one.events)}</td>
              </tr>
            ))}
            {classes > 0 && all && (
              <tr>
                <th scope="row" data-label="Besides">{count(classes)} more classes</th>
                <td colSpan={3} data-label="Decided">counted together</td>
                <td class="n" data-label="Events">{count(events)}</td>
              </tr>
            )}
          </tbody>
        </table>
      </Scroll>
      {value.classes.length > 12 && (
        <button type="button" onClick={() => showAll(!all)}>
          {all ? "Show the largest" : `Show all ${count(value.classes.length)}`}
        </button>
      )}
    </Card>
  );
}
