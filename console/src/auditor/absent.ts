// Incarnations that are not here: which need not be, and by whose word. As `privet-audit` has it, rule by rule.

/** An incarnation as another one names it. */
export interface Previous {
  origin: string;
  size: number;
  root: string;
}

/** What an incarnation says of one that it did not find. */
export interface Absent {
  origin: string;
  /** It never came to be, or was there and is lost. */
  reason: "unborn" | "lost";
  by: number;
}

/** What an incarnation says of one that retention removed, and when. */
export interface Removal extends Previous {
  before: number;
  days: number;
  by: number;
  record: number;
  nowMs: number;
}

/** An incarnation that is here. */
export interface Here {
  number: number;
  origin: string;
  prev: Previous | undefined;
  end: Previous;
  fromMs: number;
}

const DAY_MS = 86_400_000;
/** As far as the two clocks of a process may be apart without a word. */
const CLOCK_SKEW_MS_MAX = 2_000;

export const numberOf = (origin: string) => Number(origin.slice(origin.lastIndexOf("/") + 1));
export const baseOf = (origin: string | undefined) => origin?.slice(0, origin.lastIndexOf("/"));
export const same = (one: Previous, other: Previous) => one.origin === other.origin && one.size === other.size && one.root === other.root;

/** Whether what an incarnation says of starts that came to nothing is what a start can know. */
export function unbornWrong(one: Here, all: Absent[]): string[] {
  const said = all.filter(({ by }) => by === one.number);
  const unborn = said.filter(({ reason }) => reason === "unborn").map(({ origin }) => origin);
  const before = one.prev ? numberOf(one.prev.origin) : 0;
  const fits = (origin: string) => baseOf(origin) === baseOf(one.origin) && before < numberOf(origin) && numberOf(origin) < one.number;
  const wrong = [];
  const stray = unborn.find((origin) => !fits(origin));
  if (stray !== undefined) wrong.push(`it says that \`${stray}\` came to nothing, which is not between it and the one before it`);
  if (!one.prev && said.length === unborn.length && unborn.length > 1) {
    wrong.push(`it says that ${unborn.length} starts before it came to nothing, and links to none: no start can know that of more than the first`);
  }
  return wrong;
}

/** What of a statement of retention does not fit the first one about the same, the log's clock, or what is here. */
export function removalWrong(one: Removal, first: Removal, here: Here[]): string[] {
  const wrong = [];
  if (one.size !== first.size || one.root !== first.root || one.before !== first.before) wrong.push(`incarnation ${first.by} said another end of it`);
  const aged = one.nowMs - one.before;
  if (aged + CLOCK_SKEW_MS_MAX < one.days * DAY_MS) {
    wrong.push(`it ended ${Math.floor(aged / 1000)} s before that by this log's clock, which are fewer than ${one.days} days`);
  }
  const number = numberOf(one.origin);
  const itself = here.find((other) => other.number === number);
  if (!(number < one.by)) wrong.push("it does not come before the incarnation that says so");
  else if (itself && !same(one, itself.end)) wrong.push("it is here, and has another end");
  const next = here.find(({ prev }) => prev?.origin === one.origin);
  if (next && next.fromMs !== one.before) wrong.push(`it ended before ${one.before}, and incarnation ${next.number} began at ${next.fromMs}`);
  return wrong;
}
