// Loads privet-ldp as a page would, and measures it: `node check.mjs FILE.wasm`.
// Ends with 1 where it is larger than 8 KiB, slower than 50,000 randomizations a second, or says anything else than
// the library does.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';

const [KARY, UNARY, PROJECTIVE] = [1, 2, 3];
const file = readFileSync(process.argv[2]);
const module = new WebAssembly.Module(file);

/** Random bytes, asked of the system 16,384 at once: a call costs more than its bytes. Each is given once. */
function pooled() {
    const pool = new Uint8Array(16_384);
    let used = pool.length;
    return (bytes) => {
        if (used + bytes.length > pool.length) {
            crypto.getRandomValues(pool);
            used = 0;
        }
        bytes.set(pool.subarray(used, used + bytes.length));
        pool.fill(0, used, used + bytes.length);
        used += bytes.length;
    };
}

/** A host: `random` fills bytes, `stored` outlives a page, `answers` are randomized one after the other. */
function page({ random = pooled(), stored = { bytes: null }, answers = [] } = {}) {
    const reports = [];
    let keep = true;
    const bytes = (at, length) => new Uint8Array(instance.exports.memory.buffer, at, length);
    const storedBytes = 17 + 16 * 147;
    let next = 0;
    const instance = new WebAssembly.Instance(module, {
        privet: {
            random: (at) => { random(bytes(at, 64)); return 0; },
            load: (at) => { if (!stored.bytes) return 1; bytes(at, storedBytes).set(stored.bytes); return 0; },
            store: (at) => { if (stored.full) return 1; stored.bytes = bytes(at, storedBytes).slice(); return 0; },
            report: (at, length) => { if (keep) reports.push(Buffer.from(bytes(at, length)).toString('latin1')); },
            answer: () => (next < answers.length ? answers[next++] : -1),
        },
    });
    return { ...instance.exports, reports, forget: () => { keep = false; } };
}

/** The bytes that tests/reports.rs draws. */
function counting() {
    let next = 3;
    return (bytes) => bytes.forEach((_, place) => { next = (next * 5 + 113) % 256; bytes[place] = next; });
}

for (const [method, answers, text] of [
    [KARY, 5, 'AQEAAAUASoF8gAA'], [UNARY, 13, 'AQIAAA0ASoF8gAwA'], [PROJECTIVE, 300, 'AQMAASwASoF8gAFG'], [KARY, 70_000, 'AQEBEXAASoF8gADxJg'],
]) {
    const { randomize_each, reports } = page({ random: counting(), answers: [answers - 1] });
    assert.equal(randomize_each(method, answers, 1_250_000_000n), 0);
    assert.deepEqual(reports, [text], 'the page says what the library says');
}

// One permanent response: a page that is opened again sends the same bytes, and pays once.
const stored = { bytes: null };
const visit = (answer, store = stored) => {
    const { respond, reports } = page({ stored: store });
    return [respond(PROJECTIVE, 5000, 1_000_000_000n, 7, answer, 2_000_000_000n), ...reports];
};
const [status, first] = visit(42);
assert.equal(status, 0);
for (let again = 0; again < 20; again++) assert.deepEqual(visit(42), [0, first]);
assert.equal(visit(43)[0], 0);
assert.deepEqual(visit(44), [-3], 'the budget of two is spent');
assert.deepEqual(visit(42), [0, first]);
assert.deepEqual(visit(42, { bytes: null, full: true }), [-2], 'nothing is sent that could not be stored');
assert.deepEqual(visit(42, { bytes: new Uint8Array(2369) }), [-2], 'damaged bytes are no empty ledger');
assert.equal(page().respond(9, 5, 1n, 1, 1, 1n), -1);
assert.equal(page({ random: () => { throw new Error('absent'); } }).reports.length, 0);

console.log(`size: ${file.length} bytes, at most 8,192`);
assert.ok(file.length <= 8192);
const COUNT = 100_000;
for (const [name, method, answers] of [['k-ary, 16', KARY, 16], ['unary, 64', UNARY, 64], ['unary, 1024', UNARY, 1024], ['projective, 65536', PROJECTIVE, 65_536]]) {
    const given = Array.from({ length: COUNT }, (_, person) => person % answers);
    const { randomize_each, forget } = page({ answers: given });
    forget();
    // Time on the processor: what else runs here is not its fault.
    const begun = process.cpuUsage();
    assert.equal(randomize_each(method, answers, 1_000_000_000n), 0);
    const { user, system } = process.cpuUsage(begun);
    const rate = COUNT / (user + system) * 1e6;
    console.log(`${name} answers: ${Math.round(rate).toLocaleString('en')} randomizations a second of processor time`);
    assert.ok(rate >= 50_000, `${name}: below 50,000`);
}
