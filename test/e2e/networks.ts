/** Networks that nobody on this machine uses: several runs of these tests may go on beside each other. */
import { run } from "#base";

/** The first three bytes of so many private networks. */
export async function freeNetworks(count: number): Promise<string[]> {
  const known = (await run("ip", ["-4", "-o", "route", "show", "table", "all"])).stdout;
  // Runs that look at the same moment begin at different places.
  const all = Array.from({ length: 200 }, (_, i) => `192.168.${20 + ((process.pid * 7 + i) % 200)}`);
  const free = all.filter((network) => !known.includes(`${network}.`));
  if (free.length < count) throw new Error("all private networks are in use on this machine");
  return free.slice(0, count);
}
