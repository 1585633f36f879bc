import { expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";

setDefaultTimeout(30_000);

const door = join(import.meta.dir, "../../../lib/runtime/index.ts");

function run(code: string) {
  const script = `import { startWatchdog } from ${JSON.stringify(door)}; ${code}`;
  return Bun.spawn([process.execPath, "-e", script], {
    stdout: "pipe",
    stderr: "pipe",
    cwd: join(import.meta.dir, "../../.."),
  });
}

test("a process whose event loop stands still is ended, with its last words", async () => {
  const child = run(`startWatchdog({ limitMs: 200, lastWords: "stood still" }); setTimeout(() => { for (;;); }, 300);`);
  expect(await child.exited).not.toBe(0);
  expect(child.signalCode).toBe("SIGKILL");
  expect(await new Response(child.stderr).text()).toContain("stood still");
});

test("one that goes on, with pauses, is left alone and can end by itself", async () => {
  const child = run(`
    startWatchdog({ limitMs: 1000, lastWords: "stood still" });
    for (let turn = 0; turn < 5; turn++) {
      for (const until = performance.now() + 150; performance.now() < until; );
      await Bun.sleep(20);
    }
    console.log("went on");
  `);
  expect(await new Response(child.stdout).text()).toContain("went on");
  expect(await child.exited).toBe(0);
});
