// The page: for writing at the service's root, for reading at a message's link.

import { API } from "./api.ts";
import { h, heading, labelled, show, t } from "./dom.ts";
import { apply, language, speak } from "./language.ts";
import { parse } from "./link.ts";
import { Reader } from "./read.ts";
import { sent } from "./sent.ts";
import { type Language, languages, ownNames } from "./strings.ts";
import { write } from "./write.ts";

function start(): void {
  const link = parse(location);
  const api = new API(link.root);
  if (!globalThis.crypto?.subtle) {
    show(heading("failedTitle"), h("p", { role: "alert", class: "problem" }, t("tooOld")));
  } else if (link.id !== null) {
    void new Reader(api, { ...link, id: link.id }).start();
  } else {
    const compose = (): void => write(api, (message) => sent(api, link.root, message, compose));
    compose();
  }
}

function footer(): void {
  const choice = h("select", { onchange: () => speak(choice.value as Language) },
    ...languages.map((tag) => h("option", { value: tag, lang: tag, selected: tag === language() }, ownNames[tag])));
  labelled(choice, "aria-label", "language");
  document.querySelector("footer")!.append(h("p", {}, t("footer")), choice);
}

footer();
apply();
start();
addEventListener("hashchange", () => location.reload()); // another link, pasted over this one
