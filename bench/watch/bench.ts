/** What watches cost: deliveries of one core, and how late an event is when a thousand watch. */
import { connect } from "node:http2";
import { configMaps } from "#api";
import { staticToken } from "../../test/integration/fixtures/secure-server.ts";
import { type ApiServerProcess, startApiServerProcess } from "../api-server.ts";
import { type Benchmark, percentile } from "../measure.ts";

const watchers = 1000;
const connections = 10;
const eventsPerSecond = 10;
const seconds = 10;
const namespace = "default";
const path = `/api/v1/namespaces/${namespace}/configmaps?watch=1&fieldSelector=metadata.name%3Dobserved`;
const revisionText = /"sent":"(-?[\d.]+)"/g;

/** Calls back with the time at which each event was written, for every watcher that gets it. */
async function open(server: ApiServerProcess, onEvent: (sentMs: number) => void): Promise<() => void> {
  const sessions = Array.from({ length: connections }, () => connect(server.url, { ca: server.ca }));
  const heads: Promise<unknown>[] = [];
  for (let i = 0; i < watchers; i++) {
    const stream = sessions[i % connections]!.request({
      ":path": path,
      authorization: `Bearer ${staticToken}`,
    });
    heads.push(new Promise((resolve, reject) => stream.once("response", resolve).once("error", reject)));
    stream.on("data", (chunk: Buffer) => {
      for (const [, sent] of chunk.toString("latin1").matchAll(revisionText)) onEvent(Number(sent));
    });
  }
  await Promise.all(heads);
  return () => {
    for (const session of sessions) session.destroy();
  };
}

export default async function bench(): Promise<Benchmark> {
  const server = await startApiServerProcess();
  const client = server.connect();
  const ref = { namespace, name: "observed" };
  await client.create(configMaps, { metadata: ref, data: { sent: "0" } });
  try {
    const delays: number[] = [];
    let delivered = 0;
    const close = await open(server, (sentMs) => {
      delivered++;
      if (sentMs > 0) delays.push(performance.now() - sentMs);
    });
    const write = (sent: number) => client.patch(configMaps, ref, "merge", { data: { sent: String(sent) } });
    for (let i = 0; i < seconds * eventsPerSecond; i++) {
      await write(performance.now());
      await new Promise((resolve) => setTimeout(resolve, 1000 / eventsPerSecond));
    }
    const atLeisure = [...delays];
    // As fast as one writer can.
    const rates: number[] = [];
    for (let second = 0; second < 5; second++) {
      const [before, start] = [delivered, performance.now()];
      while (performance.now() - start < 1000) await write(-performance.now());
      rates.push(((delivered - before) * 1000) / (performance.now() - start));
    }
    close();
    return {
      title: `Watches: ${watchers} on ${connections} connections, server and watchers on this machine`,
      rows: [
        {
          what: `write sent to event received at ${eventsPerSecond} events/s, median`,
          unit: "ms",
          samples: [percentile(atLeisure, 0.5)],
        },
        { what: "the same, p99", unit: "ms", samples: [percentile(atLeisure, 0.99)], goal: 50 },
        { what: "deliveries, one writer without a pause", unit: "1/s", samples: rates },
      ],
    };
  } finally {
    await client.transport.close();
    await server.stop();
  }
}
