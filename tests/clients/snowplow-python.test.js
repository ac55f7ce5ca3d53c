import { drives } from "./drives.js";
import { python } from "./python.js";
import { snowplow } from "./answers.js";

for (const method of ["post", "get"]) {
  drives(`snowplow-tracker by ${method}`, { format: "snowplow", success: snowplow, send: python("snowplow_events.py", method) });
}
