// WebKit, through Debian's WebKitWebDriver: as much of puppeteer's interface as people need, on top of
// https://www.w3.org/TR/webdriver2/. This protocol tells neither the console nor breaches of the policy.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { request } from "node:http";
import { freePort, until } from "./service.mjs";

const elementKey = "element-6066-11e4-a52e-4f735466cecf"; // W3C WebDriver, section 12.1

/** launchWebKit starts a browser that keeps everything in this directory. */
export async function launchWebKit(t, profile) {
  const port = await freePort();
  const driver = spawn("WebKitWebDriver", [`--port=${port}`], {
    env: { ...process.env, HOME: profile, XDG_DATA_HOME: profile, XDG_CACHE_HOME: profile, XDG_CONFIG_HOME: profile, LANG: "en_US.UTF-8" }, stdio: "ignore",
  });
  const ended = once(driver, "exit");
  t.after(async () => { driver.kill("SIGKILL"); await ended; });
  const call = (method, path, body = {}) => command(port, method, path, body);
  await until("WebKitWebDriver to start", () => call("GET", "/status").then(() => true, () => false));
  const { sessionId } = await call("POST", "/session", { capabilities: { alwaysMatch: {
    acceptInsecureCerts: true,
    "webkitgtk:browserOptions": { binary: process.env.MINIBROWSER, args: ["--automation"] },
  } } });
  const session = (method, path, body) => call(method, `/session/${sessionId}${path}`, body);
  await session("POST", "/timeouts", { script: 120_000, pageLoad: 120_000 });
  return {
    // A window, because the driver does not bring a tab to the front.
    newPage: async () => new Page(session, (await session("POST", "/window/new", { type: "window" })).handle),
    close: async () => { // ends the browser, so that its files are whole
      await session("DELETE", "").catch(() => undefined);
      driver.kill("SIGTERM");
      await ended;
    },
  };
}

class Page {
  constructor(session, handle) {
    this.session = session;
    this.handle = handle;
  }

  on() {}
  exposeFunction() {}
  evaluateOnNewDocument() {}
  setDefaultTimeout() {}

  bringToFront() { return this.session("POST", "/window", { handle: this.handle }); }

  async goto(url) {
    await this.bringToFront();
    await this.session("POST", "/url", { url });
  }

  /** evaluate runs a function with these arguments, or a script, in the page. */
  async evaluate(script, ...values) {
    await this.bringToFront();
    if (typeof script === "string") return this.session("POST", "/execute/sync", { script, args: [] });
    const { error, value } = await this.session("POST", "/execute/async", {
      script: `const [done, ...values] = [...arguments].reverse();
        Promise.resolve().then(() => (${script})(...values.reverse())).then((value) => done({ value }), (error) => done({ error: String(error) }));`,
      args: values.map((value) => value instanceof Element ? { [elementKey]: value.id } : value),
    });
    if (error) throw new Error(error);
    return value;
  }

  async evaluateHandle(script, ...values) {
    const value = await this.evaluate(script, ...values);
    return { asElement: () => value?.[elementKey] ? new Element(this, value[elementKey]) : null };
  }
}

class Element {
  constructor(page, id) {
    this.page = page;
    this.id = id;
  }

  evaluate(script, ...values) { return this.page.evaluate(script, this, ...values); }
  click() { return this.page.session("POST", `/element/${this.id}/click`); }

  select(value) {
    return this.evaluate((element, value) => {
      element.value = value;
      element.dispatchEvent(new Event("input", { bubbles: true }));
    }, value);
  }
}

/** command sends one command, and returns its value. */
function command(port, method, path, body) {
  return new Promise((resolve, reject) => {
    const text = method === "POST" ? JSON.stringify(body) : "";
    const sent = request({ host: "127.0.0.1", port, method, path, headers: { "Content-Length": Buffer.byteLength(text) }, agent: false }, async (answer) => {
      const { value } = JSON.parse((await answer.toArray()).join(""));
      if (answer.statusCode === 200) resolve(value);
      else reject(new Error(`${method} ${path}: ${value.error}: ${value.message}`));
    });
    sent.on("error", reject);
    sent.end(text);
  });
}
