/** PEM blocks, read as Go's encoding/pem reads them. https://www.rfc-editor.org/rfc/rfc1421 */

export interface PemBlock {
  readonly type: string;
  readonly hasHeaders: boolean;
  readonly bytes: Buffer;
}

const begin = "-----BEGIN ";
const dashes = "-----";

/** All whole blocks of a text, whatever stands between them. One walk, however the text is made. */
export function pemBlocks(text: string): PemBlock[] {
  const blocks: PemBlock[] = [];
  let at = 0;
  for (;;) {
    const start = text.indexOf(begin, at);
    const typeEnd = start < 0 ? -1 : text.indexOf(dashes, start + begin.length);
    if (typeEnd < 0) return blocks;
    const type = text.slice(start + begin.length, typeEnd);
    const bodyStart = typeEnd + dashes.length;
    const bodyEnd = text.indexOf("-----END ", bodyStart);
    if (bodyEnd < 0) return blocks;
    const footer = `-----END ${type}${dashes}`;
    const isWhole = !type.includes("\n") && text.startsWith(footer, bodyEnd);
    const block = isWhole ? blockOf(type, text.slice(bodyStart, bodyEnd)) : undefined;
    if (block) blocks.push(block);
    at = bodyEnd + dashes.length;
  }
}

function blockOf(type: string, body: string): PemBlock | undefined {
  const lines = body.split(/\r?\n/);
  const headers = lines.filter((line) => line.includes(":"));
  const base64 = lines
    .filter((line) => !line.includes(":"))
    .join("")
    .replaceAll(/[ \t]/g, "");
  if (!/^[A-Za-z0-9+/]*={0,2}$/.test(base64) || base64.length % 4 !== 0) return undefined;
  return { type, hasHeaders: headers.length > 0, bytes: Buffer.from(base64, "base64") };
}
