import type { Clock, Random } from "#lib/clock";
import type { CryptoSuite } from "#lib/crypto";
import { type LogLevel, makeLog } from "#lib/log";
import { type Tap, timedSuite } from "./sim-suite.ts";
import type { SimTime } from "./sim-time.ts";

/** What a process says, with who it is. */
export type Tell = (level: LogLevel, who: string, message: string, fields: Readonly<Record<string, unknown>>) => void;

/** One life of one program: when it is killed, nothing that it has begun goes on. */
export class SimProcess {
  readonly clock: Clock;
  readonly suite: CryptoSuite;
  readonly random: Random;
  readonly log;
  #alive = true;
  readonly #time: SimTime;

  constructor(time: SimTime, who: string, tell: Tell, tap?: Tap) {
    this.#time = time;
    this.clock = {
      now: () => time.now(),
      monotonic: () => time.monotonic(),
      after: (delayMs, act) => time.after(delayMs, () => this.do(act)),
    };
    this.suite = timedSuite((act) => this.#later(act), tap);
    this.random = (length) => Uint8Array.from({ length }, () => time.random.integer(0, 255));
    this.log = makeLog((level, _, message, fields) => this.#alive && tell(level, who, message, fields));
  }

  get alive(): boolean {
    return this.#alive;
  }

  /** Does something, if it still lives. */
  do(act: () => void): void {
    if (this.#alive) act();
  }

  sleep(delayMs: number): Promise<void> {
    return new Promise((resolve) => this.clock.after(delayMs, resolve));
  }

  kill(): void {
    this.#alive = false;
  }

  /** Threads of Web Crypto finish in any order, most often at once. */
  #later(act: () => void): void {
    const { random } = this.#time;
    this.clock.after(random.integer(0, 7) === 0 ? random.integer(1, 3) : 0, act);
  }
}
