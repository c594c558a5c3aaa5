/** Under this name extenders reject pods. https://kubernetes.io/docs/concepts/extend-kubernetes/#scheduling-extensions */
import { defineSchedulerPlugin } from "../define-plugin.ts";

/** Extenders cannot say what would help: anything might. */
export const byExtender = defineSchedulerPlugin({
  name: "Extender",
  wakes: (
    [
      ...["NodeAdded", "NodeChanged", "PodAdded", "PodChanged", "PodDeleted"],
      ...["StorageChanged", "ClaimChanged", "DevicesChanged"],
    ] as const
  ).map((on) => ({ on })),
});
