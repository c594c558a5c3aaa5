export { type Backoff, createBackoff } from "./backoff.ts";
export { type IndexFunction, joinKey, keyOf, splitKey } from "./cache.ts";
export { createClient, errorOf, readText } from "./client.ts";
export type {
  Client,
  ListOptions,
  ObjectRef,
  PatchType,
  Transport,
  TransportRequest,
  TransportResponse,
  WatchEvent,
  WatchOptions,
  WriteOptions,
} from "./contract.ts";
export {
  createEventRecorder,
  type EventKind,
  type EventRecorder,
  type EventRecorderOptions,
  type EventSubject,
  referenceTo,
} from "./event-recorder.ts";
export { decodeFrames, encodeFrame, LineSplitter, letStandFor } from "./frames.ts";
export { type HttpsTransportOptions, httpsTransport } from "./https-transport.ts";
export {
  controllerOf,
  indexByNode,
  indexByOwner,
  indexByService,
  orphansOf,
  ownedBy,
  podsOnNode,
  serviceOf,
  slicesOfService,
} from "./indexes.ts";
export { deepFreeze, type Informer, type InformerHandler, type InformerOptions } from "./informer.ts";
export { createInformers, type Informers, type InformersOptions } from "./informers.ts";
export { type LeaderElectionOptions, runAsLeader } from "./leader-election.ts";
export { limitedClient } from "./limited.ts";
export { FakeApi } from "./testing/fake-api.ts";
export { WorkQueue, type WorkQueueOptions } from "./work-queue.ts";
