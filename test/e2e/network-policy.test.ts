/**
 * NetworkPolicies on a real node: who may reach whom by pod, namespace, block and port, in both directions, from a pod's
 * first moment. The random truth tables stand beside the rules, in src/network/policy/kernel.test.ts.
 */
import { afterAll, beforeAll, expect, test } from "vitest";
import { eventually, get, newestKubectl } from "./harness.ts";

const kubectl = newestKubectl();
const [ours, theirs] = ["policies", "policies-other"] as const;
const apply = (namespace: string, input: string) =>
  kubectl.ok(["-n", namespace, "apply", "-f", "-"], { input });

const pod = (name: string, extra = "") => `
apiVersion: v1
kind: Pod
metadata: {name: ${name}, labels: {app: ${name}}}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: c
    image: "busybox:1.36"
    command: [sh, -c, "httpd -p 81 -h /etc; exec httpd -f -p 80 -h /etc"]
    ports: [{name: web, containerPort: 80}]
    readinessProbe: {httpGet: {port: 80, path: /hostname}, periodSeconds: 1, failureThreshold: 1}${extra}
---`;

const policy = (name: string, spec: string) => `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: ${name}}
spec: ${spec}
---`;

const addresses = new Map<string, string>();

async function reaches(namespace: string, from: string, host: string, port = 80): Promise<boolean> {
  const url = `http://${host}:${port}/hostname`;
  const command = ["exec", from, "--", "timeout", "1", "wget", "-qO-", url];
  return (await kubectl.try(["-n", namespace, ...command])).code === 0;
}

/** Waits until who reaches the server on which port is as said, and looks once more. */
async function expectReach(wanted: Record<string, boolean>): Promise<void> {
  const server = addresses.get("server")!;
  const look = async () => {
    const found: Record<string, boolean> = {};
    for (const key of Object.keys(wanted)) {
      const [namespace = "", from = "", port] = key.split("/");
      found[key] = await reaches(namespace, from, server, Number(port));
    }
    return found;
  };
  await eventually("the policy", async () =>
    JSON.stringify(await look()) === JSON.stringify(wanted) ? true : undefined,
  );
  expect(await look()).toEqual(wanted);
}

beforeAll(async () => {
  for (const namespace of [ours, theirs]) await kubectl.ok(["create", "namespace", namespace]);
  await apply(ours, pod("server") + pod("near") + pod("other"));
  await apply(theirs, pod("far"));
  await kubectl.ok(["-n", ours, "expose", "pod", "server", "--port=80"]);
  for (const [namespace, name] of [
    [ours, "server"],
    [ours, "near"],
    [ours, "other"],
    [theirs, "far"],
  ] as const) {
    await kubectl.ok(["-n", namespace, "wait", "--for=condition=Ready", `pod/${name}`, "--timeout=60s"]);
    const path = "jsonpath={.status.podIP}";
    addresses.set(name, await kubectl.ok(["-n", namespace, "get", "pod", name, "-o", path]));
  }
});
afterAll(() => kubectl.ok(["delete", "namespace", ours, theirs, "--timeout=120s"]));

test("a default that denies, opened for a pod, a namespace, a port", async () => {
  const all = { [`${ours}/near/80`]: true, [`${ours}/other/80`]: true, [`${theirs}/far/80`]: true };
  await expectReach(all);
  await apply(ours, policy("deny", "{podSelector: {matchLabels: {app: server}}, policyTypes: [Ingress]}"));
  await expectReach({ [`${ours}/near/80`]: false, [`${ours}/other/80`]: false, [`${theirs}/far/80`]: false });
  // The node reaches its own pods: probes go on.
  expect(await get(`http://${addresses.get("server")}/hostname`)).toBe("server\n");
  await kubectl.ok(["-n", ours, "wait", "--for=condition=Ready", "pod/server", "--timeout=5s"]);
  const near = "from: [{podSelector: {matchLabels: {app: near}}}], ports: [{port: web}]";
  const rest = "podSelector: {matchLabels: {app: server}}";
  await apply(ours, policy("near", `{${rest}, ingress: [{${near}}]}`));
  await expectReach({ [`${ours}/near/80`]: true, [`${ours}/near/81`]: false, [`${ours}/other/80`]: false });
  const space = `namespaceSelector: {matchLabels: {"kubernetes.io/metadata.name": ${theirs}}}`;
  await apply(
    ours,
    policy("far", `{${rest}, ingress: [{from: [{${space}}], ports: [{port: 80, endPort: 81}]}]}`),
  );
  await expectReach({ [`${theirs}/far/80`]: true, [`${theirs}/far/81`]: true, [`${ours}/other/80`]: false });
  // By the Service it is the same.
  expect(await reaches(theirs, "far", `server.${ours}.svc.cluster.local`)).toBe(true);
  expect(await reaches(ours, "other", `server.${ours}.svc.cluster.local`)).toBe(false);
  await kubectl.ok(["-n", ours, "label", "pod", "other", "app=near", "--overwrite"]);
  await expectReach({ [`${ours}/other/80`]: true });
  await kubectl.ok(["-n", ours, "delete", "networkpolicy", "--all"]);
  await expectReach(all);
});

test("what may go out: nothing but names, or a block with a hole", async () => {
  const rest = "podSelector: {matchLabels: {role: shut}}, policyTypes: [Egress]";
  await apply(ours, policy("shut", `{${rest}}`));
  const server = addresses.get("server")!;
  const first = `timeout 1 wget -qO- http://${server}/hostname && echo came || echo shut; sleep 1000`;
  const [head = ""] = pod("early").replace("app: early", "role: shut").split("command:");
  await apply(ours, `${head}command: [sh, -c, "${first}"]`);
  // Not even its first words get out.
  const words = await eventually("its words", async () => {
    const { stdout } = await kubectl.try(["-n", ours, "logs", "early"]);
    return /came|shut/.exec(stdout)?.[0];
  });
  expect(words).toBe("shut");
  const lookup = await kubectl.try([
    ...["-n", ours, "exec", "early", "--"],
    ...["nslookup", `server.${ours}.svc.cluster.local`],
  ]);
  expect(lookup.stdout).toContain(`server.${ours}.svc.cluster.local`);
  expect(await reaches(ours, "early", server)).toBe(false);
  const block = `ipBlock: {cidr: 0.0.0.0/0, except: [${addresses.get("near")}/32]}`;
  await apply(ours, policy("open", `{${rest}, egress: [{to: [{${block}}]}]}`));
  await eventually("the way out", async () => ((await reaches(ours, "early", server)) ? true : undefined));
  expect(await reaches(ours, "early", addresses.get("near")!)).toBe(false);
});
