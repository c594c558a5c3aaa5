/** Asks as fast as it is answered, from a process of its own: the same names again and again, so many at a time. */
import { createSocket } from "node:dgram";
import dnsPacket from "dns-packet";

const [port = "0", seconds = "1", atOnce = "1", ...names] = process.argv.slice(2);
const socket = createSocket("udp4");
const sentAt = new Map<number, number>();
const latencies: number[] = [];
let next = 0;
let isOver = false;

function send(): void {
  const id = next++ & 0xffff;
  sentAt.set(id, performance.now());
  const name = names[id % names.length]!;
  socket.send(
    dnsPacket.encode({ type: "query", id, questions: [{ type: "A", name }] }),
    Number(port),
    "127.0.0.1",
  );
}

socket.on("message", (reply) => {
  const id = reply.readUInt16BE(0);
  const at = sentAt.get(id);
  if (at === undefined) return;
  sentAt.delete(id);
  latencies.push(performance.now() - at);
  if (!isOver) send();
});

for (let i = 0; i < Number(atOnce); i++) send();
setTimeout(() => {
  isOver = true;
  process.stdout.write(JSON.stringify(latencies));
  socket.close();
}, Number(seconds) * 1000);
