// The real service, started for a test, and requests that are not a browser's.

import { spawn } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { request } from "node:https";
import { request as plainRequest } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

/** What scripts/test-page has prepared. */
const { MESSAGING_API, REDIS_URL, REDIS_PASSWORD_FILE } = process.env;

/** The stores to test with. */
export const stores = {
  file: (home) => ["--store", `file:${home}/messages.db`],
  Redis: () => ["--store", REDIS_URL, "--redis-password-file", REDIS_PASSWORD_FILE],
};

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

/** start runs the service until stop is called. Without flags nothing is limited that a journey could meet. */
export async function start(t, store = "file", flags = ["--limit-create=off", "--limit-read=off", "--limit-bytes=off", "--limit-miss=off", "--limit-read-bytes=off", "--handshakes-per-client=off"]) {
  const home = mkdtempSync(join(tmpdir(), "pagetest-"));
  const process = spawn(MESSAGING_API, ["--listen=127.0.0.1:0", "--listen-ops=127.0.0.1:0", "--log-level=debug", `--log-dir=${home}/log`, ...stores[store](home), ...flags],
    { stdio: ["ignore", "pipe", "inherit"] });
  const ended = new Promise((resolve) => process.once("exit", resolve));
  t.after(async () => {
    process.kill("SIGKILL");
    await ended;
    rmSync(home, { recursive: true });
  });
  let line;
  createInterface(process.stdout).on("line", (text) => {
    if (text.includes('"event":"start"')) line = JSON.parse(text);
  });
  await until("the service to start", () => line);
  return {
    home,
    origin: `https://${line.address}`,
    operations: `http://${line.ops_address}`,
    stop: async () => { process.kill("SIGTERM"); await ended; },
  };
}

/** ask sends a request as a program does, and returns {status, headers, body}. */
export function ask(url, { method = "GET", headers = {}, body } = {}) {
  const send = url.startsWith("https:") ? request : plainRequest;
  return new Promise((resolve, reject) => {
    const sent = send(url, { method, headers, rejectUnauthorized: false, agent: false }, (answer) => {
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

/** find returns the files under a directory that hold one of the texts, in UTF-8 or UTF-16. */
export function find(directory, texts) {
  const found = [];
  for (const entry of readdirSync(directory, { recursive: true })) {
    const path = join(directory, entry);
    if (!statSync(path, { throwIfNoEntry: false })?.isFile()) continue;
    const bytes = readFileSync(path);
    for (const text of texts) {
      if (bytes.includes(text) || bytes.includes(Buffer.from(text, "utf16le"))) found.push(`${entry}: ${text}`);
    }
  }
  return found;
}
