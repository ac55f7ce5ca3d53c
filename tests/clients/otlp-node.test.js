// OpenTelemetry's exporters try again on 429, 502, 503 and 504, and where there is no connection, until their time is up.

import { OTLPLogExporter as JsonExporter } from "@opentelemetry/exporter-logs-otlp-http";
import { OTLPLogExporter as ProtobufExporter } from "@opentelemetry/exporter-logs-otlp-proto";
import { LoggerProvider, SimpleLogRecordProcessor } from "@opentelemetry/sdk-logs";

import { otlp, otlpProtobuf } from "./answers.js";
import { drives } from "./drives.js";
import { marla, page } from "./people.js";

/** Tells for each batch whether the exporter said that it was accepted. */
class Told {
  constructor(exporter, results) {
    Object.assign(this, { exporter, results });
  }

  export(records, done) {
    this.exporter.export(records, (result) => {
      this.results.push([records.map(({ attributes }) => attributes["order.currency"]), result.code === 0]);
      done(result);
    });
  }

  forceFlush() {
    return this.exporter.forceFlush();
  }

  shutdown() {
    return this.exporter.shutdown();
  }
}

const sendBy = (Exporter, compression) => async (origin, marks) => {
  const results = [];
  const exporter = new Told(new Exporter({ url: `${origin}/v1/logs`, compression, timeoutMillis: 30_000 }), results);
  const provider = new LoggerProvider({ processors: [new SimpleLogRecordProcessor({ exporter })] });
  for (const mark of marks) {
    provider.getLogger("shop").emit({
      body: `order placed by ${marla.email}`,
      attributes: {
        "event.name": "order_placed", "order.currency": mark, "consent.analytics": true, "enduser.id": marla.userId,
        "user.email": marla.email, "user.full_name": marla.name, "user.phone": marla.phone, "client.address": marla.ip,
        "session.id": marla.anonymousId, "url.full": page,
      },
    });
  }
  await provider.forceFlush();
  await provider.shutdown();
  return results.filter(([, accepted]) => accepted).flatMap(([marks]) => marks);
};

for (const [name, exporter, compression, success] of [
  ["JSON", JsonExporter, "none", otlp],
  ["JSON, gzip", JsonExporter, "gzip", otlp],
  ["protobuf", ProtobufExporter, "none", otlpProtobuf],
]) {
  drives(`OpenTelemetry's log exporter, ${name}`, { format: "otlp", success, send: sendBy(exporter, compression) });
}
