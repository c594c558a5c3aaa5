/**
 * Follows CustomResourceDefinitions: accepts their names, serves what they define, and lets them go when their objects
 * are gone. Upstream's apiextensions server does this inside the API server, too.
 * https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/
 */
import {
  type apiextensionsv1,
  apiVersionOf,
  customResourceCleanup,
  customResourceDefinitions,
  isDefinitionTrue,
  isProtectedGroup,
  isStatus,
  type KubernetesObject,
  type ResourceDefinition,
  sameJson,
  withDefinitionCondition,
} from "#api";
import type { Timer } from "#base";
import type { CachedObject } from "../cache/cached-object.ts";
import { keyPrefix } from "../cache/keys.ts";
import type { Registry, WriteContext } from "../registry/context.ts";
import { removeCollection } from "../registry/delete.ts";
import { change, statusStrategy } from "../registry/update.ts";
import { authenticatedGroup } from "../user.ts";
import type { WebhookClient } from "../webhooks/webhook-client.ts";
import { converterOf } from "./conversion.ts";
import { makeDefinitions, storageOf } from "./make-definitions.ts";
import { decideNames, isDecided } from "./names.ts";
import { compileRules } from "./rules.ts";

type Definition = apiextensionsv1.CustomResourceDefinition;
type Condition = apiextensionsv1.CustomResourceDefinitionCondition;

const kind = customResourceDefinitions as ResourceDefinition;
const context: WriteContext = {
  user: { username: "system:apiserver", groups: ["system:masters", authenticatedGroup] },
  dryRun: false,
};
/** How soon to try again what failed, and to look whether the last objects are gone. */
const retryMs = 1_000;
const approval = "api-approved.kubernetes.io";

interface Served {
  readonly storage: ResourceDefinition;
  /** What the served definitions were made of. */
  made: unknown;
}

export class CustomResources {
  readonly #registry: Registry;
  readonly #webhooks: WebhookClient;
  readonly #served = new Map<string, Served>();
  readonly #waiting = new Set<string>();
  readonly #timers = new Set<Timer>();
  #working: Promise<void> | undefined;
  #stopListening: (() => void) | undefined;
  #stopped = false;

  constructor(registry: Registry, webhooks: WebhookClient) {
    this.#registry = registry;
    this.#webhooks = webhooks;
  }

  /** Resolves when everything that is defined is served. */
  async start(): Promise<void> {
    const cache = this.#registry.storage.cache(kind);
    this.#stopListening = cache.listen(({ current, previous }) => this.#enqueue((current ?? previous)!.name));
    for (const object of cache.scan(keyPrefix(kind))) this.#enqueue(object.name);
    await this.#working;
  }

  stop(): void {
    this.#stopped = true;
    this.#stopListening?.();
    for (const timer of this.#timers) timer.cancel();
    this.#timers.clear();
    this.#waiting.clear();
  }

  #enqueue(name: string): void {
    if (this.#stopped) return;
    this.#waiting.add(name);
    this.#working ??= this.#work();
  }

  #enqueueLater(name: string): void {
    if (this.#stopped) return;
    const timer = this.#registry.world.clock.after(retryMs, () => {
      this.#timers.delete(timer);
      this.#enqueue(name);
    });
    this.#timers.add(timer);
  }

  /** One after the other: names are given to whoever comes first. */
  async #work(): Promise<void> {
    for (;;) {
      const [name] = this.#waiting;
      if (name === undefined) break;
      this.#waiting.delete(name);
      try {
        await this.#sync(name);
      } catch (error) {
        if (!isStatus(error, "Conflict") && !isStatus(error, "NotFound"))
          this.#registry.world.log.warn(
            { err: error, name },
            "a CustomResourceDefinition waits for its next try",
          );
        this.#enqueueLater(name);
      }
    }
    this.#working = undefined;
  }

  #definitions(): Definition[] {
    const cache = this.#registry.storage.cache(kind);
    return [...cache.scan(keyPrefix(kind))].map((object) => object.parse() as Definition);
  }

  async #sync(name: string): Promise<void> {
    const found = this.#registry.storage.find(kind, undefined, name);
    if (!found) return this.#withdraw(name);
    const definition = found.parse() as Definition;
    if (await this.#acceptNames(definition)) return;
    if (isDefinitionTrue(definition, "NamesAccepted")) await this.#serve(definition);
    if (await this.#establish(definition)) return;
    const { deletionTimestamp, finalizers } = definition.metadata;
    if (deletionTimestamp && finalizers?.includes(customResourceCleanup)) await this.#cleanUp(definition);
  }

  /** True when the status was written: that brings us back. */
  async #acceptNames(definition: Definition): Promise<boolean> {
    const others = this.#definitions().filter((each) => each.metadata.name !== definition.metadata.name);
    const decision = decideNames(definition, others);
    const approved = approvalOf(definition);
    if (isDecided(definition, decision) && (!approved || hasSaid(definition, approved))) return false;
    await this.#writeStatus(definition.metadata.name, (status) => {
      status.acceptedNames = decision.names;
      this.#set(status, decision.condition);
      if (approved) this.#set(status, approved);
      if (status.conditions?.some(({ type }) => type === "Established")) return;
      const accepted = decision.condition.status === "True";
      this.#set(status, {
        type: "Established",
        status: "False",
        reason: accepted ? "Installing" : "NotAccepted",
        message: accepted ? "the initial names have been accepted" : "not all names are accepted",
      });
    });
    this.#enqueueGroup(definition.spec.group, definition.metadata.name);
    return true;
  }

  /** Names may have become free. */
  #enqueueGroup(group: string, except: string): void {
    for (const each of this.#definitions()) {
      const { name } = each.metadata;
      if (each.spec.group === group && name !== except && !isDefinitionTrue(each, "NamesAccepted"))
        this.#enqueue(name);
    }
  }

  /** Said only when it is so: whoever waits for it may use the resource at once. */
  async #establish(definition: Definition): Promise<boolean> {
    if (isDefinitionTrue(definition, "Established") || !isDefinitionTrue(definition, "NamesAccepted"))
      return false;
    await this.#writeStatus(definition.metadata.name, (status) =>
      this.#set(status, {
        type: "Established",
        status: "True",
        reason: "InitialNamesAccepted",
        message: "the initial names have been accepted",
      }),
    );
    return true;
  }

  async #serve(definition: Definition): Promise<void> {
    const { storage, world } = this.#registry;
    const { metadata, spec, status } = definition;
    const { name, uid, deletionTimestamp } = metadata;
    const made = structuredClone([uid, spec, status.acceptedNames, deletionTimestamp !== undefined]);
    let served = this.#served.get(name);
    if (served && sameJson(served.made, made)) return;
    if (served && (served.made as unknown[])[0] !== uid) {
      this.#withdraw(name);
      served = undefined;
    }
    const place = served?.storage ?? storageOf(definition);
    await storage.add(place);
    const definitions = makeDefinitions(definition, {
      storage: place,
      // The version that is stored may change; the place stays.
      storedApiVersion: apiVersionOf(storageOf(definition)),
      converter: converterOf(spec, this.#webhooks, world),
      stored: () => storage.cache(place).scan(keyPrefix(place)),
      rulesOf: compileRules,
    });
    this.#served.set(name, { storage: place, made });
    storage.resources.set(name, definitions);
  }

  #withdraw(name: string): void {
    const served = this.#served.get(name);
    if (!served) return;
    this.#served.delete(name);
    this.#registry.storage.resources.set(name, []);
    this.#registry.storage.drop(served.storage);
    this.#enqueueGroup(served.storage.group, name);
  }

  /** Deletes what is there, and lets the definition go once nothing is. */
  async #cleanUp(definition: Definition): Promise<void> {
    const { name } = definition.metadata;
    const served = this.#served.get(name);
    if (!served) {
      await this.#release(name, "NeverEstablished", "resource was never established");
      return;
    }
    const left = await this.#deleteInstances(name, served);
    if (left.length > 0) {
      this.#enqueueLater(name);
      await this.#writeStatus(name, (status) =>
        this.#set(status, {
          type: "Terminating",
          status: "True",
          reason: "InstanceDeletionInProgress",
          message: "CustomResource deletion is in progress",
        }),
      );
      return;
    }
    await this.#release(name, "InstanceDeletionCompleted", "removed all instances");
  }

  async #deleteInstances(name: string, { storage: place }: Served): Promise<CachedObject[]> {
    const { storage } = this.#registry;
    // As they are stored: no webhook has to be there for them to go.
    const definition = place;
    const all = () => [...storage.cache(place).scan(keyPrefix(place))];
    const present = all();
    if (present.length > 0)
      await removeCollection(this.#registry, { definition, namespace: undefined }, context, {}, present);
    this.#registry.world.log.debug({ name, left: all().length }, "custom resources go with their definition");
    return all();
  }

  async #release(name: string, reason: string, message: string): Promise<void> {
    await this.#writeStatus(name, (status, definition) => {
      this.#set(status, { type: "Terminating", status: "False", reason, message });
      const { metadata } = definition;
      const finalizers = metadata.finalizers?.filter((each) => each !== customResourceCleanup) ?? [];
      if (finalizers.length > 0) metadata.finalizers = finalizers;
      else delete metadata.finalizers;
    });
  }

  #set(status: Definition["status"], condition: Condition): void {
    status.conditions = withDefinitionCondition(
      status.conditions,
      condition,
      this.#registry.world.clock.now(),
    );
  }

  async #writeStatus(
    name: string,
    edit: (status: Definition["status"], definition: Definition) => void,
  ): Promise<void> {
    const target = { definition: kind, namespace: undefined, name };
    await change(this.#registry, target, context, statusStrategy(kind), (read) => {
      const definition = read() as Definition;
      definition.status ??= {};
      edit(definition.status, definition);
      return definition as KubernetesObject;
    });
  }
}

function hasSaid(definition: Definition, { type, status, reason, message }: Condition): boolean {
  const said = definition.status.conditions?.find((each) => each.type === type);
  return said?.status === status && said.reason === reason && said.message === message;
}

/** Groups of Kubernetes itself say who allowed them. */
function approvalOf({ spec, metadata }: Definition): Condition | undefined {
  if (!isProtectedGroup(spec.group)) return undefined;
  const value = metadata.annotations?.[approval] ?? "";
  const type = "KubernetesAPIApprovalPolicyConformant";
  if (value.startsWith("unapproved"))
    return {
      type,
      status: "False",
      reason: "UnapprovedAnnotation",
      message: `not approved: ${JSON.stringify(value)}`,
    };
  return { type, status: "True", reason: "ApprovedAnnotation", message: `approved in ${value}` };
}
