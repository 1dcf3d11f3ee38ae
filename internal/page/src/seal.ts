// Encryption of a text to an armored age file, and back.

import { armor, Decrypter, Encrypter, identityToRecipient } from "age-encryption";
import { utf8 } from "./bytes.ts";

/** seal encrypts a text so that only the holder of the identity can read it. */
export async function seal(text: string, identity: string): Promise<string> {
  const encrypter = new Encrypter();
  encrypter.addRecipient(await identityToRecipient(identity));
  return armor.encode(await encrypter.encrypt(utf8(text)));
}

/** open decrypts what seal encrypted. It throws where the identity is another or the file is damaged. */
export async function open(file: string, identity: string): Promise<string> {
  const decrypter = new Decrypter();
  decrypter.addIdentity(identity);
  const bytes = await decrypter.decrypt(armor.decode(file), "uint8array");
  return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
}

/** isSealed tells whether a message looks like an armored age file. */
export const isSealed = (message: string): boolean => message.startsWith("-----BEGIN AGE ENCRYPTED FILE-----");

// The parts of an age file (age-encryption.org/v1) with one X25519 recipient.
const headerSize = 22 + 54 + 44 + 48; // the version line, the stanza's two lines, the MAC's line
const nonceSize = 16;
const chunkSize = 64 << 10;
const tagSize = 16;
const armorLines = 34 + 32; // BEGIN and END

/**
 * sealedSize returns how many bytes of a JSON string a text of size bytes takes once it is sealed:
 * each newline of the armor is escaped.
 */
export function sealedSize(size: number): number {
  const chunks = Math.max(1, Math.ceil(size / chunkSize));
  const file = headerSize + nonceSize + size + chunks * tagSize;
  const base64 = 4 * Math.ceil(file / 3);
  const lines = Math.ceil(base64 / 64) + 2;
  return armorLines + base64 + 2 * lines;
}
