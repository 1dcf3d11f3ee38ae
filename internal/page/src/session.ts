// What the tab's session keeps, until the tab is closed. Where storage is off, nothing is kept.

import { randomBytes, toBase64url } from "./bytes.ts";

export function recall(key: string): string {
  try {
    return sessionStorage.getItem(key) ?? "";
  } catch {
    return "";
  }
}

export function keep(key: string, value: string): void {
  try {
    sessionStorage.setItem(key, value);
  } catch {
    // A reload has to do without it.
  }
}

export function forget(key: string): void {
  try {
    sessionStorage.removeItem(key);
  } catch {
    // It was not kept either.
  }
}

/** How long the service keeps a claim, in milliseconds. */
const claimLife = 10 * 60_000;

/**
 * A Claim is the name under which this tab opens a message. A reload after a lost answer asks with it for the same
 * answer, instead of using up another read.
 */
export class Claim {
  private readonly key: string;
  private value = "";

  constructor(id: string) {
    this.key = "claim " + id;
    const [value, since] = recall(this.key).split(" ");
    if (value && Date.now() - Number(since) < claimLife) this.value = value;
  }

  get held(): boolean {
    return this.value !== "";
  }

  /** take returns the claim, a fresh random one at first. */
  take(): string {
    if (this.value === "") {
      this.value = toBase64url(randomBytes(16));
      keep(this.key, `${this.value} ${Date.now()}`);
    }
    return this.value;
  }

  end(): void {
    this.value = "";
    forget(this.key);
  }
}
