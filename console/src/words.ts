// Numbers, times and names as people read them.

const whole = new Intl.NumberFormat("en");
const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
const percent = new Intl.NumberFormat("en", { style: "percent", maximumFractionDigits: 1 });

export const count = (n: number): string => whole.format(n);
export const compact = (n: number): string => (n < 100_000 ? whole.format(n) : short.format(n));
export const share = (part: number, of: number): string => (of > 0 ? percent.format(part / of) : "–");

export function bytes(n: number): string {
  const steps = ["B", "kB", "MB", "GB", "TB"];
  const step = Math.min(steps.length - 1, n < 1000 ? 0 : Math.floor(Math.log10(n) / 3));
  return `${(n / 1000 ** step).toLocaleString("en", { maximumFractionDigits: step === 0 ? 0 : 1 })} ${steps[step]}`;
}

const pad = (n: number, width = 2) => String(n).padStart(width, "0");

/** UTC, to the second: an auditor's clock is not the pod's. */
export function moment(ms: number): string {
  const at = new Date(ms);
  if (Number.isNaN(at.getTime())) return "–";
  return `${at.getUTCFullYear()}-${pad(at.getUTCMonth() + 1)}-${pad(at.getUTCDate())} ${pad(at.getUTCHours())}:${pad(at.getUTCMinutes())}:${pad(at.getUTCSeconds())}`;
}

export const shortDigest = (digest: string | null | undefined): string => (digest ? digest.replace(/^sha256:/, "").slice(0, 12) : "none");

/** `in_flight` as `in flight`. */
export const spoken = (name: string): string => name.replaceAll("_", " ");

/** Billionths as a decimal, exactly. */
export function nano(amount: number): string {
  const [units, rest] = [Math.trunc(amount / 1e9), Math.abs(amount % 1e9)];
  const decimals = pad(rest, 9).replace(/0+$/, "");
  return decimals ? `${units}.${decimals}` : String(units);
}
