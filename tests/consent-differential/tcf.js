// TC strings from the reference encoder, and what the reference decoder says of them.

import { GVL, PurposeRestriction, Segment, TCModel, TCString } from '@iabtcf/core';

import { damaged } from './random.js';

const VENDOR_LAST = 1400;
const PURPOSES = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11];

/** A vendor list of our own: the encoder wants one for restrictions. */
function vendorList(policyVersion) {
  const vendors = {};
  for (let id = 1; id <= VENDOR_LAST; id += 1 + (id % 7 === 0)) {
    const [purposes, legIntPurposes] = [PURPOSES.filter((p) => (id + p) % 2), PURPOSES.filter((p) => p > 1 && !((id + p) % 2))];
    vendors[id] = {
      id, name: `Vendor ${id}`, purposes, legIntPurposes, flexiblePurposes: PURPOSES.slice(1),
      specialPurposes: [], features: [], specialFeatures: [], policyUrl: 'https://vendor.example/', usesCookies: false,
      cookieRefresh: false, usesNonCookieAccess: false, dataRetention: {}, urls: [], dataDeclaration: [],
    };
  }
  const named = (ids) => Object.fromEntries(ids.map((id) => [id, { id, name: `${id}`, description: '', illustrations: [] }]));
  return new GVL({
    gvlSpecificationVersion: 3, vendorListVersion: 7, tcfPolicyVersion: policyVersion, lastUpdated: '2025-01-01T00:00:00Z',
    purposes: named(PURPOSES), specialPurposes: named([1, 2]), features: named([1, 2, 3]), specialFeatures: named([1, 2]),
    stacks: {}, dataCategories: {}, vendors,
  });
}

const LISTS = { 2: vendorList(2), 4: vendorList(4), 5: vendorList(5) };
const OTHER_SEGMENTS = [Segment.VENDORS_DISCLOSED, Segment.VENDORS_ALLOWED, Segment.PUBLISHER_TC];

function encoded(random) {
  const model = new TCModel(LISTS[random.pick([2, 4, 5])]);
  model.cmpId = random.between(2, 4095);
  model.cmpVersion = random.between(0, 4095);
  model.consentScreen = random.between(0, 63);
  model.consentLanguage = random.pick(['EN', 'DE', 'FR', 'EL']);
  model.publisherCountryCode = random.pick(['DE', 'AA', 'ZZ', 'IE']);
  model.isServiceSpecific = random.chance(0.7);
  model.useNonStandardStacks = random.chance(0.5);
  model.purposeOneTreatment = random.chance(0.5);
  for (const id of random.ids(12)) model.specialFeatureOptins.set(id);
  for (const field of ['purposeConsents', 'purposeLegitimateInterests', 'publisherConsents', 'publisherLegitimateInterests']) {
    for (const id of random.ids(24)) model[field].set(id);
  }
  const last = random.pick([10, 60, 300, VENDOR_LAST]);
  for (const field of ['vendorConsents', 'vendorLegitimateInterests', 'vendorsDisclosed', 'vendorsAllowed']) {
    for (const id of random.ids(last)) model[field].set(id);
  }
  model.numCustomPurposes = random.pick([0, 0, 1, 8, 63]);
  for (const field of ['publisherCustomConsents', 'publisherCustomLegitimateInterests']) {
    if (model.numCustomPurposes > 0) for (const id of random.ids(model.numCustomPurposes)) model[field].set(id);
  }
  for (let left = random.pick([0, 0, 1, 5]); left > 0; left--) {
    const restriction = new PurposeRestriction(random.pick(PURPOSES), random.between(0, 2));
    for (const id of random.ids(last)) model.publisherRestrictions.add(id, restriction);
  }
  const moment = new Date(random.between(0, 68719476735) * 100);
  model.created = moment;
  model.lastUpdated = new Date(Math.min(moment.getTime() + random.between(0, 1e9) * 100, 68719476735 * 100));
  return TCString.encode(model, { segments: [Segment.CORE, ...OTHER_SEGMENTS.filter(() => random.chance(0.5))] });
}

const members = (vector) => [...vector].filter(([, set]) => set).map(([id]) => id);

/** What the reference decoder says, in the shape that `privet consent decode` prints; throws where it rejects. */
export function reference(text) {
  const model = TCString.decode(text);
  const restrictions = model.publisherRestrictions.getRestrictions().map((restriction) => ({
    purposeId: restriction.purposeId,
    restrictionType: restriction.restrictionType,
    vendors: model.publisherRestrictions.getVendors(restriction),
  }));
  const { version, created, lastUpdated, cmpId, cmpVersion, consentScreen, consentLanguage, vendorListVersion } = model;
  const { policyVersion, isServiceSpecific, purposeOneTreatment, publisherCountryCode, numCustomPurposes } = model;
  return {
    version, created, lastUpdated, cmpId, cmpVersion, consentScreen, consentLanguage, vendorListVersion, policyVersion,
    isServiceSpecific, purposeOneTreatment, publisherCountryCode,
    specialFeatureOptins: members(model.specialFeatureOptins),
    purposeConsents: members(model.purposeConsents),
    purposeLegitimateInterests: members(model.purposeLegitimateInterests),
    vendorConsents: members(model.vendorConsents),
    vendorLegitimateInterests: members(model.vendorLegitimateInterests),
    vendorConsentsMaxId: model.vendorConsents.maxId,
    vendorLegitimateInterestsMaxId: model.vendorLegitimateInterests.maxId,
    vendorsDisclosed: members(model.vendorsDisclosed),
    vendorsAllowed: members(model.vendorsAllowed),
    publisherConsents: members(model.publisherConsents),
    publisherLegitimateInterests: members(model.publisherLegitimateInterests),
    numCustomPurposes,
    publisherCustomConsents: members(model.publisherCustomConsents),
    publisherCustomLegitimateInterests: members(model.publisherCustomLegitimateInterests),
    publisherRestrictions: restrictions,
  };
}

/** A core segment that is not the first, or comes twice: the reference reads on, privet does not. See docs/decisions. */
export const STRICTER = new Set(['misplaced_core']);

export function generate(random) {
  const text = encoded(random);
  return random.chance(0.3) ? damaged(random, text) : text;
}
