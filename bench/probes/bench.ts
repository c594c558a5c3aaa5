/** What probing costs an agent: a thousand probes a second, of servers in another process. */
import { spawn } from "node:child_process";
import { join } from "node:path";
import { runOk } from "#base";
import { agentFlags } from "../../src/cli/local-nodes.ts";
import type { Benchmark, Row } from "../measure.ts";

const count = 1_000;

const serverCode = `require("http").createServer((q, s) => s.end("ok")).listen(0, "127.0.0.1", function () {
  console.log(this.address().port);
})`;

/** Percent of one core, in a process as an agent is. */
async function costOf(kind: string, port: number): Promise<{ percent: number; perSecond: number }> {
  const prober = join(import.meta.dirname, "prober.ts");
  const args = [...agentFlags, prober, kind, String(port), String(count)];
  return JSON.parse(await runOk(process.execPath, args, { timeoutMs: 120_000 }));
}

export default async function bench(): Promise<Benchmark> {
  const server = spawn(process.execPath, ["-e", serverCode], { stdio: ["ignore", "pipe", "inherit"] });
  try {
    const port = await new Promise<number>((resolve) =>
      server.stdout.once("data", (text) => resolve(Number(text))),
    );
    const rows: Row[] = [];
    for (const kind of ["HTTP", "TCP"]) {
      const { percent, perSecond } = await costOf(kind, port);
      const note = `${Math.round(perSecond)} succeeded a second`;
      rows.push({ what: `${kind} probes, of one core`, unit: "%", samples: [percent], goal: 20, note });
    }
    return { title: `${count} probes a second, each with a connection of its own`, rows };
  } finally {
    server.kill();
  }
}
