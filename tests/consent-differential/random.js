// Numbers from a seed, the same on every machine (mulberry32).

export class Random {
  constructor(seed) {
    this.state = seed >>> 0;
  }

  /** At least 0, below 1. */
  next() {
    this.state = (this.state + 0x6d2b79f5) >>> 0;
    let mixed = this.state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  }

  /** From `low` to `high`, both possible. */
  between(low, high) {
    return low + Math.floor(this.next() * (high - low + 1));
  }

  chance(probability) {
    return this.next() < probability;
  }

  pick(list) {
    return list[this.between(0, list.length - 1)];
  }

  /** Numbers up to `max`: none, few, a dense lot, or long runs, so that every coding occurs. */
  ids(max) {
    const kind = this.between(0, 3);
    if (kind === 0) return [];
    const chosen = new Set();
    if (kind === 1) for (let left = this.between(1, 8); left > 0; left--) chosen.add(this.between(1, max));
    if (kind === 2) for (let id = 1; id <= max; id++) if (this.chance(0.6)) chosen.add(id);
    if (kind === 3) {
      for (let left = this.between(1, 4); left > 0; left--) {
        const first = this.between(1, max);
        const last = Math.min(max, first + this.between(0, 200));
        for (let id = first; id <= last; id++) chosen.add(id);
      }
    }
    return [...chosen].sort((a, b) => a - b);
  }
}

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';

/** Cuts a text off, or changes one character or one bit of it. */
export function damaged(random, text) {
  const at = random.between(0, text.length - 1);
  const with_ = (letter) => text.slice(0, at) + letter + text.slice(at + 1);
  switch (random.between(0, 3)) {
    case 0:
      return text.slice(0, at);
    case 1:
      return with_(random.pick([...ALPHABET, '.', '=', '+', ' ']));
    default: {
      const value = ALPHABET.indexOf(text[at]);
      return value < 0 ? text : with_(ALPHABET[value ^ (1 << random.between(0, 5))]);
    }
  }
}
