import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { corev1 } from "#api";
import { asksForMore, computePodActions, type Unhealthy } from "./compute-actions.ts";
import type { ObservedPod } from "./pod-state.ts";
import { makeContainer, makePod, showContainer, showPod, showSandbox } from "./testing/pods.ts";

const none: Unhealthy = new Map();
const decide = (pod: corev1.Pod, state: ObservedPod, unhealthy = none, started = true) =>
  computePodActions(pod, state, unhealthy, () => started);

const main = makeContainer("main");
const side = makeContainer("side");
const init = makeContainer("init");
const sidecar = makeContainer("proxy", { restartPolicy: "Always" });
const ready = [showSandbox(0)];

describe("what has ended as soon as it was started", () => {
  const ended = showPod(ready, [showContainer({ spec: main, state: "CONTAINER_EXITED", exitCode: 1 })]);
  const asks = (pod: corev1.Pod, state: ObservedPod, waiting: string[] = []) =>
    asksForMore(decide(pod, state), new Map(waiting.map((name) => [name, {}])));

  test("is looked at again at once, to run again or to end its pod", () => {
    expect(asks(makePod(), ended)).toBe(true);
    expect(asks(makePod({ restartPolicy: "Never" }), ended)).toBe(true);
    expect(asks(makePod({ initContainers: [init] }), showPod(ready, []))).toBe(true);
  });

  test("is left alone while it waits, as is what runs and what has no sandbox", () => {
    expect(asks(makePod(), ended, ["main"])).toBe(false);
    expect(asks(makePod(), showPod(ready, [showContainer({ spec: main })]))).toBe(false);
    expect(asks(makePod(), showPod([], []))).toBe(false);
  });
});

describe("the sandbox", () => {
  test("is made for a new pod, with everything started", () => {
    const actions = decide(makePod({ containers: [main, side] }), showPod([], []));
    expect(actions).toMatchObject({ createSandbox: true, attempt: 0, start: ["main", "side"] });
  });

  test("comes before the first init container only", () => {
    expect(decide(makePod({ initContainers: [init, sidecar] }), showPod([], [])).start).toEqual(["init"]);
  });

  test("is made again when it died, with a higher attempt, and what ran with it is stopped", () => {
    const state = showPod(
      [showSandbox(0, "SANDBOX_NOTREADY")],
      [showContainer({ spec: main, state: "CONTAINER_EXITED" })],
    );
    expect(decide(makePod(), state)).toMatchObject({
      killPod: true,
      createSandbox: true,
      attempt: 1,
      start: ["main"],
    });
  });

  test("is not made again for a pod that never restarts, or has done its work", () => {
    const ended = (exitCode: number) =>
      showPod(
        [showSandbox(0, "SANDBOX_NOTREADY")],
        [showContainer({ spec: main, state: "CONTAINER_EXITED", exitCode })],
      );
    expect(decide(makePod({ restartPolicy: "Never" }), ended(1)).createSandbox).toBe(false);
    expect(decide(makePod({ restartPolicy: "OnFailure" }), ended(0)).createSandbox).toBe(false);
    expect(decide(makePod({ restartPolicy: "OnFailure" }), ended(1)).createSandbox).toBe(true);
  });

  test("without an address is replaced, unless the pod is in the host's network", () => {
    const state = showPod([showSandbox(0, "SANDBOX_READY", "")], []);
    expect(decide(makePod(), state).createSandbox).toBe(true);
    expect(decide(makePod({ hostNetwork: true }), state).createSandbox).toBe(false);
  });
});

describe("init containers", () => {
  const pod = makePod({ initContainers: [init, makeContainer("second")] });
  const shown = (state: "CONTAINER_RUNNING" | "CONTAINER_EXITED", exitCode = 0) =>
    showPod(ready, [showContainer({ spec: init, state, exitCode })]);

  test("run one after another", () => {
    expect(decide(pod, showPod(ready, [])).start).toEqual(["init"]);
    expect(decide(pod, shown("CONTAINER_RUNNING")).start).toEqual([]);
    expect(decide(pod, shown("CONTAINER_EXITED")).start).toEqual(["second"]);
  });

  test("that fail are repeated, or end the pod", () => {
    expect(decide(pod, shown("CONTAINER_EXITED", 1)).start).toEqual(["init"]);
    const never = makePod({ ...pod.spec, restartPolicy: "Never" });
    expect(decide(never, shown("CONTAINER_EXITED", 1))).toMatchObject({ killPod: true, start: [] });
  });

  test("of an older sandbox count for nothing", () => {
    const old = showContainer({ spec: init, state: "CONTAINER_EXITED", sandbox: "s0" });
    expect(decide(pod, showPod([showSandbox(1)], [old])).start).toEqual(["init"]);
  });

  test("that restart let the next begin once they have started, and are kept running", () => {
    const withSidecar = makePod({ initContainers: [sidecar] });
    const running = showPod(ready, [showContainer({ spec: sidecar })]);
    expect(decide(withSidecar, running, none, false).start).toEqual([]);
    expect(decide(withSidecar, running).start).toEqual(["main"]);
    const ended = showContainer({ spec: sidecar, state: "CONTAINER_EXITED" });
    expect(decide(withSidecar, showPod(ready, [ended, showContainer({ spec: main })])).start).toEqual([
      "proxy",
    ]);
  });
});

describe("containers", () => {
  test.each([
    ["Always", 0, ["main"]],
    ["OnFailure", 0, []],
    ["OnFailure", 1, ["main"]],
    ["Never", 1, []],
  ] as const)("under %s that exited with %d", (restartPolicy, exitCode, start) => {
    const state = showPod(ready, [
      showContainer({ spec: main, state: "CONTAINER_EXITED", exitCode }),
      showContainer({ spec: side }),
    ]);
    expect(decide(makePod({ restartPolicy, containers: [main, side] }), state).start).toEqual(start);
  });

  test("whose image changed are replaced even under Never", () => {
    const state = showPod(ready, [showContainer({ spec: main })]);
    const actions = decide(
      makePod({ restartPolicy: "Never", containers: [{ ...main, image: "web:2" }] }),
      state,
    );
    expect(actions.kill.map((k) => k.message)).toEqual(["Container main definition changed"]);
    expect(actions.start).toEqual(["main"]);
  });

  test("that a probe condemned are killed, and started where the policy allows", () => {
    const state = showPod(ready, [showContainer({ spec: main })]);
    const bad: Unhealthy = new Map([["main-0", "liveness"]]);
    expect(decide(makePod(), state, bad)).toMatchObject({
      start: ["main"],
      kill: [{ message: "Container main failed liveness probe" }],
    });
    const never = makePod({ restartPolicy: "Never", containers: [main, side] });
    const both = showPod(ready, [showContainer({ spec: main }), showContainer({ spec: side })]);
    expect(decide(never, both, bad)).toMatchObject({ start: [], kill: [{ reason: "Unhealthy" }] });
  });

  test("all done end the pod", () => {
    const state = showPod(ready, [showContainer({ spec: main, state: "CONTAINER_EXITED" })]);
    expect(decide(makePod({ restartPolicy: "Never" }), state)).toMatchObject({ killPod: true, start: [] });
  });
});

test("whatever is seen, what runs well is left alone and nothing is started twice", () => {
  const states = ["CONTAINER_CREATED", "CONTAINER_RUNNING", "CONTAINER_EXITED", "CONTAINER_UNKNOWN"] as const;
  const shown = fc.record({
    state: fc.constantFrom(...states),
    exitCode: fc.constantFrom(0, 1),
    name: fc.constantFrom("init", "proxy", "main", "side"),
    restartCount: fc.nat(2),
  });
  const specs = { init, proxy: sidecar, main, side };
  const input = fc.record({
    containers: fc.uniqueArray(shown, { maxLength: 6, selector: (s) => `${s.name}-${s.restartCount}` }),
    restartPolicy: fc.constantFrom("Always", "OnFailure", "Never" as const),
    sandboxes: fc.constantFrom([], ready, [showSandbox(0, "SANDBOX_NOTREADY")]),
  });
  fc.assert(
    fc.property(input, ({ containers, restartPolicy, sandboxes }) => {
      const pod = makePod({ restartPolicy, initContainers: [init, sidecar], containers: [main, side] });
      const state = showPod(
        sandboxes,
        containers.map((c) => showContainer({ ...c, spec: specs[c.name as "init"] })),
      );
      const actions = decide(pod, state);
      expect(new Set(actions.start).size).toBe(actions.start.length);
      if (!actions.killPod)
        expect(actions.kill.filter((k) => k.container.state === "CONTAINER_RUNNING")).toEqual([]);
      for (const name of actions.start) {
        const latest = state.containers.find((c) => c.name === name);
        if (!actions.killPod) expect(latest?.state).not.toBe("CONTAINER_RUNNING");
      }
    }),
  );
});

describe("ephemeral containers", () => {
  const look = { name: "look", image: "tools:1" };
  const pod = makePod({ initContainers: [init], ephemeralContainers: [look] });
  const running = showContainer({ spec: main });

  test("start beside what runs, and while the pod is still being prepared", () => {
    const prepared = showContainer({ spec: init, state: "CONTAINER_EXITED" });
    expect(decide(pod, showPod(ready, [prepared, running])).start).toEqual(["look"]);
    expect(decide(pod, showPod(ready, [showContainer({ spec: init })])).start).toEqual(["look"]);
  });

  test("run once, and keep no pod alive", () => {
    const ended = showContainer({ spec: look, state: "CONTAINER_EXITED", exitCode: 1 });
    expect(decide(pod, showPod(ready, [running, ended])).start).toEqual([]);
    const never = makePod({ restartPolicy: "Never", ephemeralContainers: [look] });
    const done = showContainer({ spec: main, state: "CONTAINER_EXITED" });
    expect(decide(never, showPod(ready, [done, showContainer({ spec: look })])).killPod).toBe(true);
  });
});
