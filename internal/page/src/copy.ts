// Copying a text to the clipboard.

import { h, phrase } from "./dom.ts";

/** copyButton copies a text, and says for a moment whether that worked. */
export function copyButton(text: string): HTMLButtonElement {
  const said = phrase("copy");
  const copy = async (): Promise<void> => {
    try {
      await navigator.clipboard.writeText(text);
      said.set("copied");
    } catch {
      said.set("copyFailed");
    }
    setTimeout(() => said.set("copy"), 3000);
  };
  return h("button", { type: "button", class: "primary", onclick: () => void copy() }, h("span", { "aria-live": "polite" }, said.node));
}
