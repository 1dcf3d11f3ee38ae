// A journey: people, their browsers and a service for this journey only. Checks that hold for every journey are here, so that none lacks them.

import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { launch, Person } from "./people.mjs";
import { Secrets } from "./secrets.mjs";
import { start } from "./service.mjs";

/** Where browsers keep the addresses that were visited: links are there, as after any visit. */
const history = /^(Default\/)?(History|Sessions|Favicons|Shortcuts|Top Sites|places\.sqlite|favicons\.sqlite|sessionstore|sessionCheckpoints)|^segmentation_platform\/ukm_db/i;

/** journey is a test. */
export const journey = (what, options, run) => test(what, (t) => follow(t, options, run));

/**
 * follow runs a journey. Then it checks what must not have happened and what must not remain: in the state of each page,
 * in all that the browser has sent, in the store, in the log, in the browsers' profiles.
 */
export async function follow(t, { browser = "Chromium", store = "file", flags, direct = false }, run) {
  const secrets = new Secrets();
  const service = await start(t, { store, flags, direct });
  const [browsers, profiles, people] = [[], [], []];
  const open = async () => {
    const profile = mkdtempSync(join(tmpdir(), "profile-"));
    profiles.push(profile);
    browsers.push(await launch(t, browser, profile));
    t.after(() => rmSync(profile, { recursive: true, force: true, maxRetries: 10, retryDelay: 200 })); // after its browser has ended
    return browsers.at(-1);
  };
  const meetIn = async (which) => {
    people.push(await Person.meet(which, service, secrets));
    return people.at(-1);
  };
  const first = await open();
  await run({
    t, service, secrets, profiles, browser: first,
    meet: () => meetIn(first), // in a new tab
    meetElsewhere: async () => meetIn(await open()), // in another browser
  });

  assert.ok(!direct || secrets.texts.size === 0 || people.every(({ tellsBodies }) => tellsBodies), "nobody has seen what was sent");
  assert.ok(secrets.short.size === 0 || secrets.texts.size > 0, "no text is long enough to search for");
  const found = [];
  for (const person of people) {
    if (await person.isBlank()) continue;
    await person.noteFields();
    found.push(...await person.faults());
  }
  found.push(...people.flatMap((person) => person.given()));
  for (const each of browsers) await each.close();
  await service.stop();
  for (const bytes of service.recorded) found.push(...secrets.inBytes(bytes).map((secret) => `a request holds ${secret}: ${bytes.toString("latin1", 0, 100)}`));
  found.push(...secrets.inBytes(Buffer.from(service.said.join("\n"))).map((secret) => `the output holds ${secret}`));
  found.push(...secrets.inFiles(service.home).map((file) => `of the service, ${file}`));
  found.push(...secrets.inFiles(process.env.REDIS_HOME).map((file) => `of Redis, ${file}`));
  for (const profile of profiles) found.push(...secrets.inFiles(profile, history).map((file) => `in the profile, ${file}`));
  assert.deepEqual(found, []);
}
