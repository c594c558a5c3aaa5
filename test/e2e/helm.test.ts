/** A chart through stock Helm: what its users do in a week. https://helm.sh/docs/helm/ */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import type { appsv1 } from "#api";
import { run } from "#base";
import { newestKubectl } from "./harness.ts";

const helmPath = inject("helm");
const kubectl = newestKubectl();
const namespace = "harbour";
const chart = join(import.meta.dirname, "fixtures", "chart");
const home = mkdtempSync(join(tmpdir(), "knarr-helm-"));

async function helm(...args: string[]): Promise<string> {
  const env = { ...kubectl.environment, HOME: home };
  const { code, stdout, stderr } = await run(helmPath, ["-n", namespace, ...args], {
    env,
    timeoutMs: 150_000,
  });
  if (code !== 0) throw new Error(`helm ${args.join(" ")}: ${stderr || stdout}`);
  return stdout;
}

async function statusesOf(): Promise<[number, string][]> {
  const history = JSON.parse(await helm("history", "calm", "-o", "json")) as {
    revision: number;
    status: string;
  }[];
  return history.map(({ revision, status }) => [revision, status]);
}

const greeting = () =>
  kubectl.ok(["-n", namespace, "get", "configmap", "calm-pages", "-o", "jsonpath={.data}"]);
const deployment = () => kubectl.json<appsv1.Deployment>(["-n", namespace, "get", "deployment", "calm"]);

describe.skipIf(!helmPath)("a chart", () => {
  beforeAll(async () => void (await kubectl.ok(["create", "namespace", namespace])));
  afterAll(async () => {
    rmSync(home, { recursive: true, force: true });
    await kubectl.ok(["delete", "namespace", namespace, "--timeout=90s"]);
    await kubectl.ok(["delete", "crd", "berths.harbour.example"]);
  });

  test("is installed with its definitions and hooks, and waited for", async () => {
    await helm("install", "calm", chart, "--wait", "--timeout", "100s");
    expect((await deployment()).status.availableReplicas).toBe(1);
    expect(await kubectl.ok(["-n", namespace, "get", "berths", "-o", "name"])).toBe(
      "berth.harbour.example/calm\n",
    );
    expect(await kubectl.ok(["-n", namespace, "get", "jobs", "-o", "name"])).toBe("");
    expect(await helm("list")).toMatch(/calm\s+harbour\s+1\s+.*deployed\s+harbour-0\.1\.0/);
  });

  test("is tested by its own pods", async () => {
    expect(await helm("test", "calm", "--timeout", "100s")).toMatch(/Phase:\s+Succeeded/);
  });

  test("is upgraded, keeps what others changed, and is rolled back", async () => {
    await kubectl.ok(["-n", namespace, "label", "deployment", "calm", "owner=somebody"]);
    await helm("upgrade", "calm", chart, "--set", "greeting=ahoy,replicas=2", "--wait", "--timeout", "100s");
    expect(await greeting()).toContain("ahoy");
    expect(await deployment()).toMatchObject({
      metadata: { labels: { owner: "somebody" } },
      status: { updatedReplicas: 2, availableReplicas: 2 },
    });
    await helm("rollback", "calm", "1", "--wait", "--timeout", "100s");
    expect(await greeting()).toContain("hello");
    expect(await statusesOf()).toEqual([
      [1, "superseded"],
      [2, "superseded"],
      [3, "deployed"],
    ]);
  });

  test("that does not come up goes back by itself", async () => {
    const bad = ["upgrade", "calm", chart, "--set", "image=nosuch.invalid/x:1", "--no-hooks"];
    await expect(helm(...bad, "--rollback-on-failure", "--timeout", "5s")).rejects.toThrow(
      /has been rolled back/,
    );
    expect((await statusesOf()).slice(-2)).toEqual([
      [4, "failed"],
      [5, "deployed"],
    ]);
    expect((await deployment()).spec.template.spec?.containers[0]?.image).toBe("busybox:1.36");
  });

  test("with a mistake gets the API's own words", async () => {
    await expect(helm("upgrade", "calm", chart, "--set", "replicas=0")).rejects.toThrow(
      /spec\.places.*should be greater than or equal to 1/,
    );
    expect((await statusesOf()).at(-1)).toEqual([6, "failed"]);
  });

  test("goes, but for its definitions", async () => {
    await helm("uninstall", "calm", "--wait", "--timeout", "100s");
    expect(
      await kubectl.ok(["-n", namespace, "get", "deployments,services,berths,secrets", "-o", "name"]),
    ).toBe("");
    expect(await kubectl.ok(["get", "crd", "berths.harbour.example", "-o", "name"])).toContain("berths");
  });
});
