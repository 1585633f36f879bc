/** Entry of the thread of one database. A compiled program has it as a second entry point (`lib/runtime/build`). */
import { DatabaseServer } from "./database-server.ts";
import type { WireRequest } from "./worker-protocol.ts";

declare const self: Worker;

const server = new DatabaseServer((answer) => self.postMessage(answer));
self.onmessage = (event: MessageEvent<WireRequest>) => server.take(event.data);
