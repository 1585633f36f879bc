import { join } from "node:path";
import type { Summary } from "./erp/ledger.ts";
import type { Behaviour } from "./erp/server.ts";
import { Program } from "./program.ts";

export interface ErpOptions {
  readonly directory: string;
  readonly name?: string;
  readonly username: string;
  readonly password: string;
  /** Whether a repeated `Idempotency-Key` is answered with the first booking. Default true. */
  readonly honourKeys?: boolean;
}

/** The ERP stand-in as its own process, and what its owner can see and change. */
export class Erp implements AsyncDisposable {
  readonly program: Program;
  readonly url: string;
  readonly port: number;
  readonly #authorization: string;

  private constructor(program: Program, url: string, authorization: string) {
    this.program = program;
    this.url = url.replace(/\/$/, "");
    this.port = Number(new URL(url).port);
    this.#authorization = authorization;
  }

  static async start(options: ErpOptions): Promise<Erp> {
    const name = options.name ?? "erp";
    const program = new Program({
      name,
      command: [process.execPath, join(import.meta.dir, "erp/main.ts"), join(options.directory, `${name}.db`)],
      environment: {
        ERP_USERNAME: options.username,
        ERP_PASSWORD: options.password,
        ERP_HONOUR_KEYS: options.honourKeys === false ? "0" : "1",
      },
      directory: options.directory,
      logFile: join(options.directory, `${name}.log`),
    });
    program.start();
    const [, url = ""] = await program.until(/"listening":"([^"]+)"/);
    const authorization = `Basic ${Buffer.from(`${options.username}:${options.password}`).toString("base64")}`;
    return new Erp(program, url, authorization);
  }

  summary(): Promise<Summary> {
    return this.#ask("GET", "/summary");
  }

  /** Order numbers as they were booked, in that order. */
  numbers(): Promise<string[]> {
    return this.#ask("GET", "/orders/numbers");
  }

  async behave(behaviour: Partial<Behaviour>): Promise<void> {
    await this.#ask("PUT", "/behaviour", behaviour);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.program.kill();
  }

  async #ask<T>(method: string, path: string, body?: object): Promise<T> {
    const answer = await fetch(`${this.url}${path}`, {
      method,
      headers: { authorization: this.#authorization, "content-type": "application/json" },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    if (!answer.ok) throw new RangeError(`the ERP answered ${answer.status} to ${path}`);
    return (await answer.json()) as T; // our own stand-in
  }
}
