import { expect, test } from "vitest";
import type { corev1 } from "#api";
import { Rate, VirtualClock } from "#base";
import { type ContainerRuntime, type Image, RuntimeError, rpcWords } from "#contracts";
import { loginsFor } from "./image-credentials.ts";
import { crashLoopMessage, ImagePuller } from "./image-puller.ts";
import { makeContainer, makePod } from "./testing/pods.ts";

const image: Image = {
  id: "sha256:1",
  repoTags: ["web:1"],
  repoDigests: [],
  size: 5,
  username: "",
  pinned: false,
};

const openRecords = { mayUse: async () => true, begin: async () => {}, end: async () => {} };

function setUp(rate?: { perSecond: number; burst: number }) {
  const clock = new VirtualClock();
  const state = { present: false, fails: false, pulls: 0 };
  const runtime = {
    imageStatus: async () => (state.present ? image : undefined),
    pullImage: async () => {
      state.pulls++;
      if (state.fails) throw new Error("no such host");
      state.present = true;
      return "sha256:1";
    },
  } as unknown as ContainerRuntime;
  const puller = new ImagePuller({
    runtime,
    clock,
    parallelMax: 1,
    records: openRecords,
    ...(rate ? { rate: new Rate(clock, rate.perSecond, rate.burst) } : {}),
  });
  const said: string[] = [];
  const ensure = (more: Partial<corev1.Container> = {}) =>
    puller
      .ensure(makePod(), makeContainer("main", more), [], (_kind, reason) => said.push(reason))
      .then(
        () => "present",
        (error: { reason: string }) => error.reason,
      );
  return { clock, state, puller, said, ensure };
}

test("an image is pulled when it is missing or always, and never when not", async () => {
  const { state, ensure, said } = setUp();
  expect(await ensure({ imagePullPolicy: "Never" })).toBe("ErrImageNeverPull");
  expect(await ensure()).toBe("present");
  expect(await ensure()).toBe("present");
  expect(state.pulls).toBe(1);
  expect(await ensure({ image: "web:latest" })).toBe("present");
  expect(state.pulls).toBe(2);
  expect(said).toEqual(["ErrImageNeverPull", "Pulling", "Pulled", "Pulled", "Pulling", "Pulled"]);
});

test("more pulls than the node may begin fail, and come again later", async () => {
  const { clock, state, ensure } = setUp({ perSecond: 1, burst: 2 });
  const always = { imagePullPolicy: "Always" } as const;
  expect([await ensure(always), await ensure(always)]).toEqual(["present", "present"]);
  expect(await ensure(always)).toBe("ErrImagePull");
  expect(state.pulls).toBe(2);
  await clock.advance(20_000);
  expect(await ensure(always)).toBe("present");
});

test("a failed pull is held back, longer each time, until it works", async () => {
  const { clock, state, puller, ensure } = setUp();
  state.fails = true;
  expect(await ensure()).toBe("ErrImagePull");
  expect(await ensure()).toBe("ImagePullBackOff");
  expect(puller.remainingMs(makePod())).toBe(10_000);
  await clock.advance(10_000);
  expect(await ensure()).toBe("ErrImagePull");
  expect(puller.remainingMs(makePod())).toBe(20_000);
  await clock.advance(20_000);
  state.fails = false;
  expect(await ensure()).toBe("present");
  expect(puller.remainingMs(makePod())).toBe(Number.POSITIVE_INFINITY);
});

test.each(["", "Web", "a b", "x".repeat(600), "http://web"])("the name %j is invalid", async (name) => {
  expect(await setUp().ensure({ image: name })).toBe("InvalidImageName");
});

const secretOf = (data: Record<string, string>): corev1.Secret => ({
  apiVersion: "v1",
  kind: "Secret",
  metadata: { name: "s", uid: "u", resourceVersion: "1", creationTimestamp: "" },
  data: Object.fromEntries(Object.entries(data).map(([k, v]) => [k, Buffer.from(v).toString("base64")])),
});

test("never more pulls at once than the node is told", async () => {
  let [now, most] = [0, 0];
  const runtime = {
    imageStatus: async () => image,
    pullImage: async () => {
      most = Math.max(most, ++now);
      await Promise.resolve();
      now--;
    },
  } as unknown as ContainerRuntime;
  const puller = new ImagePuller({
    runtime,
    clock: new VirtualClock(),
    parallelMax: 1,
    records: openRecords,
  });
  const pull = () =>
    puller.ensure(makePod(), makeContainer("main", { imagePullPolicy: "Always" }), [], () => {});
  const pulls = [pull(), pull()];
  for (let i = 0; i < 30; i++) {
    await Promise.resolve();
    pulls.push(pull());
  }
  await Promise.all(pulls);
  expect(most).toBe(1);
});

test("credentials are found by registry; what cannot be read is skipped", () => {
  const broken = secretOf({ ".dockerconfigjson": "{" });
  const config = secretOf({
    ".dockerconfigjson": JSON.stringify({
      auths: { "https://index.docker.io/v1/": { username: "u", password: "p" } },
    }),
  });
  const old = secretOf({ ".dockercfg": JSON.stringify({ "quay.io": { auth: "YTpi" } }) });
  const found = (name: string, secrets: corev1.Secret[]) => loginsFor(name, secrets).map(({ auth }) => auth);
  expect(found("web", [broken, config])).toEqual([{ username: "u", password: "p" }]);
  expect(found("quay.io/a", [config, old])).toEqual([{ auth: "YTpi" }]);
  expect(found("gcr.io/a", [config, old])).toEqual([]);
});

test("a login for a part of a registry comes before one for all of it", () => {
  const auths = {
    "quay.io": { username: "all", password: "p" },
    "quay.io/org": { username: "org", password: "p" },
    "*.example.com": { username: "any", password: "p" },
  };
  const secret = secretOf({ ".dockerconfigjson": JSON.stringify({ auths }) });
  const users = (name: string) => loginsFor(name, [secret]).map(({ auth }) => auth.username);
  expect(users("quay.io/org/app:1")).toEqual(["org", "all"]);
  expect(users("quay.io/other/app")).toEqual(["all"]);
  expect(users("eu.example.com/app")).toEqual(["any"]);
});

test("every login is tried, and all that they were told is said", async () => {
  const tried: (string | undefined)[] = [];
  const runtime = {
    imageStatus: async () => image,
    pullImage: async (_name: string, auth?: { username?: string }) => {
      tried.push(auth?.username);
      if (auth?.username !== "right") throw new Error(`${auth?.username} is not known`);
    },
  } as unknown as ContainerRuntime;
  const logins = (...users: string[]) =>
    users.map((username) =>
      secretOf({
        ".dockerconfigjson": JSON.stringify({ auths: { "docker.io": { username, password: "p" } } }),
      }),
    );
  const puller = new ImagePuller({
    runtime,
    clock: new VirtualClock(),
    parallelMax: 1,
    records: openRecords,
  });
  const pull = (secrets: corev1.Secret[]) =>
    puller.ensure(makePod(), makeContainer("main", { imagePullPolicy: "Always" }), secrets, () => {});
  await pull(logins("wrong", "right"));
  expect(tried).toEqual(["wrong", "right"]);
  await expect(pull(logins("a", "b"))).rejects.toThrow("[a is not known, b is not known]");
  puller.forget(makePod().metadata.uid);
  await expect(pull(logins("a", "a"))).rejects.toThrow(/^a is not known$/);
});

/** Pulls that the runtime refuses in these words, and what the events say. */
function refusedPull(code: string, words: string) {
  const runtime = {
    imageStatus: async () => undefined,
    pullImage: async () => {
      throw new RuntimeError(code, words);
    },
  } as unknown as ContainerRuntime;
  const clock = new VirtualClock();
  const puller = new ImagePuller({ runtime, clock, parallelMax: 1, records: openRecords });
  const said: string[] = [];
  const pull = () =>
    puller.ensure(makePod(), makeContainer("main", { image: "web:2" }), [], (_kind, _reason, message) =>
      said.push(message),
    );
  return { pull, said };
}

test("a refused pull is told in the runtime's words, with a code that says something", async () => {
  const told = async (code: string) => {
    const { pull, said } = refusedPull(code, 'failed to resolve reference "docker.io/library/web:2"');
    const waiting = [];
    for (let i = 0; i < 2; i++) waiting.push(await pull().catch((error: Error) => error.message));
    return { waiting, event: said[1] };
  };
  const words = 'failed to resolve reference "docker.io/library/web:2"';
  const coded = `rpc error: code = NotFound desc = ${words}`;
  expect(await told("NOT_FOUND")).toEqual({
    waiting: [coded, `Back-off pulling image "web:2": ErrImagePull: ${coded}`],
    event: `Failed to pull image "web:2": ${coded}`,
  });
  expect((await told("UNKNOWN")).waiting[0]).toBe(words);
});

test.each([
  [
    "RegistryUnavailable",
    "RegistryUnavailable",
    "image pull failed for web:2 because the registry is unavailable",
  ],
  [
    "RegistryUnavailable: no route",
    "RegistryUnavailable",
    "image pull failed for web:2 because the registry is unavailable: no route",
  ],
  [
    "SignatureValidationFailed: Source image rejected",
    "SignatureValidationFailed",
    "image pull failed for web:2 because the signature validation failed: Source image rejected",
  ],
])("the runtime says %s", async (words, reason, message) => {
  const { pull, said } = refusedPull("UNKNOWN", words);
  await expect(pull()).rejects.toMatchObject({ reason, message });
  expect(said).toEqual(['Pulling image "web:2"', `Failed to pull image "web:2": ${words}`]);
  const held = `Back-off pulling image "web:2": ${reason}: ${message}`;
  await expect(pull()).rejects.toMatchObject({ reason: "ImagePullBackOff", message: held });
});

test("an image that the runtime cannot tell of is not pulled", async () => {
  const runtime = {
    imageStatus: async () => {
      throw new RuntimeError("UNAVAILABLE", "no");
    },
  } as unknown as ContainerRuntime;
  const puller = new ImagePuller({
    runtime,
    clock: new VirtualClock(),
    parallelMax: 1,
    records: openRecords,
  });
  await expect(
    puller.ensure(makePod(), makeContainer("main", { image: "web:2" }), [], () => {}),
  ).rejects.toMatchObject({
    reason: "ImageInspectError",
    message: 'Failed to inspect image "web:2": rpc error: code = Unavailable desc = no',
  });
});

test("programs of the node are asked after the pod's secrets, and of what is there only where those do not open it", async () => {
  const tried: (string | undefined)[] = [];
  const runtime = {
    imageStatus: async () => image,
    pullImage: async (_name: string, auth?: { username?: string }) => {
      tried.push(auth?.username);
      if (auth?.username !== "program") throw new Error("denied");
    },
  } as unknown as ContainerRuntime;
  const account = { uid: "u", namespace: "default", name: "robot" };
  const login = { auth: { username: "program" }, account };
  let asked = 0;
  const opened: unknown[] = [];
  const records = {
    ...openRecords,
    mayUse: async (_image: string, _id: string, logins: readonly unknown[]) => logins.includes(login),
    end: async (_image: string, _id?: string, used?: unknown) => {
      opened.push(used);
    },
  };
  const puller = new ImagePuller({
    runtime,
    clock: new VirtualClock(),
    parallelMax: 1,
    records,
    loginsFor: async () => {
      asked++;
      return [login];
    },
  });
  const auths = { "docker.io": { username: "secret", password: "p" } };
  const secrets = [secretOf({ ".dockerconfigjson": JSON.stringify({ auths }) })];
  const ensure = (imagePullPolicy: "Always" | "IfNotPresent") =>
    puller.ensure(makePod(), makeContainer("main", { imagePullPolicy }), secrets, () => {});
  await ensure("Always");
  expect(tried).toEqual(["secret", "program"]);
  expect(opened).toEqual([login]);
  await ensure("IfNotPresent");
  expect([asked, tried.length]).toEqual([2, 2]);
});

test.each([
  ["UNKNOWN", "Unknown"],
  ["CANCELLED", "Canceled"],
  ["FAILED_PRECONDITION", "FailedPrecondition"],
])("the code %s is written %s", (code, name) => {
  expect(rpcWords(new RuntimeError(code, "no"))).toBe(`rpc error: code = ${name} desc = no`);
});

test("the message of a crash loop names everything", () => {
  expect(crashLoopMessage(80_000, makePod(), "main")).toBe(
    "back-off 1m20s restarting failed container=main pod=web_default(uid-1)",
  );
});
