import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { testCertificate } from "../support/certificate.ts";
import { eventually } from "../support/eventually.ts";
import { freePort } from "../support/free-port.ts";
import { ApiProblem } from "../support/solaris-api.ts";
import { Stack } from "../support/stack.ts";
import { steadyFlow } from "../support/steady-flow.ts";
import { connectTo, serveTcp, serveTls, type TestConnection, type TestServer } from "../support/tcp-peers.ts";

const timeoutMs = 60_000;
setDefaultTimeout(timeoutMs);

type Agent = Awaited<ReturnType<Stack["addAgent"]>>;

interface PortalView {
  readonly id: string;
  readonly mode: string;
  readonly nodes: readonly { readonly inSync: boolean; readonly actual: { readonly state: string } | null }[];
}

/** One inlet, three ways to where it leads, all real processes. */
describe("modes of a portal", () => {
  let stack: Stack;
  let site: Agent;
  let backend: Agent;
  let echo: TestServer;
  let secret: TestServer;
  let tls: TestServer;
  let spki: string;
  let certificate: string;

  beforeAll(async () => {
    echo = serveTcp();
    secret = serveTcp();
    stack = await Stack.start({ environment: { solaris: { SOLARIS_GATEWAY_OUTLETS: `127.0.0.1:${echo.port}` } } });
    const { certFile, keyFile } = testCertificate(stack.directory, "old-gateway", ["old-gateway.test"]);
    const [cert, key] = [readFileSync(certFile, "utf8"), readFileSync(keyFile, "utf8")];
    tls = serveTls({ cert, key });
    const { raw, publicKey } = new X509Certificate(cert);
    const digest = (der: Uint8Array) => new Bun.CryptoHasher("sha256").update(der).digest("hex");
    certificate = `cert-sha256:${digest(raw)}`;
    spki = `spki-sha256:${digest(publicKey.export({ type: "spki", format: "der" }))}`;
    site = await stack.addAgent({ name: "site", allow: [`127.0.0.1:${tls.port}`, `127.0.0.1:${secret.port}`] });
    const allow = [`127.0.0.1:${echo.port}`];
    backend = await stack.addAgent({ name: "backend", customerId: site.customerId, allow });
  });

  afterAll(async () => {
    for (const server of [echo, secret, tls]) server?.[Symbol.dispose]();
    await stack?.[Symbol.asyncDispose]();
  });

  const wanted = (name: string, port: number, mode: string, outlet: object) => ({
    name,
    mode,
    inlet: { agentId: site.agentId, listen: { port } },
    outlet: { target: { host: "127.0.0.1", port: echo.port }, ...outlet },
  });

  async function make(
    name: string,
    mode: string,
    outlet: object,
    port = freePort(),
  ): Promise<PortalView & { port: number }> {
    const made = await stack.api.call<PortalView>("POST", "/portals", {
      customerId: site.customerId,
      ...wanted(name, port, mode, outlet),
    });
    await running(made.id);
    return { ...made, port };
  }

  async function running(id: string): Promise<void> {
    await eventually("its nodes run the portal", async () => {
      const { nodes } = await stack.api.call<PortalView>("GET", `/portals/${id}`);
      return nodes.length > 0 && nodes.every(({ inSync }) => inSync);
    });
  }

  async function said(connection: TestConnection, text: string): Promise<void> {
    void connection.write(text);
    const before = connection.text.length;
    await eventually(`${text} comes back`, () => connection.text.length >= before + text.length);
    expect(connection.text.slice(before)).toBe(text);
  }

  /** A new connection works, sooner or later: what it runs through is on its way back. */
  async function works(port: number): Promise<void> {
    await eventually("a connection works", async () => {
      const connection = await connectTo(port);
      void connection.write("x");
      return (await Promise.race([connection.closed, eventually("x", () => connection.text === "x")])) === true;
    });
  }

  async function lastCode(name: string): Promise<string | undefined> {
    const { portals } = await site.site.status();
    return portals.find((one) => one.name === name)?.last?.code;
  }

  test("terminated: Nexus connects to the target; whole, in order, half-closed and reset as in e2e", async () => {
    const { port } = await make("through-nexus", "terminated", {});
    const flow = await steadyFlow(port);
    await flow.goesOn();
    await flow.stop();
    const connection = await connectTo(port);
    await said(connection, "x");
    connection.reset();
    expect(await echo.connections.at(-1)?.closed).toBe("reset");
    const other = await connectTo(port);
    await said(other, "y");
    echo.connections.at(-1)?.reset();
    expect(await other.closed).toBe("reset");
  });

  test("terminated: what the operator's list does not name is refused, and the client and the site are told", async () => {
    const before = secret.connections.length;
    const { port } = await make("unlisted", "terminated", { target: { host: "127.0.0.1", port: secret.port } });
    const connection = await connectTo(port);
    expect(await connection.closed).toBe("reset");
    expect(await lastCode("unlisted")).toBe("not_allowed_here");
    expect(secret.connections).toHaveLength(before);
  });

  test("terminated: the loss of its Nexus ends the connection, and the next one works", async () => {
    const { port } = await make("restarting", "terminated", {});
    const connection = await connectTo(port);
    await said(connection, "x");
    await stack.gateway.kill();
    expect(await connection.closed).toBe("reset");
    await stack.startGateway();
    await works(port);
  });

  test("tls: to the one certificate that is pinned, by its key or whole", async () => {
    for (const pin of [spki, certificate]) {
      const outlet = { target: { host: "127.0.0.1", port: tls.port }, tls: { pins: [pin] } };
      const { port } = await make(`pinned-${pin.slice(0, 4)}`, "tls", outlet);
      const connection = await connectTo(port);
      await said(connection, "over tls");
      connection.end();
      expect(await connection.ended).toBe("fin");
      const flow = await steadyFlow(port);
      await flow.stop();
    }
  });

  test("tls: another certificate, no TLS, or a target that the site's list does not name: refused with a reason, not a byte said", async () => {
    const before = tls.connections.length;
    const pins = [`spki-sha256:${"0".repeat(64)}`];
    const cases: [string, number, string][] = [
      ["other-pin", tls.port, "identity_unexpected"],
      ["plain", secret.port, "system_unavailable"],
      ["not-listed", echo.port, "not_allowed_here"],
    ];
    for (const [name, target, code] of cases) {
      const outlet = { target: { host: "127.0.0.1", port: target }, connectTimeoutMs: 2_000, tls: { pins } };
      const { port } = await make(name, "tls", outlet);
      const connection = await connectTo(port);
      void connection.write("a secret");
      expect(await connection.closed).toBe("reset");
      expect(await lastCode(name)).toBe(code);
    }
    for (const server of [tls, secret])
      for (const { text } of server.connections.slice(server === tls ? before : 0))
        expect(text).not.toContain("a secret");
  });

  test("changing the mode keeps address and listener; what is open ends, and nothing changes by itself", async () => {
    const { id, port } = await make("moving", "tls", {
      target: { host: "127.0.0.1", port: tls.port },
      tls: { pins: [spki] },
    });
    const change = async (mode: string, outlet: object) => {
      await stack.api.call("PUT", `/portals/${id}`, wanted("moving", port, mode, outlet));
      await running(id);
    };
    const ways: [string, object][] = [
      ["terminated", {}],
      ["e2e", { agentIds: [backend.agentId] }],
      ["tls", { target: { host: "127.0.0.1", port: tls.port }, tls: { pins: [spki] } }],
    ];
    for (const [mode, outlet] of ways) {
      const open = await connectTo(port);
      await said(open, "before");
      await change(mode, outlet);
      expect(await open.closed).toBe("reset");
      await said(await connectTo(port), mode);
    }
    await change("e2e", { agentIds: [backend.agentId] });
    await backend.site.program.kill();
    const connection = await connectTo(port);
    expect(await connection.closed).toBe("reset"); // though Nexus and the inlet could reach the target, too
    backend.site.start();
    await works(port);
  });

  test("the API lists portals by mode; a customer that requires e2e has no others: at the API, at its nodes, at Nexus", async () => {
    const { port } = await make("forbidden-soon", "terminated", {});
    const listed = await stack.api.all<PortalView>("/portals?mode=terminated");
    expect(listed.length).toBeGreaterThan(0);
    expect(listed.every(({ mode }) => mode === "terminated")).toBe(true);
    const open = await connectTo(port);
    await said(open, "x");
    await stack.api.call("PATCH", `/customers/${site.customerId}`, { requireE2e: true });
    const beganMs = performance.now();
    expect(await open.closed).toBe("reset");
    expect(performance.now() - beganMs).toBeLessThan(6_000);
    await eventually(
      "nobody listens any more",
      async () => (await connectTo(port).catch(() => undefined)) === undefined,
    );
    const refused = await make("refused", "terminated", {}).catch((error: unknown) => error);
    expect(refused).toBeInstanceOf(ApiProblem);
    expect((refused as ApiProblem).problem).toMatchObject({ code: "invalid", errors: [{ path: "mode" }] });
    const audit = await stack.api.all<{ action: string; detail: object }>("/audit");
    expect(audit.filter(({ action }) => action === "customer.changed").at(-1)?.detail).toMatchObject({
      requireE2e: true,
    });
    await stack.api.call("PATCH", `/customers/${site.customerId}`, { requireE2e: false });
    await eventually("it is there again", async () => {
      const again = await connectTo(port).catch(() => undefined);
      if (again === undefined) return false;
      await said(again, "back");
      return true;
    });
  });

  test("an inlet that is pinned to an identity takes no other, not even the same agent's next one", async () => {
    const allow = [`127.0.0.1:${echo.port}`];
    const pinned = await stack.addAgent({ name: "pinned", customerId: site.customerId, allow }); // it is another one in the end
    const { identifier } = await eventually("it runs", () => pinned.site.status());
    const port = freePort();
    const inlet = { agentId: site.agentId, listen: { port }, pins: [identifier] };
    const outlet = { agentIds: [pinned.agentId], target: { host: "127.0.0.1", port: echo.port } };
    const wantedPinned = { name: "pinned-to", inlet, outlet };
    const made = await stack.api.call<PortalView>("POST", "/portals", { customerId: site.customerId, ...wantedPinned });
    await running(made.id);
    await works(port);
    const { token } = await stack.api.call<{ token: string }>("POST", `/agents/${pinned.agentId}/reissue`, {});
    await pinned.site.program.kill();
    const next = stack.addSite({ name: "pinned-next", allow });
    await next.enroll(token);
    next.start();
    await stack.online(pinned.agentId);
    const { identifier: another } = await eventually("it runs", () => next.status());
    expect(another).not.toBe(identifier);
    await eventually("it is refused for what it is", async () => {
      const refused = await connectTo(port);
      expect(await refused.closed).toBe("reset");
      return (await lastCode("pinned-to")) === "identity_unexpected";
    });
    await stack.api.call("PUT", `/portals/${made.id}`, { ...wantedPinned, inlet: { ...inlet, pins: [another] } });
    await running(made.id);
    await works(port);
  });
});
