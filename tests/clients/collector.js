// A collector that answers as Segment's does, and keeps every byte it was sent.

import { once } from "node:events";
import { createServer } from "node:http";
import { gunzipSync } from "node:zlib";

export class Collector {
  /** Listens on a free loopback port. */
  static async start() {
    const collector = new Collector();
    collector.requests = [];
    collector.server = createServer((request, response) => collector.#take(request, response));
    collector.server.listen(0, "127.0.0.1");
    await once(collector.server, "listening");
    collector.origin = `http://127.0.0.1:${collector.server.address().port}`;
    return collector;
  }

  async #take(request, response) {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const raw = Buffer.concat(chunks);
    const body = request.headers["content-encoding"] === "gzip" ? gunzipSync(raw) : raw;
    const head = `${request.method} ${request.url}\n${request.rawHeaders.join("\n")}\n`;
    this.requests.push({ method: request.method, target: request.url, head, body: body.toString("utf8") });
    response.writeHead(200, { "content-type": "application/json" }).end('{"success":true}');
  }

  /** Every event received, in order. */
  events() {
    return this.requests.flatMap(({ body }) => {
      const parsed = JSON.parse(body);
      return parsed.batch ?? [parsed];
    });
  }

  /** Everything received, as one text. */
  text() {
    return this.requests.map(({ head, body }) => head + body).join("\n");
  }

  async stop() {
    this.server.closeAllConnections();
    this.server.close();
    await once(this.server, "close");
  }
}
