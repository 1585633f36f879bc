/** What `GET /api/v1/agents/{agent}/plugins/{plugin}/messages` and its like answer to the one who uses them. */
export interface PushAnswer {
  readonly id: string;
  readonly state: string;
}

export interface MessageFacts extends PushAnswer {
  readonly reason?: string | null;
}

export interface ReceivedItem {
  readonly id: string;
  readonly agentId: string;
  readonly plugin: string;
  readonly body: string;
}

/** An answer that is no 2xx: status and problem (RFC 9457). */
export class ApiProblem extends Error {
  override readonly name = "ApiProblem";
  readonly status: number;
  readonly code: string;
  readonly problem: Readonly<Record<string, unknown>>;

  constructor(status: number, problem: Readonly<Record<string, unknown>>) {
    super(`${status} ${JSON.stringify(problem)}`);
    this.status = status;
    this.code = typeof problem.code === "string" ? problem.code : "";
    this.problem = problem;
  }
}

/** Solaris' HTTP API as a cloud developer calls it. */
export class SolarisApi {
  readonly origin: string;
  readonly key: string;

  constructor(origin: string, key: string) {
    this.origin = origin;
    this.key = key;
  }

  get<T>(path: string): Promise<T> {
    return this.#call("GET", path);
  }

  post<T>(path: string, body?: unknown, headers: Readonly<Record<string, string>> = {}): Promise<T> {
    return this.#call("POST", path, body, headers);
  }

  put<T>(path: string, body: unknown): Promise<T> {
    return this.#call("PUT", path, body);
  }

  delete<T>(path: string): Promise<T> {
    return this.#call("DELETE", path);
  }

  /** Pushes one message; `body` goes as it is. */
  async push(
    agent: string,
    plugin: string,
    body: string | Uint8Array<ArrayBuffer>,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<PushAnswer> {
    const url = `${this.origin}/api/v1/agents/${agent}/plugins/${plugin}/messages`;
    const answer = await fetch(url, {
      method: "POST",
      headers: { ...this.#headers, "content-type": "application/json", ...headers },
      body,
    });
    return (await this.#read(answer)) as PushAnswer; // the API's own schema
  }

  /** Every page of a list. */
  async all<T>(path: string): Promise<T[]> {
    const items: T[] = [];
    let after = "";
    for (;;) {
      const joint = path.includes("?") ? "&" : "?";
      const page = await this.get<{ items: T[]; next: string | null }>(
        `${path}${after === "" ? "" : `${joint}after=${encodeURIComponent(after)}`}`,
      );
      items.push(...page.items);
      if (page.next === null || page.items.length === 0) return items;
      after = page.next;
    }
  }

  get #headers(): Record<string, string> {
    return { authorization: `Bearer ${this.key}` };
  }

  async #call<T>(method: string, path: string, body?: unknown, headers: Readonly<Record<string, string>> = {}) {
    const answer = await fetch(`${this.origin}/api/v1${path}`, {
      method,
      headers: { ...this.#headers, ...(body === undefined ? {} : { "content-type": "application/json" }), ...headers },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    return (await this.#read(answer)) as T; // the caller names what the API's schema says
  }

  async #read(answer: Response): Promise<unknown> {
    const text = await answer.text();
    const content: unknown = text === "" ? undefined : JSON.parse(text);
    if (answer.ok) return content;
    throw new ApiProblem(answer.status, content !== null && typeof content === "object" ? { ...content } : {});
  }
}
