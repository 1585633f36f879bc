import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { brokerConfig } from "#lib/broker";
import { eventually } from "./eventually.ts";
import { freePort } from "./free-port.ts";
import { Program } from "./program.ts";

/** A nats-server with the configuration that we ship, in a folder of its own. */
export interface NatsProgram {
  readonly program: Program;
  /** `ws://127.0.0.1:port` */
  readonly url: string;
  readonly passwords: { readonly solaris: string; readonly nexus: string };
  /** Resolves when it takes connections. */
  started(): Promise<void>;
}

/** Version of the nats-server on the PATH; undefined when there is none. */
export function natsServerVersion(): string | undefined {
  if (Bun.which("nats-server") === null) return undefined;
  return new TextDecoder().decode(Bun.spawnSync(["nats-server", "--version"]).stdout).trim();
}

/** Writes its configuration; the caller starts it. */
export function natsProgram(directory: string): NatsProgram {
  mkdirSync(directory, { recursive: true });
  const [client, websocket] = [freePort(), freePort()];
  const passwords = { solaris: secret(), nexus: secret(), system: secret() };
  const environment = {
    STACK_NATS_KEY: secret(),
    STACK_NATS_SOLARIS: passwords.solaris,
    STACK_NATS_NEXUS: passwords.nexus,
    STACK_NATS_SYSTEM: passwords.system,
  };
  const text = brokerConfig({
    version: natsServerVersion() ?? "",
    listen: { host: "127.0.0.1", port: client },
    websocket: { host: "127.0.0.1", port: websocket },
    storeDir: join(directory, "jetstream"),
    storeKey: { env: "STACK_NATS_KEY" },
    passwords: {
      solaris: { env: "STACK_NATS_SOLARIS" },
      nexus: { env: "STACK_NATS_NEXUS" },
      system: { env: "STACK_NATS_SYSTEM" },
    },
  });
  const file = join(directory, "nats.conf");
  writeFileSync(file, text, { mode: 0o600 });
  const program = new Program({
    name: "nats-server",
    command: ["nats-server", "-c", file],
    environment,
    directory,
    logFile: join(directory, "nats.log"),
  });
  return {
    program,
    url: `ws://127.0.0.1:${websocket}`,
    passwords,
    started: async () => {
      await eventually("nats-server listens", async () => {
        if (!program.running) throw new RangeError(`nats-server has ended: ${program.output}`);
        const socket = await Bun.connect({ hostname: "127.0.0.1", port: websocket, socket: { data: () => undefined } });
        socket.end();
        return true;
      });
    },
  };
}

/** Begins with a letter: nats-server reads a variable's value as a part of its configuration, where a digit begins a number. */
function secret(): string {
  return `k${Buffer.from(crypto.getRandomValues(new Uint8Array(24))).toString("hex")}`;
}
