// Bundles the page's derivation of keys for the tests, as a script that sets keys. Usage: node bundle.mjs SOURCE OUTPUT
import { createRequire } from "node:module";
import { join } from "node:path";

const [source, output] = process.argv.slice(2);
const { build } = createRequire(join(source, "package.json"))("esbuild");
await build({
  stdin: { contents: 'export { derive } from "./keys.ts"; export { parseKey } from "./link.ts";', resolveDir: source, loader: "ts" },
  bundle: true,
  format: "iife",
  globalName: "keys",
  outfile: output,
});
