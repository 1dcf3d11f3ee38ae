// Waiting: what the service refuses for now is asked again by itself.

import { Failure } from "./api.ts";
import type { Status } from "./dom.ts";
import { duration, type Name } from "./language.ts";

const mostTries = 20;

/** The words for a failure that the page can do nothing about by itself. */
const failureNames: Partial<Record<Failure["reason"], Name>> = { large: "tooLarge", full: "full", offline: "offline" };

export const failureName = (error: unknown): Name =>
  (error instanceof Failure && failureNames[error.reason]) || "other";

/**
 * patiently makes a call, and makes it again for as long as the service says that it is busy or that this client
 * asks too often. Meanwhile the line counts the seconds down; then it says resting again.
 */
export async function patiently<T>(line: Status, resting: Name, call: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++) {
    line.set(resting);
    try {
      return await call();
    } catch (error) {
      const wait = error instanceof Failure && (error.reason === "limited" || error.reason === "busy");
      if (!wait || tries === mostTries) throw error;
      await countDown(line, error.reason === "limited" ? "limited" : "busy", error.retryAfter);
    }
  }
}

async function countDown(line: Status, name: Name, seconds: number): Promise<void> {
  const end = performance.now() + seconds * 1000; // a page in the background is woken late
  line.set(name, { wait: duration(seconds) });
  for (let left = seconds; left > 0; left = Math.ceil((end - performance.now()) / 1000)) {
    line.tick(name, { wait: duration(left) });
    await new Promise((wake) => setTimeout(wake, 1000));
  }
}
