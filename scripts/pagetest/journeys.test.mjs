// What people do with the page, in a real browser, on the real service.

import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { journey } from "./journey.mjs";
import { Secrets } from "./secrets.mjs";
import { ask, post, unlimited, until } from "./service.mjs";

const text = "Meet me at the old mill, at seven. 🌾";

/** opensOnce is the main journey: write, open in another browser once and only once. */
async function opensOnce({ service, meet, meetElsewhere }) {
  const sender = await meet();
  const link = await sender.send(text);
  assert.match(link, new RegExp(`^${service.origin}/msg/[0-9a-f-]{36}#1[A-Za-z0-9_-]{22}$`));
  await sender.reads("Not opened yet.");

  const reader = await meetElsewhere();
  await reader.visit(link);
  await reader.reads("It can be opened once, and is then deleted.");
  assert.ok(!reader.requests.some(({ method }) => method === "POST"), "opened before anybody asked for it");
  await reader.press("Open message");
  assert.equal(await reader.message(), text);
  assert.equal(await reader.page.evaluate(() => location.hash), "", "the key stays in the address bar");

  const second = await meet();
  await second.visit(link);
  await second.reads("The message was opened on");
  await sender.reads("Opened on");
  await reader.press("Delete now");
  await reader.reads("Deleted.");
}

/** takesPassphrase: a wrong passphrase uses nothing up, the right one opens. */
async function takesPassphrase({ service, meet }) {
  const sender = await meet();
  await sender.visit(service.origin + "/");
  await sender.press("Suggest one");
  const passphrase = await (await sender.find("input", "Passphrase (optional)")).evaluate((element) => element.value);
  assert.match(passphrase, /^([a-z]{4,5}-){5}[a-z]{4,5}$/);
  await sender.write("Message", text);
  await sender.press("Create link");
  await sender.reads("The passphrase is not in the link.");
  const link = await sender.link();
  assert.match(link, /#2[A-Za-z0-9_-]{22}$/);

  const reader = await meet();
  await reader.visit(link);
  await reader.reads("protected it with a passphrase");
  assert.equal(reader.requests.filter(({ url }) => url.includes("/msg/")).length, 1, "something was asked of the service before the passphrase");
  await reader.write("Passphrase", "another passphrase");
  await reader.press("Continue");
  await reader.press("Open message");
  await reader.reads("The passphrase is wrong. Nothing was used up");
  await reader.write("Passphrase", passphrase);
  await reader.press("Continue");
  assert.equal(await reader.message(), text);
}

async function takesBack({ meet }) {
  const sender = await meet();
  const link = await sender.send(text);
  await sender.press("Take back");
  await sender.reads("Taken back. The link no longer works.");
  const reader = await meet();
  await reader.visit(link);
  await reader.reads("The sender took the message back on");

  // While the reader could ask again there is a text to take back; the sender learns that it was read.
  const read = async () => {
    const late = await sender.send(text);
    await reader.visit(late);
    await reader.press("Open message");
    await reader.message();
  };
  await read();
  await sender.press("Take back");
  await sender.reads("Taken back. The link no longer works.");
  await sender.reads("Opened on");

  await read();
  await reader.press("Delete now");
  await reader.reads("Deleted.");
  await sender.press("Take back");
  await sender.reads("There is nothing left to take back.");
}

// With Redis there is no recorder between browser and service: they speak HTTP/2, and Chromium's own protocol tells what it sends.
for (const options of [{ browser: "Chromium" }, { browser: "Chromium", store: "Redis", direct: true }, { browser: "Firefox" }]) {
  const name = [options.browser, options.store ?? "file"].join(", ");
  journey(`${name}: opens once and only once`, options, opensOnce);
  journey(`${name}: takes a passphrase`, options, takesPassphrase);
  journey(`${name}: takes a message back`, options, takesBack);
}

journey("WebKit, file: opens once and only once", { browser: "WebKit" }, opensOnce);

/** each is a journey in Chromium on the embedded store. */
const each = (what, run, flags) => journey(what, { flags }, run);

each("copies the link and the text", async ({ service, meet, browser }) => {
  const sender = await meet();
  await browser.defaultBrowserContext().overridePermissions(service.origin, ["clipboard-read", "clipboard-write", "clipboard-sanitized-write"]);
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
  await sender.write("Message", "");
  await sender.visit(link);
  await sender.press("Open message");
  await sender.press("Copy");
  await sender.reads("Copied");
});

each("saves the text as a file", async ({ service, meet }) => {
  const reader = await meet();
  const downloads = mkdtempSync(join(tmpdir(), "downloads-"));
  const client = await reader.page.createCDPSession();
  await client.send("Browser.setDownloadBehavior", { behavior: "allow", downloadPath: downloads });
  await reader.visit(await post(service, { message: "a\r\nb" }));
  await reader.press("Save");
  const saved = await until("the file", () => {
    try {
      return readFileSync(join(downloads, "message.txt"), "utf8");
    } catch {
      return "";
    }
  });
  assert.equal(saved, "a\r\nb");
});

/** dropAnswers passes requests to open a message, and drops their answers, during a visit. */
async function dropAnswers({ page }, visit) {
  const drop = async (request) => {
    if (request.method() !== "POST") return request.continue();
    const answer = await ask(request.url(), { method: "POST", headers: { "Content-Type": "application/json" }, body: request.postData() });
    assert.equal(answer.status, 200);
    return request.abort("connectionreset");
  };
  await page.setRequestInterception(true);
  page.on("request", drop);
  await visit();
  page.off("request", drop);
  await page.setRequestInterception(false);
}

each("goes on after a dropped answer and a reload", async ({ meet }) => {
  const link = await (await meet()).send(text);
  const reader = await meet();
  await reader.visit(link);
  await dropAnswers(reader, async () => {
    await reader.press("Open message");
    await reader.reads("The service cannot be reached. Nothing was lost.");
  });
  await reader.reload();
  assert.equal(await reader.message(), text);
});

each("goes on after a dropped answer to a message with a passphrase", async ({ meet }) => {
  const passphrase = "seven red balloons";
  const link = await (await meet()).send(text, { passphrase });
  const reader = await meet();
  const enter = async (passphrase) => {
    await reader.write("Passphrase", passphrase);
    await reader.press("Continue");
  };
  await reader.visit(link);
  await enter(passphrase);
  await reader.find("button", "Open message");
  await dropAnswers(reader, async () => {
    await reader.press("Open message");
    await reader.reads("The service cannot be reached. Nothing was lost.");
    await reader.press("Try again");
    await reader.reads("The service cannot be reached. Nothing was lost.");
  });
  // A wrong passphrase does not lose the claim to the answer.
  await reader.reload();
  await enter("six red balloons");
  await reader.reads("The passphrase is wrong.");
  await enter(passphrase);
  assert.equal(await reader.message(), text);
});

each("tells a damaged link before it asks for the message", async ({ service, meet }) => {
  const link = await (await meet()).send(text);
  for (const damaged of [link.slice(0, -1), link.replace("#1", "#3"), link + "A", link.replace(/.$/, (c) => c === "B" ? "C" : "B"), link.replace("#1", "#")]) {
    const reader = await meet();
    await reader.visit(damaged);
    await reader.reads("The link is incomplete or was altered");
    assert.equal(reader.requests.filter(({ url }) => url.includes("/msg/")).length, 1, `something was asked of the service for ${damaged}`);
  }
  const reader = await meet();
  await reader.visit(link.replace(/#(.)./, (_, digit) => `#${digit}${link.split("#1")[1][0] === "A" ? "B" : "A"}`));
  await reader.press("Open message");
  await reader.reads("The key in this link does not fit the message.");
  const keyless = await meet();
  await keyless.visit(link.split("#")[0]);
  await keyless.press("Open message");
  await keyless.reads("this link lacks its key");
  await reader.visit(link.replace("/msg/", "/msg/x"));
  await reader.reads("There is no message at this link.");
  const late = await meet();
  await late.visit(link + ").");
  await late.press("Open message");
  assert.equal(await late.message(), text);
});

each("waits where it asked too often, and goes on by itself", async ({ service, meet }) => {
  const sender = await meet();
  await sender.send(text);
  await sender.press("Write another");
  await sender.write("Message", text);
  await sender.press("Create link");
  await sender.reads("Too many requests. The page tries again in");
  await sender.check();
  await sender.choose("Can be opened", "5");
  assert.ok(await sender.page.evaluate(() => document.querySelector(".primary").disabled), "it can be sent twice");
  await sender.reads("Your link is ready");
}, ["--limit-create=20/m:1"]);

each("tells a person who asks too often for the page", async ({ service, meet }) => {
  const reader = await meet();
  await reader.visit(service.origin + "/");
  await reader.visit(service.origin + "/");
  await reader.reads("Wait a minute, then load this page again.");
}, ["--limit-read=1/h:1"]);

each("keeps the text where the service cannot be reached", async ({ service, meet }) => {
  const sender = await meet();
  await sender.visit(service.origin + "/");
  await sender.write("Message", text);
  await sender.page.setOfflineMode(true);
  await sender.press("Create link");
  await sender.reads("The service cannot be reached. Nothing was lost.");
  await sender.page.setOfflineMode(false);
  await sender.press("Create link");
  await sender.reads("Your link is ready");
});

journey("waits while the store is down, and goes on by itself", { store: "own Redis" }, async ({ service, meet }) => {
  const sender = await meet();
  await sender.visit(service.origin + "/");
  await sender.write("Message", text);
  await service.redis.kill();
  await sender.press("Create link");
  await sender.reads("The service is busy. The page tries again in");
  await sender.check();
  await service.redis.launch();
  await sender.reads("Your link is ready");
  const link = await sender.link();

  const reader = await meet();
  await service.redis.kill();
  await reader.visit(link);
  await reader.reads("The service is busy. The page tries again in");
  await reader.check();
  await service.redis.launch();
  await reader.press("Open message");
  assert.equal(await reader.message(), text);

  const passphrase = "eleven green bottles";
  await reader.visit(await sender.send(text, { passphrase }));
  await reader.write("Passphrase", passphrase);
  await service.redis.kill();
  await reader.press("Continue");
  await reader.reads("The service is busy. The page tries again in");
  await service.redis.launch();
  await reader.press("Open message");
  assert.equal(await reader.message(), text);
});

journey("keeps the text where the store is full", { store: "own Redis" }, async ({ service, meet }) => {
  await service.redis.fill();
  const sender = await meet();
  await sender.visit(service.origin + "/");
  await sender.write("Message", text);
  await sender.press("Create link");
  await sender.reads("The service has no room for new messages. Try again later.");
  assert.equal(await (await sender.find("textarea", "Message")).evaluate((element) => element.value), text);
  await sender.find("button", "Create link");
});

each("tells the sender what became of the message", async ({ service, meet }) => {
  const sender = await meet();
  const link = await sender.send(text);
  assert.equal((await ask(link.split("#")[0].replace(service.origin, service.operations), { method: "DELETE" })).status, 204);
  await meet(); // another tab: the sender comes back to this one
  await sender.reads("The operator of this service removed the message on");
  await sender.press("Write another");
  await sender.find("textarea", "Message");
});

const token = "an-access-token-of-Alice";
const tokens = join(mkdtempSync(join(tmpdir(), "tokens-")), "file");
writeFileSync(tokens, `alice:${token}\n`, { mode: 0o600 });

each("asks for an access token where the service wants one", async ({ service, meet }) => {
  const sender = await meet();
  const typed = async () => (await sender.find("textarea", "Message")).evaluate((element) => element.value);
  await sender.visit(service.origin + "/");
  await sender.write("Message", text);
  await sender.find("input", "Access token"); // the service says that it wants one
  await sender.press("Create link");
  await sender.reads("This service asks for an access token");
  await sender.write("Access token", "another-token-of-Alice");
  await sender.press("Create link");
  await sender.reads("The access token was not accepted.");
  assert.equal(await typed(), text);
  await sender.write("Access token", ` ${token} `);
  await sender.press("Create link");
  await sender.reads("Your link is ready");
  const link = await sender.link();

  // The tab keeps it; another tab does not, and needs none to read.
  await sender.visit(service.origin + "/");
  await sender.write("Message", text);
  assert.equal(await (await sender.find("button", "Create link")).evaluate(() => document.querySelector("[type=password]").checkVisibility()), false);
  await sender.press("Create link");
  await sender.reads("Your link is ready");
  const reader = await meet();
  await reader.visit(link);
  await reader.press("Open message");
  assert.equal(await reader.message(), text);
  await reader.visit(service.origin + "/");
  await reader.find("input", "Access token");

  const secrets = new Secrets();
  secrets.addText(token);
  assert.deepEqual([secrets.inFiles(service.home), secrets.inBytes(Buffer.from(service.said.join("\n")))], [[], []], "the token is in the log or the store");
  assert.equal(await sender.page.evaluate(() => JSON.stringify({ ...localStorage })), "{}");
}, [...unlimited, `--create-token-file=${tokens}`]);

each("tells who may not create messages", async ({ service, meet }) => {
  const sender = await meet();
  await sender.visit(service.origin + "/");
  await sender.write("Message", text);
  await sender.press("Create link");
  await sender.reads("Messages cannot be created from your address.");
}, [...unlimited, "--create-from=192.0.2.0/24"]);

each("shows a message from a program as it is", async ({ service, meet }) => {
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
  }
  await reader.visit(await post(service, { message: "once", reads: 1 }));
  await reader.press("Open message");
  assert.equal(await reader.message(), "once");
  await reader.reload();
  assert.equal(await reader.message(), "once", "after a reload");
});

each("keeps each byte of what it encrypts", async ({ service, meet }) => {
  const sender = await meet();
  for (const strange of ["<script>alert(1)</script>", "a\u0000b", "tab\tline\n\nend\n", "שלום, עולם", "👩‍👩‍👧‍👦 e\u0301", "\ufeffx"]) {
    const message = `${strange} at the beginning and at the end ${strange}`;
    const link = await sender.send(message);
    await sender.visit(link);
    await sender.press("Open message");
    assert.equal(await sender.message(), message);
  }
});

each("opens five times", async ({ service, meet }) => {
  const sender = await meet();
  const link = await sender.send(text, { reads: "5" });
  for (let left = 5; left > 0; left--) {
    const reader = await meet();
    await reader.visit(link);
    await reader.reads(left === 1 ? "It can be opened once, and is then deleted." : `It can be opened ${left} more times.`);
    if (left < 5) await reader.reads("It was opened before");
    await reader.press("Open message");
    assert.equal(await reader.message(), text);
  }
  const late = await meet();
  await late.visit(link);
  await late.reads("and was then deleted. If that was not you");
});

each("opens any number of times", async ({ service, meet }) => {
  const sender = await meet();
  const link = await sender.send(text, { reads: "", passphrase: "ｐａｓｓ ｐｈｒａｓｅ" });
  await sender.reads("It can be opened any number of times.");
  for (const passphrase of ["pass phrase", "ｐａｓｓ ｐｈｒａｓｅ"]) { // the same in NFKC
    const reader = await meet();
    await reader.visit(link);
    await reader.write("Passphrase", passphrase + "x");
    await reader.press("Continue");
    await reader.reads("The passphrase is wrong.");
    await reader.write("Passphrase", passphrase);
    await reader.press("Continue");
    assert.equal(await reader.message(), text);
  }
});

each("tells what has expired, and what the operator removed", async ({ service, meet }) => {
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
  await until("the expiry", async () => (await ask(short.split("#")[0])).status === 404);
  await reader.visit(short);
  await reader.reads("There is no message at this link.");
}, ["--ttl-max=10s"]);

each("takes 190,000 bytes and refuses 200,000 before sending", async ({ service, meet }) => {
  const sender = await meet();
  await sender.visit(service.origin + "/");
  await sender.write("Message", "Pfützenüberquerung ".repeat(10_000));
  await sender.reads("bytes too long");
  assert.ok(await sender.page.evaluate(() => document.querySelector("button.primary").disabled));
  const long = "Pfützenüberquerung".repeat(9_500); // 20 bytes each
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
  const longest = "blackberry".repeat(20_000).slice(0, 190_000 + most);
  const last = await sender.send(longest);
  await sender.visit(last);
  await sender.press("Open message");
  assert.equal((await sender.message()).length, longest.length);
});

each("works with the keyboard alone", async ({ service, meet }) => {
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

each("asks before an unsent text is lost", async ({ service, meet }) => {
  const sender = await meet();
  const asked = [];
  sender.page.on("dialog", (dialog) => asked.push(dialog.type()));
  await sender.visit(service.origin + "/");
  await (await sender.find("textarea", "Message")).type("an unsent text");
  await sender.reload();
  await until("the question", () => asked.includes("beforeunload"));
});

each("works behind a prefix", async ({ service, meet }) => {
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
