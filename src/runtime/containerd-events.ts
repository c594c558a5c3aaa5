/**
 * The ends of containers as containerd itself tells of them, for versions whose CRI has no event stream (before 2.0).
 * https://github.com/containerd/containerd/blob/main/api/services/events/v1/events.proto
 */

import protobuf from "protobufjs";
import type { ContainerEvent } from "#contracts";

const types = new protobuf.Root().addJSON({
  Subscribe: { fields: { filters: { rule: "repeated", type: "string", id: 1 } } },
  Any: { fields: { typeUrl: { type: "string", id: 1 }, value: { type: "bytes", id: 2 } } },
  Envelope: {
    fields: {
      namespace: { type: "string", id: 2 },
      topic: { type: "string", id: 3 },
      event: { type: "Any", id: 4 },
    },
  },
  TaskExit: { fields: { containerId: { type: "string", id: 1 }, id: { type: "string", id: 2 } } },
});

export const subscribePath = "/containerd.services.events.v1.Events/Subscribe";

/** CRI's containers live in this namespace of containerd's. */
const criNamespace = "k8s.io";

export function encodeSubscription(): Buffer {
  const type = types.lookupType("Subscribe");
  return Buffer.from(type.encode(type.fromObject({ filters: ['topic=="/tasks/exit"'] })).finish());
}

/** Undefined for what is not the end of a container of CRI's: an `exec` ends too. */
export function decodeExit(bytes: Buffer): ContainerEvent | undefined {
  const envelope = types
    .lookupType("Envelope")
    .toObject(types.lookupType("Envelope").decode(bytes), { defaults: true });
  if (envelope.namespace !== criNamespace || envelope.topic !== "/tasks/exit" || !envelope.event)
    return undefined;
  const exit = types
    .lookupType("TaskExit")
    .toObject(types.lookupType("TaskExit").decode(envelope.event.value), { defaults: true });
  if (exit.id !== exit.containerId) return undefined;
  return { containerId: exit.containerId, containerEventType: "CONTAINER_STOPPED_EVENT" };
}
