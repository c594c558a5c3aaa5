/** Ports by number or by the name a container gave them. */
import type { corev1, metav1 } from "#api";

/** Throws when the container has no port of that name, or the number is none. */
export function portNumber(port: metav1.IntOrString, container: Readonly<corev1.Container>): number {
  const named =
    typeof port === "string" ? (container.ports ?? []).find((p) => p.name === port)?.containerPort : port;
  if (named === undefined && !/^[+-]?\d+$/.test(String(port)))
    throw new Error(`strconv.Atoi: parsing ${JSON.stringify(port)}: invalid syntax`);
  const number = named ?? Number(port);
  if (!Number.isInteger(number) || number < 1 || number > 65_535)
    throw new Error(`invalid port number: ${port}`);
  return number;
}
