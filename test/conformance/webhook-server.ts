/**
 * Webhooks of the tests' own process: the API server must be able to reach this machine. CONFORMANCE_HOST is the address
 * it is reached at; without, the one by which this machine reaches the API server.
 */
import { createServer } from "node:https";
import { type AddressInfo, connect } from "node:net";
import { createWorld, silentLogger } from "#base";
import { createAuthority } from "../../src/distro/certificates.ts";
import type { Kube } from "./kube.ts";
import type { Given } from "./suite.ts";

/** What a webhook is asked; admission and conversion alike. */
export interface Review {
  apiVersion: string;
  kind: string;
  request: {
    uid: string;
    operation: string;
    name?: string;
    namespace?: string;
    subResource?: string;
    object?: Thing | null;
    oldObject?: Thing | null;
    desiredAPIVersion?: string;
    objects?: Thing[];
  };
}

export interface Thing {
  apiVersion?: string;
  kind?: string;
  metadata: {
    name?: string;
    namespace?: string;
    labels?: Record<string, string>;
    annotations?: Record<string, string>;
  };
  data?: Record<string, string>;
  spec?: Record<string, unknown>;
  [field: string]: unknown;
}

export interface Hook {
  clientConfig: { url: string; caBundle: string };
}

type Answer = (request: Review["request"]) => object | Promise<object>;

/** Serves until the test has ended. */
export async function serveWebhook(
  { kube, afterwards }: Pick<Given, "kube" | "afterwards">,
  answer: Answer,
): Promise<Hook> {
  const host = process.env.CONFORMANCE_HOST ?? (await ownAddress(kube));
  const authority = await createAuthority(createWorld({ log: silentLogger }), "conformance-webhooks");
  const pair = await authority.issue({
    commonName: "webhook",
    use: "server",
    dnsNames: ["localhost"],
    addresses: [host],
  });
  const server = createServer({ cert: pair.cert, key: pair.key }, async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const { request: asked, ...head } = JSON.parse(Buffer.concat(chunks).toString()) as Review;
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify({ ...head, response: { uid: asked.uid, ...(await answer(asked)) } }));
  });
  await new Promise<void>((resolve) => server.listen(0, "0.0.0.0", resolve));
  afterwards(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  const caBundle = Buffer.from(authority.cert).toString("base64");
  return { clientConfig: { url: `https://${host.includes(":") ? `[${host}]` : host}:${port}/`, caBundle } };
}

function ownAddress(kube: Kube): Promise<string> {
  const { hostname, port } = new URL(kube.config.getCurrentCluster()?.server ?? "");
  return new Promise((resolve, reject) => {
    const socket = connect(Number(port), hostname, () => {
      resolve(socket.localAddress?.replace(/^::ffff:/, "") ?? "127.0.0.1");
      socket.destroy();
    });
    socket.on("error", reject);
  });
}

export const allow = { allowed: true };

export function deny(message: string): object {
  return { allowed: false, status: { message } };
}

export function patch(...operations: object[]): object {
  return {
    allowed: true,
    patchType: "JSONPatch",
    patch: Buffer.from(JSON.stringify(operations)).toString("base64"),
  };
}
