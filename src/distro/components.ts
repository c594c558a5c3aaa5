/** What has been started and must be stopped, in the opposite order. */

export interface Running {
  stop(): Promise<void>;
}

/** Stops everything, the last started first; one that fails does not keep the others running. */
export async function stopAll(started: Running[]): Promise<void> {
  const errors: unknown[] = [];
  for (let component = started.pop(); component; component = started.pop()) {
    await component.stop().catch((error: unknown) => errors.push(error));
  }
  if (errors.length > 0) throw new AggregateError(errors, "not everything could be stopped");
}
