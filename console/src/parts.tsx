// Small pieces that views are made of.

import type { ComponentChildren } from "preact";

export function Empty({ title, children }: { title: string; children?: ComponentChildren }) {
  return (
    <div class="empty">
      <svg viewBox="0 0 48 48" width="40" height="40" aria-hidden="true">
        <rect x="8" y="8" width="32" height="32" rx="6" class="line" />
        <path d="M15 24h18" class="line" />
      </svg>
      <p class="empty-title">{title}</p>
      {children && <p>{children}</p>}
    </div>
  );
}

export function Problem({ children }: { children: ComponentChildren }) {
  return (
    <p class="problem" role="alert">
      <Mark kind="bad" /> {children}
    </p>
  );
}

export const Waiting = () => <p class="waiting">Reading…</p>;

const SHAPES = {
  good: "M4 8.5l2.7 2.7L12 5.5",
  bad: "M5 5l6 6M11 5l-6 6",
  note: "M8 4.5v4M8 11.2v.1",
} as const;

/** A mark whose shape says what its colour says. */
export function Mark({ kind }: { kind: keyof typeof SHAPES }) {
  return (
    <svg class={`mark ${kind}`} viewBox="0 0 16 16" width="16" height="16" aria-hidden="true">
      <circle cx="8" cy="8" r="7" />
      <path d={SHAPES[kind]} />
    </svg>
  );
}

export function Card({ title, aside, children, id }: { title: string; aside?: ComponentChildren; children: ComponentChildren; id?: string }) {
  return (
    <section class="card" aria-labelledby={id ?? slug(title)}>
      <header>
        <h2 id={id ?? slug(title)}>{title}</h2>
        {aside && <div class="aside">{aside}</div>}
      </header>
      {children}
    </section>
  );
}

const slug = (title: string) => `t-${title.toLowerCase().replace(/[^a-z0-9]+/g, "-")}`;

export function Figure({ label, value, note, tone }: { label: string; value: string; note?: string; tone?: "accent" | "quiet" | "bad" }) {
  return (
    <div class={`figure ${tone ?? ""}`}>
      <dt>{label}</dt>
      <dd>
        <span class="value">{value}</span>
        {note && <span class="note">{note}</span>}
      </dd>
    </div>
  );
}

/** A table that scrolls by itself where it is wider than the page, by keyboard too. */
export function Scroll({ label, children }: { label: string; children: ComponentChildren }) {
  return (
    <div class="scroll" role="region" aria-label={label} tabIndex={0}>
      {children}
    </div>
  );
}

export function Select({ label, value, options, onChange }: { label: string; value: string; options: [value: string, text: string][]; onChange: (value: string) => void }) {
  return (
    <label class="field">
      <span>{label}</span>
      <select value={value} onChange={(event) => onChange(event.currentTarget.value)}>
        {options.map(([value, text]) => (
          <option key={value} value={value}>
            {text}
          </option>
        ))}
      </select>
    </label>
  );
}
