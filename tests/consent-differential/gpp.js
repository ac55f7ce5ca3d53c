// GPP strings from the reference encoder, and what the reference decoder says of them.

import { GppModel, RangeEntry, Sections } from '@iabgpp/cmpapi';

import { damaged } from './random.js';

const NAMES = Sections.SECTION_ORDER;
const CANADA = 'tcfcav1';
/** Fields that the encoder sets by itself. */
const FIXED = /Version$|SegmentType$|^Created$|^LastUpdated$/;

/** A value of a field's own type. */
function value(random, name, field) {
  const kind = field.constructor.name;
  const truths = (count) => Array.from({ length: count }, () => random.chance(0.5));
  switch (kind) {
    case 'EncodableFixedInteger':
      if (field.bitStringLength === 2) return name === 'MspaCoveredTransaction' ? random.between(1, 2) : random.between(0, 2);
      return random.between(0, 2 ** field.bitStringLength - 1);
    case 'EncodableFixedIntegerList':
      return Array.from({ length: field.numElements }, () => random.between(0, 2));
    case 'EncodableBoolean':
      return name === 'IsServiceSpecific' ? true : random.chance(0.5);
    case 'EncodableFixedString':
      return random.pick(['EN', 'DE', 'FR']);
    case 'EncodableFixedBitfield':
      return truths(field.numElements);
    case 'EncodableOptimizedFixedRange':
    case 'EncodableOptimizedFibonacciRange':
      return random.ids(random.pick([10, 60, 300, 1400]));
    case 'EncodableArrayOfFixedIntegerRanges':
    case 'EncodableArrayOfOptimizedFibonacciRanges':
      return Array.from({ length: random.pick([0, 0, 1, 4]) }, () => new RangeEntry(random.between(1, 24), random.between(0, 2), random.ids(200)));
    case 'UnencodableCharacter':
      return random.pick(['Y', 'N', '-']);
    default:
      return undefined;
  }
}

function fill(random, model, name) {
  model.setFieldValue(name, firstField(name), initial(name));
  for (const segment of model.sections.get(name).segments) {
    for (const [field, type] of fieldsOf(segment)) {
      if (FIXED.test(field) || field === 'GpcSegmentIncluded' && random.chance(0.5)) continue;
      const chosen = field.startsWith('NumCustom') ? random.between(0, 63) : value(random, field, type);
      const custom = type.constructor.name === 'EncodableFlexibleBitfield';
      if (custom) model.setFieldValue(name, field, Array.from({ length: type.getLength() }, () => random.chance(0.5)));
      else if (chosen !== undefined) model.setFieldValue(name, field, chosen);
    }
  }
}

const fieldsOf = (segment) => (segment.fields.getAll ? [...segment.fields.getAll()] : [...segment.fields.fields]);
const firstField = (name) => (name === 'uspv1' ? 'Notice' : name.startsWith('tcf') ? 'CmpId' : 'SaleOptOut');
const initial = (name) => (name === 'uspv1' ? 'Y' : 1);

function encoded(random) {
  const model = new GppModel();
  const names = NAMES.filter(() => random.chance(0.12));
  for (const name of names) fill(random, model, name);
  return model.encode();
}

/** Ids that the reference decoder gives in the order written, doubles too. */
const ID_LISTS = ['VendorConsents', 'VendorLegitimateInterests', 'VendorsAllowed', 'VendorsDisclosed', 'ids'];

function ordered(value) {
  if (Array.isArray(value)) return value.map(ordered);
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [
    name, ID_LISTS.includes(name) ? [...new Set(inner)].sort((a, b) => a - b) : ordered(inner),
  ]));
}

/** What the reference decoder says, in the shape that `privet consent decode` prints; throws where it rejects. */
export function reference(text) {
  const model = new GppModel(text);
  return { sectionIds: model.getSectionIds(), sections: ordered(JSON.parse(JSON.stringify(model.toObject()))) };
}

/** Where privet reads no further and the reference guesses on: docs/decisions names each. */
export const STRICTER = new Set(['misplaced_core', 'unknown_version', 'empty']);

/** Damage anywhere but in the header and in Canada's section, where a damaged number keeps the reference busy for hours. */
export function generate(random) {
  const text = encoded(random);
  if (!random.chance(0.3)) return text;
  const parts = text.split('~');
  const ids = new GppModel(text).getSectionIds();
  const open = ids.map((id, at) => [id, at + 1]).filter(([id]) => Sections.SECTION_ID_NAME_MAP.get(id) !== CANADA);
  if (open.length === 0) return text;
  const [, at] = random.pick(open);
  parts[at] = damaged(random, parts[at]);
  return parts.join('~');
}
