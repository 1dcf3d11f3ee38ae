// People at their browsers: what they see, write and press, and the checks of every page that they see.

import assert from "node:assert/strict";
import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import puppeteer from "puppeteer-core";
import { Secrets } from "./secrets.mjs";
import { until } from "./service.mjs";
import { launchWebKit } from "./webkit.mjs";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

const commands = { Chromium: "/usr/bin/chromium", Firefox: "/usr/bin/firefox-esr" };

/** launch starts a browser. Without a profile it gets a new one that is removed at the end. */
export async function launch(t, name = "Chromium", profile = undefined, args = []) {
  if (name === "WebKit") return Object.assign(await launchWebKit(t, profile), { name });
  const chromium = name === "Chromium";
  const browser = await puppeteer.launch({
    browser: chromium ? "chrome" : "firefox",
    executablePath: commands[name],
    userDataDir: profile,
    acceptInsecureCerts: true,
    protocolTimeout: 300_000,
    timeout: 120_000,
    args: chromium ? ["--no-sandbox", "--lang=en-US", "--disable-dev-shm-usage", ...args] : args,
    extraPrefsFirefox: { "intl.accept_languages": "en-US", "intl.locale.requested": "en-US" },
    env: { ...process.env, LANG: "en_US.UTF-8", LANGUAGE: "en_US" },
  });
  t.after(() => browser.close());
  browser.name = name;
  return browser;
}

/** Console messages that are no fault: a refusal of the service, and features that this browser does not know. */
const harmless = /Failed to load resource|Permissions-Policy header: Unrecognized/;

/** The states in which axe has found nothing: each is checked once in each browser. */
const accessible = new Set();

/** A Person is one tab of a browser. */
export class Person {
  problems = [];
  requests = [];

  /** meet opens a blank tab. What the person types is added to the secrets. */
  static async meet(browser, service, secrets = new Secrets()) {
    const person = new Person();
    Object.assign(person, { browser, service, secrets, page: await browser.newPage(), tellsBodies: browser.name === "Chromium" });
    person.page.setDefaultTimeout(120_000);
    await person.observe();
    return person;
  }

  /** observe notes what is sent, what is typed, and what must not happen: an error, a breach of the policy, a request to elsewhere. */
  async observe() {
    this.page.on("request", (request) => {
      const url = request.url();
      this.requests.push({ method: request.method(), url: url.split("#")[0], headers: request.headers(), body: this.tellsBodies ? request.postData() ?? "" : "" });
      if (!url.startsWith(this.service.origin + "/") && !/^(data:|blob:|about:)/.test(url)) this.problems.push(`a request to ${url}`);
    });
    this.page.on("console", (message) => {
      if (["error", "warn"].includes(message.type()) && !harmless.test(message.text())) this.problems.push(`console: ${message.text()}`);
    });
    this.page.on("pageerror", (error) => this.problems.push(`an error: ${error}`));
    this.page.on("dialog", (dialog) => void dialog.accept());
    await this.page.exposeFunction("noteBreach", (breach) => { this.problems.push(`a breach of the policy: ${breach}`); });
    await this.page.exposeFunction("noteTyped", (texts) => { for (const text of texts) this.secrets.addText(text); });
    await this.page.evaluateOnNewDocument(() => {
      addEventListener("securitypolicyviolation", (event) => window.noteBreach(event.violatedDirective + " " + event.blockedURI));
      addEventListener("submit", ({ target }) => window.noteTyped([...target.querySelectorAll("textarea, input:not([type=password])")].map(({ value }) => value)), true);
    });
  }

  async visit(link) {
    await this.leave();
    this.secrets.addLink(link);
    await this.page.goto("about:blank");
    await this.page.goto(link, { waitUntil: "load" });
  }

  async reload() {
    await this.leave();
    await this.page.reload();
  }

  /** text is what the page says. */
  text() {
    return this.page.evaluate(() => document.querySelector("main")?.innerText ?? "");
  }

  async reads(text) {
    await this.page.bringToFront();
    let last = "";
    await until(`the page to say: ${text}`, async () => {
      last = await this.text().catch(() => ""); // between two documents
      return last.includes(text);
    }).catch((error) => {
      throw new Error(`${error.message}\nIt says: ${last}`);
    });
  }

  /** find returns the visible element of a kind with this text or label, once it is there. */
  find(selector, name = "") {
    return until(`${selector} ${name}`, async () => {
      const handle = await this.page.evaluateHandle((selector, name) => [...document.querySelectorAll(selector)].find((element) => {
        const label = element.matches("button") ? element.innerText.trim() : element.labels?.[0]?.firstElementChild?.innerText ?? "";
        return element.checkVisibility() && !element.disabled && (name === "" || label === name);
      }), selector, name).catch(() => null);
      return handle?.asElement();
    });
  }

  /** press clicks a button, once it no longer moves. */
  async press(name) {
    await this.page.bringToFront();
    await this.find("button", name);
    await this.leave();
    let last = "";
    const button = await until(`the button ${name}`, async () => {
      const found = await this.find("button", name);
      const place = await found.evaluate((element) => JSON.stringify(element.getBoundingClientRect())).catch(() => "");
      if (place !== "" && place === last) return found;
      last = place;
    });
    await button.click();
  }

  /** write fills a field at once, as pasting does. */
  async write(label, text) {
    const field = await this.find("input, textarea", label);
    await field.evaluate((element, text) => {
      element.value = text;
      element.dispatchEvent(new Event("input", { bubbles: true }));
    }, text);
  }

  async choose(label, value) {
    await (await this.find("select", label)).select(value);
  }

  /** send writes a message and returns its link. */
  async send(text, { reads = "1", passphrase = "" } = {}) {
    await this.visit(this.service.origin + "/");
    await this.write("Message", text);
    await this.choose("Can be opened", reads);
    if (passphrase) await this.write("Passphrase (optional)", passphrase);
    await this.press("Create link");
    await this.reads("Your link is ready");
    return this.link();
  }

  async link() {
    const link = await (await this.find("textarea", "Link")).evaluate((element) => element.value);
    this.secrets.addLink(link);
    return link;
  }

  /** message is the text that was opened, as it is in the document. */
  async message() {
    return (await this.find("pre")).evaluate((element) => element.textContent);
  }

  /** check tests what is promised of every state of the page. */
  async check() {
    assert.deepEqual(await this.faults(), []);
  }

  /** leave checks a state before it is left. */
  async leave() {
    if (await this.isBlank()) return;
    await this.noteFields();
    await this.check();
  }

  /** noteFields adds the contents of the page's fields to the secrets. */
  async noteFields() {
    const [typed, links] = await this.page.evaluate(() => ["textarea:not([readonly]), input:not([type=password])", "textarea[readonly]"].map((fields) =>
      [...document.querySelectorAll(fields)].map(({ value }) => value)));
    for (const text of typed) this.secrets.addText(text);
    for (const link of links) this.secrets.addLink(link);
  }

  isBlank() {
    return this.page.evaluate(() => location.protocol === "about:");
  }

  /** faults returns what is wrong with this state, and what went wrong before. */
  async faults() {
    return [...this.problems, ...await this.barriers(), ...await this.stored()];
  }

  /** given returns the requests that hold secrets, if the browser's protocol shows what is sent. */
  given() {
    return this.requests.flatMap((request) => this.secrets.inBytes(Buffer.from(JSON.stringify(request))).map((secret) => `a request for ${request.url} holds ${secret}`));
  }

  /** barriers returns what axe finds. */
  async barriers() {
    const state = this.browser.name + await this.page.evaluate(() => document.documentElement.clientWidth + String(matchMedia("(prefers-color-scheme: dark)").matches) + document.documentElement.lang + document.body.innerHTML);
    const known = state.replace(/[0-9a-f]{8}-[0-9a-f-]{27}#?[\w-]{0,23}|\d+|<svg.*?<\/svg>|<pre.*?<\/pre>/gs, "");
    if (accessible.has(known)) return [];
    await this.page.bringToFront();
    if (!await this.page.evaluate(() => "axe" in window)) await this.page.evaluate(axe);
    const violations = await this.page.evaluate(async () => {
      const { violations } = await axe.run();
      return violations.map(({ id, nodes }) => `axe: ${id}: ${nodes.map(({ html, failureSummary }) => html + " " + failureSummary).join("; ")}`);
    });
    if (violations.length === 0) accessible.add(known);
    return violations;
  }

  /** stored returns what scripts of the page could find of the secrets later. */
  async stored() {
    const [kept, visited] = await this.page.evaluate(async () => {
      const entries = performance.getEntries().map((entry) => ({ ...entry.toJSON(), detail: entry.detail }));
      return [
        [{ ...localStorage }, { ...sessionStorage }, document.cookie, name, document.title, history.state, await indexedDB.databases(), await caches.keys(),
          entries.filter(({ entryType }) => entryType !== "navigation" && entryType !== "long-animation-frame")],
        entries, // those two kinds name the document with the address at which it was visited
      ].map((values) => JSON.stringify(values));
    });
    return [...this.secrets.inBytes(Buffer.from(kept)), ...this.secrets.textsIn(Buffer.from(visited))].map((secret) => `the page keeps ${secret}`);
  }

  /** fits checks that nothing is wider than the window. */
  async fits(what) {
    const wide = await this.page.evaluate(() => {
      const room = document.documentElement.clientWidth;
      const beyond = [...document.querySelectorAll("body *")].filter((element) => {
        const { left, right } = element.getBoundingClientRect();
        return element.checkVisibility() && (right > room + 0.5 || left < -0.5);
      });
      const cut = [...document.querySelectorAll("button, h1, label > span, select")].filter((element) => element.checkVisibility() && element.scrollWidth > element.clientWidth + 1);
      return [...beyond, ...cut].map((element) => `${element.tagName} ${element.innerText ?? ""}`).concat(document.documentElement.scrollWidth > room ? ["the document"] : []);
    });
    assert.deepEqual(wide, [], what);
  }

  async picture(name, width, scheme) {
    const directory = process.env.PICTURES;
    if (!directory) return;
    mkdirSync(directory, { recursive: true });
    await this.page.screenshot({ path: join(directory, `${name}-${width}-${scheme}.png`), fullPage: true });
  }
}
