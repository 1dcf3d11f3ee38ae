// What is left behind: nothing of the text or the passphrase anywhere, and the key only in the browser's own history and sessions.

import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { launch, Person } from "./people.mjs";
import { find, start } from "./service.mjs";

const text = "Zwetschgenkuchen um halb acht";
const passphrase = "Brombeerhecke-1867";

for (const name of ["Chromium", "Firefox"]) {
  test(`${name}: leaves nothing behind`, async (t) => {
    const service = await start(t);
    const profile = mkdtempSync(join(tmpdir(), "profile-"));
    t.after(() => rmSync(profile, { recursive: true, maxRetries: 5 }));
    const browser = await launch(t, name, profile);
    const person = await Person.meet(t, browser, service, browser.defaultBrowserContext());
    const link = await person.send(text, { passphrase });
    await person.visit(link);
    await person.write("Passphrase", passphrase);
    await person.press("Continue");
    await person.press("Open message");
    assert.equal(await person.message(), text);
    const stored = await person.page.evaluate(() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie, performance.getEntries().map((entry) => entry.entryType === "navigation" ? "" : entry.name)]));
    const key = link.split("#2")[1];
    for (const secret of [text, passphrase, key]) assert.ok(!stored.includes(secret), `the page keeps ${secret}: ${stored}`);
    person.kept(text, passphrase, key);
    await person.check();
    await browser.close();
    await service.stop();
    assert.deepEqual(find(service.home, [text, passphrase, key]), [], "in the store and the log");
    assert.deepEqual(find(profile, [text, passphrase]), [], "in the profile");
    const elsewhere = find(profile, [key]).filter((file) => !/^(Default\/)?(History|Sessions|Session Storage|Favicons|Shortcuts|Top Sites|places\.sqlite|favicons\.sqlite|sessionstore|sessionCheckpoints)|^segmentation_platform\/ukm_db/i.test(file));
    assert.deepEqual(elsewhere, [], "the key outside of history and sessions");
  });
}
