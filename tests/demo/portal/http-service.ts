import { mkdtempSync, rmSync } from "node:fs";
import { appendFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Endless, RowReader, type Rows, rowBytes, rowMs, type Service } from "./service.ts";
import { textLines } from "./text-lines.ts";

/** What stands in for a database where none is installed: an HTTP server that keeps notes in a file. */
export function httpService(): Service {
  const data = mkdtempSync(join(tmpdir(), "http-service-"));
  let reports = 0;
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    idleTimeout: 0,
    routes: {
      "/answer": () => new Response("42"),
      "/notes": {
        POST: async (request) => {
          const note = await request.text();
          await appendFile(join(data, "notes"), `${note}\n`);
          return new Response(note);
        },
      },
      "/echo": { POST: (request) => new Response(request.body) },
      "/rows/:count": (request) => {
        reports++;
        return new Response(report(Number(request.params.count)));
      },
      "/endless": () => new Response(report(Number.POSITIVE_INFINITY)),
    },
  });
  const get = (port: number, path: string) => fetch(`http://127.0.0.1:${port}${path}`);
  const post = async (port: number, path: string, body: string) =>
    await (await fetch(`http://127.0.0.1:${port}${path}`, { method: "POST", body })).text();
  return {
    what: "An HTTP server, asked with fetch",
    port: server.port ?? 0,
    data,
    command: (port) => `curl http://127.0.0.1:${port}/answer`,
    async ask(port, count) {
      let right = 0;
      for (let asked = 0; asked < count; asked++) if ((await (await get(port, "/answer")).text()) === "42") right++;
      return right;
    },
    keep: (port, text) => post(port, "/notes", text),
    echo: (port, text) => post(port, "/echo", text),
    async rows(port, count, arrived): Promise<Rows> {
      const [reader, before] = [new RowReader(arrived), reports];
      const { body } = await get(port, `/rows/${count}`);
      if (body !== null) for await (const line of textLines(body)) reader.take(Number(line.split("\t", 1)[0]));
      const { numbers, longestPauseMs } = reader;
      return { numbers, longestPauseMs, oneConnection: reports === before + 1 };
    },
    endless(port): Endless {
      const begun = Promise.withResolvers<void>();
      const read = async () => {
        const { body } = await get(port, "/endless");
        for await (const _line of body === null ? [] : textLines(body)) begun.resolve();
        return "it ended by itself";
      };
      const ended = read().catch((error: unknown) =>
        error instanceof Error ? (error.message.split(". ")[0] ?? "") : "",
      );
      return { begun: begun.promise, ended };
    },
    async [Symbol.asyncDispose]() {
      await server.stop(true);
      rmSync(data, { recursive: true, force: true });
    },
  };
}

function report(count: number): ReadableStream<Uint8Array> {
  let row = 0;
  return new ReadableStream({
    async pull(rows) {
      if (row >= count) {
        rows.close();
        return;
      }
      await Bun.sleep(rowMs);
      rows.enqueue(Buffer.from(`${++row}\t${".".repeat(rowBytes)}\n`));
    },
  });
}
