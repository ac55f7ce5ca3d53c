// A collector that keeps every byte it was sent, and answers as it is told to.

import { once } from "node:events";
import { createServer } from "node:http";
import { gunzipSync, inflateSync } from "node:zlib";

const SUCCESS = { status: 200, headers: { "content-type": "application/json" }, body: '{"success":true}' };
/** Ends the connection in place of an answer. */
export const CLOSE = "close";

export class Collector {
  /** Listens on a free loopback port; answers `success` where nothing else was arranged. */
  static async start(success = SUCCESS) {
    const collector = new Collector();
    collector.success = success;
    collector.requests = [];
    collector.arranged = [];
    await collector.#listen(0);
    collector.origin = `http://127.0.0.1:${collector.port}`;
    return collector;
  }

  async #listen(port) {
    this.server = createServer((request, response) => this.#take(request, response));
    this.server.listen(port, "127.0.0.1");
    await once(this.server, "listening");
    this.port = this.server.address().port;
  }

  /** The next requests get these answers, in this order: `{status, headers}` or `CLOSE`. */
  next(...answers) {
    this.arranged.push(...answers);
  }

  async #take(request, response) {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const head = `${request.method} ${request.url}\n${request.rawHeaders.join("\n")}\n`;
    const body = decoded(request.headers["content-encoding"], Buffer.concat(chunks));
    const answer = this.arranged.shift() ?? this.success;
    const acknowledged = answer !== CLOSE && answer.status < 300;
    this.requests.push({ head, body: body.toString("utf8"), acknowledged });
    if (answer === CLOSE) return response.destroy();
    response.writeHead(answer.status, answer.headers).end(answer.body);
  }

  /** Every event received as Segment's JSON, in order. */
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

  /** Everything received that was answered with success, as one text. */
  acknowledged() {
    return this.requests.filter(({ acknowledged }) => acknowledged).map(({ head, body }) => head + body).join("\n");
  }

  /** Refuses connections until `resume`. */
  async pause() {
    this.server.closeAllConnections();
    this.server.close();
    await once(this.server, "close");
  }

  async resume() {
    await this.#listen(this.port);
  }

  async stop() {
    if (this.server.listening) await this.pause();
  }
}

function decoded(coding, raw) {
  if (coding === "gzip") return gunzipSync(raw);
  if (coding === "deflate") return inflateSync(raw);
  return raw;
}
