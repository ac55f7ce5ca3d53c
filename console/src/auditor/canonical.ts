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

const UTF8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** The object that canonical bytes write; undefined for any other bytes. */
export function parseCanonical(bytes: Uint8Array): Members | undefined {
  try {
    const text = UTF8.decode(bytes);
    const value = JSON.parse(text) as Json;
    return isMembers(value) && isWrittenSo(value, text) ? value : undefined;
  } catch {
    return undefined;
  }
}

/** The engine's own text is canonical where members stand in order, but for names that are numbers, which it moves to the front. */
function isWrittenSo(value: Members, text: string): boolean {
  return (JSON.stringify(value) === text && isInOrder(value)) || canonical(value) === text;
}

function isInOrder(value: Json): boolean {
  if (typeof value === "number") return Number.isSafeInteger(value);
  if (value === null || typeof value !== "object") return true;
  if (Array.isArray(value)) return value.every(isInOrder);
  let before: string | undefined;
  for (const name in value) {
    if ((before !== undefined && before >= name) || !isInOrder(value[name] as Json)) return false;
    before = name;
  }
  return true;
}

export const isMembers = (value: unknown): value is Members => typeof value === "object" && value !== null && !Array.isArray(value);
