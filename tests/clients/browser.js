// Headless Chromium on a page of our own: a shop's page, whose address alone tells who is looking at it.

import assert from "node:assert/strict";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { setTimeout as sleep } from "node:timers/promises";

import { chromium } from "playwright-core";

import { forms } from "./forms.js";
import { marla } from "./people.js";

const MODULES = fileURLToPath(new URL("node_modules", import.meta.url));
const DONE_SECS = 45;

/** Serves `directory` of an npm package, `settings` as JSON, and for everything else a page that loads `script`. */
async function serve({ directory, script, settings }) {
  const server = createServer(async ({ url }, response) => {
    if (settings && url.startsWith(settings.path)) {
      return response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(settings.body));
    }
    const name = basename(new URL(url, "http://page").pathname);
    const file = name.endsWith("js") && (await readFile(join(MODULES, directory, name)).catch(() => undefined));
    const type = file ? "text/javascript" : "text/html";
    const html = `<!doctype html><title>Kettles for ${marla.name}</title><script src="/${script}"></script>`;
    response.writeHead(200, { "content-type": type }).end(file || html);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return server;
}

/**
 * A `send` for `drives` that has `drive` use an SDK on a page, which `served` describes.
 *
 * `drive({ origin, marks, marla, ...facts })` runs on the page. Accepted is what the browser itself saw answered with success;
 * the page stays open until that is all of it.
 */
export function browsing({ drive, facts = {}, ...served }) {
  return async (origin, marks) => {
    const server = await serve(served);
    // As root, as in most containers, Chromium has no sandbox to offer; the only page it opens is ours.
    const browser = await chromium.launch({ executablePath: process.env.PRIVET_CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox"] });
    try {
      const page = await browser.newPage();
      const mistakes = [];
      page.on("pageerror", (error) => mistakes.push(error.message));
      const accepted = acceptedOn(page, origin, marks);
      await page.goto(`http://127.0.0.1:${server.address().port}/item?email=${encodeURIComponent(marla.email)}`);
      await page.evaluate(drive, { origin, marks, marla, ...facts });
      for (let waited = 0; accepted.size < marks.length && waited < DONE_SECS * 10; waited += 1) await sleep(100);
      assert.deepEqual(mistakes, []);
      return [...accepted];
    } finally {
      await browser.close();
      server.close();
    }
  };
}

/** The marks in requests to `origin` that were answered with success, as they come. */
function acceptedOn(page, origin, marks) {
  const accepted = new Set();
  page.on("response", (response) => {
    const request = response.request();
    if (!request.url().startsWith(origin) || !response.ok()) return;
    const sent = request.url() + (request.postData() ?? "");
    marks.filter((mark) => forms(mark).some((form) => sent.includes(form))).forEach((mark) => accepted.add(mark));
  });
  return accepted;
}
