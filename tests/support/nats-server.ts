import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { brokerConfig } from "#lib/broker";
import { eventually } from "./eventually.ts";
import { freePort } from "./free-port.ts";

/** A real nats-server with the configuration that we ship, on free ports of 127.0.0.1. */
export interface NatsServer extends AsyncDisposable {
  /** `ws://127.0.0.1:port`. */
  readonly url: string;
  readonly folder: string;
  readonly pid: () => number;
  /** Ends it without warning (SIGKILL) and starts it again on its files and ports. */
  crash(): Promise<void>;
  stop(): Promise<void>;
  start(): Promise<void>;
}

/** Password of every user of the test server. */
export const natsPassword = "test-password-of-nats";

/** Version of the installed server, such as `nats-server: v2.9.10`. */
export function natsVersion(): string {
  return Bun.spawnSync(["nats-server", "--version"]).stdout.toString().trim();
}

/** Starts a server in a new folder; `folder` when its files are to be kept elsewhere. */
export async function startNats(options: { folder?: string } = {}): Promise<NatsServer> {
  const folder = options.folder ?? (await mkdtemp(join(tmpdir(), "nats-")));
  const [port, websocketPort] = [freePort(), freePort()];
  const password = { env: "TEST_NATS_PASSWORD" };
  const config = brokerConfig({
    version: natsVersion(),
    listen: { host: "127.0.0.1", port },
    websocket: { host: "127.0.0.1", port: websocketPort },
    storeDir: join(folder, "jetstream"),
    storeKey: { env: "TEST_NATS_STORE_KEY" },
    passwords: { solaris: password, nexus: password, events: password, system: password },
  });
  const file = join(folder, "nats-server.conf");
  await Bun.write(file, config);
  let child: ReturnType<typeof spawn> | undefined;
  const spawn = () =>
    Bun.spawn(["nats-server", "-c", file, "-l", join(folder, "nats-server.log")], {
      stdio: ["ignore", "ignore", "ignore"],
      env: { ...process.env, TEST_NATS_PASSWORD: natsPassword, TEST_NATS_STORE_KEY: "test-key-of-jetstream" },
    });
  const start = async () => {
    child = spawn();
    await eventually("nats-server listens", () => listens(websocketPort), { everyMs: 10 });
  };
  const stop = async (signal: "SIGKILL" | "SIGTERM") => {
    child?.kill(signal);
    await child?.exited;
  };
  await start();
  return {
    url: `ws://127.0.0.1:${websocketPort}`,
    folder,
    pid: () => child?.pid ?? 0,
    start,
    stop: () => stop("SIGTERM"),
    async crash() {
      await stop("SIGKILL");
      await start();
    },
    async [Symbol.asyncDispose]() {
      await stop("SIGKILL");
      if (options.folder === undefined) await rm(folder, { recursive: true, force: true });
    },
  };
}

async function listens(port: number): Promise<boolean> {
  const socket = await Bun.connect({ hostname: "127.0.0.1", port, socket: { data: () => undefined } });
  socket.end();
  return true;
}
