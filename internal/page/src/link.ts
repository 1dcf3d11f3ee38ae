// Links: where the page is, which message its address names, and the secret in
// the fragment, which browsers never send.

import { type Bytes, fromBase64url, toBase64url } from "./bytes.ts";
import { secretSize } from "./keys.ts";

/** What a link says. */
export interface Link {
  /** The API's root, as a path that ends in "/". */
  root: string;
  /** The id as it stands in the path, or null: the page is for writing. */
  id: string | null;
  key: Key;
}

/** The key in a link's fragment. */
export type Key =
  | { kind: "none" } // a message without encryption
  | { kind: "secret"; secret: Bytes; passphrase: boolean }
  | { kind: "damaged" }; // cut or altered

const marker = "/msg/";

/** glued matches what chat programs put behind a link. */
const glued = /[.,)>\]}"';:!?/\s]+$/;

const uuid4 = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/i;

/** parse reads the address of the page. */
export function parse(location: { pathname: string; hash: string }): Link {
  const at = location.pathname.lastIndexOf(marker);
  if (at < 0) {
    return { root: location.pathname.replace(/[^/]*$/, ""), id: null, key: { kind: "none" } };
  }
  const name = decode(location.pathname.slice(at + marker.length)).replace(glued, "");
  return {
    root: location.pathname.slice(0, at + 1),
    id: uuid4.test(name) ? name.toLowerCase() : "",
    key: parseKey(decode(location.hash.replace(/^#/, ""))),
  };
}

/** parseKey reads a fragment: 1 and a secret, or 2 and a secret that needs a passphrase. */
export function parseKey(fragment: string): Key {
  const text = fragment.replace(glued, "");
  if (text === "") return { kind: "none" };
  const secret = fromBase64url(text.slice(1), secretSize);
  if (secret === null || (text[0] !== "1" && text[0] !== "2")) return { kind: "damaged" };
  return { kind: "secret", secret, passphrase: text[0] === "2" };
}

/** format returns the link of a message. */
export function format(origin: string, root: string, id: string, secret: Bytes, passphrase: boolean): string {
  return `${origin}${root}msg/${id}#${passphrase ? "2" : "1"}${toBase64url(secret)}`;
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
