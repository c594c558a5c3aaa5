/** Whether the server behind an APIService is there, in upstream's words; and what it serves. */
import { type apiregistrationv1, type corev1, isObject, type ResourceDefinition, services } from "#api";
import { messageOf } from "#base";
import { backendsOf, slicesOf } from "../proxy/location.ts";
import type { Storage } from "../registry/storage.ts";
import { authenticatedGroup } from "../user.ts";
import type { AggregatorProxy } from "./proxy.ts";

export interface Verdict {
  condition: apiregistrationv1.APIServiceCondition;
  resources?: readonly Record<string, unknown>[];
  openapi?: string | undefined;
}

const timeoutMs = 5_000;
const answerMaxBytes = 4 * 1024 * 1024;
const checker = { username: "system:kube-aggregator", groups: ["system:masters", authenticatedGroup] };

export async function check(
  storage: Storage,
  proxy: AggregatorProxy,
  service: Readonly<apiregistrationv1.APIService>,
): Promise<Verdict> {
  const missing = missingPart(storage, service);
  if (missing) return missing;
  const { group = "", version = "", service: target } = service.spec ?? {};
  const path = `/apis/${group}/${version}`;
  const url = `https://${target?.name}.${target?.namespace}.svc:${target?.port ?? 443}${path}`;
  try {
    const { resources } = await ask(proxy, service, path);
    const list = Array.isArray(resources) ? (resources as unknown[]).filter(isObject) : [];
    const openapi = await openapiPath(proxy, service, path);
    return { ...verdict("True", "Passed", "all checks passed"), resources: list, openapi };
  } catch (error) {
    const text = `failing or missing response from ${url}: ${messageOf(error)}`;
    return verdict("False", "FailedDiscoveryCheck", text);
  }
}

function verdict(status: string, reason: string, message: string): Verdict {
  return { condition: { type: "Available", status, reason, message } };
}

/** What the cluster itself knows to be missing: nobody needs to be asked. */
function missingPart(
  storage: Storage,
  { spec }: Readonly<apiregistrationv1.APIService>,
): Verdict | undefined {
  const { namespace = "", name = "", port = 443 } = spec?.service ?? {};
  const which = `service/${name} in ${JSON.stringify(namespace)}`;
  const found = storage.find(services as ResourceDefinition, namespace, name);
  if (!found) return verdict("False", "ServiceNotFound", `${which} is not present`);
  const service = found.parse() as corev1.Service;
  const servicePort = service.spec.ports?.find((each) => each.port === port);
  if (!servicePort && service.spec.type !== "ExternalName")
    return verdict("False", "ServicePortError", `${which} is not listening on port ${port}`);
  if (service.spec.type !== "ClusterIP") return undefined;
  const slices = [...slicesOf(storage, service)];
  if (slices.length === 0)
    return verdict("False", "EndpointsNotFound", `cannot find endpointslices for ${which}`);
  const portName = servicePort?.name ?? "";
  if (slices.some((slice) => backendsOf(slice, portName).length > 0)) return undefined;
  return verdict(
    "False",
    "MissingEndpoints",
    `endpointslices for ${which} have no addresses with port name ${JSON.stringify(portName)}`,
  );
}

/** Older servers have no OpenAPI v3. */
async function openapiPath(
  proxy: AggregatorProxy,
  service: Readonly<apiregistrationv1.APIService>,
  path: string,
): Promise<string | undefined> {
  try {
    const { paths } = await ask(proxy, service, "/openapi/v3");
    const entry = isObject(paths) ? paths[path.slice(1)] : undefined;
    const url = isObject(entry) ? entry.serverRelativeURL : undefined;
    return typeof url === "string" ? url : undefined;
  } catch {
    return undefined;
  }
}

function ask(
  proxy: AggregatorProxy,
  service: Readonly<apiregistrationv1.APIService>,
  path: string,
): Promise<Record<string, unknown>> {
  return new Promise((resolve, reject) => {
    const headers = { accept: "application/json" };
    const signal = AbortSignal.timeout(timeoutMs);
    const outgoing = proxy.dial(service, { method: "GET", path, headers, user: checker, signal });
    outgoing.on("error", (error) =>
      reject(signal.aborted ? new Error(`Get ${JSON.stringify(path)}: context deadline exceeded`) : error),
    );
    outgoing.on("response", (incoming) => {
      const chunks: Buffer[] = [];
      let size = 0;
      incoming.on("error", reject);
      incoming.on("data", (chunk: Buffer) => {
        size += chunk.length;
        if (size > answerMaxBytes) outgoing.destroy(new Error("the answer is too large"));
        else chunks.push(chunk);
      });
      incoming.on("end", () => {
        const status = incoming.statusCode ?? 0;
        if (status < 200 || status > 299) {
          reject(new Error(`bad status from ${path}: ${status}`));
          return;
        }
        try {
          const value: unknown = JSON.parse(Buffer.concat(chunks).toString("utf8"));
          resolve(isObject(value) ? value : {});
        } catch (error) {
          reject(error instanceof Error ? error : new Error(String(error)));
        }
      });
    });
    outgoing.end();
  });
}
