// The service's API, as docs/openapi.yaml describes it. Every call ends in an
// answer or in a Failure.

/** Why a call failed, in the terms that the page has words for. */
export type Reason =
  | "gone" // 404
  | "opened" // 410, no reads left
  | "withdrawn" // 410, taken back by the sender
  | "removed" // 410, taken down by the operator
  | "refused" // 403, the key or passphrase is wrong, or nothing can be created from here
  | "large" // 413
  | "limited" // 429
  | "busy" // 503
  | "full" // 507
  | "offline" // no answer
  | "token" // 401, a creation needs an access token
  | "other";

export class Failure extends Error {
  constructor(
    readonly reason: Reason,
    /** How long to wait before another try, in seconds. */
    readonly retryAfter = 0,
    /** When the message was opened, RFC 3339. */
    readonly opened: string[] = [],
    /** When it was taken back or down, RFC 3339, or "". */
    readonly since = "",
  ) {
    super(reason);
  }
}

export interface Limits {
  maxBytes: number;
  ttlMax: number;
  /** Creating a message needs an access token. */
  token: boolean;
}

export interface Created {
  id: string;
  expires: string;
  ownerToken: string;
}

/** A message, or the state of one that waits to be opened (text is null). */
export interface Message {
  text: string | null;
  /** null: it can be read any number of times. */
  readsLeft: number | null;
  opened: string[];
  expires: string;
}

interface Answer {
  message?: string;
  message_id?: string;
  owner_token?: string;
  reads_left?: number;
  opened?: string[];
  expires_at?: string;
  withdrawn_at?: string;
  taken_down_at?: string;
  create_token?: boolean;
  limits?: { max_bytes: number; ttl_max: number };
}

const timeout = 30_000; // milliseconds

export class API {
  constructor(private readonly root: string) {}

  async limits(): Promise<Limits> {
    const { limits, create_token } = await this.call("GET", "");
    if (!limits) throw new Failure("other");
    return { maxBytes: limits.max_bytes, ttlMax: limits.ttl_max, token: create_token === true };
  }

  /** create stores a sealed text. reads is null for any number, token empty for none. */
  async create(message: string, ttl: number, reads: number | null, proofHash: string, token: string): Promise<Created> {
    const limited = reads === null ? {} : { reads, proof_hash: proofHash };
    const answer = await this.call("POST", "", { message, ttl, ...limited }, token);
    return { id: answer.message_id ?? "", expires: answer.expires_at ?? "", ownerToken: answer.owner_token ?? "" };
  }

  /** look returns a message without using it up. */
  async look(id: string): Promise<Message> {
    return toMessage(await this.call("GET", id));
  }

  /** open uses up a read. The same claim gets the same answer again. */
  async open(id: string, claim: string, proof: string | undefined): Promise<Message> {
    return toMessage(await this.call("POST", id, proof === undefined ? { claim } : { claim, proof }));
  }

  /** remove takes a message back (owner token), or ends a claim. */
  async remove(id: string, token: string): Promise<void> {
    await this.call("DELETE", id, undefined, token);
  }

  private async call(method: string, id: string, body?: object, token?: string): Promise<Answer> {
    const headers: Record<string, string> = { Accept: "application/json" };
    if (body) headers["Content-Type"] = "application/json";
    if (token) headers["Authorization"] = `Bearer ${token}`;
    const init: RequestInit = {
      method,
      headers,
      credentials: "omit",
      cache: "no-store",
      redirect: "error",
      referrerPolicy: "no-referrer",
      signal: AbortSignal.timeout(timeout),
    };
    if (body) init.body = JSON.stringify(body);
    try {
      const response = await fetch(this.root + (id && "msg/" + id), init);
      const text = await response.text();
      if (!response.ok) throw failure(response, problem(text));
      return response.status === 204 ? {} : (JSON.parse(text) as Answer);
    } catch (error) {
      throw error instanceof Failure ? error : new Failure("offline"); // no answer, or half of one
    }
  }
}

/** problem reads the body of a refusal. A proxy's own refusal may be anything. */
function problem(text: string): Answer {
  try {
    return JSON.parse(text) as Answer;
  } catch {
    return {};
  }
}

function toMessage(answer: Answer): Message {
  return {
    text: answer.message ?? null,
    readsLeft: answer.reads_left ?? null,
    opened: answer.opened ?? [],
    expires: answer.expires_at ?? "",
  };
}

function failure(response: Response, answer: Answer): Failure {
  const retryAfter = Number(response.headers.get("Retry-After") ?? 0) || 0;
  switch (response.status) {
    case 401:
      return new Failure("token");
    case 403:
      return new Failure("refused");
    case 404:
      return new Failure("gone");
    case 410:
      if (answer.withdrawn_at) return new Failure("withdrawn", 0, answer.opened, answer.withdrawn_at);
      if (answer.taken_down_at) return new Failure("removed", 0, answer.opened, answer.taken_down_at);
      return new Failure("opened", 0, answer.opened);
    case 413:
      return new Failure("large");
    case 429:
      return new Failure("limited", Math.max(1, retryAfter));
    case 502:
    case 503:
    case 504:
      return new Failure("busy", Math.max(1, retryAfter));
    case 507:
      return new Failure("full");
    default:
      return new Failure("other");
  }
}
