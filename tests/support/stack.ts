import { mkdir, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { eventually } from "./eventually.ts";
import { freePort } from "./free-port.ts";
import { type NatsServer, natsPassword, startNats } from "./nats-server.ts";
import { Program } from "./program.ts";
import { SolarisApi } from "./solaris-api.ts";

const root = resolve(import.meta.dir, "../..");

export interface StackOptions {
  /** `embedded`: Solaris and Nexus in one process; `nats`: a nats-server, Solaris and Nexus apart. Default `embedded`. */
  readonly broker?: "embedded" | "nats";
  /** Default: a new one in the system's temporary directory, removed at the end. */
  readonly directory?: string;
  /** More for every program's environment. */
  readonly environment?: Readonly<Record<string, string>>;
  /** Commands instead of `bun PROGRAM/main.ts`, such as compiled binaries. */
  readonly commands?: Partial<Record<"solaris" | "nexus" | "mercury", readonly string[]>>;
}

/** One Mercury of the stack: its process, its directories, its agent in Solaris. */
export interface StackAgent {
  readonly id: string;
  readonly token: string;
  readonly program: Program;
  readonly dataDirectory: string;
  /** A directory that the site's list allows. */
  readonly exchangeDirectory: string;
  /** Runs another command of `mercury` on the same data. */
  readonly command: (words: readonly string[], input?: string) => Promise<{ code: number; output: string }>;
}

/** A whole system of real processes on free ports, from an empty directory. */
export class Stack implements AsyncDisposable {
  readonly directory: string;
  readonly solaris: Program;
  /** Undefined where it runs inside Solaris. */
  nexus: Program | undefined;
  readonly nats: NatsServer | undefined;
  readonly gatewayOrigin: string;
  readonly agents: StackAgent[] = [];
  readonly #options: StackOptions;
  #api: SolarisApi | undefined;

  private constructor(parts: {
    directory: string;
    solaris: Program;
    nats: NatsServer | undefined;
    gatewayOrigin: string;
    options: StackOptions;
  }) {
    this.directory = parts.directory;
    this.solaris = parts.solaris;
    this.nats = parts.nats;
    this.gatewayOrigin = parts.gatewayOrigin;
    this.#options = parts.options;
  }

  static async start(options: StackOptions = {}): Promise<Stack> {
    const directory = options.directory ?? (await mkdtemp(join(tmpdir(), "stack-")));
    await mkdir(join(directory, "logs"), { recursive: true });
    const nats = options.broker === "nats" ? await startNats({ folder: join(directory, "nats") }) : undefined;
    const [apiPort, gatewayPort] = [freePort(), freePort()];
    const gatewayOrigin = `http://127.0.0.1:${gatewayPort}`;
    const solaris = new Program({
      name: "solaris",
      command: [
        ...(options.commands?.solaris ?? [process.execPath, join(root, "control/main.ts")]),
        "serve",
        ...(nats === undefined ? ["--with-gateway"] : []),
      ],
      environment: {
        SOLARIS_DATA: join(directory, "solaris"),
        SOLARIS_KEY_FILE: join(directory, "keys", "solaris.key"),
        SOLARIS_ADMIN_KEY_FILE: join(directory, "keys", "admin.key"),
        SOLARIS_LISTEN: `127.0.0.1:${apiPort}`,
        SOLARIS_GATEWAY_LISTEN: `127.0.0.1:${gatewayPort}`,
        ...(nats === undefined
          ? {}
          : { SOLARIS_NATS_URL: nats.url, SOLARIS_NATS_USER: "solaris", SOLARIS_NATS_PASSWORD: natsPassword }),
        ...options.environment,
      },
      directory,
      logFile: join(directory, "logs", "solaris.log"),
    });
    const stack = new Stack({ directory, solaris, nats, gatewayOrigin, options });
    try {
      await stack.startSolaris();
      stack.#api = new SolarisApi(
        `http://127.0.0.1:${apiPort}`,
        (await readFile(join(directory, "keys", "admin.key"), "utf8")).trim(),
      );
      if (nats !== undefined) await stack.#addNexus(gatewayPort, nats);
      return stack;
    } catch (error) {
      await stack[Symbol.asyncDispose]();
      throw error;
    }
  }

  get api(): SolarisApi {
    if (this.#api === undefined) throw new TypeError("the stack is not started");
    return this.#api;
  }

  /** Everything that the system wrote, keys that are meant to be plaintext left out: for searches. */
  get dataDirectories(): string[] {
    const agents = this.agents.map(({ dataDirectory }) => dataDirectory);
    const nats = this.nats === undefined ? [] : [this.nats.folder];
    return [join(this.directory, "solaris"), join(this.directory, "logs"), ...nats, ...agents];
  }

  get pids(): number[] {
    const programs = [this.solaris, this.nexus, ...this.agents.map(({ program }) => program)];
    return programs.flatMap((program) => program?.pid ?? []);
  }

  /** The program in which tunnels end. */
  get gateway(): Program {
    return this.nexus ?? this.solaris;
  }

  async startSolaris(): Promise<void> {
    this.solaris.start();
    await this.solaris.until(/"message":"listening"/);
  }

  async startGateway(): Promise<void> {
    if (this.nexus === undefined) return await this.startSolaris();
    this.nexus.start();
    await this.nexus.until(/"message":"ready for agents"/);
  }

  /** A customer with a licence that is valid now. */
  async customer(name = "ACME"): Promise<string> {
    const { id } = await this.api.post<{ id: string }>("/customers", { name });
    await this.api.post(`/customers/${id}/licences`, { name: "standard", tier: "standard", rateLimitRpm: 10_000_000 });
    return id;
  }

  /** An agent in Solaris, and a Mercury for it that is not started. It enrolls itself when it runs first. */
  async agent(name: string, customerId: string, allow: readonly string[] = []): Promise<StackAgent> {
    const made = await this.api.post<{ id: string; token: string }>("/agents", { customerId, name });
    const dataDirectory = join(this.directory, `mercury-${name}`);
    const exchangeDirectory = join(this.directory, `exchange-${name}`);
    await mkdir(exchangeDirectory, { recursive: true });
    const command = this.#options.commands?.mercury ?? [process.execPath, join(root, "agent/main.ts")];
    const environment = {
      MERCURY_DATA: dataDirectory,
      MERCURY_KEY_FILE: join(this.directory, "keys", `mercury-${name}.key`),
      MERCURY_LOG_FORMAT: "json",
      ...this.#options.environment,
    };
    const program = new Program({
      name: `mercury ${name}`,
      command: [...command, "run", ...allow.flatMap((line) => ["--allow", line]), "--allow-dir", exchangeDirectory],
      environment: { ...environment, MERCURY_TOKEN: made.token },
      directory: this.directory,
      logFile: join(this.directory, "logs", `mercury-${name}.log`),
    });
    const agent: StackAgent = {
      id: made.id,
      token: made.token,
      program,
      dataDirectory,
      exchangeDirectory,
      command: async (words, input) => {
        const other = new Program({
          name: `mercury ${words.join(" ")}`,
          command: [...command, ...words],
          environment,
          directory: this.directory,
          logFile: join(this.directory, "logs", `mercury-${name}-commands.log`),
          ...(input === undefined ? {} : { input }),
        });
        other.start();
        const code = await other.exit();
        return { code, output: other.output };
      },
    };
    this.agents.push(agent);
    return agent;
  }

  /** Starts the agent's Mercury and resolves when its tunnel is open. */
  async online(agent: StackAgent): Promise<void> {
    if (!agent.program.running) agent.program.start();
    await agent.program.until(/"message":"online"/, 30_000);
  }

  /** Configures a plugin and resolves when the agent says that this version runs. */
  async plugin(agent: StackAgent, name: string, type: string, config: object, more: object = {}): Promise<void> {
    const path = `/agents/${agent.id}/plugins/${name}`;
    const { version } = await this.api.put<{ version: number }>(path, { type, config, ...more });
    await this.inSync(agent, name, version);
  }

  async inSync(agent: StackAgent, name: string, version: number): Promise<void> {
    const path = `/agents/${agent.id}/plugins/${name}`;
    await eventually(`plugin ${name} version ${version} runs`, async () => {
      const { actual } = await this.api.get<{ actual: { version: number } | null }>(path);
      return actual !== null && actual.version >= version;
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.agents.map(({ program }) => program.kill()));
    await Promise.all([this.nexus?.kill(), this.solaris.kill()]);
    await this.nats?.[Symbol.asyncDispose]();
    if (this.#options.directory === undefined) await rm(this.directory, { recursive: true, force: true });
  }

  async #addNexus(port: number, nats: NatsServer): Promise<void> {
    const { key } = await this.api.post<{ key: string }>("/gateways", { name: "main", origins: [this.gatewayOrigin] });
    this.nexus = new Program({
      name: "nexus",
      command: [...(this.#options.commands?.nexus ?? [process.execPath, join(root, "gateway/main.ts")]), "serve"],
      environment: {
        NEXUS_SOLARIS_URL: this.api.origin,
        NEXUS_GATEWAY_KEY: key,
        NEXUS_NATS_URL: nats.url,
        NEXUS_NATS_USER: "nexus",
        NEXUS_NATS_PASSWORD: natsPassword,
        NEXUS_LISTEN: `127.0.0.1:${port}`,
      },
      directory: this.directory,
      logFile: join(this.directory, "logs", "nexus.log"),
    });
    await this.startGateway();
  }
}
