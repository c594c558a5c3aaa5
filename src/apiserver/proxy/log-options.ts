/**
 * What may be asked of a container's log.
 * https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/#get-read-log-of-the-specified-pod
 */
import { type FieldError, forbiddenField, invalid, invalidObject, notSupported } from "#api";

const streams = ["All", "Stderr", "Stdout"];

/** Throws every fault at once; what is no number is left to the kubelet to refuse. */
export function checkLogOptions(name: string, query: URLSearchParams): void {
  const errors = logOptionErrors(query);
  if (errors.length > 0) throw invalidObject({ group: "", kind: "PodLogOptions" }, name, errors);
}

function logOptionErrors(query: URLSearchParams): FieldError[] {
  const errors: FieldError[] = [];
  const atLeast = (field: string, least: number, words: string) => {
    const text = query.get(field);
    if (!text || !(Number(text) < least)) return;
    errors.push(invalid(field, Number(text), words));
  };
  atLeast("tailLines", 0, "must be greater than or equal to 0");
  atLeast("limitBytes", 1, "must be greater than 0");
  if (query.get("sinceSeconds") && query.get("sinceTime"))
    errors.push(forbiddenField("", "at most one of `sinceTime` or `sinceSeconds` may be specified"));
  else atLeast("sinceSeconds", 1, "must be greater than 0");
  const stream = query.get("stream");
  if (!stream) return errors;
  if (!streams.includes(stream)) errors.push(notSupported("stream", stream, streams));
  else if (stream !== "All" && query.get("tailLines"))
    errors.push(forbiddenField("", "`tailLines` and specific `stream` are mutually exclusive for now"));
  return errors;
}
