import { createHash } from "node:crypto";
import { chmodSync, rmSync } from "node:fs";
import { createConnection, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

const answerBytesMax = 4 * 1024 * 1024;
/** `sun_path` holds 104 bytes on macOS, 108 on Linux. */
const socketPathMax = 100;

/**
 * Answers whoever of this user asks at `path` with the text that `answer` gives then: a Unix socket (0600), a named pipe
 * on Windows. The caller holds `exclusiveLock`: a socket file that lies there is a dead process'.
 */
export async function serveLocally(path: string, answer: () => string): Promise<AsyncDisposable> {
  const address = addressOf(path);
  if (process.platform !== "win32") rmSync(address, { force: true });
  const server = createServer((socket) => {
    socket.on("error", () => undefined); // the one who asked is gone: nothing is lost
    socket.end(answer());
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(address, resolve);
  });
  if (process.platform !== "win32") chmodSync(address, 0o600);
  server.unref();
  return {
    [Symbol.asyncDispose]: () => new Promise((resolve) => server.close(() => resolve())),
  };
}

/** What the process at `path` answers; undefined when none is there or it does not answer within `timeoutMs`. */
export function askLocally(path: string, timeoutMs = 3_000): Promise<string | undefined> {
  return new Promise((resolve) => {
    let text = "";
    const socket = createConnection(addressOf(path));
    socket.setEncoding("utf8");
    const done = (answer: string | undefined) => {
      clearTimeout(timer);
      socket.destroy();
      resolve(answer);
    };
    const timer = setTimeout(done, timeoutMs, undefined);
    socket.on("data", (chunk: string) => {
      text += chunk;
      if (text.length > answerBytesMax) done(undefined);
    });
    socket.on("end", () => done(text === "" ? undefined : text));
    socket.on("error", () => done(undefined)); // nobody is there
  });
}

/** A path that a socket can have: a long one is hashed; a pipe's name on Windows. */
export function addressOf(path: string): string {
  const hash = createHash("sha256").update(path).digest("hex").slice(0, 32);
  if (process.platform === "win32") return `\\\\.\\pipe\\mercury-${hash}`;
  return Buffer.byteLength(path) <= socketPathMax ? path : join(tmpdir(), `mercury-${hash}.sock`);
}
