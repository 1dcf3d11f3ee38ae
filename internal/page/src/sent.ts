// After a message was created: its link, what became of it, and taking it back.

import { generate } from "lean-qr/nano";
import { type API, Failure } from "./api.ts";
import { copyButton } from "./copy.ts";
import { button, field, h, heading, labelled, note, phrase, show, status, t } from "./dom.ts";
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
  const share = button("share", () => void navigator.share({ url: link }).catch(() => undefined)); // the person changed their mind
  share.hidden = !navigator.share;

  const opened = phrase(message.reads === null ? "notCounted" : "notOpened");
  const left = phrase("opensLeft", { n: message.reads ?? 0 });
  const leftLine = h("p", { hidden: true }, left.node);
  const line = status("takingBack");
  const place = h("p", { role: "alert", class: "problem" });
  const takeBack = button("takeBack", () => void withdraw());
  const next = button("another", () => { watch?.stop(); another(); });

  const tell = (readsLeft: number, openings: string[]): void => {
    if (openings.length > 0) opened.set("openedOn", { times: times(openings) });
    if (readsLeft > 0) left.set(readsLeft === 1 ? "opensLeftOne" : "opensLeft", { n: readsLeft });
    leftLine.hidden = openings.length === 0 || readsLeft === 0;
  };
  const end = (why: Text, openings: string[] = []): void => {
    watch?.stop();
    show(heading("message"), note(why), openings.length > 0 ? h("p", {}, t("openedOn", { times: times(openings) })) : null,
      h("div", { class: "actions" }, button("another", another)));
  };
  /** over tells that there is no message any more, if that is what the failure means. */
  const over = ({ reason, opened, since }: Failure): boolean => {
    if (reason === "gone") end(t("gone"));
    else if (reason === "withdrawn") end(t("wasWithdrawn", { time: time(since) }), opened);
    else if (reason === "removed") end(t("wasRemoved", { time: time(since) }), opened);
    else return false;
    return true;
  };
  const watch = message.reads === null ? null : new Watch(
    async () => {
      const { readsLeft, opened } = await api.look(message.id);
      return () => tell(readsLeft ?? 0, opened);
    },
    (failure) => {
      if (failure.reason !== "opened") return over(failure);
      tell(0, failure.opened);
      return true;
    });
  const withdraw = async (): Promise<void> => {
    takeBack.disabled = next.disabled = true; // or the answer would replace what is written next
    place.replaceChildren(line.node);
    try {
      await patiently(line, "takingBack", () => api.remove(message.id, message.ownerToken));
      end(t("takenBack"), await openings(api, message.id));
    } catch (error) {
      const failure = error instanceof Failure ? error : new Failure("other");
      if (failure.reason === "opened") end(t("tooLate"));
      else if (!over(failure)) line.set(failureName(failure));
      takeBack.disabled = next.disabled = false;
    }
  };

  show(
    heading("linkTitle"),
    h("p", {}, t("linkLead")),
    message.passphrase ? h("p", {}, t("linkPassphrase")) : null,
    field("link", output),
    h("div", { class: "actions" }, copyButton(link), share),
    code(link),
    h("section", {},
      note(opened.node),
      leftLine,
      h("p", { class: "hint" }, t("until", { time: time(message.expires) })),
      place),
    h("div", { class: "actions" }, takeBack, next));
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

/** A Watch asks for the state of a message while the page is visible, until there is nothing left to ask. */
class Watch {
  private readonly timer: number;
  private stopped = false;

  constructor(
    /** ask returns how to tell the answer. */
    private readonly ask: () => Promise<() => void>,
    /** ends tells whether a failure is the end. */
    private readonly ends: (failure: Failure) => boolean,
  ) {
    this.timer = window.setInterval(this.look, pollInterval);
    document.addEventListener("visibilitychange", this.look); // a person who comes back wants to know now
  }

  stop(): void {
    this.stopped = true;
    clearInterval(this.timer);
    document.removeEventListener("visibilitychange", this.look);
  }

  private readonly look = (): void => {
    if (document.visibilityState !== "visible") return;
    void this.ask().then(
      (tell) => { if (!this.stopped) tell(); },
      (error: unknown) => { if (!this.stopped && error instanceof Failure && this.ends(error)) this.stop(); });
  };
}
