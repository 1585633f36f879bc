import { chmodSync, rmSync } from "node:fs";
import { createConnection, createServer, type Socket } from "node:net";
import { addressOf } from "./local-endpoint.ts";

/** Characters of one line, and programs that are served at a time. */
const lineLengthMax = 64 * 1_024;
const sessionsMax = 64;

/** Lines of text between two programs of one user on one machine. */
export interface LocalSession {
  /** What the other one says; ends with it. One reader. */
  lines(): AsyncGenerator<string>;
  /** Says a line; no effect once it has ended. */
  say(line: string): void;
  end(): void;
}

/** Serves whoever of this user comes to `path` (0600; a named pipe on Windows). The caller holds `exclusiveLock`. */
export async function serveLocalSessions(
  path: string,
  serve: (session: LocalSession) => void,
): Promise<AsyncDisposable> {
  const address = addressOf(path);
  if (process.platform !== "win32") rmSync(address, { force: true });
  const open = new Set<Socket>();
  const server = createServer((socket) => {
    if (open.size >= sessionsMax) {
      socket.destroy();
      return;
    }
    open.add(socket);
    socket.on("close", () => open.delete(socket));
    serve(sessionOver(socket));
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(address, resolve);
  });
  if (process.platform !== "win32") chmodSync(address, 0o600);
  server.unref();
  return {
    async [Symbol.asyncDispose]() {
      for (const socket of open) socket.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

/** A session with the process at `path`; undefined when none is there. */
export function openLocalSession(path: string): Promise<LocalSession | undefined> {
  return new Promise((resolve) => {
    const socket = createConnection(addressOf(path));
    socket.once("connect", () => resolve(sessionOver(socket)));
    socket.once("error", () => resolve(undefined)); // nobody is there
  });
}

function sessionOver(socket: Socket): LocalSession {
  socket.on("error", () => undefined); // `close` follows
  socket.setEncoding("utf8");
  return {
    async *lines() {
      let text = "";
      try {
        for await (const piece of socket as AsyncIterable<string>) {
          text += piece;
          for (let at = text.indexOf("\n"); at >= 0; at = text.indexOf("\n")) {
            yield text.slice(0, at);
            text = text.slice(at + 1);
          }
          if (text.length > lineLengthMax) socket.destroy();
        }
      } catch {
        // The other one is gone: that is the end, however it went.
      }
    },
    say: (line) => void (socket.writable && socket.write(`${line}\n`)),
    end: () => void socket.end(),
  };
}
