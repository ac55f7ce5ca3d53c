// The search itself: a search that finds nothing anywhere proves nothing.

import assert from "node:assert/strict";
import { test } from "node:test";

import { found } from "./forms.js";

const email = "marla.quillfeather@example.com";

test("a value is found in every form", () => {
  const padded = (before) => Buffer.from(`${"x".repeat(before)}${email}yy`).toString("base64");
  for (const text of [
    `{"e":"${email}"}`,
    email.toUpperCase(),
    `?e=${encodeURIComponent(email)}`,
    `u=${encodeURIComponent(`https://a.example/?e=${encodeURIComponent(email)}`)}`,
    padded(0), padded(1), padded(2),
    Buffer.from(`{"e":"${email}"}`).toString("base64url"),
    [...email].map((c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`).join(""),
  ]) {
    assert.deepEqual(found({ email }, text), ["email"], text);
  }
});

test("another value is not found", () => {
  assert.deepEqual(found({ email }, "odalys.brandreth@example.org"), []);
});
