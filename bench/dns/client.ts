/**
 * Asks the same names again and again, from a process of its own: so many at a time, as fast as they are answered; or
 * (`every=N`) N a second, whatever the answers do.
 */
import { createSocket } from "node:dgram";
import dnsPacket from "dns-packet";

const [port = "0", seconds = "1", pace = "1", ...names] = process.argv.slice(2);
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
  if (!isOver && perSecond === 0) send();
});

const perSecond = Number(/^every=(\d+)$/.exec(pace)?.[1] ?? 0);
const tickMs = 1;
let started = performance.now();
let asked = 0;

/** What is due by now; after a standstill of this process nothing is made up for. */
function sendDue(): void {
  const now = performance.now();
  let due = Math.floor(((now - started) / 1000) * perSecond) - asked;
  if (due > perSecond / 100) {
    [started, asked, due] = [now, 0, 0];
  }
  for (; due > 0; due--, asked++) send();
}

if (perSecond > 0) setInterval(sendDue, tickMs);
else for (let i = 0; i < Number(pace); i++) send();
setTimeout(() => {
  isOver = true;
  process.stdout.write(JSON.stringify(latencies), () => process.exit(0));
}, Number(seconds) * 1000);
