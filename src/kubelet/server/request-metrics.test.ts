import { expect, test } from "vitest";
import { pathNameOf } from "./request-metrics.ts";

test.each([
  ["/pods", "pods"],
  ["/pods?a=b", "pods"],
  ["/metrics/cadvisor", "metrics/cadvisor"],
  ["/metrics/whatever", "metrics"],
  ["/containerLogs/default/web/main?follow=true", "containerLogs"],
  ["/toString", "other"],
  ["/../etc/passwd", "other"],
  ["", "other"],
])("%s is counted as %s", (path, name) => {
  expect(pathNameOf(path, { pods: 1, metrics: 1, containerLogs: 1 })).toBe(name);
});
