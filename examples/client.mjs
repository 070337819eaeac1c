// SPDX-License-Identifier: Apache-2.0
// A client in another language, written from docs/protocol.md: one plate and its mask go in, the alpha comes out.
//
//   npm install zeromq@6
//   node client.mjs plate.1001.exr mask.exr 1001 alpha.1001.exr WIDTH HEIGHT [COLORSPACE]

import { createHash, randomBytes } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Dealer } from "zeromq";

const [plateFile, maskFile, frame, alphaFile, width, height, colorspace] = process.argv.slice(2);
const preamble = Buffer.from([0x4d, 0x41, 0x45, 0x31, 1, 0]);
const secret = () => randomBytes(16).toString("hex");

function connectionFile() {
  if (process.env.MATANYONE_CONNECTION) return process.env.MATANYONE_CONNECTION;
  const runtime = process.env.XDG_RUNTIME_DIR;
  return runtime
    ? join(runtime, "matanyone-engine", "engine.json")
    : join(tmpdir(), `matanyone-engine-${process.getuid()}`, "engine.json");
}

function declare(name, bytes) {
  const checksum = createHash("sha256").update(bytes).digest("hex").slice(0, 16);
  return { name, encoding: "exr", bytes: bytes.length, checksum };
}

class Engine {
  #number = 0;

  constructor(connection) {
    this.connection = connection;
    this.data = new Dealer({ linger: 0 });
    this.control = new Dealer({ linger: 0 });
    this.data.connect(connection.data);
    this.control.connect(connection.control);
  }

  async ask(socket, fields, payloads = {}) {
    const id = ++this.#number;
    const named = Object.entries(payloads);
    const header = { id, ...fields, payloads: named.map(([name, bytes]) => declare(name, bytes)) };
    await socket.send(["", preamble, JSON.stringify(header), ...named.map(([, bytes]) => bytes)]);
    for (;;) {
      const [, , said, ...parts] = await socket.receive();
      const answer = JSON.parse(said.toString());
      if (answer.id !== id) continue; // an event, or late
      if (answer.type === "fault") throw new Error(`${answer.code}: ${answer.message}. ${answer.action}`);
      return { ...answer, parts };
    }
  }

  close() {
    this.data.close();
    this.control.close();
  }
}

const engine = new Engine(JSON.parse(readFileSync(connectionFile(), "utf8")));
const peer = secret();
for (const socket of [engine.control, engine.data])
  await engine.ask(socket, { type: "hello", token: engine.connection.token, peer, client: "client.mjs" });
const { models } = await engine.ask(engine.data, { type: "hello", token: engine.connection.token, peer });
const opened = await engine.ask(engine.data, {
  type: "open",
  nonce: secret(),
  model: models[0],
  size: [Number(width), Number(height)],
  options: { colorspace: colorspace ?? null },
});
const key = { type: "key", session: opened.session, seq: 0, frame: Number(frame) };
const result = await engine.ask(engine.data, key, { plate: readFileSync(plateFile), mask: readFileSync(maskFile) });
writeFileSync(alphaFile, result.parts[0]);
await engine.ask(engine.data, { type: "close", session: opened.session });
console.log(`alpha of frame ${result.frame}: ${alphaFile}`);
engine.close();
