/** Whatever the kind, kubectl lists, explains, creates and compares it: no resource is forgotten. */
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { everyKind } from "./every-kind.ts";
import { KubectlRunner } from "./kubectl.ts";

const versions = inject("kubectls");
const chosen = versions.length > 1 ? [versions[0]!, versions.at(-1)!] : versions;

interface Listed {
  name: string;
  /** As kubectl names it: `deployments.apps`. */
  full: string;
  apiVersion: string;
  kind: string;
  namespaced: boolean;
  verbs: string[];
}

/** A row of `kubectl api-resources -o wide --no-headers`; short names and categories may be missing. */
function listed(row: string): Listed {
  const cells = row.trim().split(/\s+/);
  const at = cells.findIndex((cell) => cell === "true" || cell === "false");
  const [name = "", apiVersion = "", kind = "", verbs = ""] = [
    cells[0],
    cells[at - 1],
    cells[at + 1],
    cells[at + 2],
  ];
  const group = apiVersion.includes("/") ? `.${apiVersion.split("/")[0]}` : "";
  return {
    name,
    full: `${name}${group}`,
    apiVersion,
    kind,
    namespaced: cells[at] === "true",
    verbs: verbs.split(","),
  };
}

/** What runs at once: each is a process of its own. */
const together = 4;

/** The words of those that fail, so that one run tells of all of them. */
async function failures(all: readonly string[][], kubectl: KubectlRunner, fits: (text: string) => boolean) {
  const found: string[] = [];
  for (let i = 0; i < all.length; i += together)
    await Promise.all(
      all.slice(i, i + together).map(async (args) => {
        const { code, stdout, stderr } = await kubectl.try(args);
        if (code !== 0 || !fits(stdout)) found.push(`${args.join(" ")}: ${stderr || stdout.slice(0, 200)}`);
      }),
    );
  return found;
}

describe.each(chosen)("kubectl $version", ({ path, version }) => {
  const kubectl = new KubectlRunner(path, inject("kubeconfig"));
  const namespace = `kinds-${version.replace(".", "-")}`;
  const isRecent = Number(version.split(".")[1]) >= 27;
  let all: Listed[];

  beforeAll(async () => {
    await kubectl.ok(["create", "namespace", namespace]);
    const rows = await kubectl.ok(["api-resources", "-o", "wide", "--no-headers"]);
    all = rows.trim().split("\n").map(listed);
  });

  afterAll(() => kubectl.ok(["delete", "namespace", namespace, "--wait=false"]));

  test("api-resources lists every kind with its verbs", () => {
    expect(all.length).toBeGreaterThan(60);
    const deployment = all.find((each) => each.full === "deployments.apps");
    expect(deployment).toMatchObject({ apiVersion: "apps/v1", kind: "Deployment", namespaced: true });
    // Older ones separate verbs by spaces, in brackets.
    if (isRecent) expect(deployment?.verbs).toEqual(expect.arrayContaining(["create", "list", "watch"]));
  });

  test("get -o wide shows every kind", async () => {
    const names = (await kubectl.ok(["api-resources", "--verbs=list", "-o", "name"])).trim().split("\n");
    const commands = names.map((name) => ["get", name, "--all-namespaces", "-o", "wide"]);
    expect(await failures(commands, kubectl, () => true)).toEqual([]);
  });

  test("explain --recursive explains every kind", { timeout: 300_000 }, async () => {
    const commands = all.map(({ name, apiVersion }) => [
      "explain",
      name,
      "--recursive",
      `--api-version=${apiVersion}`,
    ]);
    expect(await failures(commands, kubectl, (text) => /KIND:/.test(text) && /FIELDS:/.test(text))).toEqual(
      [],
    );
  });

  test.runIf(isRecent)("one object of every kind is applied, shown, described and deleted", async () => {
    const objects = everyKind(namespace, namespace);
    const input = JSON.stringify({ apiVersion: "v1", kind: "List", items: objects });
    try {
      expect((await kubectl.ok(["apply", "-f", "-"], { input })).match(/created$/gm)).toHaveLength(
        objects.length,
      );
      await kubectl.ok(["apply", "-f", "-"], { input });
      const difference = await kubectl.try(["diff", "-f", "-"], { input });
      expect([difference.code, difference.stdout]).toEqual([0, ""]);
      const named = objects.map(({ apiVersion, kind, metadata }) => {
        const [of = "", group = ""] = apiVersion.split("/").reverse();
        return [`${kind}.${of}.${group}`, metadata.name, "--namespace", namespace];
      });
      const shown = named.map((each) => ["get", ...each, "-o", "wide"]);
      expect(await failures(shown, kubectl, (text) => text.trim().split("\n").length === 2)).toEqual([]);
      const described = named.map((each) => ["describe", ...each]);
      expect(await failures(described, kubectl, (text) => text.includes(namespace))).toEqual([]);
    } finally {
      const ended = await kubectl.try(["delete", "--wait=false", "--ignore-not-found", "-f", "-"], { input });
      expect([ended.code, ended.stderr.replace(/^Warning:.*\n/gm, "")]).toEqual([0, ""]);
    }
  });

  test.runIf(isRecent)("create and set make and change what they promise", async () => {
    const create = (text: string) => ["create", "--namespace", namespace, ...text.split(" ")];
    const set = (text: string) => ["--namespace", namespace, ...text.split(" ")];
    const commands = [
      create("role reader --verb=get,list --resource=pods,deployments.apps"),
      create("rolebinding readers --role=reader --serviceaccount=default:default"),
      create("ingress web --rule=example.com/web*=web:8080,tls=cert --class=nobody-s"),
      create("poddisruptionbudget budget --selector=app=x --min-available=50%"),
      create("configmap map --from-literal=a=b"),
      create("secret generic secret --from-literal=a=b"),
      create("secret docker-registry pull --docker-server=x --docker-username=u --docker-password=p"),
      create("serviceaccount account"),
      create("token account --duration=20m"),
      create("service clusterip plain --tcp=80:8080"),
      create("service nodeport node-port --tcp=80:8080"),
      create("service externalname outside --external-name=example.com"),
      create("deployment web --image=busybox:1.36 --replicas=0"),
      create("cronjob nightly --image=busybox:1.36 --schedule=0_0_*_*_* -- true").map((each) =>
        each.replaceAll("_", " "),
      ),
      set("set image deployment/web busybox=busybox:1.37"),
      set("set env deployment/web A=B"),
      set("set resources deployment/web --limits=cpu=100m"),
      set("set serviceaccount deployment/web account"),
      set("set selector service/plain app=y"),
      set("set subject rolebinding/readers --user=somebody"),
      set("autoscale deployment web --min=1 --max=3 --cpu-percent=50"),
      set("expose deployment web --port=80"),
      create("quota quota --hard=pods=10,services=10"),
    ];
    // One after the other: later ones change what earlier ones made.
    for (const args of commands) await kubectl.ok(args);
    const rolled = await kubectl.ok(["rollout", "history", "deployment/web", "--namespace", namespace]);
    expect(rolled.match(/^\d+ /gm)).toHaveLength(5);
  });

  test.runIf(isRecent)("apply --server-side and diff agree on what would change", async () => {
    const manifest = (text: string) =>
      JSON.stringify({
        apiVersion: "v1",
        kind: "ConfigMap",
        metadata: { name: "compared", namespace },
        data: { text },
      });
    const flags = ["--server-side", "-f", "-"];
    await kubectl.ok(["apply", ...flags], { input: manifest("one") });
    const same = await kubectl.try(["diff", ...flags], { input: manifest("one") });
    expect([same.code, same.stdout]).toEqual([0, ""]);
    const other = await kubectl.try(["diff", ...flags], { input: manifest("two") });
    expect(other.code).toBe(1);
    expect(other.stdout).toMatch(/^-\s+text: one\n\+\s+text: two$/m);
  });

  test.runIf(isRecent)("auth tells what anybody may do", async () => {
    expect(await kubectl.ok(["auth", "can-i", "--list", "--namespace", namespace])).toMatch(/\*\.\*.*\[\*\]/);
    // Older ones ask for a beta that is gone.
    if (Number(version.split(".")[1]) >= 28)
      expect(await kubectl.ok(["auth", "whoami"])).toContain("system:masters");
    const account = `--as=system:serviceaccount:${namespace}:nobody`;
    const refused = await kubectl.try(["auth", "can-i", "create", "pods", account]);
    expect([refused.code, refused.stdout.trim()]).toEqual([1, "no"]);
    const rules = [{ apiGroups: [""], resources: ["pods"], verbs: ["get"] }];
    const role = {
      apiVersion: "rbac.authorization.k8s.io/v1",
      kind: "Role",
      metadata: { name: "reconciled", namespace },
      rules,
    };
    const input = JSON.stringify(role);
    expect(await kubectl.ok(["auth", "reconcile", "-f", "-"], { input })).toContain("reconciled");
  });
});
