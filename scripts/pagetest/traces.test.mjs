// The checks that every journey ends with find what they look for.

import assert from "node:assert/strict";
import { appendFileSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { follow } from "./journey.mjs";

const text = "Zwetschgenkuchen um halb acht 🌾";
const passphrase = "Brombeerhecke-1867";

/** sendAndRead is a journey with all kinds of secrets. It returns the person and the key. */
async function sendAndRead({ meet }) {
  const person = await meet();
  const link = await person.send(text, { passphrase });
  await person.visit(link);
  await person.write("Passphrase", passphrase);
  await person.press("Continue");
  await person.press("Open message");
  assert.equal(await person.message(), text);
  return [person, link.split("#2")[1]];
}

for (const browser of ["Chromium", "Firefox"]) {
  test(`${browser}: what is planted is found`, async (t) => {
    const planted = follow(t, { browser }, async (journey) => {
      const [person, key] = await sendAndRead(journey);
      const { service, profiles } = journey;

      // In the page: each of these would be a fault of its script.
      await person.page.evaluate(async (text, passphrase, key) => {
        const encoded = encodeURIComponent(text);
        const bytes = new TextEncoder().encode(text);
        await fetch("/?" + encoded);
        await fetch("/", { headers: { "X-Planted": passphrase } });
        await fetch("/", { method: "POST", headers: { "Content-Type": "text/plain" }, body: text });
        await fetch("/", { headers: { "X-Planted": btoa(String.fromCharCode(...bytes)) } });
        await fetch("https://127.0.0.2:9/").catch(() => undefined);
        await fetch("/msg/" + key);
        localStorage.setItem("planted", text);
        performance.mark(key);
        history.replaceState({ planted: passphrase }, "");
        console.error("planted");
        setTimeout(() => { throw new Error("thrown"); });
        const image = document.createElement("img");
        image.src = "data:image/gif;base64,R0lGODlhAQABAAAAACw=";
        document.querySelector("main").append(image);
      }, text, passphrase, key);
      await person.page.evaluate(() => new Promise((wake) => setTimeout(wake)));

      // On the disks, in the forms in which programs write texts.
      appendFileSync(join(service.home, "log", "messaging_api.log"), `{"msg":${JSON.stringify(text)}}\n`);
      writeFileSync(join(service.home, "messages.copy"), key);
      writeFileSync(join(process.env.REDIS_HOME, "planted"), `$9\r\n${passphrase}\r\n`);
      t.after(() => writeFileSync(join(process.env.REDIS_HOME, "planted"), ""));
      service.said.push(text);
      mkdirSync(join(profiles[0], "planted"));
      writeFileSync(join(profiles[0], "planted", "form"), Buffer.from(text, "utf16le"));
      writeFileSync(join(profiles[0], "planted", "key"), key);
      writeFileSync(join(profiles[0], "sessionstore-planted.jsonlz4"), packed(`{"value":"${passphrase}"}`));
    });
    const found = await planted.then(() => [], (error) => error.actual ?? [error.stack]);
    for (const want of [
      /a request for .*\?Zwetschgenkuchen.* holds Zwetschgen/, /a request for .* holds Brombeerhecke/,
      /a request holds Zwetschgenkuchen/, /a request holds Brombeerhecke/, /a request holds [\w-]{22}:/,
      /a request to https:\/\/127\.0\.0\.2:9|connect-src/, /console: planted/, /an error: .*thrown/, /axe: image-alt/,
      /the page keeps Zwetschgen/, /the page keeps Brombeerhecke/, /the page keeps [\w-]{22}$/,
      /of the service, log\/messaging_api.log holds Zwetschgen/, /of the service, messages.copy holds [\w-]{22}$/,
      /of Redis, planted holds Brombeerhecke/, /the output holds Zwetschgen/,
      /in the profile, planted\/form holds Zwetschgen/, /in the profile, planted\/key holds [\w-]{22}$/, /in the profile, sessionstore-planted.jsonlz4 holds Brombeerhecke/,
    ]) {
      assert.ok(found.some((fault) => want.test(fault)), `nothing matches ${want}:\n${found.join("\n")}`);
    }
  });
}

/** packed is what Firefox does to its session files, with one literal. */
function packed(text) {
  const bytes = Buffer.from(text);
  const size = Buffer.alloc(4);
  size.writeUInt32LE(bytes.length);
  return Buffer.concat([Buffer.from("mozLz40\0"), size, Buffer.from([0xf0, bytes.length - 15]), bytes]);
}
