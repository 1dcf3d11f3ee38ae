// What people do with the page, in a real browser, on the real service.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { launch, Person } from "./people.mjs";
import { ask, post, start, stores, until } from "./service.mjs";

const text = "Meet me at the old mill, at seven. 🌾";

/** opensOnce is the main journey: write, copy, open once and only once. */
async function opensOnce(t, name, store) {
  const service = await start(t, store);
  const browser = await launch(t, name);
  const sender = await Person.meet(t, browser, service);
  const link = await sender.send(text);
  assert.match(link, new RegExp(`^${service.origin}/msg/[0-9a-f-]{36}#1[A-Za-z0-9_-]{22}$`));
  await sender.reads("Not opened yet.");
  await sender.check();

  const reader = await Person.meet(t, browser, service);
  await reader.visit(link);
  await reader.reads("It can be opened once, and is then deleted.");
  await reader.check();
  assert.ok(!reader.requests.some(({ method }) => method === "POST"), "opened before anybody asked for it");
  await reader.press("Open message");
  assert.equal(await reader.message(), text);
  await reader.check();
  assert.equal(await reader.page.evaluate(() => location.hash), "", "the key stays in the address bar");

  const second = await Person.meet(t, browser, service);
  await second.visit(link);
  await second.reads("The message was opened on");
  await second.check();
  await sender.page.bringToFront();
  await sender.reads("Opened on");

  await reader.page.bringToFront();
  await reader.press("Delete now");
  await reader.reads("Deleted.");
  await reader.check();
  for (const person of [sender, reader, second]) person.kept(text, link.split("#1")[1]);
}

/** takesPassphrase: a wrong passphrase uses nothing up, the right one opens. */
async function takesPassphrase(t, name, store) {
  const service = await start(t, store);
  const browser = await launch(t, name);
  const sender = await Person.meet(t, browser, service);
  await sender.visit(service.origin + "/");
  await sender.press("Suggest one");
  const passphrase = await (await sender.find("input", "Passphrase (optional)")).evaluate((element) => element.value);
  assert.match(passphrase, /^([a-z]{4,5}-){5}[a-z]{4,5}$/);
  await sender.write("Message", text);
  await sender.press("Create link");
  await sender.reads("The passphrase is not in the link.");
  await sender.check();
  const link = await sender.link();
  assert.match(link, /#2[A-Za-z0-9_-]{22}$/);

  const reader = await Person.meet(t, browser, service);
  await reader.visit(link);
  await reader.reads("protected it with a passphrase");
  await reader.check();
  assert.equal(reader.requests.filter(({ url }) => url.includes("/msg/")).length, 1, "something was asked of the service before the passphrase");
  await reader.write("Passphrase", "wrong");
  await reader.press("Continue");
  await reader.press("Open message");
  await reader.reads("The passphrase is wrong. Nothing was used up");
  await reader.check();
  await reader.write("Passphrase", passphrase);
  await reader.press("Continue");
  assert.equal(await reader.message(), text);
  await reader.check();
  for (const person of [sender, reader]) person.kept(text, passphrase, link.split("#2")[1]);
}

async function takesBack(t, name, store) {
  const service = await start(t, store);
  const browser = await launch(t, name);
  const sender = await Person.meet(t, browser, service);
  const link = await sender.send(text);
  await sender.press("Take back");
  await sender.reads("Taken back. The link no longer works.");
  await sender.check();
  const reader = await Person.meet(t, browser, service);
  await reader.visit(link);
  await reader.reads("The sender took the message back on");
  await reader.check();

  // While the reader could ask again there is a text to take back; the sender learns that it was read.
  const read = async () => {
    const late = await sender.send(text);
    await reader.page.bringToFront();
    await reader.visit(late);
    await reader.press("Open message");
    await reader.message();
  };
  await read();
  await sender.page.bringToFront();
  await sender.press("Take back");
  await sender.reads("Taken back. The link no longer works.");
  await sender.reads("Opened on");
  await sender.check();

  await read();
  await reader.press("Delete now");
  await reader.reads("Deleted.");
  await sender.page.bringToFront();
  await sender.press("Take back");
  await sender.reads("There is nothing left to take back.");
  await sender.check();
}

for (const [name, store] of [["Chromium", "file"], ["Chromium", "Redis"], ["Firefox", "file"]]) {
  test(`${name}, ${store}: opens once and only once`, (t) => opensOnce(t, name, store));
  test(`${name}, ${store}: takes a passphrase`, (t) => takesPassphrase(t, name, store));
  test(`${name}, ${store}: takes a message back`, (t) => takesBack(t, name, store));
}

/** each is a journey in Chromium on the embedded store. */
const each = (what, journey, flags) => test(what, async (t) => {
  const service = await start(t, "file", flags);
  const browser = await launch(t);
  await journey(t, service, (profile) => Person.meet(t, browser, service, profile));
});

each("copies the link and the text", async (_, service, meet) => {
  const sender = await meet();
  await sender.context.overridePermissions(service.origin, ["clipboard-read", "clipboard-write", "clipboard-sanitized-write"]);
  const link = await sender.send(text);
  await sender.press("Copy");
  await sender.reads("Copied");
  await sender.visit(service.origin + "/");
  const field = await sender.find("textarea", "Message");
  await field.focus();
  await sender.page.keyboard.down("Control");
  await sender.page.keyboard.press("KeyV");
  await sender.page.keyboard.up("Control");
  assert.equal(await field.evaluate((element) => element.value), link, "what was copied");
  await sender.visit(link);
  await sender.press("Open message");
  await sender.press("Copy");
  await sender.reads("Copied");
  await sender.check();
});

each("saves the text as a file", async (t, service, meet) => {
  const reader = await meet();
  const client = await reader.page.createCDPSession();
  await client.send("Browser.setDownloadBehavior", { behavior: "allow", downloadPath: service.home, browserContextId: reader.context.id });
  await reader.visit(await post(service, { message: "a\r\nb" }));
  await reader.press("Save");
  const saved = await until("the file", () => {
    try {
      return readFileSync(join(service.home, "message.txt"), "utf8");
    } catch {
      return "";
    }
  });
  assert.equal(saved, "a\r\nb");
});

each("goes on after a dropped answer and a reload", async (_, service, meet) => {
  const link = await (await meet()).send(text);
  const reader = await meet();
  await reader.visit(link);
  await reader.page.setRequestInterception(true);
  const drop = async (request) => {
    if (request.method() !== "POST") return request.continue();
    const answer = await ask(request.url(), { method: "POST", headers: { "Content-Type": "application/json" }, body: request.postData() });
    assert.equal(answer.status, 200);
    return request.abort("connectionreset");
  };
  reader.page.on("request", drop);
  await reader.press("Open message");
  await reader.reads("The service cannot be reached. Nothing was lost.");
  await reader.check();
  reader.page.off("request", drop);
  await reader.page.setRequestInterception(false);
  await reader.page.reload();
  assert.equal(await reader.message(), text);
  await reader.check();
});

each("tells a damaged link before it asks for the message", async (_, service, meet) => {
  const link = await (await meet()).send(text);
  for (const damaged of [link.slice(0, -1), link.replace("#1", "#3"), link + "A", link.replace(/.$/, (c) => c === "B" ? "C" : "B"), link.replace("#1", "#")]) {
    const reader = await meet();
    await reader.visit(damaged);
    await reader.reads("The link is incomplete or was altered");
    await reader.check();
    assert.equal(reader.requests.filter(({ url }) => url.includes("/msg/")).length, 1, `something was asked of the service for ${damaged}`);
  }
  const reader = await meet();
  await reader.visit(link.replace(/#(.)./, (_, digit) => `#${digit}${link.split("#1")[1][0] === "A" ? "B" : "A"}`));
  await reader.press("Open message");
  await reader.reads("The key in this link does not fit the message.");
  await reader.check();
  await reader.visit(link.split("#")[0]);
  await reader.press("Open message");
  await reader.reads("this link lacks its key");
  await reader.visit(link.replace("/msg/", "/msg/x"));
  await reader.reads("There is no message at this link.");
  const late = await meet();
  await late.visit(link + ").");
  await late.press("Open message");
  assert.equal(await late.message(), text);
});

each("waits where it asked too often, and goes on by itself", async (_, service, meet) => {
  const sender = await meet();
  await sender.send(text);
  await sender.press("Write another");
  await sender.write("Message", text);
  await sender.press("Create link");
  await sender.reads("Too many requests. The page tries again in");
  await sender.check();
  await sender.reads("Your link is ready");
}, ["--limit-create=20/m:1"]);

each("keeps the text where the service cannot be reached", async (_, service, meet) => {
  const sender = await meet();
  await sender.visit(service.origin + "/");
  await sender.write("Message", text);
  await sender.page.setOfflineMode(true);
  await sender.press("Create link");
  await sender.reads("The service cannot be reached. Nothing was lost.");
  await sender.check();
  await sender.page.setOfflineMode(false);
  await sender.press("Create link");
  await sender.reads("Your link is ready");
});

each("shows a message from a program as it is", async (_, service, meet) => {
  const reader = await meet();
  const hostile = [
    "<script>document.title = 'hacked'</script>", "<img src=x onerror=\"document.title='hacked'\">", "javascript:document.title='hacked'", "</pre><h1>x</h1>",
    "a\u0000b", "a\r\nb\rc\n", " \t ", "\ufeffx", "שלום, עולם", "e\u0301 👩‍👩‍👧‍👦", "-----BEGIN AGE ENCRYPTED FILE-----x", "A".repeat(250_000),
  ];
  for (const message of hostile) {
    await reader.visit(await post(service, { message }));
    if (message.startsWith("-----BEGIN")) {
      await reader.reads("this link lacks its key");
      continue;
    }
    assert.equal(await reader.message(), message);
    await reader.reads("This message was not encrypted by its sender.");
    assert.equal(await reader.page.title(), "Private message");
    await reader.check();
  }
  await reader.visit(await post(service, { message: "once", reads: 1 }));
  await reader.press("Open message");
  assert.equal(await reader.message(), "once");
  await reader.page.reload();
  assert.equal(await reader.message(), "once", "after a reload");
});

each("keeps each byte of what it encrypts", async (_, service, meet) => {
  const sender = await meet();
  for (const message of ["<script>alert(1)</script>", "a\u0000b", "tab\tline\n\nend\n", "שלום, עולם", "👩‍👩‍👧‍👦 e\u0301", "\ufeffx"]) {
    const link = await sender.send(message);
    await sender.visit(link);
    await sender.press("Open message");
    assert.equal(await sender.message(), message);
  }
  await sender.check();
});

each("opens five times", async (_, service, meet) => {
  const sender = await meet();
  const link = await sender.send(text, { reads: "5" });
  for (let left = 5; left > 0; left--) {
    const reader = await meet();
    await reader.visit(link);
    await reader.reads(left === 1 ? "It can be opened once, and is then deleted." : `It can be opened ${left} more times.`);
    if (left < 5) await reader.reads("It was opened before");
    await reader.press("Open message");
    assert.equal(await reader.message(), text);
    await reader.check();
  }
  const late = await meet();
  await late.visit(link);
  await late.reads("and was then deleted. If that was not you");
  await late.check();
});

each("opens any number of times", async (_, service, meet) => {
  const sender = await meet();
  const link = await sender.send(text, { reads: "", passphrase: "ｐａｓｓ" });
  await sender.reads("It can be opened any number of times.");
  for (const passphrase of ["pass", "ｐａｓｓ"]) { // the same in NFKC
    const reader = await meet();
    await reader.visit(link);
    await reader.write("Passphrase", passphrase + "x");
    await reader.press("Continue");
    await reader.reads("The passphrase is wrong.");
    await reader.write("Passphrase", passphrase);
    await reader.press("Continue");
    assert.equal(await reader.message(), text);
    await reader.check();
  }
});

each("tells what has expired, and what the operator removed", async (_, service, meet) => {
  const sender = await meet();
  await sender.visit(service.origin + "/");
  await sender.find("select", "Delete after");
  await until("the service's limits", () => sender.page.evaluate(() => document.querySelector("select").options.length === 1));
  const short = await sender.send(text);
  const removed = await sender.send(text);
  const taken = await ask(removed.split("#")[0].replace(service.origin, service.operations), { method: "DELETE" });
  assert.equal(taken.status, 204);
  const reader = await meet();
  await reader.visit(removed);
  await reader.reads("The operator of this service removed the message on");
  await reader.check();
  await until("the expiry", async () => (await ask(short.split("#")[0])).status === 404);
  await reader.visit(short);
  await reader.reads("There is no message at this link.");
  await reader.check();
}, ["--ttl-max=10s"]);

each("takes 190,000 bytes and refuses 200,000 before sending", async (_, service, meet) => {
  const sender = await meet();
  await sender.visit(service.origin + "/");
  await sender.write("Message", "é".repeat(100_000));
  await sender.reads("bytes too long");
  assert.ok(await sender.page.evaluate(() => document.querySelector("button.primary").disabled));
  await sender.check();
  const long = "é".repeat(95_000);
  await sender.write("Message", long);
  await sender.reads("bytes left");
  const most = await sender.page.evaluate(() => Number(document.querySelector(".count").innerText.replace(/\D/g, "")));
  await sender.press("Create link");
  await sender.reads("Your link is ready");
  const link = await sender.link();
  await sender.visit(link);
  await sender.press("Open message");
  assert.equal(await sender.message(), long);

  // The counter is right to the byte: the longest text that it allows is not refused.
  const longest = "x".repeat(190_000 + most);
  const last = await sender.send(longest);
  await sender.visit(last);
  await sender.press("Open message");
  assert.equal((await sender.message()).length, longest.length);
});

each("works with the keyboard alone", async (_, service, meet) => {
  const sender = await meet();
  await sender.visit(service.origin + "/");
  await sender.find("textarea", "Message");
  const { keyboard } = sender.page;
  await keyboard.type("by keyboard");
  await keyboard.down("Control");
  await keyboard.press("Enter");
  await keyboard.up("Control");
  await sender.reads("Your link is ready");
  await sender.visit(await sender.link());
  await sender.reads("It can be opened once");
  await keyboard.press("Tab"); // from the heading, so that a screen reader begins there
  await keyboard.press("Enter");
  assert.equal(await sender.message(), "by keyboard");

  // Tab reaches everything that can be used, and leaves the page again.
  await sender.visit(service.origin + "/");
  await sender.find("textarea", "Message");
  const reached = new Set();
  for (let i = 0; i < 12; i++) {
    reached.add(await sender.page.evaluate(() => document.activeElement.tagName + " " + (document.activeElement.innerText || "").split("\n")[0]));
    await keyboard.press("Tab");
  }
  for (const want of ["TEXTAREA ", "SELECT 5 minutes", "SELECT Once", "INPUT ", "BUTTON Suggest one", "BUTTON Create link", "SELECT English"]) {
    assert.ok(reached.has(want), `Tab does not reach ${want}: ${[...reached]}`);
  }
});

each("asks before an unsent text is lost", async (_, service, meet) => {
  const sender = await meet();
  const asked = [];
  sender.page.on("dialog", (dialog) => asked.push(dialog.type()));
  await sender.visit(service.origin + "/");
  await (await sender.find("textarea", "Message")).type("unsent");
  await sender.page.reload();
  await until("the question", () => asked.includes("beforeunload"));
});

each("works behind a prefix", async (_, service, meet) => {
  // A proxy in front would strip the prefix; here the requests are rewritten on their way.
  const reader = await meet();
  await reader.page.setRequestInterception(true);
  reader.page.on("request", async (request) => {
    const answer = await ask(request.url().replace("/notes/", "/").split("#")[0], { method: request.method(), headers: request.headers(), body: request.postData() });
        assert.ok(request.url().startsWith(service.origin + "/notes/"), request.url());
    await request.respond({ status: answer.status, headers: { "Content-Type": answer.headers["content-type"], "Content-Security-Policy": answer.headers["content-security-policy"] }, body: answer.body });
  });
  await reader.visit(service.origin + "/notes/");
  await reader.write("Message", text);
  await reader.press("Create link");
  await reader.reads("Your link is ready");
  const link = await reader.link();
  assert.ok(link.startsWith(service.origin + "/notes/msg/"), link);
  await reader.visit(link);
  await reader.press("Open message");
  assert.equal(await reader.message(), text);
});
