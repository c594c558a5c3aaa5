/** From the command to a usable cluster, and what it then costs to keep it. */
import { spawn } from "node:child_process";
import { join } from "node:path";
import { findContainerd } from "#runtime";
import { benchCluster, residentMegabytes } from "../cluster.ts";
import { type Benchmark, repeat, timed } from "../measure.ts";

const runs = 5;
/** After this long the first garbage collections are over. */
const idleMs = 20_000;

/** `Cluster.start()` in a fresh Node process, printed by that process itself. */
async function embeddedStart(): Promise<number> {
  const entry = join(import.meta.dirname, "../../dist/index.js");
  const code = `const t = performance.now(); const { Cluster } = await import(${JSON.stringify(entry)});
    const c = await Cluster.start({ nodes: 0 }); console.log(performance.now() - t); await c.stop();`;
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, ["--input-type=module", "-e", code], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    let text = "";
    child.stdout.on("data", (chunk) => {
      text += chunk;
    });
    child.once("close", (exit) =>
      exit === 0 ? resolve(Number(text)) : reject(new Error(`exit code ${exit}`)),
    );
  });
}

export default async function bench(): Promise<Benchmark> {
  const embedded = await repeat(runs, embeddedStart);
  const cluster = await benchCluster("startup", []);
  try {
    const warm = await repeat(runs, async () => {
      await cluster.knarr("down", "--name", cluster.name);
      return timed(() => cluster.knarr("up", "--name", cluster.name));
    });
    await new Promise((resolve) => setTimeout(resolve, idleMs));
    const { clusters } = JSON.parse(await cluster.knarr("status", "-o", "json")) as {
      clusters: { name: string; pid: number }[];
    };
    const server = await residentMegabytes(clusters.find((c) => c.name === cluster.name)!.pid);
    const containerd = await residentMegabytes(findContainerd(cluster.paths.containerd)!);
    return {
      title: "Start-up and idle memory",
      rows: [
        { what: "`knarr up`: command to Ready node and answered DNS", unit: "ms", samples: warm, goal: 3000 },
        {
          what: "control plane alone: import and `Cluster.start()`",
          unit: "ms",
          samples: embedded,
          goal: 400,
        },
        {
          what: "resident memory of the server and its containerd, idle",
          unit: "MB",
          samples: [server + containerd],
          goal: 150,
        },
        { what: "of that, the server", unit: "MB", samples: [server] },
      ],
    };
  } finally {
    await cluster.remove();
  }
}
