/**
 * When a certificate is made anew: as long as a third of its life is left, so that a server may be away for a while.
 * https://kubernetes.io/docs/tasks/tls/certificate-rotation/
 */
import { X509Certificate } from "node:crypto";

/** Clocks of nodes differ a little: certificates are good from before they were made. */
export const backdateMs = 3600 * 1000;

export function lifeOf(pem: string): { renewAtMs: number; endMs: number } {
  const { validFromDate, validToDate } = new X509Certificate(pem);
  const endMs = validToDate.getTime();
  return { renewAtMs: endMs - (endMs - validFromDate.getTime() - backdateMs) / 3, endMs };
}
