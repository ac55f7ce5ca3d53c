// Canonical JSON: RFC 8785 with integers alone. One value has one text, so the hash of a record is the hash of its meaning.

export type Json = null | boolean | number | string | Json[] | { [member: string]: Json };

export type Members = { [member: string]: Json };

/** The canonical text of a value; undefined for floats and integers past 2^53 - 1. */
export function canonical(value: Json): string | undefined {
  if (typeof value === "number") return Number.isSafeInteger(value) && !Object.is(value, -0) ? String(value) : undefined;
  if (Array.isArray(value)) return joined("[", value.map(canonical), "]");
  if (value !== null && typeof value === "object") {
    const members = Object.keys(value).sort();
    return joined("{", members.map((name) => member(name, canonical(value[name] as Json))), "}");
  }
  return JSON.stringify(value);
}

const member = (name: string, value: string | undefined) => (value === undefined ? undefined : `${JSON.stringify(name)}:${value}`);

function joined(open: string, parts: (string | undefined)[], close: string): string | undefined {
  return parts.includes(undefined) ? undefined : open + parts.join(",") + close;
}

/** The object that a canonical text writes; undefined for any other text. */
export function parseCanonical(text: string): Members | undefined {
  try {
    const value = JSON.parse(text) as Json;
    return isMembers(value) && canonical(value) === text ? value : undefined;
  } catch {
    return undefined;
  }
}

export const isMembers = (value: unknown): value is Members => typeof value === "object" && value !== null && !Array.isArray(value);
