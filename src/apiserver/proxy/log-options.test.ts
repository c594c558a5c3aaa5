import { expect, test } from "vitest";
import { checkLogOptions } from "./log-options.ts";

const check = (query: string) => checkLogOptions("web", new URLSearchParams(query));

test.each([
  ["tailLines=-1", "tailLines: Invalid value: -1: must be greater than or equal to 0"],
  ["limitBytes=0", "limitBytes: Invalid value: 0: must be greater than 0"],
  ["sinceSeconds=0", "sinceSeconds: Invalid value: 0: must be greater than 0"],
  [
    "sinceSeconds=1&sinceTime=2026-01-01T00:00:00Z",
    ": Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified",
  ],
  ["stream=stdout", 'stream: Unsupported value: "stdout": supported values: "All", "Stderr", "Stdout"'],
  [
    "stream=Stdout&tailLines=1",
    ": Forbidden: `tailLines` and specific `stream` are mutually exclusive for now",
  ],
])("%s is refused in upstream's words", (query, words) => {
  expect(() => check(query)).toThrow(`PodLogOptions "web" is invalid: ${words}`);
});

test.each([
  "",
  "tailLines=0&limitBytes=1&sinceSeconds=1",
  "stream=All&tailLines=3",
  "stream=Stderr",
  "tailLines=x",
])("%s is left to the kubelet", (query) => {
  expect(() => check(query)).not.toThrow();
});
