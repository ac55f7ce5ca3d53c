// Names and contents of tiles and entry bundles, as C2SP tlog-tiles lays them out.

import type { Hash } from "./tree";

export const TILE_WIDTH = 256;
export const HASH_BYTES = 32;

/** The path of a tile below an incarnation; level "entries" is an entry bundle. */
export function tilePath(level: number | "entries", index: number, width: number): string {
  const groups = [pad(index % 1000)];
  for (let rest = Math.floor(index / 1000); rest > 0; rest = Math.floor(rest / 1000)) groups.unshift(`x${pad(rest % 1000)}`);
  return `tile/${level}/${groups.join("/")}${width < TILE_WIDTH ? `.p/${width}` : ""}`;
}

const pad = (group: number) => String(group).padStart(3, "0");

/** How many hashes or entries a tile of a level has in a tree of so many records. */
export function widthAt(level: number, index: number, size: number): number {
  const hashes = Math.floor(size / TILE_WIDTH ** level);
  return Math.max(0, Math.min(TILE_WIDTH, hashes - index * TILE_WIDTH));
}

/** The records of a bundle, each after its 16-bit length; undefined where the lengths do not lead to its end. */
export function recordsOf(bundle: Uint8Array): Uint8Array[] | undefined {
  const records: Uint8Array[] = [];
  const view = new DataView(bundle.buffer, bundle.byteOffset, bundle.byteLength);
  for (let at = 0; at < bundle.length; ) {
    if (at + 2 > bundle.length) return undefined;
    const end = at + 2 + view.getUint16(at);
    if (end > bundle.length) return undefined;
    records.push(bundle.subarray(at + 2, end));
    at = end;
  }
  return records;
}

/** Whether a tile's bytes are exactly these hashes. */
export function isTileOf(bytes: Uint8Array, hashes: Hash[]): boolean {
  if (bytes.length !== hashes.length * HASH_BYTES) return false;
  return hashes.every((hash, n) => hash.every((byte, at) => bytes[n * HASH_BYTES + at] === byte));
}
