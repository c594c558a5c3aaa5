/**
 * The static CPU policy: a container that asks for whole processors, in a pod that has promised all it takes, has them to
 * itself; all others share the rest.
 * https://kubernetes.io/docs/tasks/administer-cluster/cpu-management-policies/
 */
import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { type corev1, qosClassOf, quantityMilliValue } from "#api";
import { codeOf, messageOf, type World } from "#base";
import { DeviceError } from "../devices/manager.ts";
import { type Cpu, formatCpus, takeCpus } from "./topology.ts";

export interface CpuManager {
  readonly isStatic: boolean;
  /** The processors of a container; "" where the policy does not care. Throws `DeviceError`. */
  cpusetFor(pod: Readonly<corev1.Pod>, container: Readonly<corev1.Container>): Promise<string>;
  /** What a container that runs shall have now. */
  current(podUid: string, container: string): string;
  release(podUid: string): void;
  load(): Promise<void>;
}

export interface CpuManagerOptions {
  policy: string;
  topology: readonly Cpu[];
  /** Never given to one alone. */
  reserved: readonly number[];
  file: string;
  world: World;
  isActive(podUid: string): boolean;
}

const keyOf = (podUid: string, container: string) => `${podUid}/${container}`;

/** How many processors the container has to itself. Pure. */
export function exclusiveCount(pod: Readonly<corev1.Pod>, { resources }: Readonly<corev1.Container>): number {
  if (qosClassOf(pod.spec) !== "Guaranteed") return 0;
  const milli = quantityMilliValue(resources?.requests?.cpu ?? resources?.limits?.cpu);
  return milli % 1000 === 0 ? milli / 1000 : 0;
}

export function createCpuManager(options: CpuManagerOptions): CpuManager {
  const { topology, reserved, file, world } = options;
  const isStatic = options.policy === "static";
  let assigned = new Map<string, number[]>();

  const exclusive = () => new Set([...assigned.values()].flat());
  const shared = () => {
    const taken = exclusive();
    return formatCpus(topology.map(({ id }) => id).filter((id) => !taken.has(id)));
  };

  async function save(): Promise<void> {
    await mkdir(dirname(file), { recursive: true, mode: 0o750 });
    await writeFile(`${file}.new`, JSON.stringify({ assigned: [...assigned] }), { mode: 0o600 });
    await rename(`${file}.new`, file);
  }

  /** An init container has ended when the others run: what it had is free again. */
  function inherited(pod: Readonly<corev1.Pod>): number[] {
    const names = (pod.spec.initContainers ?? []).filter((each) => each.restartPolicy !== "Always");
    const keys = names.map(({ name }) => keyOf(pod.metadata.uid, name));
    const cpus = keys.flatMap((key) => assigned.get(key) ?? []);
    for (const key of keys) assigned.delete(key);
    return cpus;
  }

  return {
    isStatic,
    async cpusetFor(pod, container) {
      if (!isStatic) return "";
      const { uid } = pod.metadata;
      const key = keyOf(uid, container.name);
      const known = assigned.get(key);
      if (known) return formatCpus(known);
      const count = exclusiveCount(pod, container);
      if (count === 0) return shared();
      for (const each of assigned.keys()) {
        const [podUid = ""] = each.split("/");
        if (podUid !== uid && !options.isActive(podUid)) assigned.delete(each);
      }
      inherited(pod);
      const taken = exclusive();
      const free = topology.map(({ id }) => id).filter((id) => !taken.has(id) && !reserved.includes(id));
      const cpus = takeCpus(topology, new Set(free), count);
      if (!cpus)
        throw new DeviceError(
          `not enough cpus available to satisfy request: requested=${count}, available=${free.length}`,
        );
      assigned.set(key, cpus);
      await save();
      return formatCpus(cpus);
    },
    current(podUid, container) {
      if (!isStatic) return "";
      const own = assigned.get(keyOf(podUid, container));
      return own ? formatCpus(own) : shared();
    },
    release(podUid) {
      for (const key of assigned.keys()) if (key.startsWith(`${podUid}/`)) assigned.delete(key);
    },
    async load() {
      if (!isStatic) return;
      try {
        const known = JSON.parse(await readFile(file, "utf8")) as { assigned: [string, number[]][] };
        assigned = new Map(known.assigned);
      } catch (error) {
        if (codeOf(error) !== "ENOENT")
          world.log.warn({ file, error: messageOf(error) }, "who has which processors could not be read");
      }
    },
  };
}
