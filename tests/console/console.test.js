// The console of a real sidecar, in a real browser: every view, what adds up, and every way to tamper with the log shown as such.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { copyFile, readFile, readdir, truncate, writeFile } from "node:fs/promises";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";

import { Collector } from "../clients/collector.js";
import { Privet } from "../clients/privet.js";
import { Console, PHONE } from "./browser.js";
import { MARKS, shop } from "./store.js";

const PICTURES = process.env.PRIVET_PICTURES ?? join(tmpdir(), "privet-console");
const VIEWS = ["flow", "exposure", "change", "budgets", "log", "verify"];
const PEOPLE = 120;
const WAIT_SECS = 40;
/** Batches enough that the log has more than a page. */
const LEAVES = 20;

let collector, privet, seen, sent;

const answer = async (path, headers = {}) => fetch(`${privet.admin}${path}`, { headers });
const json = async (path) => (await answer(path)).json();
const tool = async (...args) => JSON.parse((await promisify(execFile)(process.env.PRIVET_BIN, args, { maxBuffer: 1 << 28 }).catch((failed) => failed)).stdout);
const at = (...names) => join(privet.directory, ...names);

/** Asks until something holds. */
async function until(what, holds) {
  for (let waited = 0; waited < WAIT_SECS * 10; waited += 1) {
    if (await holds()) return;
    await sleep(100);
  }
  assert.fail(`not within ${WAIT_SECS} s: ${what}`);
}

/** One rule lets less leave than before, another more. */
async function changePolicy() {
  const before = (await json("/readyz")).policy;
  const file = at("policies/rules/reporting.yaml");
  const text = await readFile(file, "utf8");
  const changed = text.replace("action: {generalize: {ip: {v4: 24, v6: 48}}}", "action: drop").replace("action: {generalize: {time: hour}}", "action: keep");
  assert.notEqual(changed, text);
  await writeFile(file, changed);
  await until("the policy is another one", async () => (await json("/readyz")).policy !== before);
}

/** Lets a day's window be published in parts, one for each start, with a budget for all of them. */
async function exportsInParts(at) {
  for (const name of await readdir(at("policies/exports"))) {
    const file = at(`policies/exports/${name}`);
    const text = await readFile(file, "utf8");
    const parts = text.replace("{length: 1d,", "{length: 1d, splits_max: 4,").replace(/budget: \{horizon: 30d, rho: "(.*)"\}/, (_, rho) => `budget: {horizon: 30d, rho: "${(rho * 10).toFixed(2)}"}`);
    assert.notEqual(parts, text);
    await writeFile(file, parts);
  }
}

before(async () => {
  collector = await Collector.start();
  privet = await Privet.start(collector.origin, ["segment"], async (at) => {
    await exportsInParts(at);
    return { exports: { directory: at("exports"), volume: "persistent" } };
  });
  for (const round of [1, 2]) {
    await shop(privet.origin, PEOPLE, round);
    await privet.stop();
    await privet.resume();
  }
  await shop(privet.origin, PEOPLE, 3);
  privet.process.kill("SIGKILL");
  await privet.ended;
  await privet.resume();
  sent = await shop(privet.origin, PEOPLE, 4);
  await changePolicy();
  for (let round = 5; round < 5 + LEAVES; round += 1) {
    sent += await shop(privet.origin, PEOPLE, round);
    // Long enough for a batch of its own.
    await sleep(150);
  }
  await until("a checkpoint is over every event", async () => (await json("/v1/console/summary")).signed.sums.events.in === sent);
  seen = await Console.open(privet.admin, PICTURES);
});

after(async () => {
  await seen?.end();
  await privet?.remove();
  await collector?.stop();
});

/** A page on which the view has something to show. */
async function shown(view, how) {
  const page = await seen.page(view, how);
  const sign = { flow: ".sankey, .stages", exposure: "tbody tr", change: "tbody tr", budgets: ".plot svg", log: "tbody tr", verify: "button.primary" };
  await page.waitForSelector(sign[view]);
  if (view === "verify") await verify(page);
  if (view === "budgets") await page.waitForSelector(".published tbody tr");
  return page;
}

async function verify(page) {
  await page.locator("button.primary").click();
  await page.waitForSelector(".outcome, .problem", { timeout: WAIT_SECS * 1000 });
}

for (const [name, how] of [["laptop-light", {}], ["laptop-dark", { colours: "dark" }], ["phone-light", { size: PHONE }], ["phone-dark", { size: PHONE, colours: "dark" }]]) {
  test(`every view is there for everybody: ${name}`, async () => {
    for (const view of VIEWS) {
      const page = await shown(view, how);
      // axe-core looks at every row there is; one contract's show them all.
      if (view === "exposure") await page.getByLabel("Contract").selectOption("storefront.search");
      await seen.look(page, `${name}-${view}`);
      await seen.close(page);
    }
  });
}

test("flow adds up, says what the summary says, and moves by itself", async () => {
  const page = await shown("flow");
  const { durable } = await json("/v1/console/summary");
  assert.equal(durable.events.in, sent);
  assert.equal(durable.events.in, durable.events.kept + durable.events.dropped + durable.events.withheld + durable.events.undecided);
  const value = (label) => page.locator(".figure", { hasText: label }).locator(".value").innerText();
  assert.equal(await value("Events in"), sent.toLocaleString("en"));
  assert.equal(await value("Kept"), durable.events.kept.toLocaleString("en"));
  assert.equal(await page.locator(".verdict.bad").count(), 0);
  const row = page.getByRole("table", { name: "By destination" }).getByRole("row").nth(1);
  const [to] = durable.destinations;
  assert.deepEqual(await row.getByRole("cell").allInnerTexts(), [to.released, to.acknowledged, to.refused, to.unknown, to.open].map((n) => n.toLocaleString("en")).concat("adds up"));
  await page.getByText("refused: unparseable").waitFor();
  sent += await shop(privet.origin, 10, 99);
  await page.locator(".figure .value", { hasText: sent.toLocaleString("en") }).waitFor({ timeout: 10_000 });
  await page.getByRole("button", { name: "Pause" }).click();
  await page.getByText("Paused").waitFor();
  await seen.close(page);
});

test("exposure is what privet exposure says, and can be filtered", async () => {
  const told = await tool("exposure", at("policies"), "--json");
  assert.deepEqual(await json("/v1/console/exposure"), told);
  const page = await shown("exposure");
  const status = page.locator("[role=status]");
  assert.match(await status.innerText(), new RegExp(`^${told.rows.length.toLocaleString("en")} of `));
  await page.getByLabel("Contract").selectOption("storefront.search");
  await page.getByLabel("Search", { exact: true }).fill("query");
  const fits = told.rows.filter((row) => row.contract === "storefront.search" && `${row.field} ${row.category} ${row.rule} ${row.form}`.includes("query"));
  assert.ok(fits.length > 0);
  assert.match(await status.innerText(), new RegExp(`^${fits.length} of `));
  await page.getByLabel("Search", { exact: true }).fill("there is no such field");
  await page.getByText("Nothing fits this filter").waitFor();
  await seen.close(page);
});

test("change is what privet diff says of the two policies that the log keeps", async () => {
  const { old, new: now, summary } = await json("/v1/console/diff");
  const kept = (digest) => at("log/policies", digest.replace("sha256:", ""));
  assert.deepEqual(await json("/v1/console/diff"), await tool("diff", kept(old), kept(now), "--json", "--allow-loosen"));
  assert.ok(summary.loosen > 0 && summary.tighten > 0);
  const page = await shown("change");
  for (const kind of ["loosen", "tighten"]) {
    assert.equal(await page.locator(`.change.${kind} .value`).innerText(), summary[kind].toLocaleString("en"));
  }
  await seen.close(page);
});

test("budgets burn down by what the receipts say", async () => {
  const { exports } = await json("/v1/console/exports");
  assert.deepEqual(exports.map(({ name }) => name).sort(), ["installs-by-section-and-market", "playbacks-by-kind", "searches-by-section"]);
  const page = await shown("budgets");
  for (const one of exports) {
    const files = (await readdir(at("exports", one.name))).filter((name) => name.endsWith(".json")).sort();
    assert.deepEqual(one.receipts.map(({ file }) => file), files);
    assert.equal(files.length, 2);
    const last = JSON.parse(await readFile(at("exports", one.name, files[1]), "utf8"));
    const left = last.privacy.horizon.limit.rho_nano - last.privacy.horizon.spent.rho_nano;
    const card = page.locator("section.card", { hasText: one.name });
    assert.equal(await card.locator(".figure.accent .value").innerText(), `ρ ${left / 1e9}`);
    assert.equal(last.privacy.horizon.spent.rho_nano, 2 * last.privacy.this_release.rho_nano);
    assert.equal(await card.locator(".point").count(), 2);
    await card.locator(".published tbody tr").first().waitFor();
    const published = await card.locator(".published tbody tr").allInnerTexts();
    assert.equal(published.length, last.values.length);
    for (const [n, { value, ci95 }] of last.values.entries()) {
      assert.ok(published[n].includes(`${value.toLocaleString("en")}\t${ci95[0].toLocaleString("en")} to ${ci95[1].toLocaleString("en")}`), published[n]);
    }
  }
  await seen.close(page);
});

test("the log is paged, filtered by type and incarnation, and shows a record whole", async () => {
  const page = await shown("log");
  await page.getByLabel("Type").selectOption("policy.load");
  await page.waitForFunction(() => document.querySelectorAll("tbody tr").length === 2);
  assert.equal(await page.locator("tbody .type", { hasText: "policy.load" }).count(), 2);
  await page.getByLabel("Type").selectOption("gaps");
  await page.getByText("No gap is stated here").waitFor();
  await page.getByLabel("Type").selectOption("");
  await page.locator("tbody tr").nth(49).waitFor();
  await page.getByRole("button", { name: "Show earlier records" }).click();
  await page.locator("tbody tr").nth(51).waitFor();
  await page.getByLabel("Incarnation").selectOption("3");
  await page.getByLabel("Type").selectOption("gaps");
  await page.locator("tr.gap .type", { hasText: "recover" }).waitFor();
  await page.getByLabel("Type").selectOption("");
  await page.getByLabel("Incarnation").selectOption("1");
  await page.locator("tbody .type", { hasText: "close" }).waitFor();
  await page.locator("tbody tr").first().getByRole("button").click();
  const whole = JSON.parse(await page.locator("tr.json pre").innerText());
  assert.equal(whole.t, "close");
  await seen.close(page);
});

test("verify proves what it can with key and checkpoint from elsewhere, and the page stays awake", async () => {
  const page = await seen.page("verify");
  await page.evaluate(() => {
    globalThis.longest = 0;
    new PerformanceObserver((list) => list.getEntries().forEach(({ duration }) => (globalThis.longest = Math.max(globalThis.longest, duration)))).observe({ type: "longtask" });
  });
  await page.locator("input[type=file]").setInputFiles([at("anchor/vkey"), at("anchor/checkpoint")]);
  await page.getByText("was read as a checkpoint").waitFor();
  await verify(page);
  await page.getByText("Nothing is wrong with what was published").waitFor();
  await page.locator(".items", { hasText: "incarnation 3, record" }).filter({ hasText: "ended without closing" }).waitFor({ timeout: 2000 });
  for (const proved of ["follow one another", "among those that were given", "continue the checkpoint that was given", "recorder's own totals", "checkpoint signatures are right"]) {
    await page.locator(".items", { hasText: proved }).first().waitFor({ timeout: 2000 });
  }
  assert.ok((await page.evaluate(() => globalThis.longest)) < 1000);
  await page.locator("textarea").first().fill("privet.local/sidecar/9+00000000+AAAA");
  await verify(page);
  await page.getByText("a line that was given as a key is none").waitFor();
  await seen.close(page);
});

/** Files of the log by name, the first that exists. */
async function tile(incarnation, kind) {
  const names = await readdir(at("log", incarnation, "tile", kind), { recursive: true });
  const name = names.filter((name) => /\/\d+$/.test(name)).sort().at(-1);
  return at("log", incarnation, "tile", kind, name);
}

const TAMPERINGS = [
  ["a byte of an entry bundle flipped", async () => {
    const file = await tile("1", "entries");
    return [file, async () => { const bytes = await readFile(file); bytes[bytes.length >> 1] ^= 1; await writeFile(file, bytes); }, /is not that of the records/];
  }],
  ["a tile cut short", async () => {
    const file = await tile("2", "0");
    return [file, () => truncate(file, 32), /is not that of the records/];
  }],
  ["an entry bundle cut short", async () => {
    const file = await tile("2", "entries");
    return [file, () => truncate(file, 700), /does not hold/];
  }],
  ["a checkpoint swapped for another incarnation's", async () => {
    const file = at("log/1/checkpoint");
    return [file, () => copyFile(at("log/2/checkpoint"), file), /checkpoint/];
  }],
  ["a signature changed", async () => {
    const file = at("log/2/checkpoint");
    return [file, async () => {
      const [text, signature] = (await readFile(file, "utf8")).split("\n\n");
      const [dash, name, encoded] = signature.trim().split(" ");
      const bytes = Buffer.from(encoded, "base64");
      bytes[20] ^= 1;
      await writeFile(file, `${text}\n\n${dash} ${name} ${bytes.toString("base64")}\n`);
    }, /the signature of the checkpoint is wrong/];
  }],
  ["a policy's file changed", async () => {
    const [digest] = await readdir(at("log/policies"));
    const file = at("log/policies", digest, "taxonomy.yaml");
    return [file, async () => writeFile(file, `${await readFile(file, "utf8")}# nothing\n`), /are not those that were loaded/];
  }],
];

test("a log that was tampered with is shown as that, and one that was put back as whole", async () => {
  const page = await seen.page("verify");
  for (const [n, [what, arrange]] of TAMPERINGS.entries()) {
    const [file, tamper, found] = await arrange();
    const whole = await readFile(file);
    await tamper();
    await verify(page);
    await page.locator(".outcome.bad").waitFor({ timeout: 5000 });
    const findings = await page.locator("section.card", { has: page.getByRole("heading", { name: "Found" }) }).innerText();
    assert.match(findings, found, what);
    if (n === 0) await seen.look(page, "tampered");
    await writeFile(file, whole);
    await verify(page);
    await page.locator(".outcome.good").waitFor({ timeout: 5000 });
  }
  await seen.close(page);
});

test("the keyboard reaches everything, and focus follows the view", async () => {
  const page = await shown("flow");
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.className), "skip");
  const order = [];
  for (let presses = 0; presses < 9; presses += 1) {
    await page.keyboard.press("Tab");
    order.push(await page.evaluate(() => document.activeElement.textContent));
  }
  assert.deepEqual(order.slice(0, 6), ["Flow", "Exposure", "Change", "Budgets", "Log", "Verify"]);
  assert.ok(order.includes("Pause"), order.join(", "));
  await page.locator("nav a", { hasText: "Verify" }).focus();
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => document.activeElement?.tagName === "H1" && document.activeElement.textContent === "Verify");
  for (let presses = 0; presses < 8; presses += 1) {
    await page.keyboard.press("Tab");
    if (await page.evaluate(() => document.activeElement.className === "primary")) break;
  }
  await page.keyboard.press("Enter");
  await page.locator(".outcome.good").waitFor({ timeout: WAIT_SECS * 1000 });
  await seen.close(page);
});

test("colours follow the system, and the switch wins over it", async () => {
  const ground = (page) => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const [light, dark] = [await shown("flow"), await shown("flow", { colours: "dark" })];
  assert.notEqual(await ground(light), await ground(dark));
  await light.getByLabel("Colours").selectOption("dark");
  assert.equal(await ground(light), await ground(dark));
  await light.reload();
  assert.equal(await ground(light), await ground(dark));
  await Promise.all([seen.close(light), seen.close(dark)]);
});

test("answers are guarded, and nobody is led here by a name", async () => {
  const page = await answer("/console");
  const policy = page.headers.get("content-security-policy");
  assert.match(policy, /default-src 'none'/);
  assert.match(policy, /frame-ancestors 'none'/);
  assert.doesNotMatch(policy, /unsafe|http|data:|blob:|\*/);
  for (const path of ["/console", "/v1/console/summary", "/v1/log/", "/v1/log/1/checkpoint"]) {
    const { headers, status } = await answer(path);
    assert.equal(status, 200, path);
    assert.equal(headers.get("x-content-type-options"), "nosniff");
    assert.equal(headers.get("referrer-policy"), "no-referrer");
    assert.equal(headers.get("access-control-allow-origin"), null);
    if (path.startsWith("/v1/")) assert.equal(headers.get("cache-control"), "no-store");
  }
  for (const path of ["/v1/log/lock", "/v1/log/1/wal/00000000.wal", "/v1/log/../anchor/vkey", "/v1/log/1/%2e%2e/%2e%2e/anchor/vkey", "/v1/log/reserve"]) {
    assert.equal(await status(path), 404, path);
  }
  assert.equal(await status("/v1/console/summary", "rebound.example"), 403);
  assert.equal(await status("/console", "rebound.example"), 403);
  assert.equal(await status("/v1/console/summary", "localhost"), 200);
  assert.equal((await fetch(`${privet.admin}/v1/console/summary`, { method: "POST" })).status, 405);
});

/** The status of a path as it is written, asked for under a name. */
function status(path, host = "127.0.0.1") {
  const { port } = new URL(privet.admin);
  return new Promise((told, failed) => {
    request({ port, path, headers: { host } }, (response) => told(response.resume().statusCode)).on("error", failed).end();
  });
}

test("with a token the page asks for it, refuses another, and keeps it in the tab alone", async () => {
  const token = "an auditor's token, long enough";
  const guarded = await Privet.start(collector.origin, ["segment"], async (at) => {
    await writeFile(at("token"), `${token}\n`, { mode: 0o600 });
    return { console: { token_file: at("token") } };
  });
  try {
    assert.equal((await fetch(`${guarded.admin}/v1/console/summary`)).status, 401);
    seen.expected = /401/;
    const page = await seen.page("flow", { at: guarded.admin });
    await page.getByLabel("Token").fill("somebody else's token");
    await page.getByRole("button", { name: "Open" }).click();
    await page.getByText("This is not the token").waitFor();
    await seen.look(page, "token");
    await page.getByLabel("Token").fill(token);
    await page.getByRole("button", { name: "Open" }).click();
    await page.getByText("Nothing came in yet").waitFor();
    await page.locator("nav a", { hasText: "Verify" }).click();
    await verify(page);
    await page.locator(".outcome.good").waitFor();
    assert.deepEqual(await page.evaluate(() => [Object.keys(localStorage), sessionStorage.length, document.cookie]), [["privet-theme"], 0, ""]);
    await page.reload();
    await page.getByLabel("Token").waitFor();
    await seen.close(page);
  } finally {
    seen.expected = undefined;
    await guarded.remove();
  }
});

test("nothing that the console answered has a value from an event, and no request left it", async () => {
  assert.ok(seen.answers.length > 100);
  for (const mark of MARKS) assert.equal(seen.answers.filter((text) => text.includes(mark)).length, 0, mark);
  assert.deepEqual(seen.mistakes, []);
});
