// Where events went, drawn to scale: columns of bars, and ribbons between them as wide as what they carry.

import { compact, share } from "./words";

export interface Stop {
  name: string;
  column: number;
  /** How much stands here; at least what comes in, and what goes out. */
  amount: number;
  tone: "plain" | "kept" | "dropped" | "bad";
  note?: string;
}

export interface Ribbon {
  from: string;
  to: string;
  amount: number;
}

interface Placed extends Stop {
  x: number;
  y: number;
  height: number;
  out: number;
  in: number;
}

const BAR = 10;
const GAP = 32;
const TOP = 34;
const LEAST = 3;

export function Sankey({ stops, ribbons, columns, width, label }: { stops: Stop[]; ribbons: Ribbon[]; columns: string[]; width: number; label: string }) {
  const byColumn = columns.map((_, column) => stops.filter((stop) => stop.column === column && stop.amount > 0));
  const most = Math.max(1, ...byColumn.map((column) => column.reduce((sum, { amount }) => sum + amount, 0)));
  const tallest = Math.max(1, ...byColumn.map((column) => column.length));
  const height = Math.max(280, TOP + tallest * (GAP + 18));
  const scale = (height - TOP - tallest * GAP) / most;
  const labelRoom = Math.min(170, width / 5);
  const step = (width - labelRoom - BAR) / Math.max(1, columns.length - 1);
  const placed = new Map<string, Placed>();
  byColumn.forEach((column, at) => {
    let y = TOP;
    for (const stop of column) {
      const tall = Math.max(LEAST, stop.amount * scale);
      placed.set(stop.name, { ...stop, x: at * step, y, height: tall, in: 0, out: 0 });
      y += tall + GAP;
    }
  });
  return (
    <svg class="sankey" width={width} height={height} viewBox={`0 0 ${width} ${height}`} role="img" aria-label={label}>
      <defs>
        <pattern id="hatch" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">
          <rect width="6" height="6" class="hatch-ground" />
          <path d="M0 0V6" class="hatch-line" />
        </pattern>
      </defs>
      {columns.map((title, at) => (
        <text key={title} class="column" x={at * step} y={14}>
          {title}
        </text>
      ))}
      {ribbons.map((ribbon) => draw(ribbon, placed, scale))}
      {[...placed.values()].map((stop) => (
        <g key={stop.name}>
          <rect class={`bar ${stop.tone}`} x={stop.x} y={stop.y} width={BAR} height={stop.height} rx={2} />
          <text class="name" x={stop.x + BAR + 7} y={stop.y + 12}>
            {clipped(stop.name.slice(stop.name.indexOf(" ") + 1), stop.column === columns.length - 1 ? labelRoom - 12 : step - BAR - 20)}
          </text>
          <text class="amount" x={stop.x + BAR + 7} y={stop.y + 27}>
            {compact(stop.amount)}
            {stop.note ? ` · ${stop.note}` : ""}
          </text>
        </g>
      ))}
    </svg>
  );
}

/** A ribbon takes its place at the end of its bars that is still free. */
function draw({ from, to, amount }: Ribbon, placed: Map<string, Placed>, scale: number) {
  const [start, end] = [placed.get(from), placed.get(to)];
  if (!start || !end || amount <= 0) return null;
  const tall = Math.max(1, amount * scale);
  const [x, y, toX, toY] = [start.x + BAR, start.y + start.out, end.x, end.y + end.in];
  start.out += tall;
  end.in += tall;
  const bend = x + (toX - x) / 2;
  const shape = `M${x} ${y}C${bend} ${y} ${bend} ${toY} ${toX} ${toY}v${tall}C${bend} ${toY + tall} ${bend} ${y + tall} ${x} ${y + tall}z`;
  return (
    <path key={`${from}>${to}`} class={`ribbon ${end.tone}`} d={shape}>
      <title>{`${from.slice(from.indexOf(" ") + 1)} to ${to.slice(to.indexOf(" ") + 1)}: ${compact(amount)} (${share(amount, start.amount)})`}</title>
    </path>
  );
}

/** What fits, at about 6.6 pixels a letter. */
function clipped(text: string, room: number): string {
  const letters = Math.max(6, Math.floor(room / 6.6));
  return text.length <= letters ? text : `${text.slice(0, letters - 1)}…`;
}
