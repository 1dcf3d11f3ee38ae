// Elements, made without HTML: the page's policy forbids text that becomes markup.

import { type Name, onLanguage, type Values, words } from "./language.ts";

type Child = Node | string | null;

interface Attributes {
  [name: string]: string | boolean | EventListener;
}

/** h returns an element. An attribute whose name begins with "on" is a listener; false leaves one out. */
export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else if (value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

/** A text in the language of the page, which follows when the language changes. */
export interface Phrase {
  node: Text;
  set(name: Name, values?: Values): void;
}

export function phrase(name: Name, values: Values = {}): Phrase {
  const node = document.createTextNode("");
  const set = (next: Name, nextValues: Values = {}): void => {
    name = next;
    values = nextValues;
    node.data = words(name, values);
  };
  set(name, values);
  onLanguage(node, () => set(name, values));
  return { node, set };
}

/** What happens now. A screen reader reads each set text once, and not the figures that tick in it meanwhile. */
export interface Status {
  node: HTMLElement;
  set: Phrase["set"];
  tick: Phrase["set"];
}

export function status(name: Name): Status {
  const spoken = phrase(name);
  const shown = phrase(name);
  return {
    node: h("span", {}, h("span", { class: "spoken" }, spoken.node), h("span", { "aria-hidden": "true" }, shown.node)),
    set: (next, values) => { spoken.set(next, values); shown.set(next, values); },
    tick: shown.set,
  };
}

/** t is the text of a phrase that does not change. */
export const t = (name: Name, values?: Values): Text => phrase(name, values).node;

/** labelled sets an attribute to a phrase. */
export function labelled<E extends Element>(element: E, attribute: string, name: Name): E {
  const set = (): void => element.setAttribute(attribute, words(name));
  set();
  onLanguage(element, set);
  return element;
}

export const button = (name: Name, press: () => void, kind = ""): HTMLButtonElement =>
  h("button", { type: "button", class: kind, onclick: press }, t(name));

/** field returns an input with its label above it. */
export const field = (label: Name, input: HTMLElement): HTMLElement =>
  h("label", { class: "field" }, h("span", {}, t(label)), input);

/** list returns a list to choose one option from. */
export const list = (options: [value: string, name: Name][], chosen: string): HTMLSelectElement =>
  h("select", {}, ...options.map(([value, name]) => h("option", { value, selected: value === chosen }, t(name))));

/** show replaces what the page shows, and tells screen readers by moving the focus to its heading or first field. */
export function show(...children: Child[]): void {
  const main = document.querySelector("main")!;
  main.replaceChildren(...children.filter((child) => child !== null));
  (main.querySelector<HTMLElement>("[data-focus]") ?? main.querySelector("h1"))?.focus();
}

/** heading is the first line of a view. It takes the focus when the view appears. */
export const heading = (name: Name): HTMLElement => h("h1", { tabindex: "-1" }, t(name));

/** note is a paragraph that screen readers announce when it changes. */
export const note = (...children: Child[]): HTMLElement => h("p", { role: "status" }, ...children);
