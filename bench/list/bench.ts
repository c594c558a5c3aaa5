/** Large lists and what they cost: first byte, whole list, memory; and what many pods cost to keep. */
import { connect } from "node:http2";
import { staticToken } from "../../test/integration/fixtures/secure-server.ts";
import { type ApiServerProcess, startApiServerProcess } from "../api-server.ts";
import { type Benchmark, repeat } from "../measure.ts";

const listed = 100_000;
const kept = 150_000;
const runs = 3;

interface Listing {
  firstByteMs: number;
  totalMs: number;
  /** Memory beyond what was there before, at its highest. */
  extraMegabytes: number;
}

/** Reads and drops the bytes: what a client makes of them is not measured here. */
async function list(server: ApiServerProcess): Promise<Listing> {
  const before = await server.memory();
  let highest = before;
  const session = connect(server.url, { ca: server.ca, settings: { initialWindowSize: 4 * 1024 * 1024 } });
  await new Promise((resolve) => session.once("connect", resolve));
  session.setLocalWindowSize(16 * 1024 * 1024);
  const start = performance.now();
  const stream = session.request({
    ":path": `/api/v1/pods?limit=${listed}`,
    authorization: `Bearer ${staticToken}`,
  });
  const look = setInterval(async () => {
    highest = Math.max(highest, await server.memory());
  }, 50);
  let firstByteMs = 0;
  stream.on("data", () => {
    firstByteMs ||= performance.now() - start;
  });
  await new Promise((resolve, reject) => stream.once("end", resolve).once("error", reject));
  const totalMs = performance.now() - start;
  clearInterval(look);
  session.close();
  return { firstByteMs, totalMs, extraMegabytes: highest - before };
}

export default async function bench(): Promise<Benchmark> {
  const empty = await repeat(runs, async () => {
    const server = await startApiServerProcess();
    await server.stop();
    return server.readyMs;
  });
  const server = await startApiServerProcess(kept);
  try {
    // What loading has left behind is not what pods cost.
    await new Promise((resolve) => setTimeout(resolve, 5000));
    const memory = await server.memory();
    const listings: Listing[] = [];
    await repeat(runs, async () => listings.push(await list(server)));
    const of = (key: keyof Listing) => listings.map((listing) => listing[key]);
    return {
      title: "Many pods: 3 KB each, with the owners of their fields 4 KB",
      rows: [
        { what: `list of ${listed} pods: first byte`, unit: "ms", samples: of("firstByteMs"), goal: 50 },
        { what: `list of ${listed} pods: whole`, unit: "ms", samples: of("totalMs") },
        {
          what: "memory that a list takes while it goes out",
          unit: "MB",
          samples: of("extraMegabytes"),
          goal: 64,
        },
        { what: `resident memory with ${kept} pods`, unit: "MB", samples: [memory], goal: 1200 },
        { what: "start of an API server without objects", unit: "ms", samples: empty, goal: 300 },
        { what: `start with ${kept} pods`, unit: "ms", samples: [server.readyMs] },
      ],
    };
  } finally {
    await server.stop();
  }
}
