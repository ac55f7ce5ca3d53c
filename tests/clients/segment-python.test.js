import { drives } from "./drives.js";
import { python } from "./python.js";

drives("segment-analytics-python", { format: "segment", send: python("segment_events.py") });
drives("segment-analytics-python, gzip", { format: "segment", send: python("segment_events.py", "gzip") });
