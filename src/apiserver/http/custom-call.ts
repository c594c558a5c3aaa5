/** What calls on custom resources have beyond others: formats they do not speak, warnings, webhooks that convert. */
import { customOf, NotConverted } from "../customresources/custom-definition.ts";
import { mediaTypeOf, unsupportedMediaType } from "./body.ts";
import type { ApiResponse } from "./exchange.ts";
import { mediaTypes, negotiate, notAcceptable } from "./negotiation.ts";
import { type Call, withWarnings } from "./verbs.ts";

/** A list may change while a webhook converts what it held before: then the new ones are converted too. */
const conversionsMax = 10;

export async function customCall(call: Call, work: () => Promise<ApiResponse>): Promise<ApiResponse> {
  const { request, definition } = call;
  if (negotiate(request.headers.accept).representation === "protobuf") throw notAcceptable();
  const sends = request.method === "POST" || request.method === "PUT";
  if (sends && mediaTypeOf(request) === mediaTypes.protobuf) {
    throw unsupportedMediaType([mediaTypes.json, mediaTypes.yaml]);
  }
  const warning = customOf(definition)?.warning;
  const response = await converting(work);
  return warning === undefined ? response : withWarnings(response, [warning]);
}

/** Everything before a write is read only, so that it may be done again. */
async function converting(work: () => Promise<ApiResponse>): Promise<ApiResponse> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof NotConverted) || attempt === conversionsMax) throw error;
      await error.convert();
    }
  }
}
