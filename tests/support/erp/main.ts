/** The ERP stand-in as a process: `bun tests/support/erp/main.ts DATABASE`; settings by environment, port on the first line. */
import { Ledger } from "./ledger.ts";
import { type Behaviour, erpApp } from "./server.ts";

const [path] = process.argv.slice(2);
const username = process.env.ERP_USERNAME;
const password = process.env.ERP_PASSWORD;
if (!path || !username || !password) {
  console.error(
    "usage: ERP_USERNAME=… ERP_PASSWORD=… [ERP_PORT=0] [ERP_HONOUR_KEYS=1] bun tests/support/erp/main.ts DATABASE",
  );
  process.exit(2);
}

const ledger = new Ledger(path);
const behaviour: Behaviour = {
  honourKeys: process.env.ERP_HONOUR_KEYS !== "0",
  state: "up",
  failNumber: null,
  delayMs: 0,
};
const server = Bun.serve({
  hostname: "127.0.0.1",
  port: Number(process.env.ERP_PORT ?? 0),
  idleTimeout: 0,
  fetch: erpApp(ledger, { username, password }, behaviour).fetch,
});
console.log(JSON.stringify({ listening: server.url.href }));

process.on("SIGTERM", () => {
  void server.stop(true).then(() => {
    ledger[Symbol.dispose]();
    process.exit(0);
  });
});
