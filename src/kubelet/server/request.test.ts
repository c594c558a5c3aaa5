import { expect, test } from "vitest";
import type { corev1 } from "#api";
import { makeContainer, makePod, showContainer, showPod, showSandbox } from "../testing/pods.ts";
import { findContainer } from "./request.ts";

const main = makeContainer("main");
const ended = (restartCount: number) =>
  showContainer({ spec: main, state: "CONTAINER_EXITED", restartCount });
const running = showContainer({ spec: main, restartCount: 1 });

function find(containers: (typeof running)[], previous: boolean, state: corev1.ContainerState = {}) {
  const status = { name: "main", image: "", imageID: "", ready: false, restartCount: 0, state };
  const pod = makePod({}, { containerStatuses: [status] });
  return findContainer({ pod, state: showPod([showSandbox(0)], containers) }, "main", previous).id;
}

test("the container before is the one that ended last, if another has followed it or is held back", () => {
  const waiting = { waiting: { reason: "CrashLoopBackOff" } };
  expect(find([running, ended(0)], true)).toBe("main-0");
  expect(find([ended(1), ended(0)], true)).toBe("main-0");
  expect(find([ended(1), ended(0)], true, waiting)).toBe("main-1");
  const words = 'previous terminated container "main" in pod "web" not found';
  expect(() => find([ended(0)], true, { terminated: { exitCode: 0 } })).toThrow(words);
  expect(() => find([running], true)).toThrow(words);
});

test("without one, it is said what is waited for", () => {
  expect(find([running, ended(0)], false)).toBe("main-1");
  expect(() => find([], false, { waiting: { reason: "ErrImagePull" } })).toThrow(
    `container "main" in pod "web" is waiting to start: image can't be pulled`,
  );
});
