import { rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { z } from "zod";
import { Program } from "../../support/program.ts";

/** One measurement of iperf3. `down`: the server sends. */
export interface IperfSettings {
  /** Where the server listens. */
  readonly serverPort: number;
  /** Where the client connects: what leads to the server. */
  readonly clientPort: number;
  readonly direction: "up" | "down";
  readonly streams: number;
  readonly seconds: number;
}

const reportSchema = z.object({ end: z.object({ sum_received: z.object({ bits_per_second: z.number() }) }) });

/** Payload received, Gbit/s, without the first second. RangeError with what iperf3 said when it fails. */
export async function iperf(settings: IperfSettings): Promise<number> {
  const { serverPort, clientPort, direction, streams, seconds } = settings;
  const logFile = join(tmpdir(), `iperf3-${process.pid}-${serverPort}.log`);
  await using stop = new AsyncDisposableStack();
  stop.defer(() => rmSync(logFile, { force: true }));
  const server = stop.use(
    new Program({
      name: "iperf3",
      command: ["iperf3", "-s", "-1", "-B", "127.0.0.1", "-p", `${serverPort}`, "--forceflush"],
      environment: {},
      directory: tmpdir(),
      logFile,
    }),
  );
  server.start();
  await server.until(/Server listening/);
  const words = ["-c", "127.0.0.1", "-p", `${clientPort}`, "-t", `${seconds}`, "-O", "1", "-P", `${streams}`, "-J"];
  const child = Bun.spawn(["iperf3", ...words, ...(direction === "down" ? ["-R"] : [])], {
    stdout: "pipe",
    stderr: "pipe",
    timeout: (seconds + 20) * 1_000,
  });
  const text = await new Response(child.stdout).text();
  if ((await child.exited) !== 0) throw new RangeError(`iperf3: ${text.slice(-500)}`);
  return reportSchema.parse(JSON.parse(text)).end.sum_received.bits_per_second / 1e9;
}
