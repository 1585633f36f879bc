import { join } from "node:path";
import { Program } from "../../support/program.ts";
import type { Stack } from "../../support/stack.ts";

/** The bare handler and its consumer, on the nats-server of `stack`. */
export interface Yardstick extends AsyncDisposable {
  readonly url: string;
}

export async function startYardstick(stack: Stack): Promise<Yardstick> {
  const { nats } = stack;
  if (nats === undefined) throw new TypeError("the yardstick needs nats-server");
  const make = (name: string, words: readonly string[]) =>
    new Program({
      name,
      command: [process.execPath, join(import.meta.dir, "jetstream-handler.ts"), nats.url, ...words],
      environment: { BENCH_NATS_USER: "solaris", BENCH_NATS_PASSWORD: nats.passwords.solaris },
      directory: stack.directory,
      logFile: join(stack.directory, `${name}.log`),
    });
  const [handler, consumer] = [make("yardstick", []), make("yardstick-consumer", ["consumer"])];
  handler.start();
  const [, url = ""] = await handler.until(/"listening":"([^"]+)"/);
  consumer.start();
  await consumer.until(/"ready":true/);
  return {
    url,
    async [Symbol.asyncDispose]() {
      await Promise.all([handler.kill(), consumer.kill()]);
    },
  };
}
