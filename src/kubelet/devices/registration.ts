/**
 * `device-plugins/kubelet.sock`: where device plugins make themselves known. They watch for the socket, and come again when
 * it is made anew.
 */
import { mkdir, readdir, rm } from "node:fs/promises";
import { basename, join } from "node:path";
import protobuf from "protobufjs";
import { deviceMessages, deviceMethods } from "../generated/plugins.ts";
import { serveUnary } from "../plugins/serve.ts";
import type { PluginOptions } from "./endpoint.ts";

export interface DeviceRegistration {
  resource: string;
  socketPath: string;
  options: PluginOptions | undefined;
}

interface RegisterRequest {
  version: string;
  endpoint: string;
  resourceName: string;
  options?: PluginOptions;
}

const version = "v1beta1";
const types = protobuf.Root.fromJSON({ nested: { v1beta1: { nested: deviceMessages } } });
const resourceName =
  /^(?!(?:[^/]*\.)?kubernetes\.io\/)[a-z0-9](?:[-a-z0-9.]*[a-z0-9])?\/[A-Za-z0-9](?:[-\w.]*[A-Za-z0-9])?$/;
const nameMaxLength = 253 + 1 + 63;

/** Throws an `Error` in upstream's words. */
export function checkRegistration(dir: string, request: RegisterRequest): DeviceRegistration {
  if (request.version !== version)
    throw new Error(
      `requested API version "${request.version}" is not supported by kubelet. Supported version is ["${version}"]`,
    );
  const { resourceName: resource, endpoint, options } = request;
  if (!isResourceName(resource)) throw new Error(`the ResourceName "${resource}" is invalid`);
  if (!endpoint || basename(endpoint) !== endpoint) throw new Error(`the endpoint "${endpoint}" is invalid`);
  return { resource, socketPath: join(dir, endpoint), options: options ?? undefined };
}

export const isResourceName = (name: string) => name.length <= nameMaxLength && resourceName.test(name);

/** Sockets of an earlier time are removed: whoever listened there comes again. */
async function clear(dir: string): Promise<void> {
  await mkdir(dir, { recursive: true, mode: 0o750 });
  for (const entry of await readdir(dir, { withFileTypes: true }))
    if (entry.isSocket()) await rm(join(dir, entry.name), { force: true });
}

export async function startDeviceRegistration(
  dir: string,
  register: (registration: DeviceRegistration) => Promise<void>,
): Promise<{ stop(): void }> {
  await clear(dir);
  const answers = {
    Register: async (request: RegisterRequest) => {
      await register(checkRegistration(dir, request));
      return {};
    },
  };
  return serveUnary({ socketPath: join(dir, "kubelet.sock"), types, methods: deviceMethods, answers });
}
