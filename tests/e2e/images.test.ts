import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { eventually } from "../support/eventually.ts";
import { freePort } from "../support/free-port.ts";
import { runStage } from "../support/image/build-stage.ts";
import { parseDockerfile } from "../support/image/dockerfile.ts";
import { canEnterRoots, Image } from "../support/image/image.ts";
import { needs } from "../support/needs.ts";
import type { Program } from "../support/program.ts";
import { SolarisApi } from "../support/solaris-api.ts";
import { Stack } from "../support/stack.ts";

setDefaultTimeout(30_000);

const repository = resolve(import.meta.dir, "../..");
const timeoutMs = 120_000;

/** What a Dockerfile makes, without an engine: its build stage run here, its final stage laid into an empty root. */
async function imageOf(part: string, folder: string): Promise<Image> {
  const [build, final, ...more] = parseDockerfile(readFileSync(join(repository, part, "Dockerfile"), "utf8"));
  if (build?.name === undefined || final === undefined || more.length > 0)
    throw new RangeError("a build stage and a final one were expected");
  const [stage, root] = [join(folder, `${part}-stage`), join(folder, `${part}-root`)];
  mkdirSync(root, { recursive: true });
  await runStage(build, repository, stage);
  return Image.lay(final, { [build.name]: stage }, root);
}

/** What the system says of a process: its user, its capabilities, whether it can gain others. */
function confinement({ pid }: Program): Record<string, string> {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  const field = (name: string) => new RegExp(`^${name}:\\s+(\\S+)`, "m").exec(status)?.[1] ?? "";
  return { user: field("Uid"), effective: field("CapEff"), noNewPrivileges: field("NoNewPrivs") };
}

const confined = { user: "65532", effective: "0000000000000000", noNewPrivileges: "1" };

needs(
  "a root of its own",
  "run as root on Linux with util-linux",
  canEnterRoots(),
)("images", () => {
  let folder: string;

  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "images-"));
  });

  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  describe("Solaris", () => {
    let image: Image;
    beforeAll(async () => {
      image = await imageOf("control", folder);
    }, timeoutMs);

    test(
      "runs with a read-only root as nobody, is healthy, writes into its volume alone, and ends when told",
      async () => {
        const port = freePort();
        const environment = { SOLARIS_LISTEN: `0.0.0.0:${port}` };
        const before = image.files();
        expect(await image.health(folder, environment)).not.toBe(0);
        await using program = image.program(folder, environment);
        program.start();
        await eventually("its health check passes", async () => (await image.health(folder, environment)) === 0);
        expect(confinement(program)).toEqual(confined);

        const key = readFileSync(join(image.root, "data/solaris.admin-key"), "utf8").trim();
        const { customerId } = await new SolarisApi(`http://127.0.0.1:${port}`, key).createCustomer();
        expect(customerId).toStartWith("cus_");
        expect(image.files()).toEqual(before);
        expect(readdirSync(join(image.root, "data")).sort()).toEqual(["solaris", "solaris.admin-key", "solaris.key"]);
        expect(await program.stop("SIGTERM")).toBe(0);
      },
      timeoutMs,
    );

    test("serves with the gateway inside, too", async () => {
      const [port, gateway] = [freePort(), freePort()];
      const environment = {
        SOLARIS_LISTEN: `0.0.0.0:${port}`,
        SOLARIS_GATEWAY_LISTEN: `0.0.0.0:${gateway}`,
        SOLARIS_GATEWAY_ORIGIN: "https://gateway.example.com",
      };
      await using program = image.program(folder, environment, ["serve", "--with-gateway"]);
      program.start();
      const ready = async () => (await fetch(`http://127.0.0.1:${gateway}/readyz`)).ok;
      await eventually("its gateway is ready", ready);
    }, 30_000);

    test("ends at once with a setting that it can't use, and says which", async () => {
      await using program = image.program(folder, { SOLARIS_LISTEN: "nowhere" });
      program.start();
      expect(await program.exit()).toBe(78);
      expect(program.output).toContain("SOLARIS_LISTEN");
    });
  });

  describe("Nexus", () => {
    let image: Image;
    beforeAll(async () => {
      image = await imageOf("gateway", folder);
    }, timeoutMs);

    test("takes settings that are usable, and says which is not", async () => {
      const environment = {
        NEXUS_SOLARIS_URL: "https://solaris.example.com",
        NEXUS_GATEWAY_KEY: `nexus_${"k".repeat(43)}`,
        NEXUS_NATS_URL: "wss://nats.example.com",
        NEXUS_TRUSTED_PROXIES: "10.0.0.0/8",
      };
      await using good = image.program(folder, environment, ["serve", "--check-config"]);
      good.start();
      expect(await good.exit()).toBe(0);
      await using bad = image.program(folder, { ...environment, NEXUS_SOLARIS_URL: "http://a.example.com" });
      bad.start();
      expect(await bad.exit()).toBe(78);
      expect(bad.output).toContain("NEXUS_SOLARIS_URL");
    });

    needs("nats-server", "apt-get install nats-server")("with NATS", () => {
      test(
        "runs with a read-only root as nobody, lets an agent in, writes nothing, and ends when told",
        async () => {
          await using stack = await Stack.start({ broker: "nats", nexusReplicas: 0 });
          const port = freePort();
          const origin = `http://127.0.0.1:${port}`;
          type Made = { gateway: { id: string }; key: string };
          const { gateway, key } = await stack.api.call<Made>("POST", "/gateways", {
            name: "image",
            origins: [origin],
          });
          const environment = {
            NEXUS_SOLARIS_URL: stack.origin,
            NEXUS_GATEWAY_KEY: key,
            NEXUS_NATS_URL: stack.nats?.url ?? "",
            NEXUS_NATS_USER: "nexus",
            NEXUS_NATS_PASSWORD: stack.nats?.passwords.nexus ?? "",
            NEXUS_LISTEN: `0.0.0.0:${port}`,
            NEXUS_ALLOW_INSECURE: "yes",
          };
          const before = image.files();
          await using program = image.program(folder, environment);
          program.start();
          await eventually("its health check passes", async () => (await image.health(folder, environment)) === 0);
          expect(confinement(program)).toEqual(confined);
          await eventually("it is ready", async () => (await fetch(`${origin}/readyz`)).ok);
          const { customerId } = await stack.api.createCustomer();
          const { agentId, token } = await stack.api.createAgent(customerId, { gatewayId: gateway.id });
          const site = stack.addSite();
          await site.enroll(token);
          site.start();
          await stack.online(agentId);
          expect(image.files()).toEqual(before);
          await site.program.stop();
          expect(await program.stop("SIGTERM")).toBe(0);
        },
        timeoutMs,
      );
    });
  });
});
