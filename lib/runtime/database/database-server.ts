import { failureOf } from "./database-faults.ts";
import type { BoundStatement, Driver } from "./driver.ts";
import { LocalDriver } from "./local-driver.ts";
import { RemoteDriver } from "./remote-driver.ts";
import {
  textsMax,
  type WireAnswer,
  type WireOpen,
  type WireOutcome,
  type WireRequest,
  type WireStatement,
} from "./worker-protocol.ts";

type Outcomes = readonly WireOutcome[];

/** The thread's side of a database: takes requests in order, answers each. Everything that blocks on a disk happens here. */
export class DatabaseServer {
  readonly #answer: (answer: WireAnswer) => void;
  /** Texts in the order in which they came; later requests name them by number. */
  readonly #texts: string[] = [];
  #driver: Driver | undefined;
  /** A remote server answers later; requests still go out one after the other. */
  #turn: Promise<void> = Promise.resolve();
  #waiting = 0;

  constructor(answer: (answer: WireAnswer) => void) {
    this.#answer = answer;
  }

  /** Acts on one request, at once when none is under way. */
  take(request: WireRequest): void {
    if (this.#waiting > 0) {
      this.#enqueue(async () => this.#finish(request, await this.#handle(request)));
      return;
    }
    const outcomes = this.#handle(request);
    if (outcomes instanceof Promise) this.#enqueue(async () => this.#finish(request, await outcomes));
    else this.#finish(request, outcomes);
  }

  #enqueue(work: () => Promise<void>): void {
    this.#waiting += 1;
    this.#turn = this.#turn.then(work).finally(() => {
      this.#waiting -= 1;
    });
  }

  #finish(request: WireRequest, outcomes: Outcomes): void {
    this.#answer([request[1], outcomes]);
  }

  #handle(request: WireRequest): Outcomes | Promise<Outcomes> {
    try {
      const outcomes = this.#act(request);
      return outcomes instanceof Promise
        ? outcomes.catch((error: unknown) => [{ failure: failureOf(error) }])
        : outcomes;
    } catch (error) {
      return [{ failure: failureOf(error) }];
    }
  }

  #act(request: WireRequest): Outcomes | Promise<Outcomes> {
    if (request[0] === "open") {
      this.#driver = driverFor(request[2]);
      return [{ results: [] }];
    }
    if (this.#driver === undefined) throw new TypeError("the database is not open");
    switch (request[0]) {
      case "write":
        return this.#driver.write(request[2].map((set) => set.map((statement) => this.#bound(statement))));
      case "read": {
        const result = this.#driver.read(this.#text(request[2]), request[3]);
        return result instanceof Promise ? result.then((one) => [{ results: [one] }]) : [{ results: [result] }];
      }
      case "close":
        this.#driver.close();
        this.#driver = undefined;
        return [{ results: [] }];
    }
  }

  #bound([text, params, expect]: WireStatement): BoundStatement {
    return { sql: this.#text(text), params, expect };
  }

  #text(text: string | number): string {
    if (typeof text === "string") {
      if (this.#texts.length < textsMax) this.#texts.push(text);
      return text;
    }
    const known = this.#texts[text];
    if (known === undefined) throw new TypeError("a statement's text was never sent");
    return known;
  }
}

function driverFor(open: WireOpen): Driver {
  return "path" in open ? new LocalDriver(open) : new RemoteDriver(open);
}
