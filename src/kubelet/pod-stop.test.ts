import { expect, test } from "vitest";
import { createWorld, silentLogger } from "#base";
import type { PodContext } from "./pod-context.ts";
import { stopPod } from "./pod-stop.ts";
import { makeContainer, makePod, showContainer, showPod, showSandbox } from "./testing/pods.ts";

test("hooks of sidecars run at once; their signals wait for all that started after them", async () => {
  const hook = { preStop: { exec: { command: ["hook"] } } };
  const first = makeContainer("first", { restartPolicy: "Always", lifecycle: hook });
  const second = makeContainer("second", { restartPolicy: "Always" });
  const main = makeContainer("main");
  const pod = makePod({ initContainers: [first, second], containers: [main] });
  const done: string[] = [];
  const hooked = Promise.withResolvers<void>();
  const context = {
    world: createWorld({ log: silentLogger }),
    nodeAddresses: [],
    recorder: { record: () => {} },
    runtime: {
      async execSync(id: string) {
        done.push(`hook ${id}`);
        hooked.resolve();
        return { stdout: Buffer.alloc(0), stderr: Buffer.alloc(0), exitCode: 0 };
      },
      async stopContainer(id: string) {
        // Had the hook to wait for its turn, this would never end.
        if (id === "main-0") await hooked.promise;
        done.push(`stop ${id}`);
      },
      stopPodSandbox: async (id: string) => void done.push(`stop ${id}`),
    },
  } as unknown as PodContext;
  const containers = [first, second, main].map((spec) => showContainer({ spec }));
  const state = showPod([showSandbox(0)], containers);
  await stopPod(context, { pod, state, graceSeconds: 30, signal: new AbortController().signal });
  expect(done).toEqual(["hook first-0", "stop main-0", "stop second-0", "stop first-0", "stop s0"]);
});
