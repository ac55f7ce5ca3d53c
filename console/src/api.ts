// The sidecar's data, and the token that reads it: kept in the memory of this tab alone.

import { signal } from "./state";
import type { Sums } from "./auditor/books";

export const token = signal<string | undefined>(undefined);

/** Why there is no answer: `token` where one is asked for. */
export class Problem extends Error {
  constructor(message: string, readonly status: number) {
    super(message);
  }
}

export async function ask(path: string): Promise<Response> {
  let answer: Response;
  try {
    answer = await fetch(path, { headers: token.value ? { authorization: `Bearer ${token.value}` } : {} });
  } catch {
    throw new Problem("the sidecar does not answer", 0);
  }
  if (answer.ok) return answer;
  const said = await answer.json().then((told: { error?: string }) => told.error, () => undefined);
  throw new Problem(said ?? `the sidecar answered with ${answer.status}`, answer.status);
}

export const json = async <T>(path: string): Promise<T> => (await ask(path)).json() as Promise<T>;

export interface ClassCount {
  n: number;
  events: number;
  outcome: "ruled" | "unmatched" | "invalid" | "malformed" | null;
  contract: string | null;
  format: string | null;
  jurisdiction: string | null;
  age: string | null;
  policy: string | null;
  to: Record<string, string[]>;
}

export interface Summary {
  incarnation: number;
  policy: string | null;
  durable: Sums;
  signed: { records: number; sums: Sums };
  classes: ClassCount[];
  other_classes: { classes: number; events: number };
}

export interface ExposureRow {
  contract: string;
  version: number;
  field: string | null;
  part: string;
  category: string | null;
  may_contain: string[];
  destination: string;
  purpose: string;
  consent: string[];
  jurisdictions: string[];
  ages: string[];
  action: string;
  form: string;
  rule: string;
}

export interface Exposure {
  policy: string;
  rows: ExposureRow[];
}

export interface Content {
  consent: string[];
  action: string;
  form: string;
  rule: string;
}

export type ChangeKind = "loosen" | "tighten" | "neutral";

export interface Cell {
  change: ChangeKind;
  contract: string;
  field: string;
  part: string;
  destination: string;
  purpose: string;
  jurisdictions: string[];
  ages: string[];
  old: Content | null;
  new: Content | null;
}

export interface Diff {
  old: string;
  new: string;
  summary: Record<ChangeKind, number>;
  cells: Cell[];
  others: { change: ChangeKind; kind: string; name: string; what: string }[];
}

export interface Loss {
  epsilon_nano?: number;
  rho_nano?: number;
  delta_pico: number;
}

export interface ReceiptLine {
  file: string;
  sha256: string;
  start: number;
  end: number;
  observed_from: number;
  observed_until: number;
  status: string;
  kind: "central" | "local";
  values: number;
  unit: string;
  this?: Loss;
  spent?: Loss;
  limit?: Loss;
  horizon?: string;
  epsilon_at_delta?: { epsilon: string; delta: string };
  per_report?: Loss;
  reports?: number;
}

export interface Export {
  name: string;
  declared?: boolean;
  kind?: "central" | "local";
  purpose?: string;
  contract?: string | null;
  unit?: string;
  limit?: Loss;
  horizon?: string;
  horizon_secs?: number;
  releases_in_horizon?: number;
  charge?: Loss | null;
  receipts: ReceiptLine[];
  receipts_left_out: number;
}

export interface Receipt {
  columns: string[];
  values: { key: string[]; of: string; value: number; ci95?: [number, number] }[];
  aggregate?: { name: string; decimals?: number };
  stages?: { part: string; noise: string; scale: string }[];
  privacy: { side_information?: string[]; guarantee?: string };
}

export interface Listing {
  incarnations: number[];
  running: number;
  policies: string[];
  left_out: number;
}

export interface Ready {
  ready: boolean;
  phase: string;
  policy: string | null;
  log: { writable: boolean; fault: string | null };
  notes: Record<string, string>;
}
