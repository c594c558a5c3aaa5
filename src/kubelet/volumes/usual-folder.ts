/**
 * `/var/lib/kubelet` is where drivers, device plugins and monitors expect the folder of a kubelet, and it is what their
 * pods ask for as a path of the host. Here each node has a folder of its own: pods are given that, whoever else is on the
 * machine, and drivers are told paths as they know them.
 */

const usual = "/var/lib/kubelet";

function moved(path: string, from: string, to: string): string {
  return path === from || path.startsWith(`${from}/`) ? to + path.slice(from.length) : path;
}

/** Where on the machine a path lies that a pod knows. */
export const fromUsual = (path: string, own: string) => moved(path, usual, own);

/** As whoever has been given the folder at its usual place knows it. */
export const toUsual = (path: string, own: string) => moved(path, own, usual);

export const isUsual = (path: string) => path.startsWith(`${usual}/`);
