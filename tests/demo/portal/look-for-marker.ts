import type { Socket } from "bun";
import { memoryIsReadable, searchMemory } from "../../support/memory-search.ts";
import { type Found, searchFiles, type Wanted } from "../../support/secret-search.ts";
import type { Stack } from "../../support/stack.ts";
import type { Narrator } from "../narrator.ts";
import { searchSecrets, secretText } from "../secrets.ts";
import type { Service } from "./service.ts";

/** How often the marker stands in one text that goes there and back. */
const repetitions = 20_000;

/** Sends a marker through the portal, again and again, and looks for it wherever it must not be. */
export async function lookForMarker(narrator: Narrator, stack: Stack, service: Service, port: number): Promise<void> {
  narrator.step("A marker goes through the portal; then it is looked for wherever it must not be");
  const text = randomText();
  const marker = secretText("marker", text);
  const kept = await service.keep(port, text);
  const atService = await searchFiles([service.data], [marker]);
  narrator.check(
    "the service has the marker on disk",
    kept === text && atService.length > 0,
    `sent, stored, read back; found in ${atService.length} of its files`,
  );
  if (memoryIsReadable) await inMemory(narrator, stack, service, port, marker);
  else narrator.say("The memory of Nexus is not searched: that needs Linux' /proc.");

  const { controlFound, found } = await searchSecrets(stack, [marker]);
  narrator.check(
    "the search of files, logs and arguments finds what it planted",
    controlFound,
    "control marker, in a file and in arguments",
  );
  narrator.check(
    "no log and no data directory holds the marker",
    found.length === 0,
    places(found) || `${stack.dataDirectories.length} data directories, ${stack.logFiles.length} logs: nothing`,
  );
}

/** Searches Nexus' memory while the marker goes through it, and with a control marker that Nexus must hold. */
async function inMemory(
  narrator: Narrator,
  stack: Stack,
  service: Service,
  port: number,
  marker: Wanted,
): Promise<void> {
  const text = Buffer.from(marker.bytes).toString().repeat(repetitions);
  let carriedBytes = 0;
  const carryOn = new AbortController();
  const carry = async () => {
    while (!carryOn.signal.aborted) carriedBytes += (await service.echo(port, text)).length;
  };
  await service.echo(port, text);
  const carrying = carry();
  carrying.catch(() => undefined); // told when it is awaited
  const control = secretText("control marker", randomText());
  const unfinished = await plant(stack, control);
  const pid = stack.gateway.pid ?? 0;
  const nexus = await searchMemory(pid, [marker, control]);
  const ends = await Promise.all(
    stack.sites.map(({ program }) => searchMemory(program.pid ?? 0, [marker]).then(({ found }) => found.length > 0)),
  );
  carryOn.abort();
  await carrying;
  unfinished.terminate();
  const controlFound = nexus.found.some(({ name }) => name === control.name);
  narrator.check(
    "the search of Nexus' memory finds what was planted there",
    controlFound,
    "a control marker in a request to Nexus that is still incomplete",
  );
  const found = nexus.found.filter(({ name }) => name === marker.name);
  const searched = `${Math.round(nexus.searchedBytes / 1e6)} MB of process ${pid}`;
  narrator.check(
    "Nexus' memory does not hold the marker",
    found.length === 0 && carriedBytes > 0,
    places(found) || `${searched}, while ${Math.round((carriedBytes * 2) / 1e6)} MB of markers went through it`,
  );
  const held = ends.filter((holds) => holds).length;
  narrator.say(`(The same search finds it in ${held} of the 2 Mercurys, where it is encrypted and decrypted.)`);
}

/** Has Nexus hold a text: in the header of a request whose end never comes. */
async function plant(stack: Stack, control: Wanted): Promise<Socket> {
  const { hostname, port } = new URL(stack.nexuses[0]?.address ?? stack.gatewayOrigin);
  const socket = await Bun.connect({ hostname, port: Number(port), socket: { data: () => undefined } });
  socket.write(`GET /healthz HTTP/1.1\r\nHost: ${hostname}\r\nX-Control: ${Buffer.from(control.bytes).toString()}`);
  socket.flush();
  return socket;
}

function randomText(): string {
  return `marker-${Buffer.from(crypto.getRandomValues(new Uint8Array(24))).toString("hex")}-`;
}

function places(found: readonly Found[]): string {
  return found.map(({ spelling, place }) => `${spelling} in ${place}`).join("; ");
}
