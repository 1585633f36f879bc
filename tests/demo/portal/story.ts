import { eventually } from "../../support/eventually.ts";
import { freePort } from "../../support/free-port.ts";
import type { MercurySite } from "../../support/mercury-site.ts";
import { postgresFolder } from "../../support/postgres.ts";
import { Stack } from "../../support/stack.ts";
import { connectTo } from "../../support/tcp-peers.ts";
import type { Narrator } from "../narrator.ts";
import { httpService } from "./http-service.ts";
import { lookForMarker } from "./look-for-marker.ts";
import { postgresService } from "./postgres-service.ts";
import type { Service } from "./service.ts";

const questionCount = 200;
const rowCount = 2_000;

export interface PortalStoryOptions {
  readonly directory: string;
  readonly broker: "embedded" | "nats";
  /** An HTTP server even where PostgreSQL is installed. */
  readonly http: boolean;
  /** Ends and removes what the story started. */
  readonly cleanup: AsyncDisposableStack;
  /** Aborted: the story ends before its next chapter. */
  readonly signal: AbortSignal;
}

/** A node of the demo: its id in Solaris, its Mercury. */
interface DemoNode {
  readonly id: string;
  readonly mercury: MercurySite;
}

/** What plays on after the story. */
export interface PortalStage {
  readonly stack: Stack;
  readonly service: Service;
  readonly datacenter: DemoNode;
  /** Where the portal listens at the site. */
  readonly port: number;
}

/** Tells the whole story but its end, checks included. */
export async function tellPortal(narrator: Narrator, options: PortalStoryOptions): Promise<PortalStage> {
  const { directory, broker, cleanup, signal } = options;
  narrator.step("The datacenter: a service that listens on loopback, and nowhere else");
  const starting = Stack.start({ directory, broker }).then((stack) => cleanup.use(stack));
  starting.catch(() => undefined); // told below
  const http = options.http || postgresFolder() === undefined;
  if (http && !options.http) narrator.say("PostgreSQL is not installed (Debian: apt-get install postgresql).");
  const service = cleanup.use(http ? httpService() : await postgresService());
  narrator.say(`${service.what}; port ${service.port}, a new data directory of its own`);
  const stack = await starting;
  signal.throwIfAborted();

  narrator.step("The cloud: Solaris and Nexus");
  narrator.say(
    broker === "nats"
      ? "Solaris, Nexus and a nats-server, each its own process."
      : "One process: Solaris, Nexus and the embedded broker; what is said of Nexus' memory is said of all three.",
  );

  narrator.step("Two networks: a Mercury at the site, a Mercury of role gateway beside the service");
  const { customerId } = await stack.api.createCustomer("ACME Manufacturing");
  const [, datacenter] = await Promise.all([
    addNode(stack, customerId, "site", "edge"),
    addNode(stack, customerId, "datacenter", "gateway", `127.0.0.1:${service.port}`),
  ]);
  narrator.say("Each has a data directory, an identity and a tunnel of its own; they share nothing but Nexus.");
  narrator.say(`The datacenter's own list allows 127.0.0.1:${service.port}, which the cloud can't widen.`);
  signal.throwIfAborted();

  narrator.step("A portal from the site to the service, made through the API");
  const port = await makePortal(stack, customerId, service.port);
  narrator.say(`The site's Mercury listens on 127.0.0.1:${port}. A person there types:`);
  narrator.say(`  ${service.command(port)}`);
  const answered = await service.ask(port, questionCount);
  narrator.check(
    "questions are answered through the portal",
    answered === questionCount,
    `${answered} of ${questionCount}, right`,
  );
  signal.throwIfAborted();

  await killNexus(narrator, stack, service, port);
  signal.throwIfAborted();
  await lookForMarker(narrator, stack, service, port);
  signal.throwIfAborted();
  return { stack, service, datacenter, port };
}

async function addNode(
  stack: Stack,
  customerId: string,
  name: string,
  role: "edge" | "gateway",
  ...allow: string[]
): Promise<DemoNode> {
  const { agentId: id, token } = await stack.api.createAgent(customerId, { name, role });
  const mercury = stack.addSite({ name, allow });
  await mercury.enroll(token);
  mercury.start();
  await stack.online(id);
  return { id, mercury };
}

async function makePortal(stack: Stack, customerId: string, servicePort: number): Promise<number> {
  const port = freePort();
  const agents = await stack.api.all<{ id: string; name: string }>(`/agents?customerId=${customerId}`);
  const idOf = (wanted: string) => agents.find(({ name }) => name === wanted)?.id;
  const { id } = await stack.api.call<{ id: string }>("POST", "/portals", {
    customerId,
    name: "service",
    inlet: { agentId: idOf("site"), listen: { port } },
    outlet: { agentIds: [idOf("datacenter")], target: { host: "127.0.0.1", port: servicePort } },
  });
  await eventually("both nodes run the portal", async () => {
    const { nodes } = await stack.api.call<{ nodes: { inSync: boolean }[] }>("GET", `/portals/${id}`);
    return nodes.every(({ inSync }) => inSync);
  });
  return port;
}

async function killNexus(narrator: Narrator, stack: Stack, service: Service, port: number): Promise<void> {
  narrator.step(`One query of ${rowCount} rows; Nexus is killed while they come`);
  const progress = narrator.progress("rows at the site", rowCount);
  const [quarter, pid] = [Promise.withResolvers<void>(), stack.gateway.pid];
  const asked = service.rows(port, rowCount, (count) => {
    progress(count);
    if (count >= rowCount / 4) quarter.resolve();
  });
  asked.catch(quarter.reject);
  await quarter.promise;
  await stack.gateway.kill();
  narrator.say(`${stack.gateway.settings.name} (process ${pid}) was killed (SIGKILL) and starts again`);
  await stack.startGateway();
  const { numbers, oneConnection, longestPauseMs } = await asked;
  const inOrder = numbers.every((number, index) => number === index + 1);
  narrator.check(
    "the query finishes: every row came once, in order",
    numbers.length === rowCount && inOrder,
    `${numbers.length} rows, ${numbers[0]} … ${numbers.at(-1)}`,
  );
  narrator.check(
    "over the connection that it began on",
    oneConnection,
    `the client saw a pause of ${(longestPauseMs / 1_000).toFixed(1)} s and no error`,
  );
}

/** The end: the node beside the service is revoked, with a query under way. */
export async function revokeDatacenter(
  narrator: Narrator,
  { stack, service, datacenter, port }: PortalStage,
): Promise<void> {
  narrator.step("The datacenter's Mercury is revoked, with a query under way");
  const { begun, ended } = service.endless(port);
  await begun;
  const since = performance.now();
  await stack.api.revoke(datacenter.id, "the demo ends");
  const seconds = () => (performance.now() - since) / 1_000;
  const said = await Promise.race([ended, Bun.sleep(15_000).then(() => undefined)]);
  narrator.check("the query is cut", said !== undefined && seconds() < 5, `after ${seconds().toFixed(2)} s: ${said}`);
  const connection = await connectTo(port);
  const closed = await Promise.race([connection.closed, Bun.sleep(5_000).then(() => undefined)]);
  connection.reset();
  narrator.check("nobody connects any more", closed === "reset", closed ?? "the connection stays open");
}
