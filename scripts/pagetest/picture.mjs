// Draws README's picture from the real page: writing, the link, reading; light above dark. Usage: node picture.mjs FILE
import { launch, Person } from "./people.mjs";
import { start } from "./service.mjs";

const file = process.argv[2];
const ends = [];
const t = { after: (end) => ends.push(end) };
const text = "The keys are under the third flowerpot from the left.\n\nCome in by the back door, please: the front one creaks.";
const size = { width: 420, height: 910, deviceScaleFactor: 1 };

try {
  const service = await start(t);
  const address = new URL(service.origin).host;
  service.origin = "https://msg.example.org";
  const browser = await launch(t, "Chromium", undefined, [`--host-resolver-rules=MAP msg.example.org ${address}`]);
  const pictures = [];
  for (const scheme of ["light", "dark"]) {
    const person = await Person.meet(browser, service);
    await person.page.setViewport(size);
    await person.page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
    const take = async () => {
      await person.page.evaluate(() => scrollTo(0, 0));
      pictures.push(await person.page.screenshot({ encoding: "base64" }));
    };
    await person.visit(service.origin + "/");
    await person.write("Message", text);
    await person.reads("bytes left");
    await take();
    await person.press("Create link");
    await person.reads("Your link is ready");
    await take();
    await person.visit(await person.link());
    await person.press("Open message");
    await person.message();
    await take();
  }
  // One picture of all six, put together by the browser.
  const { page } = await Person.meet(browser, service);
  await page.setViewport({ width: 3 * size.width, height: 2 * size.height });
  await page.setContent(`<body style="margin:0;display:grid;grid-template-columns:repeat(3,1fr)">${pictures.map((picture) => `<img style="display:block" src="data:image/png;base64,${picture}">`).join("")}`);
  await page.screenshot({ path: file });
} finally {
  for (const end of ends.reverse()) await end();
}
