// The tree of RFC 6962 over records, grown one leaf at a time.

import { sha256 } from "@noble/hashes/sha2";

import { TILE_WIDTH } from "./tiles";

export type Hash = Uint8Array;

/** The longest record, and the byte before it; used again for each. */
const LEAF = new Uint8Array(1 + 65_535);
const NODE = new Uint8Array(65).fill(1, 0, 1);

export function leafHash(record: Uint8Array): Hash {
  LEAF.set(record, 1);
  return sha256(LEAF.subarray(0, record.length + 1));
}

export function nodeHash(left: Hash, right: Hash): Hash {
  NODE.set(left, 1);
  NODE.set(right, 33);
  return sha256(NODE);
}

export const digest = (bytes: Uint8Array): Hash => sha256(bytes);

export function sameHash(one: Hash, other: Hash): boolean {
  return one.length === other.length && one.every((byte, at) => byte === other[at]);
}

/** A tile whose hashes are all there. */
export interface FilledTile {
  level: number;
  index: number;
  hashes: Hash[];
}

export class Tree {
  size = 0;
  /** Complete subtrees by the power of two of their leaves. */
  private peaks: (Hash | undefined)[] = [];
  /** The unfinished tile of each level. */
  private unfinished: Hash[][] = [];

  /** Adds a leaf; gives the tiles that it filled. */
  push(leaf: Hash): FilledTile[] {
    let carry = leaf;
    let height = 0;
    for (; this.peaks[height]; height += 1) {
      carry = nodeHash(this.peaks[height] as Hash, carry);
      this.peaks[height] = undefined;
      if ((height + 1) % 8 === 0) this.raise((height + 1) / 8, carry);
    }
    this.peaks[height] = carry;
    this.raise(0, leaf);
    this.size += 1;
    return this.takeFilled();
  }

  private raise(level: number, hash: Hash) {
    (this.unfinished[level] ??= []).push(hash);
  }

  private takeFilled(): FilledTile[] {
    const filled: FilledTile[] = [];
    this.unfinished.forEach((hashes, level) => {
      if (hashes.length < TILE_WIDTH) return;
      filled.push({ level, index: Math.floor(this.size / TILE_WIDTH ** (level + 1)) - 1, hashes });
      this.unfinished[level] = [];
    });
    return filled;
  }

  /** The tiles at the tree's edge that are not full. */
  edge(): FilledTile[] {
    return this.unfinished.flatMap((hashes, level) =>
      hashes.length > 0 ? [{ level, index: Math.floor(this.size / TILE_WIDTH ** (level + 1)), hashes }] : [],
    );
  }

  root(): Hash {
    const peaks = this.peaks.filter((peak) => peak !== undefined);
    const [first, ...rest] = peaks;
    return first ? rest.reduce((right, left) => nodeHash(left, right), first) : sha256(new Uint8Array());
  }
}
