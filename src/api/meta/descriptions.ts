/** The documentation of types and fields: loaded only when somebody asks for OpenAPI. */

/** By type name, then by field; the empty field is the type itself. */
export type Descriptions = Readonly<Record<string, Readonly<Record<string, string>>>>;

export async function loadDescriptions(): Promise<Descriptions> {
  const { gunzipSync } = await import("node:zlib");
  const { descriptionsPacked } = await import("../generated/descriptions.ts");
  return JSON.parse(gunzipSync(Buffer.from(descriptionsPacked, "base64")).toString("utf8"));
}
