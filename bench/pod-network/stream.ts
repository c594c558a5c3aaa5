/** One end of a stream: `receive ADDRESS` prints its port and then megabytes a second, `send ADDRESS PORT` sends all it can. */
import { connect, createServer, type Socket } from "node:net";

const [role, address = "", port = ""] = process.argv.slice(2);
const block = Buffer.alloc(1024 * 1024);

function receive(): void {
  let bytes = 0;
  const server = createServer((socket) => {
    // Read into one buffer: what is measured is the way here, not the making of garbage.
    socket.on("data", (chunk) => {
      bytes += chunk.length;
    });
    socket.on("error", () => process.exit(0));
    socket.on("end", () => process.exit(0));
  });
  server.listen(0, address, () => {
    const bound = server.address();
    process.stdout.write(`${typeof bound === "object" ? bound?.port : 0}\n`);
  });
  let [before, since] = [0, performance.now()];
  setInterval(() => {
    const now = performance.now();
    if (bytes > before) process.stdout.write(`${((bytes - before) / 1e6 / (now - since)) * 1000}\n`);
    [before, since] = [bytes, now];
  }, 500);
}

function send(): void {
  const socket: Socket = connect(Number(port), address, () => {
    const more = () => {
      while (socket.write(block));
    };
    socket.on("drain", more);
    more();
  });
  socket.on("error", () => process.exit(0));
}

if (role === "receive") receive();
else send();
