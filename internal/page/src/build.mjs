// Builds ../page.html: one document with its script and style inlined. Usage: node build.mjs
import { readFileSync, writeFileSync } from "node:fs";
import { build } from "esbuild";

const bundle = async (entry) => {
  const { outputFiles } = await build({
    entryPoints: [entry],
    bundle: true,
    write: false,
    minify: true,
    format: "esm",
    target: "es2022",
    charset: "utf8",
    legalComments: "none",
  });
  return outputFiles[0].text.trim();
};

const script = await bundle("main.ts");
const style = await bundle("page.css");
if (/<\/script|<!--/i.test(script)) throw new Error("the script would end its own element");
const document = readFileSync("page.html", "utf8")
  .replace("/*style*/", () => style)
  .replace("/*script*/", () => script);
writeFileSync("../page.html", document);
