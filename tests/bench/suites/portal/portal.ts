import { freePort } from "../../../support/free-port.ts";
import { Postgres, postgresFolder } from "../../../support/postgres.ts";
import { type Figure, notMeasured } from "../../figure.ts";
import { sshIsInstalled, sshJump } from "../../yardstick/ssh-jump.ts";
import { connects } from "./connects.ts";
import { echoServer } from "./echo-server.ts";
import { pgbench } from "./pgbench.ts";
import { pings } from "./pings.ts";
import { portalStack } from "./portal-stack.ts";
import { standstill } from "./standstill.ts";
import { streams } from "./streams.ts";

/** TCP through a portal and its relay, beside `ssh -L` through a jump host. */
export async function portal(note: (text: string) => void): Promise<readonly Figure[]> {
  await using stop = new AsyncDisposableStack();
  const echo = stop.use(echoServer());
  const iperfPort = Bun.which("iperf3") === null ? undefined : freePort();
  const hasPostgres = postgresFolder() !== undefined && Bun.which("pgbench") !== null;
  const postgres = hasPostgres ? stop.use(await Postgres.start()) : undefined;
  const targets = [echo.port, iperfPort, postgres?.port].filter((port) => port !== undefined);
  const bench = stop.use(await portalStack(targets));
  const ssh = sshIsInstalled ? stop.use(await sshJump(targets)) : undefined;
  if (ssh === undefined) note("no peer: ssh and sshd are not installed (Debian: openssh-client, openssh-server)");
  const through = async (targetPort: number) => ({ ours: await bench.portalTo(targetPort), peer: ssh?.to(targetPort) });
  const figures: Figure[] = [];
  const echoed = await through(echo.port);
  figures.push(...(await connects(echoed.ours, echoed.peer)));
  if (iperfPort === undefined) {
    note("streams are not measured: iperf3 is not installed");
    figures.push(notMeasured("portal, TCP streams"));
  } else figures.push(...(await streams(bench, iperfPort, await through(iperfPort), note)));
  if (postgres === undefined) {
    note("pgbench is not measured: PostgreSQL is not installed (Debian: postgresql)");
    figures.push(notMeasured("portal, pgbench -S"));
  } else figures.push(...(await pgbench(bench.stack, postgres, await through(postgres.port), note)));
  figures.push(...(await pings([bench.site, bench.backend], echoed.ours, note)));
  figures.push(...(await standstill(bench, echoed.ours, note)));
  return figures;
}
