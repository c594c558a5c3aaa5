/** Creation. https://kubernetes.io/docs/reference/using-api/api-concepts/ */
import {
  alreadyExists,
  badRequest,
  formatTime,
  invalidObject,
  type KubernetesObject,
  StatusError,
  validateObjectMeta,
} from "#api";
import type { Attributes } from "../admission/admission.ts";
import { CachedObject, serialize } from "../cache/cached-object.ts";
import { keyOf } from "../cache/keys.ts";
import {
  type Outcome,
  type Registry,
  requestErrors,
  type Target,
  type WriteContext,
  warn,
} from "./context.ts";
import { setManagedFields } from "./managed-fields.ts";
import { approve, complete } from "./outside.ts";
import { StaleError } from "./storage.ts";

const generatedSuffixLength = 5;
const generatedBaseMax = 63 - generatedSuffixLength;
/** A generated name that is taken is drawn again this often. */
const generateAttempts = 8;

/** `target.name` is empty unless the path named one. */
export async function create(
  registry: Registry,
  target: Target,
  context: WriteContext,
  object: KubernetesObject,
): Promise<Outcome> {
  prepareMetadata(registry, target, object);
  const { metadata } = object;
  const isGenerated = !metadata.name && Boolean(metadata.generateName);
  if (isGenerated) metadata.name = generatedName(registry, target, metadata.generateName!);
  try {
    return { code: 201, stored: await createOnce(registry, target, context, object) };
  } catch (error) {
    if (!(error instanceof StaleError)) throw error;
    throw isGenerated
      ? generatedTaken(target, metadata.name)
      : alreadyExists(target.definition, metadata.name);
  }
}

/** A name that is free now; one that is taken while the object is on its way is a refusal the client may repeat. */
function generatedName({ storage, world }: Registry, target: Target, generateName: string): string {
  const base = generateName.slice(0, generatedBaseMax);
  for (let attempt = 1; ; attempt++) {
    const name = base + world.random.suffix(generatedSuffixLength);
    if (attempt === generateAttempts || !storage.find(target.definition, target.namespace, name)) return name;
  }
}

function generatedTaken(target: Target, name: string): StatusError {
  const { status } = alreadyExists(target.definition, name);
  const message = `${status.message}, the server was not able to generate a unique name for the object`;
  return new StatusError({ ...status, message, details: { ...status.details, retryAfterSeconds: 1 } });
}

function prepareMetadata(registry: Registry, target: Target, object: KubernetesObject): void {
  const { definition, namespace } = target;
  const { metadata } = object;
  if (definition.namespaced) {
    if (metadata.namespace && metadata.namespace !== namespace) {
      throw badRequest(
        "the namespace of the provided object does not match the namespace sent on the request",
      );
    }
    metadata.namespace = namespace!;
  }
  if (target.name && metadata.name && metadata.name !== target.name) {
    throw badRequest(
      `the name of the object (${metadata.name}) does not match the name on the URL (${target.name})`,
    );
  }
  if (metadata.resourceVersion)
    throw badRequest("resourceVersion should not be set on objects to be created");
  delete metadata.deletionTimestamp;
  delete metadata.deletionGracePeriodSeconds;
  delete metadata.selfLink;
  metadata.uid = registry.world.random.uuid();
  metadata.creationTimestamp = formatTime(registry.world.clock.now());
  if (definition.hasGeneration) metadata.generation = 1;
  else delete metadata.generation;
}

async function createOnce(
  registry: Registry,
  target: Target,
  context: WriteContext,
  object: KubernetesObject,
): Promise<CachedObject> {
  const { definition, namespace } = target;
  const { storage, admission, world } = registry;
  const attributes: Attributes = {
    operation: "CREATE",
    definition,
    ...(target.requested ? { requested: target.requested } : {}),
    subresource: "",
    namespace,
    name: object.metadata.name ?? "",
    user: context.user,
    dryRun: context.dryRun,
    ...(context.warnings ? { warnings: context.warnings } : {}),
    object,
    old: undefined,
  };
  try {
    definition.defaults(object);
    setManagedFields(registry, target, context, "", object, undefined);
    await admission.prepare(attributes);
    await complete(admission, attributes, () => definition.defaults(object));
    definition.onCreate(object, { nowMs: world.clock.now(), user: context.user });
    const errors = [
      ...validateObjectMeta(object.metadata, definition),
      ...definition.validate(object),
      ...requestErrors(target, object, undefined),
    ];
    if (errors.length > 0) throw invalidObject(definition, object.metadata.name ?? "", errors);
    await approve(admission, attributes);
    warn(context, definition, object, undefined);
    if (!context.dryRun) return await storage.put(definition, object, undefined);
    const key = keyOf(definition, namespace, object.metadata.name);
    if (storage.cache(definition).get(key)) throw new StaleError(undefined);
    return new CachedObject(definition, { key, value: serialize(object), modRevision: 0 });
  } finally {
    admission.settled(attributes);
  }
}
