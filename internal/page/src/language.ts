// The language of the page: the browser's choice, or the one that was picked.

import { type Language, languages, type Name, strings } from "./strings.ts";

export type { Name } from "./strings.ts";
export type Values = Record<string, string | number | (() => string)>;

const storageKey = "messaging_api.language";

let current: Language = choose([stored(), ...navigator.languages]);

/** What has to be written again when the language changes. */
let followers: { node: WeakRef<Node>; write: () => void }[] = [];

export const language = (): Language => current;

/** choose returns the first of the wanted languages that the page has. */
export function choose(wanted: readonly (string | null)[]): Language {
  for (const tag of wanted) {
    const found = languages.find((have) => have === tag?.toLowerCase().split("-")[0]);
    if (found) return found;
  }
  return "en";
}

/** speak switches the page to a language and remembers it in this browser. */
export function speak(next: Language): void {
  current = next;
  try {
    localStorage.setItem(storageKey, next);
  } catch {
    // Storage is off: the choice lasts as long as the page.
  }
  apply();
}

/** apply writes every text again. */
export function apply(): void {
  document.documentElement.lang = current;
  document.title = words("title");
  followers = followers.filter(({ node }) => node.deref()?.isConnected);
  for (const { write } of followers) write();
}

export function onLanguage(node: Node, write: () => void): void {
  followers.push({ node: new WeakRef(node), write });
}

/** words returns a text with {name} replaced by values. */
export function words(name: Name, values: Values = {}): string {
  return strings[current][name].replace(/\{(\w+)\}/g, (_, key: string) => {
    const value = values[key];
    if (typeof value === "function") return value();
    return typeof value === "number" ? value.toLocaleString(current) : (value ?? "");
  });
}

/** time is a moment (RFC 3339) as people in this language write it. */
export const time = (moment: string) => (): string =>
  new Intl.DateTimeFormat(current, { dateStyle: "medium", timeStyle: "short" }).format(new Date(moment));

/** times are several of them. */
export const times = (moments: string[]) => (): string =>
  new Intl.ListFormat(current, { type: "conjunction" }).format(moments.map((moment) => time(moment)()));

/** duration is a wait of so many seconds, in the largest unit that tells enough. */
export const duration = (seconds: number) => (): string => {
  const [size, unit] = seconds < 120 ? [1, "second"] : seconds < 7200 ? [60, "minute"] : [3600, "hour"];
  return new Intl.NumberFormat(current, { style: "unit", unit, unitDisplay: "long" }).format(Math.ceil(seconds / size));
};

function stored(): string | null {
  try {
    return localStorage.getItem(storageKey);
  } catch {
    return null;
  }
}
