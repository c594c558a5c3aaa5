/** EndpointSlice as an API. */
import { endpointSlices } from "#api";
import { livesThroughEveryVerb } from "../life-cycle.ts";
import { conformance } from "../suite.ts";

conformance(
  "network-269043",
  "EndpointSlices support every operation of the API",
  async ({ kube, namespace }) => {
    await livesThroughEveryVerb(kube, {
      type: endpointSlices,
      namespace,
      make: () => ({ addressType: "IPv4", endpoints: [{ addresses: ["10.0.0.1"] }] }),
    });
  },
);
