import { expect, test } from "vitest";
import { qosTree } from "./qos-tree.ts";
import { makeContainer, makePod } from "./testing/pods.ts";

test("burstable pods have the shares they asked for, besteffort ones hardly any", () => {
  const pod = makePod({ containers: [makeContainer("main", { resources: { requests: { cpu: "500m" } } })] });
  const tree = qosTree("/kubepods", { milliCpu: 2000, memoryBytes: 1024 }, [pod, pod, makePod()]);
  expect(
    Object.fromEntries(
      [...tree].map(([path, { cpuShares, memoryLimitBytes }]) => [path, [cpuShares, memoryLimitBytes]]),
    ),
  ).toEqual({
    "/kubepods": [2048, 1024],
    "/kubepods/burstable": [1024, 0],
    "/kubepods/besteffort": [2, 0],
  });
});
