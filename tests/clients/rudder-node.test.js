import RudderAnalytics from "@rudderstack/rudder-sdk-node";

import { rudderstack } from "./answers.js";
import { drives } from "./drives.js";
import { marla, page } from "./people.js";

// Without a handler of errors this SDK ends the whole process when it gives up.
const settings = { flushAt: 1, retryCount: 6, gzip: true, logLevel: "none", errorHandler: () => {} };

async function send(origin, marks) {
  const analytics = new RudderAnalytics("wk_loopback_test", { dataPlaneUrl: origin, ...settings });
  const context = {
    ip: marla.ip, page: { url: page }, traits: { name: marla.name, phone: marla.phone },
    consentManagement: { allowedConsentIds: ["analytics"], deniedConsentIds: [] },
    consent: { categoryPreferences: { Analytics: true } },
  };
  const told = marks.map((mark) => new Promise((resolve) => {
    const properties = { sku: mark, price: 18.99, note: `for ${marla.email}`, via: marla.phone };
    const event = { userId: marla.userId, anonymousId: marla.anonymousId, event: "Product Viewed", properties, context };
    analytics.track(event, (error) => resolve(error ? [] : [mark]));
  }));
  return (await Promise.all(told)).flat();
}

drives("@rudderstack/rudder-sdk-node", { format: "rudderstack", success: rudderstack, send });
