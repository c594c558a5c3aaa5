/** A private registry whose login a program of the node knows: no secret is needed. */
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { canRunContainers, startTestNode, type TestNode } from "./kubelet-node.ts";
import { login, startRegistry, type TestRegistry } from "./registry-server.ts";

describe.skipIf(!canRunContainers())("credential providers", () => {
  let node: TestNode;
  let closed: TestRegistry;
  beforeAll(async () => {
    closed = await startRegistry({ withLogin: true });
    await closed.pushBusybox("fleet/secret", "1.0");
    node = await startTestNode();
  });
  afterAll(async () => {
    await node?.stop();
    await closed?.stop();
  });

  const apiVersion = "credentialprovider.kubelet.k8s.io/v1";
  const home = () => join(node.dir, "kubelet", "credential-providers");

  /** A program that keeps what it is asked, and has the registry's login for everybody. */
  function provide(more: object): void {
    mkdirSync(home(), { recursive: true });
    const auth = { [closed.host]: login };
    const answer = { kind: "CredentialProviderResponse", apiVersion, cacheKeyType: "Registry", auth };
    const seen = join(home(), "seen");
    writeFileSync(join(home(), "fleet"), `#!/bin/sh\ncat > ${seen}\necho '${JSON.stringify(answer)}'\n`);
    chmodSync(join(home(), "fleet"), 0o755);
    const known = { name: "fleet", apiVersion, matchImages: [closed.host], defaultCacheDuration: "1m" };
    const config = { kind: "CredentialProviderConfig", providers: [{ ...known, ...more }] };
    writeFileSync(join(home(), "config.yaml"), JSON.stringify(config));
  }

  const create = (name: string) =>
    node.createPod(name, {
      restartPolicy: "Never",
      containers: [
        {
          name: "main",
          image: `${closed.host}/fleet/secret:1.0`,
          imagePullPolicy: "Always",
          command: ["cat", "/image"],
        },
      ],
    });

  test("an image is refused without a login, and pulled with that of a program", async () => {
    await create("refused");
    const refused = await node.until("refused", (pod) =>
      ["ErrImagePull", "ImagePullBackOff"].includes(
        pod?.status?.containerStatuses?.[0]?.state?.waiting?.reason ?? "",
      ),
    );
    expect(refused?.status?.containerStatuses?.[0]?.state?.waiting?.message).toContain("fleet/secret");
    provide({});
    await create("pulled");
    await node.until("pulled", (pod) => pod?.status?.phase === "Succeeded");
  });

  test("a program is shown a token of the pod's account, for itself alone", async () => {
    const serviceAccountTokenAudience = "registry.example.com";
    provide({
      tokenAttributes: { serviceAccountTokenAudience, cacheType: "Token", requireServiceAccount: true },
    });
    await create("by-token");
    await node.until("by-token", (pod) => pod?.status?.phase === "Succeeded");
    const asked = JSON.parse(readFileSync(join(home(), "seen"), "utf8"));
    expect(asked).toMatchObject({ kind: "CredentialProviderRequest", image: `${closed.host}/fleet/secret` });
    const payload = Buffer.from(asked.serviceAccountToken.split(".")[1], "base64url").toString("utf8");
    expect(JSON.parse(payload)).toMatchObject({
      aud: [serviceAccountTokenAudience],
      sub: "system:serviceaccount:default:default",
      "kubernetes.io": { pod: { name: "by-token" } },
    });
  });
});
