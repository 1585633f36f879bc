import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { type Balancer, balancer } from "./balancer.ts";
import { type CuttingProxy, cuttingProxy } from "./cutting-proxy.ts";
import { eventually } from "./eventually.ts";
import { freePort } from "./free-port.ts";
import { MercurySite, type MercurySiteOptions } from "./mercury-site.ts";
import { type NatsProgram, natsProgram } from "./nats-program.ts";
import { Program } from "./program.ts";
import { SolarisApi } from "./solaris-api.ts";

const root = resolve(import.meta.dir, "../..");

/** How the three programs are started: from source, or as binaries. */
export interface ProgramCommands {
  readonly solaris: readonly string[];
  readonly nexus: readonly string[];
  readonly mercury: readonly string[];
}

/** From source, with the runtime that runs this. */
export const sourceCommands: ProgramCommands = {
  solaris: [process.execPath, join(root, "control/main.ts")],
  nexus: [process.execPath, join(root, "gateway/main.ts")],
  mercury: [process.execPath, join(root, "agent/main.ts")],
};

/** What kind of system is started. */
export interface StackOptions {
  /** `embedded`: one Solaris with its Nexus inside. `nats`: nats-server, Solaris, and Nexus as processes of their own. Default embedded. */
  readonly broker?: "embedded" | "nats";
  /** Puts a proxy between sites and their (first) gateway: `stack.network`. Default false. */
  readonly cuttable?: boolean;
  /** Replicas of one Nexus with `nats`, behind a balancer when there are several. Default 1. */
  readonly nexusReplicas?: number;
  readonly commands?: Partial<ProgramCommands>;
  readonly environment?: {
    readonly solaris?: Readonly<Record<string, string>>;
    readonly nexus?: Readonly<Record<string, string>>;
    readonly mercury?: Readonly<Record<string, string>>;
  };
  /** Folder of everything; default a new one, removed with the stack. */
  readonly directory?: string;
}

/** One replica of Nexus as a process. */
export interface NexusProgram {
  readonly program: Program;
  /** Where agents reach it: the same for all replicas. */
  readonly origin: string;
  /** Where this replica itself listens. */
  readonly address: string;
}

/**
 * A whole system of real processes on free ports, in one folder. Programs come back on their ports, so each can be killed
 * (`program.kill()`) and started again (`start…`). Disposing ends and removes everything.
 */
export class Stack implements AsyncDisposable {
  readonly directory: string;
  readonly solaris: Program;
  readonly nats: NatsProgram | undefined;
  readonly nexuses: NexusProgram[] = [];
  readonly sites: MercurySite[] = [];
  /** Where the API is. */
  readonly origin: string;
  /** Where agents connect, when Nexus is inside Solaris. */
  readonly gatewayOrigin: string;
  readonly #options: StackOptions;
  #network: CuttingProxy | undefined;
  readonly #commands: ProgramCommands;
  #api: SolarisApi | undefined;
  #balancer: Balancer | undefined;

  private constructor(options: StackOptions) {
    this.#options = options;
    this.#commands = { ...sourceCommands, ...options.commands };
    this.directory = options.directory ?? mkdtempSync(join(tmpdir(), "stack-"));
    mkdirSync(this.directory, { recursive: true });
    this.nats = options.broker === "nats" ? natsProgram(join(this.directory, "nats")) : undefined;
    const [api, gateway] = [freePort(), freePort()];
    this.origin = `http://127.0.0.1:${api}`;
    this.gatewayOrigin = this.nats === undefined ? this.#reachedThrough(gateway) : "";
    this.solaris = this.#solarisProgram(api, gateway);
  }

  /** The network between sites and their gateway; TypeError unless the stack is `cuttable`. */
  get network(): CuttingProxy {
    if (this.#network === undefined) throw new TypeError("this stack's network can't be cut");
    return this.#network;
  }

  /** The program in which tunnels end: the first Nexus, or Solaris with its own. */
  get gateway(): Program {
    return this.nexuses[0]?.program ?? this.solaris;
  }

  /** Starts the program in which tunnels end (again). */
  async startGateway(): Promise<void> {
    const [nexus] = this.nexuses;
    await (nexus === undefined ? this.startSolaris() : this.startNexus(nexus));
  }

  /** Folders of everything that the system writes. */
  get dataDirectories(): string[] {
    const nats = this.nats === undefined ? [] : [join(this.directory, "nats")];
    return [join(this.directory, "solaris"), ...nats, ...this.sites.map(({ data }) => data)];
  }

  /** Files that the programs print to. */
  get logFiles(): string[] {
    return this.#programs.map(({ settings }) => settings.logFile);
  }

  /** Processes that run now. */
  get pids(): number[] {
    return this.#programs.flatMap(({ running, pid }) => (running && pid !== undefined ? [pid] : []));
  }

  /** Starts everything but agents; resolves when the API and a gateway are ready. */
  static async start(options: StackOptions = {}): Promise<Stack> {
    const stack = new Stack(options);
    try {
      await stack.#begin();
      return stack;
    } catch (error) {
      await stack[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** The API under the first admin key. */
  get api(): SolarisApi {
    if (this.#api === undefined) throw new TypeError("the stack has not started");
    return this.#api;
  }

  /** The admin key, for those who need it as text. */
  get adminKey(): string {
    return readFileSync(join(this.directory, "solaris.admin-key"), "utf8").trim();
  }

  /** Starts Solaris (again) and waits until it is ready. */
  async startSolaris(environment: Readonly<Record<string, string>> = {}): Promise<void> {
    this.solaris.start(environment);
    await this.#ready(this.solaris, this.origin);
    if (this.nats === undefined) await this.#ready(this.solaris, this.gatewayOrigin);
  }

  /** Starts a replica of Nexus (again) and waits until it is ready. */
  async startNexus(nexus: NexusProgram): Promise<void> {
    nexus.program.start();
    await this.#ready(nexus.program, nexus.address);
  }

  /** Starts nats-server (again) and waits until it listens. */
  async startNats(): Promise<void> {
    this.nats?.program.start();
    await this.nats?.started();
  }

  /** A new site, not enrolled and not started. */
  addSite(options: Partial<MercurySiteOptions> = {}): MercurySite {
    const name = options.name ?? `site-${this.sites.length + 1}`;
    const site = new MercurySite({
      command: this.#commands.mercury,
      directory: join(this.directory, name),
      ...options,
      name,
      environment: { ...this.#options.environment?.mercury, ...options.environment },
    });
    this.sites.push(site);
    return site;
  }

  /** A customer's agent, enrolled, running and online. */
  async addAgent(options: Partial<MercurySiteOptions> & { customerId?: string } = {}) {
    const customerId = options.customerId ?? (await this.api.createCustomer()).customerId;
    const { agentId, token } = await this.api.createAgent(customerId, { name: options.name ?? "site" });
    const site = this.addSite(options);
    await site.enroll(token);
    site.start();
    await this.online(agentId);
    return { customerId, agentId, token, site };
  }

  /** Resolves when Solaris shows the agent online (or, with `online: false`, offline). */
  async online(agentId: string, online = true, timeoutMs = 30_000): Promise<void> {
    const what = `${agentId} is ${online ? "online" : "offline"}`;
    await eventually(what, async () => (await this.api.status(agentId)).online === online, { timeoutMs, everyMs: 50 });
  }

  /** Resolves when the wanted configuration of the plugin runs at the site. */
  async applied(agentId: string, plugin: string, timeoutMs = 20_000): Promise<void> {
    await eventually(
      `${plugin} runs as wanted`,
      async () => {
        const { version, actual } = await this.api.plugin(agentId, plugin);
        return actual?.version === version;
      },
      { timeoutMs, everyMs: 50 },
    );
  }

  /** Everything that any program printed, for a failure's message. */
  logs(): string {
    return this.#programs.map((program) => `── ${program.settings.name}\n${program.log.slice(-6_000)}`).join("\n");
  }

  /** With `STACK_LOGS=1` what the programs printed is shown before it is gone. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (process.env.STACK_LOGS === "1") console.error(this.logs());
    await Promise.all(this.sites.map((site) => site[Symbol.asyncDispose]()));
    await Promise.all(this.nexuses.map(({ program }) => program[Symbol.asyncDispose]()));
    await this.solaris[Symbol.asyncDispose]();
    await this.nats?.program[Symbol.asyncDispose]();
    this.#balancer?.[Symbol.dispose]();
    this.#network?.[Symbol.dispose]();
    if (this.#options.directory === undefined) rmSync(this.directory, { recursive: true, force: true });
  }

  get #programs(): Program[] {
    return [
      this.solaris,
      ...this.nexuses.map(({ program }) => program),
      ...this.sites.map(({ program }) => program),
      ...(this.nats === undefined ? [] : [this.nats.program]),
    ];
  }

  /** Where sites reach a gateway that listens on `port`. */
  #reachedThrough(port: number): string {
    if (this.#options.cuttable !== true || this.#network !== undefined) return `http://127.0.0.1:${port}`;
    this.#network = cuttingProxy(port);
    return `http://127.0.0.1:${this.#network.port}`;
  }

  async #begin(): Promise<void> {
    await this.startNats();
    await this.startSolaris();
    this.#api = new SolarisApi(this.origin, this.adminKey);
    if (this.nats === undefined) return;
    const ports = Array.from({ length: this.#options.nexusReplicas ?? 1 }, freePort);
    if (ports.length > 1) this.#balancer = balancer(ports);
    const origin = this.#reachedThrough(this.#balancer?.port ?? ports[0] ?? 0);
    const made = await this.api.call<{ key: string }>("POST", "/gateways", { name: "gateway", origins: [origin] });
    const keyFile = join(this.directory, "gateway-key");
    writeFileSync(keyFile, made.key, { mode: 0o600 });
    for (const port of ports) await this.#addNexus(this.nats, keyFile, origin, port);
  }

  async #addNexus(nats: NatsProgram, keyFile: string, origin: string, port: number): Promise<void> {
    const name = `nexus-${this.nexuses.length + 1}`;
    const program = new Program({
      name,
      command: [...this.#commands.nexus, "serve"],
      environment: {
        NEXUS_SOLARIS_URL: this.origin,
        NEXUS_GATEWAY_KEY_FILE: keyFile,
        NEXUS_NATS_URL: nats.url,
        NEXUS_NATS_USER: "nexus",
        NEXUS_NATS_PASSWORD: nats.passwords.nexus,
        NEXUS_LISTEN: `127.0.0.1:${port}`,
        ...this.#options.environment?.nexus,
      },
      directory: this.directory,
      logFile: join(this.directory, `${name}.log`),
    });
    const nexus = { program, origin, address: `http://127.0.0.1:${port}` };
    this.nexuses.push(nexus);
    await this.startNexus(nexus);
  }

  #solarisProgram(apiPort: number, gatewayPort: number): Program {
    const { nats, directory } = this;
    const broker: Record<string, string> =
      nats === undefined
        ? { SOLARIS_GATEWAY_LISTEN: `127.0.0.1:${gatewayPort}`, SOLARIS_GATEWAY_ORIGIN: this.gatewayOrigin }
        : { SOLARIS_NATS_URL: nats.url, SOLARIS_NATS_USER: "solaris", SOLARIS_NATS_PASSWORD: nats.passwords.solaris };
    return new Program({
      name: "solaris",
      command: [...this.#commands.solaris, "serve", ...(nats === undefined ? ["--with-gateway"] : [])],
      environment: {
        SOLARIS_DATA: join(directory, "solaris"),
        SOLARIS_KEY_FILE: join(directory, "solaris.key"),
        SOLARIS_ADMIN_KEY_FILE: join(directory, "solaris.admin-key"),
        SOLARIS_LISTEN: `127.0.0.1:${apiPort}`,
        ...broker,
        ...this.#options.environment?.solaris,
      },
      directory,
      logFile: join(directory, "solaris.log"),
    });
  }

  async #ready(program: Program, origin: string): Promise<void> {
    const answered = eventually(`${program.settings.name} is ready`, async () => (await fetch(`${origin}/readyz`)).ok);
    const ended = program.exit(30_000).then((code) => {
      throw new RangeError(`${program.settings.name} ended with ${code}; it printed:\n${program.output.slice(-4_000)}`);
    });
    ended.catch(() => undefined); // when it got ready first, nobody waits for its end
    await Promise.race([answered, ended]);
  }
}
