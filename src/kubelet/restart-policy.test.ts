import fc from "fast-check";
import { expect, test } from "vitest";
import type { corev1 } from "#api";
import { computePodActions } from "./compute-actions.ts";
import { isRestartingAll, restartedAllAt, restartsAfter } from "./restart-policy.ts";
import { makeContainer, makePod, showContainer, showPod, showSandbox } from "./testing/pods.ts";

const rule = (action: string, operator: string, ...values: number[]) =>
  ({ action, exitCodes: { operator, values } }) as corev1.ContainerRestartRule;

test.each([
  ["Never", [rule("Restart", "In", 42)], 42, true],
  ["Never", [rule("Restart", "In", 42)], 1, false],
  ["Never", [rule("Restart", "NotIn", 42)], 1, true],
  ["OnFailure", [rule("Restart", "In", 42)], 0, false],
  ["OnFailure", [rule("Restart", "In", 42)], 1, true],
  ["Always", [], 0, true],
] as const)("policy %s with rules %j after %i: %s", (restartPolicy, rules, exitCode, again) => {
  const container = makeContainer("main", { restartPolicy, restartPolicyRules: [...rules] });
  expect(
    restartsAfter(makePod({ restartPolicy: "Never", containers: [container] }), container, exitCode),
  ).toBe(again);
});

test("without a policy of its own a container follows its pod, whatever stands beside", () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 255 }), (exitCode) => {
      const container = makeContainer("main", { restartPolicyRules: [rule("Restart", "NotIn", 256)] });
      expect(restartsAfter(makePod({ restartPolicy: "Never" }), container, exitCode)).toBe(false);
      expect(restartsAfter(makePod({ restartPolicy: "Always" }), container, exitCode)).toBe(true);
    }),
  );
});

const watcher = makeContainer("watcher", {
  restartPolicy: "Never",
  restartPolicyRules: [rule("RestartAllContainers", "In", 88)],
});
const init = makeContainer("init");
const worker = makeContainer("worker");
const pod = makePod({ restartPolicy: "Never", initContainers: [init], containers: [worker, watcher] });
const sandbox = [showSandbox(0)];
const decide = (state: ReturnType<typeof showPod>) => computePodActions(pod, state, new Map(), () => true);
/** All made a moment ago, and before the watcher's end at 2e18. */
const before = [
  showContainer({ spec: init, state: "CONTAINER_EXITED", age: 1 }),
  showContainer({ spec: worker, age: 2 }),
  showContainer({ spec: watcher, state: "CONTAINER_EXITED", exitCode: 88, age: 3 }),
];

test("one end makes all containers begin anew: what runs is stopped, init containers come first", () => {
  const state = showPod(sandbox, before);
  expect(restartedAllAt(pod, state)).toBe(2e18);
  expect(isRestartingAll(pod, state)).toBe(true);
  const actions = decide(state);
  expect(actions.kill.map(({ container, reason }) => [container.name, reason])).toEqual([
    ["worker", "RestartAll"],
  ]);
  expect(actions).toMatchObject({ createSandbox: false, killPod: false, start: ["init"] });
});

test("what was made since is left alone", () => {
  const since = (spec: corev1.Container, more: object = {}) => ({
    ...showContainer({ spec, restartCount: 1, ...more }),
    createdAt: 3e18,
  });
  const ended = { ...since(init, { state: "CONTAINER_EXITED" }), finishedAt: 3.1e18 };
  const [, , trigger] = before;
  const state = showPod(sandbox, [trigger!, ended, since(worker), since(watcher)]);
  expect(isRestartingAll(pod, state)).toBe(false);
  expect(decide(state)).toMatchObject({ kill: [], start: [], killPod: false });
});

test("another end is only an end", () => {
  const other = showContainer({ spec: watcher, state: "CONTAINER_EXITED", exitCode: 1, age: 3 });
  expect(restartedAllAt(pod, showPod(sandbox, [...before.slice(0, 2), other]))).toBe(0);
});
