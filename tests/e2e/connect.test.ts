import { afterAll, afterEach, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { eventually } from "../support/eventually.ts";
import { freePort } from "../support/free-port.ts";
import { Stack, sourceCommands } from "../support/stack.ts";
import { connectTo, serveTcp, type TestServer } from "../support/tcp-peers.ts";

setDefaultTimeout(60_000);

interface PortalView {
  readonly id: string;
  readonly nodes: readonly { readonly inSync: boolean }[];
}

let stack: Stack;
let echo: TestServer;
let web: { readonly port: number; stop(now: boolean): Promise<void> };
let site: Awaited<ReturnType<Stack["addAgent"]>>;
let backend: Awaited<ReturnType<Stack["addAgent"]>>;
/** A `mercury connect` that runs. */
interface Terminal {
  readonly child: { kill(signal: "SIGINT" | "SIGKILL"): void; readonly exited: Promise<number> };
  readonly said: { out: string; err: string };
  readonly ended: Promise<number>;
}
let terminals: Terminal[] = [];

beforeAll(async () => {
  stack = await Stack.start();
  echo = serveTcp();
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: (request) => new Response(request.headers.get("x-key") ?? "none"),
  });
  web = { port: server.port ?? 0, stop: (now) => server.stop(now) };
  site = await stack.addAgent({ name: "site" });
  const { customerId } = site;
  backend = await stack.addAgent({ name: "backend", customerId, allow: ["127.0.0.1:*"] });
});
afterEach(async () => {
  for (const one of terminals) one.child.kill("SIGKILL");
  await Promise.all(terminals.map(({ child }) => child.exited));
  terminals = [];
});
afterAll(async () => {
  echo?.[Symbol.dispose]();
  await web?.stop(true);
  await stack?.[Symbol.asyncDispose]();
});

async function portal(
  name: string,
  change: object = {},
  targetPort = echo.port,
): Promise<{ id: string; port: number }> {
  const port = freePort();
  const { id } = await stack.api.call<PortalView>("POST", "/portals", {
    customerId: site.customerId,
    name,
    inlet: { agentId: site.agentId, listen: { port } },
    outlet: { agentIds: [backend.agentId], target: { host: "127.0.0.1", port: targetPort } },
    ...change,
  });
  await eventually("both nodes run the portal", async () => {
    const { nodes } = await stack.api.call<PortalView>("GET", `/portals/${id}`);
    return nodes.length === 2 && nodes.every(({ inSync }) => inSync);
  });
  return { id, port };
}

/** `mercury connect` as a person starts it. */
function terminal(...words: string[]): Terminal {
  const child = Bun.spawn([...sourceCommands.mercury, "connect", ...words], {
    env: { PATH: process.env.PATH ?? "", MERCURY_DATA: site.site.data },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const said = { out: "", err: "" };
  const read = async (from: ReadableStream<Uint8Array>, to: "out" | "err") => {
    for await (const piece of from) said[to] += Buffer.from(piece).toString();
  };
  const ended = Promise.all([read(child.stdout, "out"), read(child.stderr, "err"), child.exited]).then(
    ([, , code]) => code,
  );
  const one = { child, said, ended };
  terminals.push(one);
  return one;
}

const portOf = ({ said }: Terminal) =>
  eventually("it says where it listens", () => Number(/127\.0\.0\.1:(\d+) leads to/.exec(said.out)?.[1] ?? 0) || false);

describe("mercury connect", () => {
  test("gives a terminal a portal of its own until Ctrl-C", async () => {
    const { port: regular } = await portal("db");
    const one = terminal(`${backend.agentId}/db`);
    const port = await portOf(one);
    expect(port).not.toBe(regular);
    expect(one.said.out).toContain(`leads to db at ${backend.agentId}. Ctrl-C ends it.`);
    const connection = await connectTo(port);
    void connection.write("hello");
    await eventually("it comes back", () => connection.text === "hello");
    one.child.kill("SIGINT");
    expect(await one.ended).toBe(0);
    expect(await connection.closed).toBe("reset");
    await eventually(
      "nobody listens any more",
      async () => (await connectTo(port).catch(() => undefined)) === undefined,
    );
    const beside = await connectTo(regular);
    void beside.write("still");
    await eventually("the portal itself goes on", () => beside.text === "still");
    beside.end();
  });

  test("carries HTTP where the portal does, at an address that is asked for, with the headers of the portal", async () => {
    await portal("web", { protocol: "http", http: { headers: { "x-key": "k-1" } } }, web.port);
    const asked = freePort();
    const one = terminal("web", "--listen", String(asked));
    expect(await portOf(one)).toBe(asked);
    expect(one.said.out).toContain(`http://127.0.0.1:${asked} leads to web`);
    expect(await (await fetch(`http://127.0.0.1:${asked}/`)).text()).toBe("k-1");
  });

  test("is never wider than the site's list, the portals that lead from here, and their nodes; says what there is", async () => {
    await portal("narrow");
    const cases: [string[], number, RegExp][] = [
      [["nothing"], 1, /no portal nothing leads from this node; there are: .*narrow.*\(not_found\)/],
      [["agt_other/narrow"], 1, new RegExp(`does not lead to agt_other; it leads to: ${backend.agentId}`)],
      [["narrow", "--listen", "0.0.0.0:0"], 1, /not on the site's list.*\(not_allowed_here\)/],
      [["a/b/c"], 2, /NODE\/OUTLET/],
      [["narrow", "--listen", "nowhere"], 2, /not a port/],
    ];
    for (const [words, code, text] of cases) {
      const one = terminal(...words);
      expect(await one.ended, words.join(" ")).toBe(code);
      expect(one.said.err).toMatch(text);
    }
  });

  test("ends, with what is open, when the portal is deleted, and says why connections are refused", async () => {
    const { id } = await portal("going");
    const dead = await portal("dead", {}, freePort());
    const [one, other] = [terminal("going"), terminal("dead")];
    const refused = await connectTo(await portOf(other));
    expect(await refused.closed).toBe("reset");
    await eventually("the terminal says why", () => other.said.err.includes("(system_unavailable)"));
    const connection = await connectTo(await portOf(one));
    void connection.write("x");
    await eventually("it is open", () => connection.text === "x");
    await stack.api.call("DELETE", `/portals/${id}`);
    expect(await connection.closed).toBe("reset");
    expect(await one.ended).not.toBe(0);
    expect(one.said.err).toContain("the portal has ended");
    await stack.api.call("DELETE", `/portals/${dead.id}`);
  });
});

test("a service is told whose connection it is, in front of its first byte", async () => {
  const { port } = await portal("proxied", { proxyProtocol: true });
  const connection = await connectTo(port);
  void connection.write("first");
  await eventually("all comes back", () => connection.receivedBytes >= 33);
  const [header, rest] = [connection.text.slice(0, 28), Buffer.concat(connection.received).subarray(28)];
  expect(header).toStartWith("\r\n\r\n\0\r\nQUIT\n");
  const bytes = Buffer.concat(connection.received);
  expect([...bytes.subarray(12, 24)]).toEqual([0x21, 0x11, 0, 12, 127, 0, 0, 1, 127, 0, 0, 1]);
  expect(bytes.readUInt16BE(24)).toBe(connection.socket?.localPort ?? 0);
  expect(bytes.readUInt16BE(26)).toBe(port);
  expect(rest.toString()).toBe("first");
  connection.end();
});
