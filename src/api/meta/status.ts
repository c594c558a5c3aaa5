/**
 * Kubernetes' own way to say no: the `Status` object, as an error.
 * https://github.com/kubernetes/community/blob/master/contributors/devel/sig-architecture/api-conventions.md#response-status-kind
 */
import type { metav1 } from "../generated/types/index.ts";

export type StatusReason =
  | "BadRequest"
  | "Unauthorized"
  | "Forbidden"
  | "NotFound"
  | "AlreadyExists"
  | "Conflict"
  | "Gone"
  | "Invalid"
  | "ServerTimeout"
  | "Timeout"
  | "TooManyRequests"
  | "MethodNotAllowed"
  | "NotAcceptable"
  | "RequestEntityTooLarge"
  | "UnsupportedMediaType"
  | "InternalError"
  | "Expired"
  | "ServiceUnavailable";

export interface StatusOptions {
  details?: Partial<metav1.StatusDetails>;
}

/** An answer of the API server that is not the object asked for. */
export class StatusError extends Error {
  override name = "StatusError";
  readonly status: metav1.Status;

  constructor(status: metav1.Status) {
    super(status.message ?? status.reason ?? `status ${status.code}`);
    this.status = status;
  }

  static of(
    code: number,
    reason: StatusReason,
    message: string,
    details?: metav1.StatusDetails,
  ): StatusError {
    return new StatusError({
      kind: "Status",
      apiVersion: "v1",
      metadata: {} as metav1.ListMeta,
      status: "Failure",
      message,
      reason,
      ...(details ? { details } : {}),
      code,
    });
  }

  get code(): number {
    return this.status.code ?? 500;
  }

  get reason(): string {
    return this.status.reason ?? "";
  }
}

/** What an error is about: the plural and its group, as in `pods "web" not found` and `deployments.apps "web"…`. */
export interface Subject {
  group: string;
  resource: string;
  kind?: string;
}

function qualified(subject: Subject): string {
  return subject.group ? `${subject.resource}.${subject.group}` : subject.resource;
}

function detailsOf(subject: Subject, name: string): metav1.StatusDetails {
  return {
    ...(name ? { name } : {}),
    ...(subject.group ? { group: subject.group } : {}),
    kind: subject.resource,
  };
}

export function notFound(subject: Subject, name: string): StatusError {
  return StatusError.of(
    404,
    "NotFound",
    `${qualified(subject)} "${name}" not found`,
    detailsOf(subject, name),
  );
}

/** No such path. */
export function notServed(): StatusError {
  return StatusError.of(404, "NotFound", "the server could not find the requested resource");
}

/** There is such a path, but not for this method. */
export function methodNotServed(): StatusError {
  return StatusError.of(
    405,
    "MethodNotAllowed",
    "the server does not allow this method on the requested resource",
  );
}

export function alreadyExists(subject: Subject, name: string): StatusError {
  return StatusError.of(
    409,
    "AlreadyExists",
    `${qualified(subject)} "${name}" already exists`,
    detailsOf(subject, name),
  );
}

export function conflict(subject: Subject, name: string, why: string): StatusError {
  const message = `Operation cannot be fulfilled on ${qualified(subject)} "${name}": ${why}`;
  return StatusError.of(409, "Conflict", message, detailsOf(subject, name));
}

export function badRequest(message: string): StatusError {
  return StatusError.of(400, "BadRequest", message);
}

export function unauthorized(): StatusError {
  return StatusError.of(401, "Unauthorized", "Unauthorized");
}

export function forbidden(subject: Subject, name: string, why: string): StatusError {
  const what = name ? `${qualified(subject)} "${name}" is forbidden` : `${qualified(subject)} is forbidden`;
  return StatusError.of(403, "Forbidden", `${what}: ${why}`, detailsOf(subject, name));
}

export function methodNotAllowed(subject: Subject, action: string): StatusError {
  const message = `${action} is not supported on resources of kind "${qualified(subject)}"`;
  return StatusError.of(405, "MethodNotAllowed", message, detailsOf(subject, ""));
}

/** The resource version is too old: the client must list again. */
export function expired(message: string): StatusError {
  return StatusError.of(410, "Expired", message);
}

export function tooManyRequests(message: string, retryAfterSeconds: number): StatusError {
  return StatusError.of(429, "TooManyRequests", message, { retryAfterSeconds });
}

export function internalError(message: string): StatusError {
  return StatusError.of(500, "InternalError", `Internal error occurred: ${message}`, {
    causes: [{ message }],
  });
}

export function serviceUnavailable(message: string): StatusError {
  return StatusError.of(503, "ServiceUnavailable", message);
}

export function isStatus(error: unknown, reason: StatusReason): boolean {
  return error instanceof StatusError && error.reason === reason;
}
