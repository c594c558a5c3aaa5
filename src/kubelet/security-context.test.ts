import { describe, expect, test } from "vitest";
import { containerConfig, sandboxConfig } from "./cri-config.ts";
import { ContainerConfigError } from "./environment.ts";
import { containerSecurity, sandboxSecurity, seccompProfile, verifyNonRoot } from "./security-context.ts";
import { makeContainer, makePod } from "./testing/pods.ts";

const settings = { seccompDefault: false, seccompProfileRoot: "/seccomp" };
const image = { username: "" };

describe("who a container runs as", () => {
  test("is the container's word before the pod's before the image's", () => {
    const pod = makePod({
      securityContext: { runAsUser: 1, runAsGroup: 2, fsGroup: 3, supplementalGroups: [4] },
    });
    const own = makeContainer("main", { securityContext: { runAsUser: 5 } });
    expect(containerSecurity(pod, own, image, settings)).toMatchObject({
      runAsUser: { value: 5 },
      runAsGroup: { value: 2 },
      supplementalGroups: [4, 3],
    });
    expect(
      containerSecurity(makePod(), makeContainer("main"), { uid: { value: 7 }, username: "" }, settings)
        .runAsUser,
    ).toEqual({ value: 7 });
    expect(
      containerSecurity(makePod(), makeContainer("main"), { username: "web" }, settings).runAsUsername,
    ).toBe("web");
  });

  test.each([
    [{ runAsUser: 0 }, image, "runAsUser breaks non-root policy"],
    [{}, { uid: { value: 0 }, username: "" }, "image will run as root"],
    [{}, image, "image will run as root"],
    [{}, { username: "web" }, "non-numeric user (web)"],
  ])("must not be root with %o and %o", (context, from, message) => {
    const container = makeContainer("main", { securityContext: { ...context, runAsNonRoot: true } });
    expect(() => verifyNonRoot(makePod(), container, from)).toThrow(ContainerConfigError);
    expect(() => verifyNonRoot(makePod(), container, from)).toThrow(message);
  });

  test("may be anybody else", () => {
    const container = makeContainer("main", { securityContext: { runAsNonRoot: true } });
    expect(() => verifyNonRoot(makePod(), container, { uid: { value: 1 }, username: "" })).not.toThrow();
    expect(() => verifyNonRoot(makePod(), makeContainer("main"), image)).not.toThrow();
  });
});

test("seccomp is confined where asked for, or by default where the node says so", () => {
  expect(seccompProfile(undefined, false, "/s").profileType).toBe("Unconfined");
  expect(seccompProfile(undefined, true, "/s").profileType).toBe("RuntimeDefault");
  expect(seccompProfile({ type: "Unconfined" }, true, "/s").profileType).toBe("Unconfined");
  expect(seccompProfile({ type: "Localhost", localhostProfile: "a.json" }, false, "/s").localhostRef).toBe(
    "/s/a.json",
  );
});

test("the host's files are masked unless the container is privileged", () => {
  expect(containerSecurity(makePod(), makeContainer("main"), image, settings).maskedPaths).toContain(
    "/proc/kcore",
  );
  const privileged = makeContainer("main", { securityContext: { privileged: true } });
  expect(containerSecurity(makePod(), privileged, image, settings)).toMatchObject({
    privileged: true,
    maskedPaths: [],
    seccomp: { profileType: "Unconfined" },
  });
  expect(sandboxSecurity(makePod({ containers: [privileged] }), settings).privileged).toBe(true);
});

test("the sandbox of a pod in the host's network has no name of its own and maps no port", () => {
  const container = makeContainer("main", { ports: [{ containerPort: 80, hostPort: 8080 }] });
  const input = {
    attempt: 0,
    logDirectory: "/l",
    cgroupParent: "/c",
    dns: { servers: [], searches: [], options: [] },
    domainName: "",
    security: settings,
  };
  const own = sandboxConfig({ ...input, pod: makePod({ containers: [container] }) });
  expect(own).toMatchObject({
    hostname: "web",
    portMappings: [{ hostPort: 8080, containerPort: 80, protocol: "TCP" }],
  });
  expect(own.labels).toMatchObject({
    "io.kubernetes.pod.uid": "uid-1",
    "io.kubernetes.pod.namespace": "default",
  });
  const asFqdn = (domainName: string) =>
    sandboxConfig({ ...input, domainName, pod: makePod({ setHostnameAsFQDN: true }) });
  expect(asFqdn("x".repeat(64)).hostname).toBe("x".repeat(64));
  expect(() => asFqdn("x".repeat(65))).toThrow(
    `failed to construct FQDN from pod hostname and cluster domain, FQDN ${"x".repeat(65)} is too long (64 characters is the max, 65 characters requested)`,
  );
  const host = sandboxConfig({ ...input, pod: makePod({ hostNetwork: true, containers: [container] }) });
  expect(host).toMatchObject({
    hostname: "",
    portMappings: [],
    linux: { securityContext: { namespaceOptions: { network: "NODE" } } },
  });
});

test("command and arguments are expanded, and the restart count names the log", () => {
  const container = makeContainer("main", { command: ["$(A)"], args: ["$$(A)", "$(B)"] });
  const config = containerConfig({
    pod: makePod(),
    container,
    image: { id: "sha256:1", repoTags: [], repoDigests: [], size: 0, username: "", pinned: false },
    environment: new Map([["A", "x"]]),
    mounts: [],
    devices: [],
    cdiDevices: [],
    annotations: {},
    restartCount: 3,
    resources: {},
    security: settings,
  });
  expect(config).toMatchObject({
    command: ["x"],
    args: ["$(A)", "$(B)"],
    logPath: "main/3.log",
    metadata: { attempt: 3 },
  });
});

test("a container made to look into another sees its processes, unless all see all", () => {
  const namespaces = (spec: object) =>
    containerSecurity(makePod(spec), makeContainer("look"), image, settings, "c1").namespaceOptions;
  expect(namespaces({})).toMatchObject({ pid: "TARGET", targetId: "c1" });
  expect(namespaces({ shareProcessNamespace: true }).pid).toBe("POD");
});

test("users of its own and the policy of its groups are the sandbox's and the containers'", () => {
  const ids = [{ containerId: 0, hostId: 65_536, length: 65_536 }];
  const users = { mode: "POD" as const, uids: ids, gids: ids };
  const pod = makePod({ hostUsers: false, securityContext: { supplementalGroupsPolicy: "Strict" } });
  const wanted = { namespaceOptions: { usernsOptions: users }, supplementalGroupsPolicy: "Strict" };
  expect(sandboxSecurity(pod, settings, users)).toMatchObject(wanted);
  const container = pod.spec.containers[0]!;
  expect(containerSecurity(pod, container, { username: "" }, settings, undefined, users)).toMatchObject(
    wanted,
  );
});

test("a container's AppArmor profile comes before its pod's", () => {
  const pod = makePod({
    securityContext: { appArmorProfile: { type: "RuntimeDefault" } },
    containers: [
      makeContainer("own", {
        securityContext: { appArmorProfile: { type: "Localhost", localhostProfile: "deny-write" } },
      }),
      makeContainer("shared"),
    ],
  });
  const of = (index: number) =>
    containerSecurity(pod, pod.spec.containers[index]!, { username: "" }, settings).apparmor;
  expect(of(0)).toEqual({ profileType: "Localhost", localhostRef: "deny-write" });
  expect(of(1)).toEqual({ profileType: "RuntimeDefault" });
  expect(sandboxSecurity(makePod(), settings).apparmor).toBeUndefined();
});
