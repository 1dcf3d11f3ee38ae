// Reading a message: judge the link, ask for the passphrase, open, decrypt, show.

import { type API, Failure, type Message } from "./api.ts";
import { copyButton } from "./copy.ts";
import { button, field, h, heading, note, show, status, type Status, t } from "./dom.ts";
import { derive, type Keys } from "./keys.ts";
import { type Name, time, times, type Values } from "./language.ts";
import type { Key, Link } from "./link.ts";
import { failureName, patiently } from "./patience.ts";
import { isSealed, open } from "./seal.ts";
import { Claim } from "./session.ts";

/** A Reader takes one link from the address bar to the text, or to the words for why not. */
export class Reader {
  private readonly id: string;
  private readonly key: Key;
  private readonly claim: Claim;
  private keys: Keys | undefined;
  /** The person has asked to open the message: a passphrase that was wrong does not ask for that again. */
  private asked = false;

  constructor(private readonly api: API, link: Link & { id: string }) {
    this.id = link.id;
    this.key = link.key;
    this.claim = new Claim(link.id);
  }

  /** start asks nothing of the service before the link has been judged. */
  async start(): Promise<void> {
    if (this.key.kind === "damaged") return fail("linkDamaged");
    if (this.id === "") return fail("gone");
    if (this.key.kind === "secret" && this.key.passphrase) return this.askPassphrase();
    return this.look();
  }

  /** askPassphrase comes first for a link that needs one. */
  private askPassphrase(wrong = false): void {
    const input = h("input", { type: "text", "data-focus": true, autocomplete: "off", autocapitalize: "off", spellcheck: "false", required: true });
    const line = status(wrong ? "passphraseWrong" : "opening");
    const state = h("p", { role: "alert", class: "problem" }, wrong ? line.node : null);
    const submit = h("button", { class: "primary" }, t("continue"));
    const form = h("form", { onsubmit: (event) => {
      event.preventDefault();
      submit.disabled = true;
      line.set("opening");
      state.replaceChildren(line.node);
      void this.look(input.value, line);
    } }, field("passphrase", input), h("div", { class: "actions" }, submit), state);
    show(heading("readTitle"), h("p", {}, t("passphraseNeeded")), form);
  }

  /** look asks what there is at the link. A tab that has opened the message before goes on with its claim. */
  private async look(passphrase?: string, line = looking()): Promise<void> {
    const again = (): void => void this.look(passphrase);
    try {
      if (this.key.kind === "secret") this.keys = await derive(this.key.secret, passphrase);
      if (this.claim.held || this.asked) return await this.open(line);
      const message = await patiently(line, "looking", () => this.api.look(this.id));
      if (message.text === null) this.offer(message, again);
      else await this.decrypt(message, message.text);
    } catch (error) {
      this.failed(error, again);
    }
  }

  /** offer waits for the person: opening uses up a read. again is what to do where no answer came. */
  private offer(state: Message, again: () => void): void {
    const line = status("opening");
    const place = note();
    const press = h("button", { class: "primary", type: "button", onclick: () => {
      this.asked = true;
      press.disabled = true;
      place.replaceChildren(line.node);
      void this.open(line).catch((error: unknown) => this.failed(error, again));
    } }, t("open"));
    show(
      heading("readTitle"),
      state.opened.length > 0 ? h("p", { class: "warning" }, t("openedBefore", { times: times(state.opened) })) : null,
      h("p", {}, state.readsLeft === 1 ? t("canOpenOnce") : t("canOpenMore", { n: state.readsLeft ?? 0 })),
      h("div", { class: "actions" }, press),
      place);
  }

  /** open uses up a read, under a claim that was stored before: after a lost answer it gets the same one again. */
  private async open(line: Status): Promise<void> {
    const claim = this.claim.take();
    const message = await patiently(line, "opening", () => this.api.open(this.id, claim, this.keys?.proof));
    await this.decrypt(message, message.text ?? "");
  }

  private async decrypt(message: Message, text: string): Promise<void> {
    if (!this.keys) return isSealed(text) ? fail("keyMissing") : this.reveal(message, text, true);
    let plain: string;
    try {
      plain = await open(text, this.keys.identity);
    } catch {
      if (message.readsLeft !== null) return fail("damaged"); // the proof was right, so the key is
      if (this.key.kind === "secret" && this.key.passphrase) return this.askPassphrase(true);
      return fail("keyWrong");
    }
    this.reveal(message, plain, false);
  }

  /** reveal shows the text, as text. The key leaves the address bar. */
  private reveal(message: Message, text: string, plain: boolean): void {
    history.replaceState(null, "", location.pathname);
    const place = note();
    const remove = button("deleteNow", () => void this.remove(remove, place));
    remove.hidden = !this.claim.held || message.readsLeft !== 0; // for others it is not ours to delete
    show(
      heading("message"),
      message.opened.length > 0 ? h("p", { class: "warning" }, t("openedBefore", { times: times(message.opened) })) : null,
      h("pre", { tabindex: "0" }, text),
      h("div", { class: "actions" },
        copyButton(text),
        button("save", () => save(text)),
        remove),
      plain ? h("p", { class: "hint" }, t("notEncrypted")) : null,
      h("p", { class: "hint" }, message.readsLeft === 0 ? t("lastRead") : t("keptUntil", { time: time(message.expires) })),
      place);
  }

  /** remove ends the claim: the text is deleted where no read is left. */
  private async remove(press: HTMLButtonElement, place: HTMLElement): Promise<void> {
    press.disabled = true;
    const line = status("deleting");
    place.replaceChildren(line.node);
    try {
      await patiently(line, "deleting", () => this.api.remove(this.id, this.claim.take()));
      this.claim.end();
      show(heading("message"), note(t("deleted")));
    } catch (error) {
      press.disabled = false;
      line.set(failureName(error));
    }
  }

  /** failed says why there is no text. */
  private failed(error: unknown, again: () => void): void {
    const failure = error instanceof Failure ? error : new Failure("other");
    switch (failure.reason) {
      case "gone":
        this.claim.end();
        return fail("gone");
      case "opened":
        this.claim.end();
        return failure.opened.length > 0 ? fail("wasOpened", { times: times(failure.opened) }) : fail("wasRead");
      case "withdrawn":
        return fail("wasWithdrawn", { time: time(failure.since) });
      case "removed":
        return fail("wasRemoved", { time: time(failure.since) });
      case "refused":
        // The claim stays: it may have been used with the right key, and its answer lost.
        if (this.key.kind === "none") return fail("keyMissing");
        return this.key.kind === "secret" && this.key.passphrase ? this.askPassphrase(true) : fail("keyWrong");
      default:
        show(heading("failedTitle"), h("p", { role: "alert", class: "problem" }, t(failureName(failure))),
          h("div", { class: "actions" }, h("button", { class: "primary", type: "button", "data-focus": true, onclick: again }, t("tryAgain"))));
    }
  }
}

/** looking shows that the message is looked for, and returns the line that says so. */
function looking(): Status {
  const line = status("looking");
  show(heading("readTitle"), note(line.node));
  return line;
}

/** fail shows why the message cannot be read, where another try would not help. */
function fail(name: Name, values?: Values): void {
  show(heading("failedTitle"), h("p", { role: "alert", class: "problem" }, t(name, values)));
}

/** save hands the text to the person as a file. */
function save(text: string): void {
  const url = URL.createObjectURL(new Blob([text], { type: "text/plain;charset=utf-8" }));
  h("a", { href: url, download: "message.txt" }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
