/**
 * etcd's v3 API over gRPC, as far as the store needs it. A call goes to one member; when that one is away, to the next.
 * https://etcd.io/docs/v3.6/learning/api/
 */
import {
  Client,
  type ClientDuplexStream,
  credentials,
  Metadata,
  type ServiceError,
  status,
} from "@grpc/grpc-js";
import protobuf from "protobufjs";
import { type Clock, messageOf } from "#base";
import { StoreUnavailableError } from "./contract.ts";
import { etcdMessages, etcdMethods } from "./generated/etcd.ts";

export interface EtcdEndpoints {
  /** `host:port`, tried one after the other. */
  addresses: string[];
  /** PEM; absent: plain text. */
  tls?: { ca?: Buffer; cert?: Buffer; key?: Buffer };
}

type Method = keyof typeof etcdMethods;

/** Numbers of etcd's enums. */
export const putEvent = 0;
export const equalResult = 0;
export const modTarget = 2;

export interface KeyValue {
  key: Buffer;
  value: Buffer;
  createRevision: number;
  modRevision: number;
}

export interface RangeResponse {
  header: { revision: number };
  kvs: KeyValue[];
  more: boolean;
}

export interface TxnResponse {
  header: { revision: number };
  succeeded: boolean;
  responses: {
    responseRange: RangeResponse | null;
    responseDeleteRange: { deleted: number } | null;
  }[];
}

export interface WatchResponse {
  header: { revision: number };
  created: boolean;
  canceled: boolean;
  compactRevision: number;
  cancelReason: string;
  events: { type: number; kv: KeyValue }[];
}

/** What etcd itself takes is far less; answers hold many objects. */
const messageMaxBytes = 256 * 1024 * 1024;
const callTimeoutMs = 10_000;
const decoding = { longs: Number, defaults: true, arrays: true };
const keepAlive = {
  "grpc.keepalive_time_ms": 10_000,
  "grpc.keepalive_timeout_ms": 5_000,
  "grpc.max_receive_message_length": messageMaxBytes,
  "grpc.max_send_message_length": messageMaxBytes,
  "grpc.initial_reconnect_backoff_ms": 100,
  "grpc.max_reconnect_backoff_ms": 2_000,
};

interface Codec {
  path: string;
  encode(request: object): Buffer;
  decode(bytes: Buffer): object;
}

function codecsOf(): Record<Method, Codec> {
  const types = new protobuf.Root().addJSON(etcdMessages);
  const made = Object.entries(etcdMethods).map(([name, [path, requestName, responseName]]) => {
    const request = types.lookupType(`etcdserverpb.${requestName}`);
    const response = types.lookupType(`etcdserverpb.${responseName}`);
    const codec: Codec = {
      path,
      encode: (value) => Buffer.from(request.encode(request.fromObject(value)).finish()),
      decode: (bytes) => response.toObject(response.decode(bytes), decoding),
    };
    return [name, codec] as const;
  });
  return Object.fromEntries(made) as Record<Method, Codec>;
}

export class EtcdClient {
  readonly #clock: Clock;
  readonly #members: Client[];
  readonly #codecs = codecsOf();
  #chosen = 0;

  constructor({ addresses, tls }: EtcdEndpoints, clock: Clock) {
    this.#clock = clock;
    const { ca = null, key = null, cert = null } = tls ?? {};
    this.#members = addresses.map((address) => {
      const own = tls ? credentials.createSsl(ca, key, cert) : credentials.createInsecure();
      return new Client(address, own, keepAlive);
    });
  }

  range(request: object): Promise<RangeResponse> {
    return this.#call("Range", request);
  }

  /** Never sent twice: nobody knows what became of the first one. Throws `StoreUnavailableError`. */
  txn(request: object): Promise<TxnResponse> {
    return this.#call("Txn", request);
  }

  async compact(revision: number): Promise<void> {
    await this.#call("Compact", { revision });
  }

  /** Events from `startRevision` on, until the answer's `end`; errors come as rejections of `ended`. */
  watch(
    request: { key: Buffer; rangeEnd: Buffer; startRevision: number },
    onResponse: (response: WatchResponse) => void,
  ): { ended: Promise<void>; stop(): void } {
    const { path, encode, decode } = this.#codecs.Watch;
    const stream: ClientDuplexStream<object, object> = this.#member.makeBidiStreamRequest(
      path,
      encode,
      decode,
    );
    const ended = new Promise<void>((resolve, reject) => {
      stream.on("data", (response: object) => onResponse(response as WatchResponse));
      stream.once("end", () => resolve());
      stream.on("error", (error: ServiceError) => {
        if (error.code !== status.CANCELLED) this.#next();
        reject(error);
      });
    });
    stream.write({ createRequest: { ...request, progressNotify: true, fragment: true } });
    return { ended, stop: () => stream.cancel() };
  }

  close(): void {
    for (const member of this.#members) member.close();
  }

  get #member(): Client {
    return this.#members[this.#chosen]!;
  }

  #next(): void {
    this.#chosen = (this.#chosen + 1) % this.#members.length;
  }

  #call<R>(method: Method, request: object): Promise<R> {
    const { path, encode, decode } = this.#codecs[method];
    const deadline = this.#clock.now() + callTimeoutMs;
    return new Promise((resolve, reject) => {
      this.#member.makeUnaryRequest(
        path,
        encode,
        decode,
        request,
        new Metadata(),
        { deadline },
        (error, answer) => {
          if (!error) return resolve(answer as R);
          if (error.code === status.UNAVAILABLE) this.#next();
          const why = error.details || messageOf(error);
          reject(new StoreUnavailableError(`etcd: ${why}`, { cause: error }));
        },
      );
    });
  }
}
