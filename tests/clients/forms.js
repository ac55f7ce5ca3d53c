// The forms in which a value may hide in a text.

/** `value` as it is, escaped in JSON, URL-encoded, and in base64 and base64url at each of the three offsets. */
export function forms(value) {
  const escaped = [...value].map((c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`).join("");
  const encoded = encodeURIComponent(value);
  const plain = [value, encoded, encoded.toLowerCase(), encodeURIComponent(encoded), escaped, JSON.stringify(value).slice(1, -1)];
  return [...new Set([...plain, ...base64s(value)])];
}

/** The part of `value`'s base64 that does not depend on what stands before and after it. */
function base64s(value) {
  return [0, 1, 2].flatMap((before) => {
    const bytes = Buffer.concat([Buffer.alloc(before), Buffer.from(value, "utf8")]);
    const whole = Math.floor(bytes.length / 3) * 3;
    const text = bytes.subarray(0, whole).toString("base64").slice(before === 0 ? 0 : 4);
    const url = text.replaceAll("+", "-").replaceAll("/", "_");
    // Shorter pieces would be found by chance.
    return text.length >= 8 ? [text, url] : [];
  });
}

/** Which of `values` stand in `text`, in whatever form, as names that are safe to print. */
export function found(values, text) {
  const small = text.toLowerCase();
  return Object.entries(values)
    .filter(([, value]) => forms(value).some((form) => text.includes(form) || small.includes(form.toLowerCase())))
    .map(([name]) => name);
}
