// Headless Chromium on the console, with everything noted that a page of ours must never do.

import assert from "node:assert/strict";
import { mkdir, readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";

import { chromium } from "playwright-core";

const AXE = createRequire(import.meta.url).resolve("axe-core/axe.min.js");
const GRAVE = ["serious", "critical"];

export const LAPTOP = { width: 1280, height: 860 };
export const PHONE = { width: 390, height: 844 };

export class Console {
  /** Opens a browser for the console at `origin`; screenshots go to `pictures`. */
  static async open(origin, pictures) {
    const opened = new Console();
    await mkdir(pictures, { recursive: true });
    // As root, as in most containers, Chromium has no sandbox to offer; the only page it opens is ours.
    opened.browser = await chromium.launch({ executablePath: process.env.PRIVET_CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox"] });
    Object.assign(opened, { origin, pictures, mistakes: [], answers: [] });
    return opened;
  }

  /** A page at a view, of a size and in colours. */
  async page(view, { size = LAPTOP, colours = "light", at = this.origin } = {}) {
    const context = await this.browser.newContext({ viewport: size, colorScheme: colours, reducedMotion: "reduce" });
    const page = await context.newPage();
    const note = (what) => this.mistakes.push(`${view}: ${what}`);
    await context.route("**/*", (route) => {
      if (new URL(route.request().url()).origin !== at) note(`a request left for ${route.request().url()}`);
      return route.continue();
    });
    page.on("pageerror", (error) => note(`error: ${error.message}`));
    // A browser says so of every 404, which is how a reader learns that a wider tile has taken a partial one's place.
    const moved = (said) => /status of 404/.test(said.text()) && /\/tile\/.*\.p\//.test(said.location().url);
    page.on("console", (said) => said.type() === "error" && !moved(said) && !this.expected?.test(said.text()) && note(`said: ${said.text()}`));
    page.on("response", async (response) => {
      const text = await response.text().catch(() => "");
      this.answers.push(text);
    });
    await page.addInitScript(() => {
      globalThis.violations = [];
      addEventListener("securitypolicyviolation", (event) => globalThis.violations.push(`${event.violatedDirective} ${event.blockedURI}`));
    });
    await page.goto(`${at}/console#${view}`);
    return page;
  }

  /** Closes a page after it was seen to keep to its policy. */
  async close(page) {
    assert.deepEqual(await page.evaluate(() => globalThis.violations), []);
    await page.context().close();
  }

  /** Keeps a picture, and has axe-core look for what keeps people out. */
  async look(page, name) {
    await page.screenshot({ path: join(this.pictures, `${name}.png`), fullPage: true });
    await page.evaluate(await readFile(AXE, "utf8"));
    const { violations } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ["violations"] }));
    const grave = violations.filter(({ impact }) => GRAVE.includes(impact));
    assert.deepEqual(grave.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).slice(0, 3).join(" ")}`), [], name);
    const [wide, screen] = await page.evaluate(() => [document.documentElement.scrollWidth, document.documentElement.clientWidth]);
    assert.ok(wide <= screen, `${name}: the page is ${wide} px wide, and the screen ${screen}`);
  }

  async end() {
    await this.browser.close();
  }
}
