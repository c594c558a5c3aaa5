/** What the store's thread and its writer say to each other. Values of a batch travel as one transferred buffer. */

/** Columns of a batch; value i is `lengths[i]` bytes of `values`, or a deletion where the length is -1. */
export interface AppendRequest {
  type: "append";
  /** The newest revision known to be durable: anything above it in the file was never acknowledged. */
  after: number;
  revisions: number[];
  createRevisions: number[];
  keys: string[];
  checksums: number[];
  lengths: number[];
  values: Uint8Array;
}

export interface TrimRequest {
  type: "trim";
  compactedRevision: number;
  revisions: number[];
}

interface CloseRequest {
  type: "close";
}

export type WriterRequest = AppendRequest | TrimRequest | CloseRequest;

/** Requests are answered one by one in their order. */
export type WriterResponse = { ok: true } | { ok: false; message: string };

export interface WriterData {
  path: string;
  /** The file may not grow beyond this; 0 for no limit. */
  quotaBytes: number;
}
