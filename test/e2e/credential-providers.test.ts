/** A private registry whose login a program of the node knows: no secret is needed. */
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
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
    const dir = join(node.dir, "kubelet", "credential-providers");
    mkdirSync(dir, { recursive: true });
    const apiVersion = "credentialprovider.kubelet.k8s.io/v1";
    const auth = { [closed.host]: login };
    const answer = { kind: "CredentialProviderResponse", apiVersion, cacheKeyType: "Registry", auth };
    writeFileSync(join(dir, "fleet"), `#!/bin/sh\ncat > /dev/null\necho '${JSON.stringify(answer)}'\n`);
    chmodSync(join(dir, "fleet"), 0o755);
    const provider = { name: "fleet", apiVersion, matchImages: [closed.host], defaultCacheDuration: "1m" };
    const kind = "CredentialProviderConfig";
    writeFileSync(join(dir, "config.yaml"), JSON.stringify({ kind, providers: [provider] }));
    await create("pulled");
    await node.until("pulled", (pod) => pod?.status?.phase === "Succeeded");
  });
});
