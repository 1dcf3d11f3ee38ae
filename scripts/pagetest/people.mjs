// People at their browsers: what they see, write and press, and what is checked of every page meanwhile.

import assert from "node:assert/strict";
import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import puppeteer from "puppeteer-core";
import { until } from "./service.mjs";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

const commands = { Chromium: "/usr/bin/chromium", Firefox: "/usr/bin/firefox-esr" };

/** launch starts a browser. Without a profile it gets a new one that is removed at the end. */
export async function launch(t, name = "Chromium", profile = undefined, args = []) {
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
  browser.chromium = chromium;
  t.after(() => browser.close());
  return browser;
}

/** A Person is one page in one browser's profile. */
export class Person {
  problems = [];
  requests = [];

  /** meet opens a blank page: in a profile of its own unless one is given. */
  static async meet(t, browser, service, profile = undefined) {
    const context = profile ?? await browser.createBrowserContext();
    const person = new Person();
    person.service = service;
    person.context = context;
    person.bodies = browser.chromium; // Firefox's protocol does not tell them
    person.page = await context.newPage();
    person.page.setDefaultTimeout(120_000);
    await person.observe();
    return person;
  }

  /** observe notes what must not happen: a request to elsewhere, an error, a breach of the policy. */
  async observe() {
    this.page.on("request", (request) => {
      const url = request.url();
      this.requests.push({ method: request.method(), url, body: this.bodies ? (request.postData() ?? "") : "" });
      if (!url.startsWith(this.service.origin + "/") && !/^(data:|blob:|about:)/.test(url)) this.problems.push(`a request to ${url}`);
    });
    this.page.on("console", (message) => {
      // A refusal of the service is a failed resource for the browser. And no browser knows all features that others have.
      if (["error", "warn"].includes(message.type()) && !/Failed to load resource|Permissions-Policy header: Unrecognized/.test(message.text())) this.problems.push(`console: ${message.text()}`);
    });
    this.page.on("pageerror", (error) => this.problems.push(`an error: ${error}`));
    this.page.on("dialog", (dialog) => void dialog.accept());
    await this.page.evaluateOnNewDocument(() => {
      window.breaches = [];
      addEventListener("securitypolicyviolation", (event) => window.breaches.push(event.violatedDirective + " " + event.blockedURI));
    });
  }

  async visit(link) {
    await this.page.goto("about:blank");
    await this.page.goto(link, { waitUntil: "load" });
  }

  /** text is what the page says. */
  text() {
    return this.page.evaluate(() => document.querySelector("main").innerText);
  }

  async reads(text) {
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

  /** press clicks a button, once it stands still. */
  async press(name) {
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
    return (await this.find("textarea", "Link")).evaluate((element) => element.value);
  }

  /** message is the text that was opened, as it is in the document. */
  async message() {
    return (await this.find("pre")).evaluate((element) => element.textContent);
  }

  /** check holds the page to what is promised of every state of it. */
  async check() {
    const breaches = await this.page.evaluate(() => window.breaches);
    assert.deepEqual(breaches, [], "breaches of the policy");
    assert.deepEqual(this.problems, []);
    await this.page.evaluate(axe);
    const violations = await this.page.evaluate(async () => {
      const { violations } = await axe.run();
      return violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html, failureSummary }) => html + " " + failureSummary).join("; ")}`);
    });
    assert.deepEqual(violations, [], "what axe finds");
  }

  /** kept checks that no request holds any of the texts. */
  kept(...texts) {
    for (const { method, url, body } of this.requests) {
      for (const text of texts) {
        assert.ok(!url.split("#")[0].includes(text) && !body.includes(text) && !decodeURIComponent(url.split("#")[0]).includes(text), `${method} ${url} holds ${text}`);
      }
    }
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
