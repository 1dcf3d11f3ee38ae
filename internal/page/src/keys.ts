// From the secret in a link to the keys of its message. docs/DESIGN.md,
// "End-to-end encryption", is the specification; internal/link does the same in
// Go, and both are held to internal/link/testdata/vectors.json.

import { bech32 } from "@scure/base";
import { type Bytes, concat, toBase64url, utf8 } from "./bytes.ts";

/** The size of the secret in a link, in bytes. */
export const secretSize = 16;

/** PBKDF2 rounds of a passphrase. */
const rounds = 600_000;

export interface Keys {
  /** The age identity, AGE-SECRET-KEY-1…. */
  identity: string;
  /** What an opener shows to the service, in base64url. */
  proof: string;
  /** What the service keeps of the proof: its SHA-256, in base64url. */
  proofHash: string;
}

/** derive returns the keys of a secret and, for links that need one, a passphrase. */
export async function derive(secret: Bytes, passphrase?: string): Promise<Keys> {
  let material = secret;
  if (passphrase !== undefined) {
    const salt = await hkdf(secret, "messaging_api/1 salt");
    material = concat(secret, await stretch(passphrase, salt));
  }
  const scalar = await hkdf(material, "messaging_api/1 identity");
  const proof = await hkdf(material, "messaging_api/1 proof");
  return {
    identity: bech32.encodeFromBytes("AGE-SECRET-KEY-", scalar).toUpperCase(),
    proof: toBase64url(proof),
    proofHash: toBase64url(new Uint8Array(await crypto.subtle.digest("SHA-256", proof))),
  };
}

/** hkdf is HKDF-SHA256 (RFC 5869) with an empty salt, to 32 bytes. */
async function hkdf(material: Bytes, info: string): Promise<Bytes> {
  const key = await crypto.subtle.importKey("raw", material, "HKDF", false, ["deriveBits"]);
  const parameters = { name: "HKDF", hash: "SHA-256", salt: new Uint8Array(0), info: utf8(info) };
  return new Uint8Array(await crypto.subtle.deriveBits(parameters, key, 256));
}

/** stretch makes each guess of a passphrase cost a fifth of a second. */
async function stretch(passphrase: string, salt: Bytes): Promise<Bytes> {
  const bytes = utf8(passphrase.normalize("NFKC"));
  const key = await crypto.subtle.importKey("raw", bytes, "PBKDF2", false, ["deriveBits"]);
  const parameters = { name: "PBKDF2", hash: "SHA-256", salt, iterations: rounds };
  return new Uint8Array(await crypto.subtle.deriveBits(parameters, key, 256));
}
