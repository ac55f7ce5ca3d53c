// Clients written in Python: a script of python/ is given the address and the marks, and prints what was accepted.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const TIMEOUT_MS = 60_000;

/** A `send` for `drives` that runs `script` with `settings`. */
export function python(script, ...settings) {
  const path = fileURLToPath(new URL(`python/${script}`, import.meta.url));
  return async (origin, marks) => {
    const interpreter = process.env.PRIVET_CLIENTS_PYTHON;
    assert.ok(interpreter, "PRIVET_CLIENTS_PYTHON is not set: run `make clients`");
    const run = promisify(execFile)(interpreter, [path, origin, JSON.stringify(marks), ...settings], { timeout: TIMEOUT_MS });
    return JSON.parse((await run).stdout);
  };
}
