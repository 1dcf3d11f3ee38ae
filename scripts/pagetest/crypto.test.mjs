// The page's encryption next to Go's.

import assert from "node:assert/strict";
import { execFile, execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect } from "node:tls";
import { journey } from "./journey.mjs";
import { ask, post } from "./service.mjs";

const { AGEFILE, KEYS_BUNDLE, MSG, VECTORS } = process.env;

/** age runs Go's age: seal or open, with the key of a link. */
const age = (command, link, input) => execFileSync(AGEFILE, [command, link], { input, maxBuffer: 1 << 24 }).toString();

/** pin is what msg trusts: the SHA-256 of the service's public key. */
function pin({ origin }) {
  const { hostname, port } = new URL(origin);
  return new Promise((resolve, reject) => {
    const socket = connect({ host: hostname, port, rejectUnauthorized: false }, () => {
      const key = socket.getPeerX509Certificate().publicKey.export({ type: "spki", format: "der" });
      socket.destroy();
      resolve("sha256//" + createHash("sha256").update(key).digest("base64"));
    });
    socket.on("error", reject);
  });
}

journey("exchanges links with msg, with and without a passphrase", {}, async ({ service, meet }) => {
  const person = await meet();
  const secret = join(mkdtempSync(join(tmpdir(), "secret-")), "passphrase");
  const env = { PATH: process.env.PATH, HOME: service.home, MSG_SERVER: service.origin, MSG_PIN: await pin(service) };
  const msg = (args, input = "") => new Promise((resolve, reject) => { // without waiting for it: the recorder runs here
    execFile(MSG, args, { env }, (error, stdout) => error ? reject(error) : resolve(stdout)).stdin.end(input);
  });
  const text = "Grüße an 🌾,\r\nzwei Zeilen.";
  for (const passphrase of ["", "Paßwort in 日本"]) {
    writeFileSync(secret, passphrase);
    const flags = passphrase ? ["--passphrase-file", secret] : [];
    const ours = await person.send(text, { passphrase });
    assert.equal(await msg(["read", ...flags, ours]), text.replaceAll("\r\n", "\n"), "msg reads what the page sent");
    const theirs = (await msg(["send", ...flags], text)).trim();
    await person.visit(theirs);
    if (passphrase) {
      await person.write("Passphrase", passphrase);
      await person.press("Continue");
    }
    await person.press("Open message");
    assert.equal(await person.message(), text, "the page reads what msg sent");
  }
});

for (const browser of ["Chromium", "Firefox"]) {
  journey(`${browser}: derives what the vectors say`, { browser, direct: true }, async ({ service, meet }) => {
    const person = await meet();
    await person.visit(service.origin + "/");
    assert.equal(await person.page.evaluate(() => performance.getEntriesByType("navigation")[0].nextHopProtocol), "h2");
    await person.page.evaluate(readFileSync(KEYS_BUNDLE, "utf8"));
    for (const vector of JSON.parse(readFileSync(VECTORS, "utf8"))) {
      const got = await person.page.evaluate(async (fragment, passphrase) => {
        const key = keys.parseKey(fragment);
        const { identity, proof, proofHash } = await keys.derive(key.secret, passphrase);
        return { identity, proof, proof_hash: proofHash };
      }, vector.fragment, vector.passphrase);
      const { identity, proof, proof_hash } = vector;
      assert.deepEqual(got, { identity, proof, proof_hash }, vector.fragment);
    }
  });

  journey(`${browser}: exchanges age files with Go, of every size`, { browser }, async ({ service, meet }) => {
    const person = await meet();
    for (const size of [1, 65_535, 65_536, 65_537, 190_000]) {
      const text = "mulberries".repeat(19_000).slice(0, size);
      const link = await person.send(text, { reads: "" });
      const { message } = JSON.parse((await ask(link.split("#")[0])).body);
      assert.equal(age("open", link, message), text, `Go opens ${size} bytes of the page`);
      const other = await post(service, { message: age("seal", link, text) });
      await person.visit(`${other}#${link.split("#")[1]}`);
      assert.equal(await person.message(), text, `the page opens ${size} bytes of Go`);
    }
  });
}
