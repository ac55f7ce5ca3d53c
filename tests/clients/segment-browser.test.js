import { browsing } from "./browser.js";
import { drives } from "./drives.js";

/** Runs on the page. */
async function drive({ origin, marks, marla, batching }) {
  const strategy = batching ? { strategy: "batching", config: { size: 10, timeout: 300 } } : { strategy: "standard" };
  const segment = { apiKey: "wk_loopback_test", apiHost: `${new URL(origin).host}/v1`, protocol: "http", deliveryStrategy: strategy };
  const [analytics] = await window.AnalyticsNext.AnalyticsBrowser.load(
    { writeKey: "wk_loopback_test", cdnSettings: { integrations: { "Segment.io": segment } } },
    { integrations: { "Segment.io": segment } },
  );
  const context = { ip: marla.ip, consent: { categoryPreferences: { Analytics: true } } };
  for (const mark of marks) {
    analytics.track("Product Viewed", { product_id: mark, email: marla.email, name: `for ${marla.email}` }, { context });
  }
  analytics.identify(marla.userId, { name: marla.name, email: marla.email, phone: marla.phone }, { context });
}

const sdk = { directory: "@segment/analytics-next/dist/umd", script: "index.js" };
for (const [how, batching] of [["one event a request", false], ["batching", true]]) {
  drives(`@segment/analytics-next, ${how}, in Chromium`, { format: "segment", send: browsing({ ...sdk, drive, facts: { batching } }) });
}
