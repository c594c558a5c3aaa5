import { expect, test } from "vitest";
import type { apiregistrationv1 } from "#api";
import { createClient } from "#client";
import { aggregatedKinds } from "./aggregated-kinds.ts";

const service = (group: string, more: object = { service: { name: "s", namespace: "n" } }) =>
  ({ spec: { group, version: "v1", ...more } }) as apiregistrationv1.APIService;

const all = ["create", "delete", "deletecollection", "get", "list", "watch"];
const resources = [
  { name: "flunders", kind: "Flunder", namespaced: true, verbs: all },
  { name: "flunders/status", kind: "Flunder", namespaced: true, verbs: all },
  { name: "fischers", kind: "Fischer", namespaced: false, verbs: all },
  { name: "pods", kind: "PodMetrics", namespaced: true, verbs: ["get", "list"] },
];

test("what other API servers hold in a namespace is known, and who does not answer", async () => {
  const asked: string[] = [];
  const client = createClient({
    async send({ path }) {
      asked.push(path);
      const isThere = path === "/apis/there.example.com/v1";
      const body = Buffer.from(isThere ? JSON.stringify({ resources }) : "service unavailable");
      return { status: isThere ? 200 : 503, headers: {}, body: [body].values() as never };
    },
    async close() {},
  });
  const found = await aggregatedKinds(client, [
    service("there.example.com"),
    service("away.example.com"),
    service("apps", {}),
  ]);
  expect(found.types).toEqual([
    { group: "there.example.com", version: "v1", resource: "flunders", kind: "Flunder", namespaced: true },
  ]);
  expect(found.failures).toEqual(["away.example.com/v1: service unavailable"]);
  expect(asked).toEqual(["/apis/there.example.com/v1", "/apis/away.example.com/v1"]);
});
