import type { ReceivedMessage, SolarisApi } from "../../support/solaris-api.ts";

/** A consumer of what one plugin brought up: reads on from its cursor, so that what is shown twice is counted twice. */
export class ReceivedLog {
  readonly #api: SolarisApi;
  readonly #query: Readonly<Record<string, string>>;
  readonly #numberOf: (message: ReceivedMessage) => number;
  readonly #numbers: number[] = [];
  #after: string | undefined;
  #reading: Promise<unknown> = Promise.resolve();

  constructor(
    api: SolarisApi,
    query: { readonly agentId: string; readonly plugin: string },
    numberOf: (message: ReceivedMessage) => number,
  ) {
    this.#api = api;
    this.#query = { ...query, limit: "1000" };
    this.#numberOf = numberOf;
  }

  /** Numbers of all that was received so far. */
  numbers(): Promise<number[]> {
    const read = this.#reading.then(() => this.#readOn());
    this.#reading = read.catch(() => undefined); // the caller hears of it
    return read;
  }

  async #readOn(): Promise<number[]> {
    for (;;) {
      const page = await this.#api.received({
        ...this.#query,
        ...(this.#after === undefined ? {} : { after: this.#after }),
      });
      this.#numbers.push(...page.items.map(this.#numberOf));
      this.#after = page.next;
      if (page.items.length === 0) return [...this.#numbers];
    }
  }
}
