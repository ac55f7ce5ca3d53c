// Signed notes, checkpoints and verification keys, as C2SP writes them. Signatures are checked by the browser.

import { digest } from "./tree";

const ED25519 = 1;

export interface Key {
  /** The key as it was written. */
  text: string;
  name: string;
  public: Uint8Array;
  id: Uint8Array;
}

export interface Checkpoint {
  origin: string;
  size: number;
  root: Uint8Array;
  /** The text that is signed. */
  text: string;
  signatures: { name: string; id: Uint8Array; bytes: Uint8Array }[];
}

/** What came of checking a signature; `unable` where this page has no Web Crypto, which browsers give to secure pages alone. */
export type Signed = "right" | "wrong" | "missing" | "unable";

/** Reads `NAME+KEYID+KEY`. */
export function parseKey(text: string): Key | undefined {
  const [name, id, ...rest] = text.trim().split("+");
  const key = fromBase64(rest.join("+"));
  if (!name || !id || /\s/.test(name) || !key || key.length !== 33 || key[0] !== ED25519) return undefined;
  const expected = keyId(name, key);
  return hex(expected) === id ? { text: text.trim(), name, public: key.slice(1), id: expected } : undefined;
}

function keyId(name: string, key: Uint8Array): Uint8Array {
  const named = new TextEncoder().encode(`${name}\n`);
  const input = new Uint8Array(named.length + key.length);
  input.set(named);
  input.set(key, named.length);
  return digest(input).slice(0, 4);
}

/** Reads a signed note that holds a checkpoint; undefined for anything else. */
export function parseCheckpoint(note: string): Checkpoint | undefined {
  const end = note.lastIndexOf("\n\n") + 1;
  const block = note.slice(end);
  if (end === 0 || !block.endsWith("\n")) return undefined;
  const text = note.slice(0, end);
  const signatures = block.slice(1, -1).split("\n").map(parseSignature);
  const [origin, size, root, ...rest] = text.split("\n");
  const bytes = fromBase64(root ?? "");
  const plain = /^(0|[1-9][0-9]*)$/.test(size ?? "") && Number.isSafeInteger(Number(size));
  if (!origin || !plain || bytes?.length !== 32 || rest.join("") !== "" || signatures.includes(undefined)) return undefined;
  return { origin, size: Number(size), root: bytes, text, signatures: signatures.filter((one) => one !== undefined) };
}

function parseSignature(line: string) {
  const match = /^\u2014 (\S+) (\S+)$/.exec(line);
  const bytes = match?.[2] ? fromBase64(match[2]) : undefined;
  return match?.[1] && bytes && bytes.length > 4 ? { name: match[1], id: bytes.slice(0, 4), bytes: bytes.slice(4) } : undefined;
}

/** Whether a checkpoint carries a right signature by a key. */
export async function signedBy(checkpoint: Checkpoint, key: Key): Promise<Signed> {
  const signature = checkpoint.signatures.find(({ name, id }) => name === key.name && hex(id) === hex(key.id));
  if (!signature) return "missing";
  if (!globalThis.crypto?.subtle) return "unable";
  try {
    const imported = await crypto.subtle.importKey("raw", key.public as BufferSource, { name: "Ed25519" }, false, ["verify"]);
    const text = new TextEncoder().encode(checkpoint.text);
    return (await crypto.subtle.verify("Ed25519", imported, signature.bytes as BufferSource, text)) ? "right" : "wrong";
  } catch {
    return "unable";
  }
}

export const hex = (bytes: Uint8Array): string => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");

export const base64 = (bytes: Uint8Array): string => btoa(String.fromCharCode(...bytes));

function fromBase64(text: string): Uint8Array | undefined {
  try {
    const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    return base64(bytes) === text ? bytes : undefined;
  } catch {
    return undefined;
  }
}
