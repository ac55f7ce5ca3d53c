import { snowplow } from "./answers.js";
import { browsing } from "./browser.js";
import { drives } from "./drives.js";

/** Runs on the page. */
function drive({ origin, marks, marla, eventMethod }) {
  const { flushBuffer, newTracker, setUserId, trackPageView, trackSelfDescribingEvent } = window.snowplowBrowserTracking;
  newTracker("sp1", origin, { appId: "store", eventMethod, encodeBase64: true, stateStorageStrategy: "cookieAndLocalStorage" });
  setUserId(marla.userId);
  trackPageView();
  for (const mark of marks) {
    trackSelfDescribingEvent({
      event: {
        schema: "iglu:com.example.store/checkout/jsonschema/1-0-2",
        data: { step: "address", total: 27.5, email: marla.email, consent: { analytics: true } },
      },
      context: [{ schema: "iglu:com.example.store/product/jsonschema/1-0-0", data: { sku: mark, note: `${marla.name}, ${marla.phone}` } }],
    });
  }
  // It keeps what failed for the next time it sends, as it would with the next click.
  setInterval(() => flushBuffer(), 500);
}

const sdk = { directory: "@snowplow/browser-tracker/dist", script: "index.umd.min.js" };
for (const eventMethod of ["post", "get"]) {
  drives(`@snowplow/browser-tracker by ${eventMethod} in Chromium`, {
    format: "snowplow", success: snowplow, send: browsing({ ...sdk, drive, facts: { eventMethod } }),
  });
}
