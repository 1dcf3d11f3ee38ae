// The real service, started for a test, and requests that are not a browser's.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { request } from "node:https";
import { request as plainRequest } from "node:http";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import * as tls from "node:tls";

/** What scripts/test-page has prepared. */
const { MESSAGING_API, RECORDER_PEM, REDIS_URL, REDIS_PASSWORD_FILE } = process.env;

/** The stores to test with. */
const stores = {
  file: (home) => ["--store", `file:${home}/messages.db`],
  Redis: () => ["--store", REDIS_URL, "--redis-password-file", REDIS_PASSWORD_FILE],
};

/** freePort returns a port of loopback on which nothing listens. */
export async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return port;
}

/** A Redis for one test, which can kill it, launch it again and fill it. */
async function ownRedis(t, home) {
  const port = await freePort();
  let process;
  const redis = {
    flags: ["--store", `redis://127.0.0.1:${port}`],
    launch: async () => {
      process = spawn("redis-server", ["--bind", "127.0.0.1", "--port", port, "--dir", home, "--appendonly", "yes", "--appendfsync", "always", "--save", ""]);
      let said = "";
      process.stdout.on("data", (part) => { said += part; });
      await until("Redis to start", () => said.includes("Ready to accept connections"));
    },
    kill: async () => {
      if (process.exitCode !== null || process.signalCode !== null) return;
      process.kill("SIGKILL");
      await once(process, "exit");
    },
    fill: async () => { // as if other messages took all of it
      const socket = connect(port, "127.0.0.1");
      socket.write("CONFIG SET maxmemory 1\r\n");
      const [answer] = await once(socket, "data");
      socket.destroy();
      if (!answer.includes("+OK")) throw new Error(`Redis: ${answer}`);
    },
  };
  t.after(() => redis.kill());
  await redis.launch();
  return redis;
}

/** Flags that switch off each limit that a journey could meet. */
export const unlimited = ["--limit-create=off", "--limit-read=off", "--limit-bytes=off", "--limit-miss=off", "--limit-read-bytes=off", "--handshakes-per-client=off"];

/** until polls for a condition, and returns what it gave. */
export async function until(what, condition) {
  const deadline = Date.now() + Number(process.env.PATIENCE ?? 120) * 1000;
  for (;;) {
    const result = await condition();
    if (result) return result;
    if (Date.now() > deadline) throw new Error(`waited in vain for ${what}`);
    await new Promise((wake) => setTimeout(wake, 50));
  }
}

/** Where a service listens, by the origin that browsers use. */
const addresses = new Map();

/**
 * start runs the service until the test ends or stop is called. Browsers reach it through a recorder, unless direct
 * is set. said is what it wrote to stdout and stderr, recorded what browsers sent to it.
 */
export async function start(t, { store = "file", flags = unlimited, direct = false } = {}) {
  const home = mkdtempSync(join(tmpdir(), "service-"));
  const redis = store === "own Redis" ? await ownRedis(t, home) : undefined;
  const process = spawn(MESSAGING_API, ["--listen=127.0.0.1:0", "--listen-ops=127.0.0.1:0", "--log-level=debug", `--log-dir=${home}/log`, ...(redis?.flags ?? stores[store](home)), ...flags]);
  const ended = new Promise((resolve) => process.once("exit", resolve));
  const said = [];
  const recorded = [];
  let recorder;
  const service = {
    home, redis, said, recorded,
    stop: async () => {
      process.kill("SIGTERM");
      await ended;
      recorder?.close();
    },
  };
  t.after(async () => {
    process.kill("SIGKILL");
    await ended;
    recorder?.close();
    rmSync(home, { recursive: true });
  });
  let line;
  createInterface(process.stderr).on("line", (text) => said.push(text));
  createInterface(process.stdout).on("line", (text) => {
    said.push(text);
    if (text.includes('"event":"start"')) line = JSON.parse(text);
  });
  await until("the service to start", () => {
    if (process.exitCode !== null) throw new Error(`the service ended:\n${said.join("\n")}`);
    return line;
  });
  const [host, port] = line.address.split(":");
  service.operations = `http://${line.ops_address}`;
  if (!direct) recorder = await record({ host, port }, recorded);
  service.origin = `https://${host}:${recorder?.port ?? port}`;
  addresses.set(service.origin, { host, port });
  return service;
}

/**
 * record listens for browsers, passes all bytes to the service, and keeps what they send, in one buffer for each
 * connection, because no protocol of a browser shows everything that it sends. It speaks HTTP/1.1, where every byte can be read.
 */
function record(service, recorded) {
  const pem = readFileSync(RECORDER_PEM);
  const sockets = new Set();
  const server = tls.createServer({ key: pem, cert: pem, ALPNProtocols: ["http/1.1"] }, (browser) => {
    const upstream = tls.connect({ ...service, rejectUnauthorized: false, ALPNProtocols: ["http/1.1"] });
    const at = recorded.push(Buffer.alloc(0)) - 1;
    browser.on("data", (part) => { recorded[at] = Buffer.concat([recorded[at], part]); });
    browser.pipe(upstream).pipe(browser);
    for (const [socket, other] of [[browser, upstream], [upstream, browser]]) {
      sockets.add(socket);
      socket.on("error", () => other.destroy());
      socket.on("close", () => { sockets.delete(socket); other.destroy(); });
    }
  });
  server.on("tlsClientError", () => undefined); // a browser that asks for the certificate first
  return new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve({
    port: server.address().port,
    close: () => { server.close(); for (const socket of sockets) socket.destroy(); },
  })));
}

/** ask sends a request as a program does, past the recorder, and returns {status, headers, body}. */
export function ask(url, { method = "GET", headers = {}, body } = {}) {
  const { protocol, origin, host } = new URL(url);
  const send = protocol === "https:" ? request : plainRequest;
  return new Promise((resolve, reject) => {
    const sent = send(url, { method, headers: { Host: host, ...headers }, rejectUnauthorized: false, agent: false, ...addresses.get(origin) }, (answer) => {
      const parts = [];
      answer.on("data", (part) => parts.push(part));
      answer.on("error", reject);
      answer.on("end", () => resolve({ status: answer.statusCode, headers: answer.headers, body: Buffer.concat(parts).toString() }));
    });
    sent.on("error", reject);
    sent.end(body);
  });
}

/** post creates a message as a program does, and returns its link. */
export async function post(service, members) {
  const answer = await ask(service.origin + "/", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(members) });
  if (answer.status !== 200) throw new Error(`POST: ${answer.status} ${answer.body}`);
  return JSON.parse(answer.body).url;
}
