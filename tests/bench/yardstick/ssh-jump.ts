import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { eventually } from "../../support/eventually.ts";
import { freePort } from "../../support/free-port.ts";
import { Program } from "../../support/program.ts";

/** What carries a TCP connection from one network to another without us: `ssh -L` through a jump host, or `ssh -L` alone. */
export interface SshForward extends AsyncDisposable {
  /** A port of 127.0.0.1 that leads to `targetPort`. */
  to(targetPort: number): number;
}

/** Where Debian puts it, which is not on everybody's PATH. */
const sshd = Bun.which("sshd", { PATH: `${process.env.PATH}:/usr/sbin:/usr/local/sbin` });

/** Whether the peer can be measured here. */
export const sshIsInstalled = sshd !== null && Bun.which("ssh") !== null && Bun.which("ssh-keygen") !== null;

/**
 * Two sshd of their own on loopback, keys and settings in a new folder, and one ssh that reaches the second through the first
 * (`-J`) and forwards each of `targetPorts`; AES-256-GCM on both hops, as ours.
 */
export async function sshJump(targetPorts: readonly number[]): Promise<SshForward> {
  if (sshd === null) throw new RangeError("sshd is not installed");
  await using stop = new AsyncDisposableStack();
  const folder = mkdtempSync(join(tmpdir(), "ssh-"));
  stop.defer(() => rmSync(folder, { recursive: true, force: true }));
  const key = join(folder, "key");
  const made = Bun.spawnSync(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key]);
  if (!made.success) throw new RangeError(`ssh-keygen: ${made.stderr}`);
  // What sshd shuts its unprivileged part into; only root's sshd asks for it.
  if (process.getuid?.() === 0 && !existsSync("/run/sshd")) mkdirSync("/run/sshd", { mode: 0o755 });
  const ports = { jump: freePort(), target: freePort() };
  for (const [name, port] of Object.entries(ports)) stop.use(await server(sshd, folder, name, port, key));
  const config = join(folder, "config");
  writeFileSync(config, clientSettings(ports, folder, key));
  const local = new Map(targetPorts.map((port) => [port, freePort()]));
  const forwards = [...local].flatMap(([target, own]) => ["-L", `127.0.0.1:${own}:127.0.0.1:${target}`]);
  const ssh = program("ssh", folder, ["ssh", "-F", config, "-N", "-J", "jump", ...forwards, "target"]);
  ssh.start();
  stop.use(ssh);
  for (const port of local.values()) await listens(port, ssh);
  const held = stop.move();
  return {
    to(targetPort) {
      const port = local.get(targetPort);
      if (port === undefined) throw new TypeError("a port that is not forwarded");
      return port;
    },
    [Symbol.asyncDispose]: () => held.disposeAsync(),
  };
}

async function server(sshd: string, folder: string, name: string, port: number, key: string): Promise<Program> {
  const settings = [
    `ListenAddress 127.0.0.1:${port}`,
    `HostKey ${key}`,
    `AuthorizedKeysFile ${key}.pub`,
    `PidFile ${join(folder, `${name}.pid`)}`,
    "PermitRootLogin yes",
    "StrictModes no",
    "UsePAM no",
    "PasswordAuthentication no",
    "AllowTcpForwarding yes",
    "MaxSessions 1000",
  ];
  const file = join(folder, `${name}.conf`);
  writeFileSync(file, `${settings.join("\n")}\n`);
  const running = program(name, folder, [sshd, "-D", "-e", "-f", file]);
  running.start();
  await listens(port, running);
  return running;
}

function clientSettings(ports: { jump: number; target: number }, folder: string, key: string): string {
  const common = [
    "Host *",
    `User ${Bun.spawnSync(["id", "-un"]).stdout.toString().trim()}`,
    `IdentityFile ${key}`,
    "IdentitiesOnly yes",
    "StrictHostKeyChecking no",
    `UserKnownHostsFile ${join(folder, "known-hosts")}`,
    "Ciphers aes256-gcm@openssh.com",
    "ExitOnForwardFailure yes",
    "BatchMode yes",
    "LogLevel ERROR",
  ];
  const hosts = Object.entries(ports).flatMap(([name, port]) => [`Host ${name}`, "HostName 127.0.0.1", `Port ${port}`]);
  return `${[...hosts, ...common].join("\n")}\n`;
}

function program(name: string, folder: string, command: readonly string[]): Program {
  return new Program({ name, command, environment: {}, directory: folder, logFile: join(folder, `${name}.log`) });
}

async function listens(port: number, running: Program): Promise<void> {
  await eventually(`${running.settings.name} listens`, async () => {
    if (!running.running) throw new RangeError(`${running.settings.name} has ended: ${running.output}`);
    (await Bun.connect({ hostname: "127.0.0.1", port, socket: { data: () => undefined } })).end();
    return true;
  });
}
