import { Analytics } from "@segment/analytics-node";

import { drives } from "./drives.js";
import { marla, page } from "./people.js";

async function send(origin, marks) {
  const analytics = new Analytics({ writeKey: "wk_loopback_test", host: origin, maxRetries: 5, flushAt: 20, flushInterval: 100 });
  const context = { ip: marla.ip, page: { url: page }, traits: { name: marla.name, phone: marla.phone }, consent: { categoryPreferences: { Analytics: true } } };
  const told = marks.map((mark) => new Promise((resolve) => {
    const event = {
      userId: marla.userId, anonymousId: marla.anonymousId, event: "Product Viewed", context,
      properties: { product_id: mark, email: marla.email, name: `for ${marla.email}` },
    };
    analytics.track(event, (error) => resolve(error ? [] : [mark]));
  }));
  await analytics.closeAndFlush({ timeout: 60_000 });
  return (await Promise.all(told)).flat();
}

drives("@segment/analytics-node, when all is not well", { format: "segment", send });
