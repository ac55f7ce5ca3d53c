// A privet of our own for one test: started on loopback with the shipped policies, stopped by its process id.

import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { cp, mkdir, mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { createServer as createTcpServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const POLICIES = fileURLToPath(new URL("../../policies", import.meta.url));
// Where the shipped policies expect the collector.
const SHIPPED_COLLECTOR = "http://127.0.0.1:8081";
const START_SECS = 30;
const STOP_SECS = 30;

/** The path of a binary, from the environment. */
function binary(variable) {
  const path = process.env[variable];
  assert.ok(path, `${variable} is not set: run \`make clients\``);
  return path;
}

/** A port that was free a moment ago. */
async function freePort() {
  const server = createTcpServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return port;
}

/** Copies the shipped policies, with the collector's address replaced by ours. */
async function policiesFor(collector, directory) {
  await cp(POLICIES, directory, { recursive: true });
  let replaced = 0;
  for (const entry of await readdir(directory, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile() || !/\.ya?ml$/.test(entry.name)) continue;
    const file = join(entry.parentPath ?? entry.path, entry.name);
    const text = await readFile(file, "utf8");
    if (!text.includes(SHIPPED_COLLECTOR)) continue;
    replaced += 1;
    await writeFile(file, text.replaceAll(SHIPPED_COLLECTOR, collector));
  }
  assert.ok(replaced > 0, `no shipped policy names the collector ${SHIPPED_COLLECTOR}`);
}

export class Privet {
  /** Starts privet in front of `collector`, taking `formats`, with more sections of configuration, and waits until it is ready. */
  static async start(collector, formats = ["segment"], more = () => ({})) {
    const privet = new Privet();
    privet.directory = await mkdtemp(join(tmpdir(), "privet-clients-"));
    privet.said = "";
    try {
      await privet.#arrange(collector, formats, more);
      await privet.resume();
    } catch (error) {
      await privet.remove();
      throw error;
    }
    return privet;
  }

  async #arrange(collector, formats, more) {
    const [events, admin, metrics] = [await freePort(), await freePort(), await freePort()];
    this.origin = `http://127.0.0.1:${events}`;
    this.admin = `http://127.0.0.1:${admin}`;
    this.metrics = `http://127.0.0.1:${metrics}`;
    const at = (name) => join(this.directory, name);
    await policiesFor(collector, at("policies"));
    await mkdir(at("keyring"));
    await writeFile(at("keyring/2026-11.key"), `${randomBytes(32).toString("base64")}\n`, { mode: 0o600 });
    // JSON is YAML.
    const config = {
      apiVersion: "privet.dev/v1alpha1",
      kind: "Config",
      listeners: [{ name: "events", address: `127.0.0.1:${events}`, formats }],
      admin: { address: `127.0.0.1:${admin}` },
      metrics: { address: `127.0.0.1:${metrics}` },
      policies: at("policies"),
      keyring: at("keyring"),
      log: { directory: at("log"), anchor_dir: at("anchor"), durability: "sync" },
      exports: { directory: at("exports") },
      // On a busy machine the default of 100 ms may pass, and an event of somebody who is not known then does not leave.
      consent: { timeout_ms: 5_000 },
      drain: { delay_secs: 0, grace_secs: 10 },
      ...(await more(at)),
    };
    await writeFile(at("privet.yaml"), JSON.stringify(config, null, 2));
  }

  /** Starts the process, for the first time or again, and waits until it is ready. */
  async resume() {
    const config = join(this.directory, "privet.yaml");
    this.process = spawn(binary("PRIVET_BIN"), ["run", "--config", config], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    for (const stream of [this.process.stdout, this.process.stderr]) {
      stream.setEncoding("utf8").on("data", (text) => (this.said += text));
    }
    this.ended = once(this.process, "exit");
    await this.#ready();
  }

  async #ready() {
    const deadline = Date.now() + START_SECS * 1000;
    let last = "no answer";
    while (Date.now() < deadline) {
      assert.equal(this.process.exitCode, null, `privet ended before it was ready:\n${this.said}`);
      try {
        const answer = await fetch(`${this.admin}/readyz`, { signal: AbortSignal.timeout(1000) });
        last = `${answer.status} ${await answer.text()}`;
        if (answer.ok) return;
      } catch (error) {
        last = error.message;
      }
      await sleep(50);
    }
    assert.fail(`privet was not ready within ${START_SECS} s, /readyz: ${last}\n${this.said}`);
  }

  /** Asks privet to end, as Kubernetes does, and waits until it has. */
  async stop() {
    this.process.kill("SIGTERM");
    const late = sleep(STOP_SECS * 1000, "late", { ref: false });
    const ended = await Promise.race([this.ended, late]);
    assert.notEqual(ended, "late", `privet did not end within ${STOP_SECS} s of SIGTERM:\n${this.said}`);
    assert.deepEqual(ended, [0, null], `privet ended badly:\n${this.said}`);
  }

  /** What the auditor's tool says about the log, given the key and the checkpoint kept outside of it. */
  async verify(...more) {
    const at = (name) => join(this.directory, name);
    const { stdout } = await promisify(execFile)(binary("PRIVET_AUDIT_BIN"), [
      "verify", at("log"), "--policies", at("policies"), "--key", at("anchor/vkey"), "--anchor", at("anchor/checkpoint"), ...more,
    ]);
    return stdout;
  }

  /** Ends whatever still runs and removes every file. */
  async remove() {
    if (this.process && this.process.exitCode === null && this.process.signalCode === null) {
      this.process.kill("SIGKILL");
      await this.ended;
    }
    await rm(this.directory, { recursive: true, force: true });
  }
}
