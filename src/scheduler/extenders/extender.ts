/**
 * A program that is asked over HTTP which nodes will do, how good they are, who may be put out there, and to bind.
 * https://github.com/kubernetes/design-proposals-archive/blob/main/scheduling/scheduler_extender.md
 */
import type { Node, NodeInfo } from "../node-info.ts";
import type { Pod, PodInfo } from "../pod-info.ts";
import { type Candidate, candidateOf } from "../preemption-candidates.ts";
import type { ExtenderSettings } from "./extender-configuration.ts";
import { type ExtenderTransport, extenderTransport } from "./extender-transport.ts";
import {
  errorIn,
  filterAnswer,
  nodesArgs,
  preemptionAnswer,
  preemptionArgs,
  prioritiesIn,
  type VictimsOf,
} from "./extender-wire.ts";

export interface Filtered {
  kept: NodeInfo[];
  /** Why the others will not do, by name. */
  failed: ReadonlyMap<string, string>;
  failedForGood: ReadonlyMap<string, string>;
}

/** Extenders give 0 to 10 where plugins give 0 to 100. */
const scale = 10;

export class Extender {
  readonly settings: ExtenderSettings;
  readonly #transport: ExtenderTransport;

  constructor(settings: ExtenderSettings) {
    this.settings = settings;
    this.#transport = extenderTransport(settings.urlPrefix, settings.timeoutMs, settings.tls);
  }

  close(): void {
    this.#transport.close();
  }

  has(verb: keyof ExtenderSettings["verbs"]): boolean {
    return this.settings.verbs[verb] !== "";
  }

  /** It may be asked about some resources only. */
  concerns({ spec }: Pod): boolean {
    const { resources } = this.settings;
    if (!resources) return true;
    return [...spec.containers, ...(spec.initContainers ?? [])].some(({ resources: wanted = {} }) =>
      [wanted.requests, wanted.limits].some((each) =>
        Object.keys(each ?? {}).some((name) => resources.has(name)),
      ),
    );
  }

  async filter(info: PodInfo, nodes: readonly NodeInfo[]): Promise<Filtered> {
    const { byName, urlPrefix } = this.settings;
    const answer = await this.#ask("filter", nodesArgs(info, nodes.map(objectOf), byName));
    const { names, failed, failedForGood } = filterAnswer(answer, byName);
    const known = new Map(nodes.map((node) => [node.name, node]));
    const kept = (names ?? []).map((name) => {
      const node = known.get(name);
      if (!node)
        throw new Error(
          `extender ${JSON.stringify(urlPrefix)} claims a filtered node ${JSON.stringify(name)} which is not found in the input node list`,
        );
      return node;
    });
    return { kept, failed, failedForGood };
  }

  /** What it adds to the scores of nodes, by name. */
  async prioritize(info: PodInfo, nodes: readonly NodeInfo[]): Promise<ReadonlyMap<string, number>> {
    const { byName, weight } = this.settings;
    const answer = await this.#ask("prioritize", nodesArgs(info, nodes.map(objectOf), byName));
    return new Map([...prioritiesIn(answer)].map(([name, score]) => [name, score * weight * scale]));
  }

  /** The nodes that are left to make room on, with those who must go there. */
  async preempt(
    info: PodInfo,
    candidates: ReadonlyMap<string, Candidate>,
    node: (name: string) => NodeInfo | undefined,
  ): Promise<Map<string, Candidate>> {
    const { byName, ignorable } = this.settings;
    const answer = preemptionAnswer(await this.#ask("preempt", preemptionArgs(info, candidates, byName)));
    const left = new Map<string, Candidate>();
    for (const [name, wanted] of answer) {
      const victims = this.#victims(name, wanted, node(name));
      if (victims.length > 0) {
        left.set(name, candidateOf(name, victims, wanted.violations));
      } else if (!ignorable) {
        throw new Error(`expected at least one victim pod on node ${JSON.stringify(name)}`);
      }
    }
    return left;
  }

  #victims(name: string, { uids }: VictimsOf, node: NodeInfo | undefined): PodInfo[] {
    const who = `extender: ${this.settings.urlPrefix} claims to preempt`;
    if (!node) throw new Error(`${who} on node: ${name} but the node is not found in nodeLister cache`);
    const there = new Map([...node.pods.values()].map((each) => [each.pod.metadata.uid, each]));
    return uids.map((uid) => {
      const victim = there.get(uid);
      if (!victim)
        throw new Error(`${who} pod (UID: ${uid}) on node: ${name}, but the pod is not found on that node`);
      return victim;
    });
  }

  async bind({ metadata }: Pod, nodeName: string): Promise<void> {
    const { name, namespace, uid } = metadata;
    await this.#ask("bind", { PodName: name, PodNamespace: namespace, PodUID: uid, Node: nodeName });
  }

  async #ask(verb: keyof ExtenderSettings["verbs"], body: unknown): Promise<unknown> {
    const answer = await this.#transport.post(this.settings.verbs[verb], body);
    const error = errorIn(answer);
    if (error !== "") throw new Error(error);
    return answer;
  }
}

function objectOf({ node }: NodeInfo): Node {
  return node;
}
