// After a message was created: its link, what became of it, and taking it back.

import { generate } from "lean-qr/nano";
import { type API, Failure } from "./api.ts";
import { button, field, h, heading, labelled, note, phrase, type Phrase, show, t } from "./dom.ts";
import { time, times } from "./language.ts";
import { format } from "./link.ts";
import { failureName, patiently } from "./patience.ts";
import type { Sent } from "./write.ts";

/** How often the page asks whether the message was opened, in milliseconds. */
const pollInterval = 10_000;

/** sent shows the link of a message. another is called to write the next one. */
export function sent(api: API, root: string, message: Sent, another: () => void): void {
  const link = format(location.origin, root, message.id, message.secret, message.passphrase);
  const output = h("textarea", { readonly: true, rows: "4", class: "link", autocomplete: "off", spellcheck: "false", onfocus: () => output.select() });
  output.value = link;
  const copied = phrase("copy");
  const copy = h("button", { type: "button", class: "primary", onclick: () => void copyText(link, copied) }, copied.node);
  const share = button("share", () => void navigator.share({ url: link }).catch(() => undefined)); // the person changed their mind
  share.hidden = !navigator.share;

  const opened = phrase(message.reads === null ? "notCounted" : "notOpened");
  const left = phrase("opensLeft", { n: message.reads ?? 0 });
  const leftLine = h("p", { hidden: true }, left.node);
  const failed = phrase("other");
  const failedLine = h("p", { role: "alert", class: "problem", hidden: true }, failed.node);
  const takeBack = button("takeBack", () => void withdraw());

  const watch = message.reads === null ? null : new Watch(api, message.id, (state) => {
    if (state === "gone") return end("gone");
    if (state.opened.length > 0) opened.set("openedOn", { times: times(state.opened) });
    if (state.opened.length > 0 && state.readsLeft > 0) {
      left.set(state.readsLeft === 1 ? "opensLeftOne" : "opensLeft", { n: state.readsLeft });
    }
    leftLine.hidden = state.opened.length === 0 || state.readsLeft === 0;
  });
  const end = (name: "takenBack" | "tooLate" | "gone", openings: string[] = []): void => {
    watch?.stop();
    show(heading("message"), note(t(name)), openings.length > 0 ? h("p", {}, t("openedOn", { times: times(openings) })) : null,
      h("div", { class: "actions" }, button("another", another)));
  };
  const withdraw = async (): Promise<void> => {
    takeBack.disabled = true;
    failedLine.hidden = false;
    try {
      await patiently(failed, "takeBack", () => api.remove(message.id, message.ownerToken));
      end("takenBack", await openings(api, message.id));
    } catch (error) {
      const reason = error instanceof Failure ? error.reason : "other";
      if (reason === "opened") end("tooLate");
      else if (reason === "gone") end("gone");
      else failed.set(failureName(error));
      takeBack.disabled = false;
    }
  };

  show(
    heading("linkTitle"),
    h("p", {}, t("linkLead")),
    message.passphrase ? h("p", {}, t("linkPassphrase")) : null,
    field("link", output),
    h("div", { class: "actions" }, copy, share),
    code(link),
    h("section", {},
      note(opened.node),
      leftLine,
      h("p", { class: "hint" }, t("until", { time: time(message.expires) })),
      failedLine),
    h("div", { class: "actions" }, takeBack, button("another", () => { watch?.stop(); another(); })));
}

/** copyText copies, and says for a moment whether it worked. */
export async function copyText(text: string, said: Phrase): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
    said.set("copied");
  } catch {
    said.set("copyFailed");
  }
  setTimeout(() => said.set("copy"), 3000);
}

/** code draws the link as a QR code, dark on light in both color schemes, as readers expect. */
function code(link: string): HTMLElement {
  const canvas = labelled(h("canvas", { role: "img", class: "code" }), "aria-label", "qr");
  generate(link).toCanvas(canvas, { on: [0, 0, 0, 255], off: [255, 255, 255, 255], padX: 4, padY: 4 });
  return h("figure", {}, canvas);
}

/** openings are when a message that was taken back had been opened. */
async function openings(api: API, id: string): Promise<string[]> {
  try {
    return (await api.look(id)).opened;
  } catch (error) {
    return error instanceof Failure ? error.opened : [];
  }
}

interface State {
  readsLeft: number;
  opened: string[];
}

/** A Watch asks for the state of a limited message while the page is visible, until there is nothing left to ask. */
class Watch {
  private readonly timer: number;

  constructor(
    private readonly api: API,
    private readonly id: string,
    private readonly tell: (state: State | "gone") => void,
  ) {
    this.timer = window.setInterval(this.look, pollInterval);
    document.addEventListener("visibilitychange", this.look); // a person who comes back wants to know now
  }

  stop(): void {
    clearInterval(this.timer);
    document.removeEventListener("visibilitychange", this.look);
  }

  private readonly look = (): void => {
    if (document.visibilityState === "visible") void this.ask();
  };

  private async ask(): Promise<void> {
    try {
      const { readsLeft, opened } = await this.api.look(this.id);
      this.tell({ readsLeft: readsLeft ?? 0, opened });
    } catch (error) {
      const reason = error instanceof Failure ? error.reason : "other";
      if (reason === "opened" && error instanceof Failure) this.tell({ readsLeft: 0, opened: error.opened });
      if (reason === "gone") this.tell("gone");
      if (reason === "opened" || reason === "withdrawn" || reason === "removed") this.stop();
    }
  }
}
