// The auditor in a thread of its own, so that the page stays awake.

import type { Sums } from "./books";
import { type Options, type Report, verify } from "./verify";

/** What the page asks for. */
export interface Order {
  token?: string;
  keys: string[];
  anchor?: string;
}

/** What the page is told. */
export type News =
  | { kind: "progress"; done: number; total: number }
  | { kind: "done"; report: Report; seconds: number }
  | { kind: "failed"; why: string };

const tell = (news: News) => postMessage(news);
const RETRIES = 2;
const PROGRESS_EVERY_MS = 100;

class Refused extends Error {}

/** Reads from the sidecar; a connection that broke off is tried again. */
async function read(path: string, token: string | undefined): Promise<Uint8Array | undefined> {
  for (let attempt = 0; ; attempt += 1) {
    try {
      const answer = await fetch(path, { headers: token ? { authorization: `Bearer ${token}` } : {} });
      if (answer.status === 404) return undefined;
      if (!answer.ok) throw new Refused(`${path} was answered with ${answer.status}`);
      return new Uint8Array(await answer.arrayBuffer());
    } catch (error) {
      if (error instanceof Refused || attempt === RETRIES) throw error;
    }
  }
}

async function work({ token, keys, anchor }: Order) {
  const text = async (path: string) => JSON.parse(new TextDecoder().decode(await read(path, token)));
  const { incarnations, running, left_out } = await text("/v1/log/");
  let told = 0;
  const options: Options = {
    incarnations, running, keys, anchor,
    summary: async () => (await text("/v1/console/summary")).signed as { records: number; sums: Sums },
    progress: (done, total) => {
      if (performance.now() - told < PROGRESS_EVERY_MS) return;
      told = performance.now();
      tell({ kind: "progress", done, total });
    },
  };
  const begun = performance.now();
  const report = await verify((path) => read(`/v1/log/${path}`, token), options);
  if (left_out > 0) report.assumed.push(`${left_out} incarnations or policies are too many to be listed, and were not looked at`);
  tell({ kind: "done", report, seconds: (performance.now() - begun) / 1000 });
}

addEventListener("message", ({ data }: MessageEvent<Order>) => {
  work(data).catch((error: unknown) => tell({ kind: "failed", why: error instanceof Error ? error.message : String(error) }));
});
