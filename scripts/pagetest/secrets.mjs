// What must not be left behind, and the search for it.

import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";

/** The texts (and passphrases) and keys of a journey. */
export class Secrets {
  texts = new Set();
  keys = new Set();
  short = new Set(); // texts that cannot be told from other bytes

  addText(text) {
    if (text !== "") ([...text].length < shortest ? this.short : this.texts).add(text);
  }

  addLink(link) {
    const key = link.split("#")[1]?.slice(1, 23) ?? "";
    if (key.length >= shortest) this.keys.add(key);
  }

  /** inBytes returns which of the texts and keys are in these bytes, whole or in part, in any of the usual forms. */
  inBytes(bytes) { return [...this.textsIn(bytes), ...this.keysIn(bytes)]; }
  textsIn(bytes) { return [...this.texts].filter((text) => held(bytes, text)); }
  keysIn(bytes) { return [...this.keys].filter((key) => held(bytes, key)); }

  /** inFiles returns the files under a directory that hold a secret. A key may be where the browser keeps its history. */
  inFiles(directory, history = /^$/) {
    const found = [];
    for (const entry of readdirSync(directory, { recursive: true })) {
      const path = join(directory, entry);
      if (!statSync(path, { throwIfNoEntry: false })?.isFile()) continue;
      const bytes = unpacked(readFileSync(path));
      const secrets = history.test(entry) ? this.textsIn(bytes) : this.inBytes(bytes);
      found.push(...secrets.map((secret) => `${entry} holds ${secret.slice(0, 80)}`));
    }
    return found;
  }
}

/** The code points that are searched for, and the fewest that a text needs. */
const longest = 20;
const shortest = 8;

const held = (bytes, text) => forms(text).some((form) => bytes.includes(form));

/** A leak may be a part of a text: its beginning and its end are searched for. */
const formsOf = new Map();
function forms(text) {
  if (!formsOf.has(text)) {
    const points = [...text];
    const pieces = [points.slice(0, longest).join(""), points.slice(-longest).join("")];
    formsOf.set(text, unique(pieces.flatMap((piece) => unique([piece, piece.normalize("NFKC")]).flatMap(formsOfPiece))));
  }
  return formsOf.get(text);
}

function formsOfPiece(piece) {
  const utf8 = Buffer.from(piece);
  const percent = encodeURIComponent(piece);
  const base64 = [0, 1, 2].map((shift) => Buffer.concat([Buffer.alloc(shift), utf8]).toString("base64")
    .slice(Math.ceil(shift * 8 / 6), Math.floor((shift + utf8.length) * 8 / 6)));
  return [utf8, Buffer.from(piece, "utf16le"),
    ...[JSON.stringify(piece).slice(1, -1), percent, percent.replaceAll("%20", "+"), ...base64, ...base64.map((b) => b.replaceAll("+", "-").replaceAll("/", "_"))].map((form) => Buffer.from(form))];
}

function unique(values) {
  return [...new Map(values.map((value) => [typeof value === "string" ? value : value.toString("latin1"), value])).values()];
}

/** unpacked undoes what Firefox does to its session files: "mozLz40", the size, and one LZ4 block (lz4_Block_format.md). */
function unpacked(bytes) {
  if (bytes.toString("latin1", 0, 8) !== "mozLz40\0") return bytes;
  const out = Buffer.alloc(bytes.readUInt32LE(8));
  let [from, to] = [12, 0];
  const length = (nibble) => {
    let sum = nibble;
    if (nibble === 15) do sum += bytes[from]; while (bytes[from++] === 255);
    return sum;
  };
  for (;;) {
    const token = bytes[from++];
    const literals = length(token >> 4);
    bytes.copy(out, to, from, from + literals);
    from += literals;
    to += literals;
    if (from >= bytes.length) return out;
    const distance = bytes.readUInt16LE(from);
    from += 2;
    for (let left = length(token & 15) + 4; left > 0; left--, to++) out[to] = out[to - distance];
  }
}
