/** What an image holds, as a volume. */
import { expect } from "vitest";
import { outputOf, shell } from "../pods.ts";
import { conformance } from "../suite.ts";

conformance("node-daaf60", "An image that is always pulled is a volume to read", async (given) => {
  const volumes = [
    { name: "files", image: { reference: given.registryImage, pullPolicy: "Always" as const } },
  ];
  const script = "ls /volume && ! touch /volume/new";
  const container = shell(given.image, script, { volumeMounts: [{ name: "files", mountPath: "/volume" }] });
  expect(await outputOf(given, container, { spec: { volumes } })).toMatch(/^bin$/m);
});
