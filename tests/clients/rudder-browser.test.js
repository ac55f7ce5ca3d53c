import { rudderstack } from "./answers.js";
import { browsing } from "./browser.js";
import { drives } from "./drives.js";

/** What RudderStack's control plane would say of this source: no destinations in the browser, no reports of its own. */
const source = {
  id: "source-1", name: "shop", writeKey: "wk_loopback_test", enabled: true, workspaceId: "workspace-1",
  config: { statsCollection: { errors: { enabled: false }, metrics: { enabled: false } } },
  connections: [], destinations: [], dataplanes: {},
};
const settings = { path: "/sourceConfig", body: { source, updatedAt: "2026-11-22T00:00:00.000Z" } };

/** Runs on the page. */
function drive({ origin, marks, marla }) {
  const rudderanalytics = new window.rudderanalytics.RudderAnalytics();
  rudderanalytics.load("wk_loopback_test", origin, {
    configUrl: window.location.origin,
    consentManagement: { enabled: true, provider: "custom", allowedConsentIds: ["analytics"], deniedConsentIds: [] },
  });
  rudderanalytics.identify(marla.userId, { name: marla.name, email: marla.email, phone: marla.phone });
  for (const mark of marks) {
    rudderanalytics.track("Product Viewed", { sku: mark, price: 18.99, note: `for ${marla.email}`, via: marla.phone });
  }
}

const sdk = { directory: "@rudderstack/analytics-js/dist/npm/modern/bundled/umd", script: "index.js", settings };
drives("@rudderstack/analytics-js in Chromium", { format: "rudderstack", success: rudderstack, send: browsing({ ...sdk, drive }) });
