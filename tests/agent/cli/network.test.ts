import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestCertificate, testCertificate } from "../../support/certificate.ts";
import { connectProxy } from "../../support/connect-proxy.ts";
import { eventually } from "../../support/eventually.ts";
import { freePort } from "../../support/free-port.ts";
import { MercurySite } from "../../support/mercury-site.ts";
import { needs } from "../../support/needs.ts";
import { Program } from "../../support/program.ts";
import { SolarisApi } from "../../support/solaris-api.ts";
import { sourceCommands } from "../../support/stack.ts";

setDefaultTimeout(30_000);

const timeoutMs = 60_000;
const gatewayName = "gateway.test"; // RFC 6761: resolves nowhere
const systemName = "erp.test";
const account = "mercury:s3cret";

interface DoctorReport {
  readonly ok: boolean;
  readonly findings: readonly {
    readonly hop: string;
    readonly ok: boolean;
    readonly saw: string;
    readonly todo?: string;
  }[];
}

needs("openssl", "apt-get install openssl")("mercury on a company's network", () => {
  let folder: string;
  let certificate: TestCertificate;
  let solaris: Program;
  let api: SolarisApi;
  let gatewayPort: number;
  let customerId: string;
  let sites = 0;

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "network-"));
    certificate = testCertificate(folder, "gateway", [gatewayName, systemName]);
    gatewayPort = freePort();
    const port = freePort();
    solaris = new Program({
      name: "solaris",
      command: [...sourceCommands.solaris, "serve", "--with-gateway"],
      environment: {
        SOLARIS_DATA: join(folder, "solaris"),
        SOLARIS_LISTEN: `127.0.0.1:${port}`,
        SOLARIS_GATEWAY_LISTEN: `127.0.0.1:${gatewayPort}`,
        SOLARIS_GATEWAY_ORIGIN: `https://${gatewayName}`,
        SOLARIS_GATEWAY_TLS_CERT_FILE: certificate.certFile,
        SOLARIS_GATEWAY_TLS_KEY_FILE: certificate.keyFile,
      },
      directory: folder,
      logFile: join(folder, "solaris.log"),
    });
    solaris.start();
    await solaris.until(/"listening"/);
    api = new SolarisApi(`http://127.0.0.1:${port}`, readFileSync(join(folder, "solaris.admin-key"), "utf8").trim());
    ({ customerId } = await api.createCustomer());
  }, timeoutMs);

  afterAll(async () => {
    await solaris?.[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true, force: true });
  }, timeoutMs);

  function newSite(environment: Record<string, string> = {}, allow: readonly string[] = []): MercurySite {
    sites += 1;
    const name = `site-${sites}`;
    return new MercurySite({
      command: sourceCommands.mercury,
      directory: join(folder, name),
      name,
      environment,
      allow,
    });
  }

  async function doctor(site: MercurySite, ...words: string[]): Promise<DoctorReport> {
    const { code, output } = await site.cli(["doctor", "--json", ...words]);
    const report: DoctorReport = JSON.parse(output.split("\n")[0] ?? "");
    expect(code).toBe(report.ok ? 0 : 75);
    return report;
  }
  /** What a plugin's own check says now. */
  const checked = async (agentId: string, plugin: string) =>
    JSON.stringify(
      await api.call(
        "POST",
        `/agents/${agentId}/commands`,
        { command: { name: "check", plugin } },
        { prefer: "wait=5" },
      ),
    );
  const failed = ({ findings }: DoctorReport) => findings.filter(({ ok }) => !ok).map(({ hop }) => hop);

  describe("doctor, before anything is enrolled", () => {
    test(
      "finds the whole way to a gateway in order, and shows it to people",
      async () => {
        const site = newSite({ MERCURY_CA_FILE: certificate.certFile });
        const address = `https://127.0.0.1:${gatewayPort}`;
        const { ok, findings } = await doctor(site, "--gateway", address);
        expect(findings.map(({ hop }) => hop)).toEqual([
          "gateway",
          "DNS",
          "connection",
          "TLS",
          "Nexus",
          "clock",
          "authority",
          "agent",
        ]);
        expect(ok).toBe(true);
        expect((await site.cli(["doctor", "--gateway", address])).output).toContain("ok    TLS");
      },
      timeoutMs,
    );

    test(
      "names the hop that fails, and what to do",
      async () => {
        const closed = await doctor(newSite(), "--gateway", `https://127.0.0.1:${freePort()}`);
        expect(failed(closed)).toEqual(["connection"]);
        expect(closed.findings.at(-1)?.todo).toContain("HTTPS_PROXY");

        const unknown = await doctor(newSite(), "--gateway", `https://${gatewayName}`);
        expect(failed(unknown)).toEqual(["DNS"]);

        const untrusted = await doctor(newSite(), "--gateway", `https://127.0.0.1:${gatewayPort}`);
        expect(failed(untrusted)).toEqual(["TLS"]);
        expect(untrusted.findings.at(-1)?.saw).toMatch(/SELF_SIGNED|UNABLE_TO_VERIFY/);
        expect(untrusted.findings.at(-1)?.todo).toContain("MERCURY_CA_FILE");

        const otherName = testCertificate(folder, "other", ["other.test"]);
        using other = Bun.serve({
          port: 0,
          hostname: "127.0.0.1",
          tls: { cert: readFileSync(otherName.certFile, "utf8"), key: readFileSync(otherName.keyFile, "utf8") },
          fetch: () => new Response("hello"),
        });
        const wrongName = await doctor(
          newSite({ MERCURY_CA_FILE: otherName.certFile }),
          "--gateway",
          `https://localhost:${other.port}`,
        );
        expect(failed(wrongName)).toEqual(["TLS"]);

        using web = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response("hello") });
        const noGateway = await doctor(newSite(), "--gateway", `http://127.0.0.1:${web.port}`);
        expect(failed(noGateway)).toEqual(["Nexus"]);
      },
      timeoutMs,
    );

    test(
      "takes an address that is none, and a token that is none, for what they are",
      async () => {
        for (const address of ["gateway", "http://gateway.example.com"]) {
          const { code, output } = await newSite().cli(["doctor", "--gateway", address]);
          expect(output).toContain("(config)");
          expect(code).toBe(2);
        }
        const { code, output } = await newSite({ MERCURY_TOKEN: "hello" }).cli(["doctor"]);
        expect(output).toContain("token_invalid");
        expect(code).toBe(75);
      },
      timeoutMs,
    );

    test(
      "says that nothing says where to go",
      async () => expect(failed(await doctor(newSite()))).toEqual(["enrollment"]),
      timeoutMs,
    );

    test(
      "names the proxy that is away, and one that wants to know who asks",
      async () => {
        await using proxy = await connectProxy(account, { [gatewayName]: gatewayPort });
        const away = newSite({ HTTPS_PROXY: `http://127.0.0.1:${freePort()}` });
        expect(failed(await doctor(away, "--gateway", `https://${gatewayName}`))).toEqual(["proxy"]);
        const stranger = newSite({ HTTPS_PROXY: `http://127.0.0.1:${proxy.port}` });
        const refused = await doctor(stranger, "--gateway", `https://${gatewayName}`);
        expect(failed(refused)).toEqual(["proxy"]);
        expect(refused.findings.find(({ ok }) => !ok)?.saw).toContain("407");
        expect(proxy.refused).toBeGreaterThan(0);
        expect(proxy.passed).toEqual([]);

        const known = newSite({ HTTPS_PROXY: `http://${account}@127.0.0.1:${proxy.port}` });
        expect(failed(await doctor(known, "--gateway", "https://other.test"))).toEqual(["proxy"]);
        expect(failed(await doctor(known, "--gateway", `https://${gatewayName}`))).toEqual(["TLS"]);
      },
      timeoutMs,
    );
  });

  test(
    "enrolls and holds its tunnel through a proxy with a password, to a gateway of a private authority",
    async () => {
      await using proxy = await connectProxy(account, { [gatewayName]: gatewayPort });
      const { agentId, token } = await api.createAgent(customerId);
      await using site = newSite({
        HTTPS_PROXY: `http://${account}@127.0.0.1:${proxy.port}`,
        MERCURY_CA_FILE: certificate.certFile,
        MERCURY_TOKEN: token,
      });
      const before = await doctor(site);
      expect(failed(before)).toEqual([]);
      expect(before.findings.map(({ hop }) => hop)).toContain("proxy");
      site.start();
      await eventually("it is online", async () => (await api.status(agentId)).online);
      expect(proxy.passed.length).toBeGreaterThan(1);
      expect([...new Set(proxy.passed)]).toEqual([`${gatewayName}:443`]);
      const { code, output } = await site.cli(["status"]);
      expect(output).toContain(`https://${gatewayName}`);
      expect(code).toBe(0);
      expect(site.program.output).not.toContain("s3cret");
    },
    timeoutMs,
  );

  test(
    "does not connect past a certificate that it can't trust, and says so",
    async () => {
      await using proxy = await connectProxy(account, { [gatewayName]: gatewayPort });
      const { token } = await api.createAgent(customerId, { name: "untrusting" });
      const site = newSite({ HTTPS_PROXY: `http://${account}@127.0.0.1:${proxy.port}`, MERCURY_TOKEN: token });
      const { code, output } = await site.cli(["enroll"]);
      expect(output).toMatch(/SELF_SIGNED|UNABLE_TO_VERIFY/);
      expect(output).not.toContain("s3cret");
      expect(code).toBe(75);
    },
    timeoutMs,
  );

  test(
    "a plugin reaches its system through the proxy, by the site's list and the private authority",
    async () => {
      using system = Bun.serve({
        port: 0,
        hostname: "127.0.0.1",
        tls: { cert: readFileSync(certificate.certFile, "utf8"), key: readFileSync(certificate.keyFile, "utf8") },
        fetch: async (request) => {
          if (request.method === "POST") taken.push(await request.text());
          return new Response("ok");
        },
      });
      const taken: string[] = [];
      const targets = { [gatewayName]: gatewayPort, [systemName]: system.port ?? 0, "secret.test": system.port ?? 0 };
      await using proxy = await connectProxy(account, targets);
      const { agentId, token } = await api.createAgent(customerId, { name: "behind the proxy" });
      await using site = newSite(
        { HTTPS_PROXY: `http://${account}@127.0.0.1:${proxy.port}`, MERCURY_CA_FILE: certificate.certFile },
        [`${systemName}:443`],
      );
      await site.enroll(token);
      site.start();
      await eventually("it is online", async () => (await api.status(agentId)).online);
      const put = (plugin: string, host: string) =>
        api.putPlugin(agentId, plugin, {
          type: "http",
          config: { baseUrl: `https://${host}`, auth: { kind: "none" }, down: { path: "/orders" } },
        });
      await put("erp", systemName);
      const pushed = await api.push(agentId, "erp", '"through the proxy"', { waitS: 20 });
      expect(pushed.state).toBe("applied");
      expect(taken).toEqual(['"through the proxy"']);
      expect(proxy.passed).toContain(`${systemName}:443`);

      // What the list does not name is refused at use, though the proxy would lead there.
      await put("secret", "secret.test");
      await eventually("it is not allowed here", async () => {
        const { actual } = await api.plugin(agentId, "secret");
        return (
          actual?.code === "not_allowed_here" || (await checked(agentId, "secret")).includes("not on the site's list")
        );
      });
      expect(proxy.passed.filter((target) => target.startsWith("secret"))).toEqual([]);
      expect(site.program.log).not.toContain("s3cret");
    },
    timeoutMs,
  );
});
