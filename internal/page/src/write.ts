// Writing a message: the form, its encryption, and what is sent.

import { type API, type Created, Failure, type Limits } from "./api.ts";
import { type Bytes, randomBytes, utf8 } from "./bytes.ts";
import { button, field, h, heading, list, note, phrase, show, status, t } from "./dom.ts";
import { derive, secretSize } from "./keys.ts";
import type { Name } from "./language.ts";
import { failureName, patiently } from "./patience.ts";
import { seal, sealedSize } from "./seal.ts";
import { forget, keep, recall } from "./session.ts";
import { passphrase as suggestion } from "./words.ts";

/** A message that was created, with what its sender needs. */
export interface Sent extends Created {
  secret: Bytes;
  passphrase: boolean;
  reads: number | null;
}

/** What the members around the text take of a request's body, at most, in bytes. */
const membersSize = 160;

/** The name under which the tab keeps its access token. */
const tokenKey = "access token";

/** unsent asks before the page is left with a text that was not sent. */
const unsent = (event: BeforeUnloadEvent): void => event.preventDefault();

/** write shows the form. sent is called with what was created. */
export function write(api: API, sent: (message: Sent) => void): void {
  const text = h("textarea", { rows: "8", "data-focus": true, dir: "auto", autocomplete: "off", spellcheck: "true", required: true });
  const ttl = list(lifetimes(Infinity), "86400");
  const reads = list([["1", "once"], ["5", "fiveTimes"], ["", "anyTimes"]], "1");
  const passphrase = h("input", { type: "text", autocomplete: "off", autocapitalize: "off", spellcheck: "false", "aria-describedby": "hint" });
  const token = h("input", { type: "password", autocomplete: "off", pattern: "\\s*[!-~]+\\s*" });
  token.value = recall(tokenKey);
  const tokenField = field("accessToken", token);
  tokenField.hidden = true;
  const submit = h("button", { class: "primary" }, t("create"));
  const counter = phrase("bytesLeft", { n: 0 });
  const count = h("p", { class: "count blank" }, counter.node);
  const line = status("encrypting");
  const place = note();
  let limits: Limits | null = null;
  let sending = false;

  const measure = (): void => {
    removeEventListener("beforeunload", unsent);
    if (text.value !== "") addEventListener("beforeunload", unsent);
    const left = limits ? bytesLeft(utf8(text.value).length, limits) : 0; // without limits the service judges
    submit.disabled = sending || left < 0;
    if (!limits) return;
    counter.set(left < 0 ? "bytesOver" : "bytesLeft", { n: Math.abs(left) });
    count.classList.toggle("blank", text.value === "");
    count.classList.toggle("over", left < 0);
  };
  const setSending = (now: boolean): void => {
    sending = now;
    text.readOnly = now; // what is written meanwhile would not be in the message
    measure();
  };
  const send = async (): Promise<void> => {
    if (text.value === "" || submit.disabled) return;
    setSending(true);
    place.replaceChildren(line.node);
    try {
      const message = await patiently(line, "encrypting", () =>
        create(api, text.value, Number(ttl.value), reads.value === "" ? null : Number(reads.value), passphrase.value, token.value.trim()));
      removeEventListener("beforeunload", unsent);
      if (token.value !== "") keep(tokenKey, token.value.trim());
      sent(message);
    } catch (error) {
      setSending(false);
      const reason = error instanceof Failure ? error.reason : "other";
      if (reason === "token") askToken();
      else line.set(reason === "refused" ? "notFrom" : failureName(error));
    }
  };
  /** askToken asks for an access token, or for another one. */
  const askToken = (): void => {
    line.set(token.value === "" ? "tokenNeeded" : "tokenWrong");
    forget(tokenKey);
    token.value = "";
    tokenField.hidden = false;
    token.focus();
  };

  const form = h("form", { onsubmit: (event) => { event.preventDefault(); void send(); } },
    field("message", text),
    count,
    h("div", { class: "columns" }, field("deleteAfter", ttl), field("canBeOpened", reads)),
    field("passphraseOptional", passphrase),
    h("p", { id: "hint", class: "hint" }, t("passphraseHint"), " ",
      button("suggest", () => { passphrase.value = suggestion(); passphrase.focus(); }, "plain")),
    tokenField,
    h("div", { class: "actions" }, submit),
    place);
  form.addEventListener("input", measure);
  form.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
  });
  show(heading("writeTitle"), h("p", {}, t("writeLead")), form);

  void api.limits().then((answer) => {
    limits = answer;
    if (limits.token && token.value === "") tokenField.hidden = false;
    const chosen = ttl.value;
    const options = lifetimes(limits.ttlMax);
    ttl.replaceChildren(...list(options, "").children);
    ttl.value = options.some(([value]) => value === chosen) ? chosen : options.at(-1)![0];
    measure();
  }, () => undefined);
}

/** lifetimes are those to choose from that the service grants. */
function lifetimes(longest: number): [string, Name][] {
  const all: [string, Name][] = [["300", "minutes5"], ["3600", "hour1"], ["86400", "day1"], ["604800", "days7"]];
  const granted = all.filter(([seconds]) => Number(seconds) <= longest);
  return granted.length > 0 ? granted : [[String(longest), "longest"]];
}

/** bytesLeft is how much longer a text of this size may be, once it is encrypted. */
function bytesLeft(size: number, limits: Limits): number {
  const fits = (n: number): boolean => sealedSize(n) + membersSize <= limits.maxBytes;
  let low = 0;
  let high = limits.maxBytes;
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if (fits(middle)) low = middle;
    else high = middle - 1;
  }
  return low - size;
}

/** create encrypts a text under a fresh secret and stores it. */
async function create(api: API, text: string, ttl: number, reads: number | null, passphrase: string, token: string): Promise<Sent> {
  const secret = randomBytes(secretSize);
  const keys = await derive(secret, passphrase === "" ? undefined : passphrase);
  const created = await api.create(await seal(text, keys.identity), ttl, reads, keys.proofHash, token);
  return { ...created, secret, passphrase: passphrase !== "", reads };
}
