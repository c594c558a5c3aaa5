/**
 * `HOST ROUNDS EACH`: connects so often, one after the other, and prints the milliseconds of processor that each round took:
 * the kernel's way through the rules is among them, and what else runs on the machine is not.
 */
import { connect } from "node:net";
import { repeat } from "../measure.ts";

const [host = "", rounds = "1", each = "1"] = process.argv.slice(2);

function connected(): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port: 80 }, () => {
      socket.destroy();
      resolve();
    });
    socket.once("error", reject);
  });
}

async function round(): Promise<number> {
  const before = process.cpuUsage();
  for (let i = 0; i < Number(each); i++) await connected();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1_000;
}

// The first rounds warm this process up.
for (let i = 0; i < 5; i++) await round();
process.stdout.write(JSON.stringify(await repeat(Number(rounds), round)));
