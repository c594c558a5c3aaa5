/**
 * Which containers the kernel has killed for want of memory, by its own log. The runtime hears of it apart from a container's
 * end, and on cgroups v1 not at all where the cgroup is gone before it looks.
 * https://www.kernel.org/doc/Documentation/ABI/testing/dev-kmsg
 */
import { closeSync, constants, openSync, readFileSync, readSync } from "node:fs";
import { codeOf } from "#base";

export interface OomVictim {
  process: string;
  pid: number;
}

export interface OomLog {
  /** By the container's id. */
  has(containerId: string): boolean;
  /** Processes that are nobody's container, killed since this was asked last. */
  systemVictims(): OomVictim[];
  close(): void;
}

const path = "/dev/kmsg";
const recordMaxBytes = 8192;
/** Of one look; a log that is written faster than it is read ends it too. */
const recordsMax = 100_000;
const knownMax = 1000;
const victimsMax = 20;

/** The container of a record such as `…;oom-kill:constraint=…,task_memcg=/kubepods/podUID/ID,task=dd,…`. */
export function killedContainerOf(record: string): string | undefined {
  const group = /;oom-kill:.*,task_memcg=([^,]*),/.exec(record)?.[1];
  // CRI-O: `crio-ID`; where systemd keeps the cgroups: `cri-containerd-ID.scope`, and below it what crun has made.
  return group && /([0-9a-f]{64})(?:\.scope)?(?:\/container)?$/.exec(group)?.[1];
}

/**
 * What the kernel killed outside of all groups, if that was later than so many microseconds after its start: the machine
 * itself has run out of memory.
 */
export function systemVictimOf(record: string, sinceUs: number): OomVictim | undefined {
  const found = /^\d+,\d+,(\d+),.*?;oom-kill:.*,task_memcg=\/,task=(.*),pid=(\d+),uid=/.exec(record);
  if (!found || Number(found[1]) < sinceUs) return undefined;
  return { process: found[2]!, pid: Number(found[3]) };
}

function uptimeUs(): number {
  try {
    return Number.parseFloat(readFileSync("/proc/uptime", "utf8")) * 1_000_000;
  } catch {
    return Number.POSITIVE_INFINITY;
  }
}

/** Where the log may not be read nobody is known: the runtime's word counts. */
export function openOomLog(): OomLog {
  const killed = new Set<string>();
  let victims: OomVictim[] = [];
  const sinceUs = uptimeUs();
  const buffer = Buffer.alloc(recordMaxBytes);
  let fd: number | undefined;
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch {
    fd = undefined;
  }

  function readOn(): void {
    for (let i = 0; fd !== undefined && i < recordsMax; i++) {
      try {
        const record = buffer.toString("latin1", 0, readSync(fd, buffer));
        const id = killedContainerOf(record);
        if (id) killed.add(id);
        const victim = systemVictimOf(record, sinceUs);
        if (victim && victims.length < victimsMax) victims.push(victim);
      } catch (error) {
        // EPIPE: records were overwritten before they were read; the next one is there.
        if (codeOf(error) !== "EPIPE") break;
      }
    }
    for (const id of killed) {
      if (killed.size <= knownMax) break;
      killed.delete(id);
    }
  }

  return {
    has(containerId) {
      readOn();
      return killed.has(containerId);
    },
    systemVictims() {
      readOn();
      const found = victims;
      victims = [];
      return found;
    },
    close() {
      if (fd !== undefined) closeSync(fd);
      fd = undefined;
    },
  };
}
