/**
 * Server-side apply: a change of the object that is there, or its creation.
 * https://kubernetes.io/docs/reference/using-api/server-side-apply/
 */
import { badRequest, conflict, isStatus, type KubernetesObject, notFound } from "#api";
import type { Outcome, Registry, Target, WriteContext } from "./context.ts";
import { create } from "./create.ts";
import { change, type UpdateStrategy } from "./update.ts";

/** Attempts against somebody who creates and deletes the object all the while. */
const attemptsMax = 5;

interface Application {
  readonly strategy: UpdateStrategy;
  /** Makes the object of the present one, or of nothing; owners included. */
  make(current: (() => KubernetesObject) | undefined): KubernetesObject;
  /** Throws 403 if the user may not create. */
  authorizeCreate(): void;
}

export async function apply(
  registry: Registry,
  target: Target,
  context: WriteContext,
  application: Application,
): Promise<Outcome> {
  const { definition, namespace, name } = target;
  const applied: WriteContext = { ...context, isApplied: true };
  for (let attempt = 1; ; attempt++) {
    const isLast = attempt === attemptsMax;
    if (registry.storage.find(definition, namespace, name)) {
      try {
        return await change(registry, target, applied, application.strategy, (current) =>
          application.make(current),
        );
      } catch (error) {
        if (isLast || !isGone(registry, target, error)) throw error;
      }
      continue;
    }
    if (application.strategy.subresource !== "") throw notFound(definition, name);
    try {
      return await createApplied(registry, target, applied, application);
    } catch (error) {
      if (isLast || !isStatus(error, "AlreadyExists")) throw error;
    }
  }
}

function isGone({ storage }: Registry, { definition, namespace, name }: Target, error: unknown): boolean {
  return isStatus(error, "NotFound") && !storage.find(definition, namespace, name);
}

function createApplied(
  registry: Registry,
  target: Target,
  context: WriteContext,
  { make, authorizeCreate }: Application,
): Promise<Outcome> {
  const { definition, name } = target;
  authorizeCreate();
  const object = make(undefined);
  const { metadata } = object;
  if (metadata?.uid) {
    const why = `uid mismatch: the provided object specified uid ${metadata.uid}, and no existing object was found`;
    throw conflict(definition, name, why);
  }
  if (!metadata?.name) {
    throw badRequest(
      `the name of the object (${name} based on URL) was undeterminable: name must be provided`,
    );
  }
  // There is no version yet that it could insist on.
  delete (metadata as Partial<typeof metadata>).resourceVersion;
  return create(registry, target, context, object);
}
