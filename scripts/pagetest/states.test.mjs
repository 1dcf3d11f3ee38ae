// How each state of the page looks: in both color schemes, at every width, in every language. PICTURES names a directory for pictures of them.

import assert from "node:assert/strict";
import { test } from "node:test";
import { journey } from "./journey.mjs";
import { ask, post, start } from "./service.mjs";

const languages = ["en", "de", "fr", "es", "ja", "zh"];
const text = "The keys are under the third flowerpot from the left.\n\nCome in by the back door, please: the front one creaks, and the baby sleeps until four.";

/** look checks everything that is promised about how the page looks now. */
async function look(person, name) {
  const { page } = person;
  await page.bringToFront();
  for (const scheme of ["light", "dark"]) {
    await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
    for (const width of scheme === "light" || process.env.PICTURES ? [320, 360, 1280] : [1280]) {
      await page.setViewport({ width, height: 800 });
      await person.fits(`${name}, ${width} px, ${scheme}`);
      if (width !== 320) await person.picture(name, width, scheme);
    }
    await person.check();
  }
  await page.setViewport({ width: 640, height: 400, deviceScaleFactor: 2 }); // a window of 1280 px at 200 %
  await person.fits(`${name}, zoomed`);
  await page.evaluate(() => { document.documentElement.style.fontSize = "200%"; });
  await person.fits(`${name}, with large letters`);
  await person.picture(name, "large", "dark");
  await page.evaluate(() => { document.documentElement.style.fontSize = ""; });
  await page.setViewport({ width: 320, height: 800 });
  for (const language of languages) {
    await page.select("footer select", language);
    assert.equal(await page.evaluate(() => document.documentElement.lang), language);
    await person.fits(`${name}, ${language}`);
    if (process.env.PICTURES) await person.picture(`${name}-${language}`, 320, "dark");
  }
  await page.select("footer select", "en");
  await page.setViewport({ width: 1280, height: 800 });
}

journey("every state of the page fits, in every language, and is accessible", {}, async ({ service, meet }) => {
  const sender = await meet();
  await sender.visit(service.origin + "/");
  await sender.find("textarea", "Message");
  await look(sender, "write-empty");
  await sender.write("Message", text);
  await sender.press("Suggest one");
  await look(sender, "write");
  await sender.write("Message", "flowerpot ".repeat(20_000));
  await sender.reads("bytes too long");
  await look(sender, "write-too-long");

  const link = await sender.send(text, { reads: "5" });
  await look(sender, "sent");
  const reader = await meet();
  await reader.visit(link);
  await reader.reads("It can be opened 5 more times.");
  await look(reader, "offer");
  await reader.press("Open message");
  await reader.message();
  await look(reader, "message");
  const second = await meet(); // the first one's session holds a claim
  await second.visit(link);
  await second.reads("It was opened before");
  await look(second, "offer-opened-before");
  await sender.page.bringToFront();
  await sender.reads("Can be opened 4 more times.");
  await look(sender, "sent-opened");
  await sender.press("Take back");
  await sender.reads("Taken back.");
  await look(sender, "sent-taken-back");
  await second.visit(link);
  await second.reads("The sender took the message back");
  await look(second, "withdrawn");

  const secret = await sender.send(text, { passphrase: "three blind mice" });
  await look(sender, "sent-passphrase");
  await reader.visit(secret);
  await reader.reads("protected it with a passphrase");
  await look(reader, "passphrase");
  await reader.write("Passphrase", "four blind mice");
  await reader.press("Continue");
  await reader.press("Open message");
  await reader.reads("The passphrase is wrong.");
  await look(reader, "passphrase-wrong");
  await reader.write("Passphrase", "three blind mice");
  await reader.press("Continue");
  await reader.message();
  await look(reader, "message-last");
  await reader.press("Delete now");
  await reader.reads("Deleted.");
  await look(reader, "deleted");
  await reader.visit(secret);
  await reader.write("Passphrase", "three blind mice");
  await reader.press("Continue");
  await reader.reads("The message was opened on");
  await look(reader, "opened-by-others");
  await reader.visit(secret.slice(0, -3));
  await reader.reads("The link is incomplete");
  await look(reader, "damaged");
  await reader.visit(service.origin + "/msg/00000000-0000-4000-8000-000000000000");
  await reader.reads("There is no message");
  await look(reader, "gone");
  await reader.visit(await post(service, { message: "plain text from a program, with a_very_long_word_".padEnd(400, "x") }));
  await reader.message();
  await look(reader, "message-plain");

  await sender.visit(service.origin + "/");
  await sender.write("Message", text);
  await sender.page.setOfflineMode(true);
  await sender.press("Create link");
  await sender.reads("cannot be reached");
  await look(sender, "offline");
  await sender.page.setOfflineMode(false);
  await sender.page.setRequestInterception(true);
  sender.page.on("request", (request) => request.method() === "POST" ? request.respond({ status: 401 }) : request.continue());
  await sender.press("Create link");
  await sender.reads("This service asks for an access token");
  await look(sender, "token");
});

journey("waiting for a budget fits, in every language", { flags: ["--limit-create=1/h:1"] }, async ({ service, meet }) => {
  const sender = await meet();
  await post(service, { message: "x" });
  await sender.visit(service.origin + "/");
  await sender.write("Message", text);
  await sender.press("Create link");
  await sender.reads("Too many requests.");
  await look(sender, "limited");
});

journey("without JavaScript the page tells the command", {}, async ({ service, meet }) => {
  const person = await meet();
  await person.page.setJavaScriptEnabled(false);
  await person.visit(service.origin + "/msg/x");
  await person.reads("curl -H 'Accept: text/plain' LINK");
  await person.picture("noscript", 1280, "light");
  // For axe, which is a script: with scripts, <noscript> is not shown.
  await person.page.setJavaScriptEnabled(true);
  await person.page.evaluate(() => {
    const noscript = document.querySelector("noscript");
    noscript.replaceWith(...noscript.childNodes);
  });
});

/** onPaper returns what of these elements is printed. */
const onPaper = (person, elements) => person.page.evaluate((elements) => elements.filter((element) =>
  [...document.querySelectorAll(element)].some((found) => found.checkVisibility())), elements);

journey("on paper there are the link and the message, and no buttons", {}, async ({ meet }) => {
  const person = await meet();
  const link = await person.send(text);
  const print = async (name, want) => {
    await person.page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: "dark" }]);
    await person.page.emulateMediaType("print");
    assert.deepEqual(await onPaper(person, ["textarea", "canvas", "pre", "button", "select", "footer"]), want);
    const ink = await person.page.evaluate(() => getComputedStyle(document.querySelector("h1")).color.match(/\d+/g).map(Number));
    assert.ok(Math.max(...ink) < 100, `printed in rgb(${ink})`);
    await person.picture(name, 1280, "paper");
    assert.ok((await person.page.pdf()).length > 1000);
    await person.page.emulateMediaType("screen");
  };
  await print("print-link", ["textarea", "canvas"]);
  await person.visit(link);
  await person.press("Open message");
  assert.equal(await person.message(), text);
  await print("print-message", ["pre"]);
});

journey("a screen reader hears of a wait once, not each second", { flags: ["--limit-create=20/m:1"] }, async ({ service, meet }) => {
  const person = await meet();
  await post(service, { message: "x" });
  await person.visit(service.origin + "/");
  await person.write("Message", text);
  await person.page.evaluate(() => {
    const region = document.querySelector("form [role=status]");
    window.heard = [];
    window.seen = [];
    new MutationObserver(() => {
      const spoken = region.cloneNode(true);
      for (const hidden of spoken.querySelectorAll("[aria-hidden=true]")) hidden.remove();
      for (const [list, text] of [[window.heard, spoken.textContent], [window.seen, region.lastElementChild?.innerText]]) if (list.at(-1) !== text) list.push(text);
    }).observe(region, { childList: true, characterData: true, subtree: true });
  });
  await person.press("Create link");
  await person.reads("Your link is ready");
  const [heard, seen] = await person.page.evaluate(() => [window.heard, window.seen]);
  assert.match(heard.join("|"), /^Encrypting…\|Too many requests\. The page tries again in \d seconds?\.\|Encrypting…$/);
  assert.ok(seen.length > heard.length, `no figure ticks: ${seen}`);
});

journey("the page speaks the browser's language", {}, async ({ service, meet }) => {
  for (const [accepted, title] of [["de-CH", "Private Nachricht schreiben"], ["pt-BR", "Write a private message"], ["zh-TW", "写"], ["ja", "書"]]) {
    const person = await meet();
    await person.page.evaluateOnNewDocument((accepted) => Object.defineProperty(navigator, "languages", { get: () => [accepted] }), accepted);
    await person.visit(service.origin + "/");
    await person.reads(title);
  }
});

test("programs and previews see what they saw", async (t) => {
  const service = await start(t);
  const link = await post(service, { message: "hello", reads: 1 });
  for (const accept of ["*/*", "application/json", "application/json, text/plain, */*"]) {
    const { headers } = await ask(link, { headers: { Accept: accept } });
    assert.match(headers["content-type"], /^application\/json/);
  }
  const preview = await ask(link, { headers: { Accept: "text/html" } });
  assert.match(preview.body, /<meta property="og:title" content="Private message">/);
  assert.ok(!preview.body.includes(link.split("/").pop()));
  assert.equal(JSON.parse((await ask(link)).body).reads_left, 1);
});
