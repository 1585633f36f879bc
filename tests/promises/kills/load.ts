/** Hands over numbers `first` … `first + count - 1`; rejects unless all were acknowledged. */
export type HandOver = (first: number, count: number) => Promise<void>;

/** Somebody who hands numbered things over, one after the other, and repeats each until it is acknowledged. */
export interface Load {
  /** What was acknowledged so far. */
  readonly accepted: readonly number[];
  /** How often something had to be handed over again. */
  readonly repeats: number;
  /** Ends after what is under way was acknowledged. Rejects when something was not, in `patienceMs`. */
  stop(): Promise<void>;
  /** Hands over one more, after `stop`. */
  one(): Promise<void>;
}

export interface LoadOptions {
  readonly name: string;
  readonly handOver: HandOver;
  /** How many are handed over together next. Default 1. */
  readonly together?: () => number;
  /** Pause after each, ms. */
  readonly pauseMs: () => number;
  /** For how long one is repeated before the load gives up, ms. */
  readonly patienceMs: number;
}

const repeatAfterMs = 40;

export function startLoad(options: LoadOptions): Load {
  const { name, handOver, pauseMs, patienceMs, together = () => 1 } = options;
  const accepted: number[] = [];
  let repeats = 0;
  let stopped = false;

  async function untilAcknowledged(first: number, count: number): Promise<void> {
    const deadline = performance.now() + patienceMs;
    for (;;) {
      try {
        await handOver(first, count);
        for (let number = first; number < first + count; number++) accepted.push(number);
        return;
      } catch (cause) {
        if (performance.now() > deadline)
          throw new RangeError(`${name}: ${first} was not acknowledged in ${patienceMs} ms`, { cause });
      }
      repeats += 1;
      await Bun.sleep(repeatAfterMs);
    }
  }

  async function run(): Promise<void> {
    while (!stopped) {
      await untilAcknowledged(accepted.length, together());
      await Bun.sleep(pauseMs());
    }
  }

  const running = run();
  running.catch(() => {
    stopped = true; // told by `stop`
  });
  return {
    accepted,
    get repeats() {
      return repeats;
    },
    async stop() {
      stopped = true;
      await running;
    },
    one: () => untilAcknowledged(accepted.length, 1),
  };
}
