// `node compare.js tcf|gpp COUNT [SEED]`: as many strings through the reference decoder and through `privet consent decode
// --lines` ($PRIVET_BIN), compared field by field. Prints the counts; ends with 1 at any difference, showing the first.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { isDeepStrictEqual } from 'node:util';

import { Random } from './random.js';

const [kind, count, seed = '1'] = process.argv.slice(2);
const { generate, reference, STRICTER } = await import(`./${kind}.js`);
const random = new Random(Number(seed));
const privet = spawn(process.env.PRIVET_BIN, ['consent', 'decode', '--lines'], { stdio: ['pipe', 'pipe', 'inherit'] });
const answers = createInterface({ input: privet.stdout })[Symbol.asyncIterator]();
const counts = { decoded: 0, rejected: 0, stricter: 0 };

function differs(theirs, ours) {
  if (theirs === undefined) return ours.decoded === undefined ? void counts.rejected++ : 'the reference rejects it';
  if (ours.decoded === undefined) return STRICTER.has(ours.code) ? void counts.stricter++ : `privet rejects it: ${ours.code}`;
  counts.decoded++;
  if (isDeepStrictEqual(theirs, ours.decoded)) return undefined;
  return `they differ: ${JSON.stringify({ theirs, ours: ours.decoded }, null, 1)}`;
}

for (let number = 0; number < Number(count); number++) {
  const text = generate(random);
  let theirs;
  try {
    theirs = JSON.parse(JSON.stringify(reference(text)));
  } catch {
    theirs = undefined;
  }
  if (!privet.stdin.write(`${JSON.stringify({ [kind]: text })}\n`)) await once(privet.stdin, 'drain');
  const ours = JSON.parse((await answers.next()).value);
  const difference = differs(theirs, ours);
  if (difference) {
    console.error(`string ${number} of seed ${seed}, ${text}: ${difference}`);
    privet.kill();
    process.exit(1);
  }
}
privet.stdin.end();
await once(privet, 'exit');
console.log(`${kind}: ${count} strings of seed ${seed}:`, counts);
