// Bytes and their two text forms: UTF-8 and strict base64url.

const encoder = new TextEncoder();

export const utf8 = (text: string): Uint8Array<ArrayBuffer> => encoder.encode(text);

/** A byte array that WebCrypto takes: it is never backed by shared memory. */
export type Bytes = Uint8Array<ArrayBuffer>;

export function concat(...parts: Bytes[]): Bytes {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

/** toBase64url writes bytes as base64url without padding (RFC 4648, section 5). */
export function toBase64url(bytes: Bytes): string {
  const binary = Array.from(bytes, (b) => String.fromCharCode(b)).join("");
  return btoa(binary).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

/**
 * fromBase64url reads what toBase64url wrote for size bytes, or returns null. It
 * is strict: two different texts never mean the same bytes.
 */
export function fromBase64url(text: string, size: number): Bytes | null {
  if (!/^[A-Za-z0-9_-]*$/.test(text)) return null;
  let binary: string;
  try {
    binary = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
  } catch {
    return null;
  }
  const bytes = Uint8Array.from(binary, (c) => c.charCodeAt(0));
  return bytes.length === size && toBase64url(bytes) === text ? bytes : null;
}

export function randomBytes(size: number): Bytes {
  return crypto.getRandomValues(new Uint8Array(size));
}
