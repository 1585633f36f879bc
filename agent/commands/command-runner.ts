import { fromUtf8, hex, utf8 } from "#lib/bytes";
import type { Random } from "#lib/clock";
import type { CryptoSuite } from "#lib/crypto";
import { asFault, Fault } from "#lib/fault";
import type { NodeKeys, VerifiedIdentity } from "#lib/identity";
import type { Log } from "#lib/log";
import { type Command, type CommandAnswer, commandSchema, nodeLane, type UpMessage } from "#lib/session";
import { verifyCommand } from "#lib/statement";
import type { Store } from "../store/open-store.ts";
import { encodeUp } from "../store/up-letters.ts";

/** What Mercury does for each command; what it resolves with goes into the answer. */
export type CommandHandlers = {
  readonly [Name in Command["name"]]: (command: Extract<Command, { name: Name }>) => Promise<unknown>;
};

export interface CommandRunnerOptions {
  readonly suite: CryptoSuite;
  readonly random: Random;
  readonly store: Pick<Store, "commands" | "lanes">;
  readonly handlers: CommandHandlers;
  /** ms since 1970, corrected. */
  readonly now: () => number;
  readonly log: Log;
}

/** Runs commands of Solaris: each addressed to this node, in date, once, answered durably (PROTOCOL §8). */
export class CommandRunner {
  readonly #options: CommandRunnerOptions;

  constructor(options: CommandRunnerOptions) {
    this.#options = options;
  }

  /** Commands that a former run began and did not answer: nobody can say what became of them. */
  async answerInterrupted(): Promise<void> {
    for (const id of await this.#options.store.commands.unanswered())
      await this.#answer(id, { ok: false, code: "outcome_unknown", reason: "Mercury ended while it ran this" });
  }

  /**
   * Verifies a sealed command, runs it if it is the first of its id, and stores the answer. Faults: those of unsealing and
   * `verifyCommand`; such a command is nobody's, so nothing is answered.
   */
  async take(
    { keys, authority }: { readonly keys: NodeKeys; readonly authority: VerifiedIdentity },
    sealed: string,
  ): Promise<void> {
    const { suite, store, now, log } = this.#options;
    const jws = fromUtf8(await keys.unseal(sealed));
    const claims = await verifyCommand(suite, jws, { authority, recipient: keys.identity.identifier, now: now() });
    if (!(await store.commands.take(claims.id, claims.exp * 1_000, now()))) {
      log.warn("command repeated, not run again", { id: claims.id });
      return;
    }
    log.info("command", { id: claims.id, name: claims.name });
    await this.#answer(claims.id, await this.#run({ ...claims.arguments, name: claims.name }));
  }

  async #run(content: unknown): Promise<CommandAnswer> {
    const parsed = commandSchema.safeParse(content);
    if (!parsed.success) return { ok: false, code: "invalid", reason: "this version does not know such a command" };
    try {
      const result = await this.#handle(parsed.data);
      return { ok: true, ...(result === undefined ? {} : { result }) };
    } catch (error) {
      const { code, message } = asFault(error, "internal");
      return { ok: false, code, reason: message.slice(0, 500) };
    }
  }

  #handle(command: Command): Promise<unknown> {
    const { handlers } = this.#options;
    switch (command.name) {
      case "check":
        return handlers.check(command);
      case "collect-now":
        return handlers["collect-now"](command);
      case "reconnect":
        return handlers.reconnect(command);
      case "rotate":
        return handlers.rotate(command);
      case "log-level":
        return handlers["log-level"](command);
      case "bundle":
        return handlers.bundle(command);
      case "settle":
        return handlers.settle(command);
      default:
        throw new Fault("invalid", "no such command");
    }
  }

  async #answer(id: string, answer: CommandAnswer): Promise<void> {
    const { store, random, now } = this.#options;
    const lane = await store.lanes.lane(nodeLane);
    const message: UpMessage = {
      kind: "answer",
      id: hex(random(16)),
      time: now(),
      about: id,
      contentType: "application/json",
      body: utf8(JSON.stringify(answer)),
    };
    await lane.outbox.append([encodeUp(message)], [store.commands.answered(id)]);
  }
}
