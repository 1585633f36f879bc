/** An error answer of the API (RFC 9457), as tests look at it. */
export class ApiProblem extends Error {
  override readonly name = "ApiProblem";
  readonly status: number;
  readonly code: string;
  readonly problem: Readonly<Record<string, unknown>>;

  constructor(status: number, problem: Readonly<Record<string, unknown>>) {
    super(
      `${status} ${String(problem.code)} ${String(problem.detail ?? problem.title ?? "")} ${JSON.stringify(problem.errors ?? "")}`,
    );
    this.status = status;
    this.code = String(problem.code ?? "");
    this.problem = problem;
  }
}

/** A customer with a valid licence. */
export interface TestCustomer {
  readonly customerId: string;
  readonly licenceId: string;
  readonly licenceKey: string;
}

/** An agent that was created and waits for its enrollment. */
export interface TestAgent {
  readonly agentId: string;
  readonly token: string;
}

export type MessageState = "queued" | "stored" | "applied" | "unknown" | "dead";

export interface PushedMessage {
  readonly id: string;
  readonly state: MessageState;
  readonly repeated: boolean;
}

export interface MessageDetail {
  readonly id: string;
  readonly plugin: string;
  readonly state: MessageState;
  readonly code: string | null;
  readonly reason: string | null;
  readonly tries: number | null;
  readonly createdAt: number;
  readonly storedAt: number | null;
  readonly appliedAt: number | null;
}

export interface ReceivedMessage {
  readonly cursor: string;
  readonly agentId: string;
  readonly plugin: string;
  readonly id: string;
  readonly contentType: string | null;
  readonly body?: string;
  readonly bodyBase64?: string;
}

export interface PluginView {
  readonly version: number;
  readonly type: string;
  readonly enabled: boolean;
  readonly config: Readonly<Record<string, unknown>>;
  readonly actual: {
    readonly version: number;
    readonly wanted: number;
    readonly state: string;
    readonly code?: string;
    readonly reason?: string;
  } | null;
}

export interface AgentStatus {
  readonly online: boolean;
  readonly since: number | null;
  readonly address: string | null;
  readonly version: string | null;
  readonly desired: number | null;
  readonly plugins: readonly {
    readonly plugin: string;
    readonly ok: boolean;
    readonly reason?: string;
    readonly inboxMessages: number;
    readonly outboxMessages: number;
  }[];
}

/** One message of a batch. */
export interface BatchItem {
  readonly body?: string;
  readonly json?: unknown;
  readonly contentType?: string;
  readonly idempotencyKey?: string;
}

/** Solaris' API as tests, benches and the demo use it. */
export class SolarisApi {
  readonly origin: string;
  readonly #key: string;

  constructor(origin: string, key: string) {
    this.origin = origin;
    this.#key = key;
  }

  /** One request; the answer as it is. */
  request(
    method: string,
    path: string,
    init: { body?: BodyInit; headers?: Record<string, string>; signal?: AbortSignal } = {},
  ) {
    const { body, headers, signal } = init;
    return fetch(`${this.origin}/api/v1${path}`, {
      method,
      headers: { authorization: `Bearer ${this.#key}`, ...headers },
      ...(body === undefined ? {} : { body }),
      ...(signal === undefined ? {} : { signal }),
    });
  }

  /** One JSON request; ApiProblem for an error answer. */
  async call<T>(method: string, path: string, body?: unknown, headers: Record<string, string> = {}): Promise<T> {
    const json = body === undefined ? {} : { body: JSON.stringify(body) };
    const typed = body === undefined ? headers : { "content-type": "application/json", ...headers };
    return answerOf<T>(await this.request(method, path, { ...json, headers: typed }));
  }

  /** Every page of a list. */
  async all<T>(path: string): Promise<T[]> {
    const items: T[] = [];
    for (let after: string | null = null; ; ) {
      const joint = path.includes("?") ? "&" : "?";
      const more: string = after === null ? "" : `${joint}after=${encodeURIComponent(after)}`;
      const page: { items: T[]; next: string | null } = await this.call("GET", `${path}${more}`);
      items.push(...page.items);
      if (page.next === null || page.items.length === 0) return items;
      after = page.next;
    }
  }

  async createCustomer(name = "Test customer", licence: Readonly<Record<string, unknown>> = {}): Promise<TestCustomer> {
    const customer = await this.call<{ id: string }>("POST", "/customers", { name });
    const made = await this.call<{ licence: { id: string }; key: string }>(
      "POST",
      `/customers/${customer.id}/licences`,
      {
        name: "Test licence",
        tier: "test",
        rateLimitRpm: 10_000_000,
        ...licence,
      },
    );
    return { customerId: customer.id, licenceId: made.licence.id, licenceKey: made.key };
  }

  async createAgent(customerId: string, more: Readonly<Record<string, unknown>> = {}): Promise<TestAgent> {
    const body = { customerId, name: "Test agent", ...more };
    const { agent, token } = await this.call<{ agent: { id: string }; token: string }>("POST", "/agents", body);
    return { agentId: agent.id, token };
  }

  putPlugin(agentId: string, plugin: string, body: Readonly<Record<string, unknown>>): Promise<PluginView> {
    return this.call("PUT", `/agents/${agentId}/plugins/${plugin}`, body);
  }

  plugin(agentId: string, plugin: string): Promise<PluginView> {
    return this.call("GET", `/agents/${agentId}/plugins/${plugin}`);
  }

  /** Pushes one message; `key` = Idempotency-Key, `waitS` = seconds to wait for its outcome. */
  async push(
    agentId: string,
    plugin: string,
    body: BodyInit,
    options: { key?: string; waitS?: number; contentType?: string } = {},
  ): Promise<PushedMessage> {
    const { key, waitS, contentType = "application/json" } = options;
    const headers = {
      "content-type": contentType,
      ...(key === undefined ? {} : { "idempotency-key": key }),
      ...(waitS === undefined ? {} : { prefer: `wait=${waitS}` }),
    };
    return answerOf(await this.request("POST", `/agents/${agentId}/plugins/${plugin}/messages`, { body, headers }));
  }

  async pushBatch(
    agentId: string,
    plugin: string,
    items: readonly BatchItem[],
    waitS?: number,
  ): Promise<PushedMessage[]> {
    const headers = waitS === undefined ? {} : { prefer: `wait=${waitS}` };
    const path = `/agents/${agentId}/plugins/${plugin}/messages:batch`;
    return (await this.call<{ items: PushedMessage[] }>("POST", path, items, headers)).items;
  }

  message(id: string): Promise<MessageDetail> {
    return this.call("GET", `/messages/${id}`);
  }

  received(query: Readonly<Record<string, string>> = {}): Promise<{ items: ReceivedMessage[]; next: string }> {
    return this.call("GET", `/received?${new URLSearchParams(query)}`);
  }

  /** All that was received so far. */
  async allReceived(query: Readonly<Record<string, string>> = {}): Promise<ReceivedMessage[]> {
    const all: ReceivedMessage[] = [];
    let after: string | undefined;
    for (;;) {
      const page = await this.received({ ...query, limit: "1000", ...(after === undefined ? {} : { after }) });
      all.push(...page.items);
      if (page.items.length === 0) return all;
      after = page.next;
    }
  }

  status(agentId: string): Promise<AgentStatus> {
    return this.call("GET", `/agents/${agentId}/status`);
  }

  async revoke(agentId: string, reason = "test"): Promise<void> {
    await this.call("POST", `/agents/${agentId}/revoke`, { reason });
  }
}

async function answerOf<T>(response: Response): Promise<T> {
  const text = await response.text();
  const value: unknown = text === "" ? undefined : jsonOf(text);
  if (!response.ok) throw new ApiProblem(response.status, (value ?? {}) as Readonly<Record<string, unknown>>); // what a problem holds
  return value as T; // tests say what they expect and look at it
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return { title: text.slice(0, 300) }; // no problem document: shown as it is
  }
}
