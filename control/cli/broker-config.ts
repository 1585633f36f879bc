import { brokerConfig } from "#lib/broker";
import { Fault } from "#lib/fault";
import { runCommand } from "#lib/runtime";

/** Options of `solaris broker-config` as the command line has them. */
export interface BrokerConfigWords {
  readonly natsVersion?: string;
  readonly listen: string;
  readonly websocket: string;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  readonly store: string;
  readonly events: boolean;
}

/**
 * The nats-server configuration for the server found on the PATH, or of the version named. Secrets stand in it by the name of the
 * environment variable that nats-server reads them from. Fault `config`.
 */
export async function writeBrokerConfig(words: BrokerConfigWords): Promise<string> {
  const { tlsCert: certFile, tlsKey: keyFile } = words;
  if ((certFile === undefined) !== (keyFile === undefined))
    throw new Fault("config", "--tls-cert and --tls-key go together");
  const tls = certFile === undefined || keyFile === undefined ? {} : { tls: { certFile, keyFile } };
  return brokerConfig({
    version: words.natsVersion ?? (await versionFound()),
    listen: addressOf("--listen", words.listen),
    websocket: { ...addressOf("--websocket", words.websocket), ...tls },
    storeDir: words.store,
    storeKey: { env: "NATS_STORE_KEY" },
    passwords: {
      solaris: { env: "NATS_SOLARIS_PASSWORD" },
      nexus: { env: "NATS_NEXUS_PASSWORD" },
      system: { env: "NATS_SYSTEM_PASSWORD" },
      ...(words.events ? { events: { env: "NATS_EVENTS_PASSWORD" } } : {}),
    },
  });
}

async function versionFound(): Promise<string> {
  try {
    return (await runCommand(["nats-server", "--version"])).stdout;
  } catch (cause) {
    throw new Fault("config", "no nats-server on the PATH: name its version with --nats-version", { cause });
  }
}

function addressOf(option: string, text: string): { host: string; port: number } {
  const parts = /^(?:\[([0-9a-fA-F:]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(text);
  const host = parts?.[1] ?? parts?.[2];
  if (host === undefined) throw new Fault("config", `${option} must be an address and a port, such as 127.0.0.1:4222`);
  return { host, port: Number(parts?.[3]) };
}
