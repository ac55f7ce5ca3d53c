// A store's traffic: people who search, install and play, most of whom agreed to analytics. All of them are made up.

import { setTimeout as sleep } from "node:timers/promises";

const SECTIONS = ["apps", "games", "books"];
const MARKETS = ["africa", "americas", "asia_pacific", "europe", "middle_east"];
const KINDS = ["film", "episode", "song", "audiobook", "trailer"];
const BATCH = 20;

/** What no answer of the console may hold. */
export const MARKS = ["odile.marchbanks", "sextant", "198.18.7.", "voyager-"];

function event(name, person, id, properties) {
  const agreed = person % 10 !== 0;
  return {
    type: "track", event: name, messageId: `${id}-${person}`, userId: `voyager-${person}`, timestamp: "2026-11-22T21:50:42.259Z", properties,
    context: { ip: `198.18.7.${person % 250}`, consent: { categoryPreferences: { Analytics: agreed, Functional: agreed, Advertising: false } } },
  };
}

const of = (list, person) => list[person % list.length];

/** Everything that so many people do, as Segment events. */
function deeds(people, round) {
  return Array.from({ length: people }, (_, person) => [
    event("Search Performed", person, `search-${round}`, { query: `a sextant for odile.marchbanks${person}@example.com`, results: person % 40, section: of(SECTIONS, person) }),
    event("App Installed", person, `install-${round}`, { app_id: `app-${person % 12}`, section: of(SECTIONS.slice(0, 2), person), market: of(MARKETS, person >> 1) }),
    event("Playback Started", person, `play-${round}`, { work_id: `work-${person % 9}`, kind: of(KINDS, person) }),
    ...(person % 7 === 0 ? [event("Nobody Agreed On This", person, `odd-${round}`, { note: "sextant" })] : []),
  ]).flat();
}

/** Sends what people do to `origin`, and now and then something that cannot be read; gives how many events were sent. */
export async function shop(origin, people, round) {
  const events = deeds(people, round);
  const post = (body) => reached(() => fetch(`${origin}/v1/batch`, { method: "POST", headers: { "content-type": "application/json" }, body }));
  for (let at = 0; at < events.length; at += BATCH) {
    const answer = await post(JSON.stringify({ batch: events.slice(at, at + BATCH), sentAt: "2026-11-22T21:50:43.000Z" }));
    if (!answer.ok) throw new Error(`the sidecar answered with ${answer.status}`);
  }
  await post('{"batch": [{"userId": "voyager-1", "userId": "voyager-2"}]}');
  return events.length;
}

/** Asks again while nobody listens: a sidecar is ready a moment before its listeners are open. */
async function reached(ask) {
  for (let attempt = 0; ; attempt += 1) {
    try {
      return await ask();
    } catch (error) {
      if (error.cause?.code !== "ECONNREFUSED" || attempt === 100) throw error;
      await sleep(50);
    }
  }
}
