/**
 * The yardstick for pushes: the least that takes a message over HTTP into JetStream. One process publishes what it is
 * posted and answers 202 after the broker's acknowledgement; `consumer` as second argument makes it the durable
 * consumer beside it instead. No rows, no status, no encryption, no tunnel.
 */
import { AckPolicy, connect, RetentionPolicy, StorageType } from "nats.ws";

const [url, role] = process.argv.slice(2);
if (url === undefined) throw new TypeError("usage: jetstream-handler.ts NATS_URL [consumer]");
const user = process.env.BENCH_NATS_USER;
const pass = process.env.BENCH_NATS_PASSWORD;
const connection = await connect({ servers: url, ...(user && pass ? { user, pass } : {}) });
const manager = await connection.jetstreamManager();
const stream = "YARDSTICK";
await manager.streams.add({
  name: stream,
  subjects: ["yardstick.*"],
  retention: RetentionPolicy.Workqueue,
  storage: StorageType.File,
  max_bytes: 512 * 1024 * 1024,
});
const jetstream = connection.jetstream();

if (role === "consumer") {
  await manager.consumers.add(stream, {
    durable_name: "reader",
    ack_policy: AckPolicy.Explicit,
    max_ack_pending: 1_024,
  });
  const consumer = await jetstream.consumers.get(stream, "reader");
  console.log(JSON.stringify({ ready: true }));
  for await (const message of await consumer.consume({ max_messages: 512 })) message.ack();
} else {
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: async (request) => {
      await jetstream.publish("yardstick.a", await request.bytes());
      return new Response(null, { status: 202 });
    },
  });
  console.log(JSON.stringify({ listening: server.url.href }));
}
