/** A DNS question to its answer: pure, but for the zone it reads. */
import type { Answer, Question } from "dns-packet";
import { isReverse, lookup, lookupReverse, type NameRecords, type ZoneSource } from "./records.ts";

/** `forward`: the name is not ours, ask upstream. */
export type Verdict =
  | { kind: "answer"; answers: Answer[]; additionals: Answer[]; authorities: Answer[] }
  | { kind: "nxdomain"; authorities: Answer[] }
  | { kind: "forward" };

/** Short, because endpoints come and go: as CoreDNS' default. */
const ttlSeconds = 5;

export function answer(source: ZoneSource, domain: string, question: Question, nowMs: number): Verdict {
  const name = question.name.toLowerCase().replace(/\.$/, "");
  const inZone = name === domain || name.endsWith(`.${domain}`);
  if (!inZone && !isReverse(name)) return { kind: "forward" };
  const records = inZone ? lookup(source, domain, name) : lookupReverse(source, domain, name);
  const soa = [startOfAuthority(domain, nowMs)];
  if (!records) return inZone ? { kind: "nxdomain", authorities: soa } : { kind: "forward" };
  const answers = answersOf(question, records);
  const additionals = question.type === "SRV" ? targetAddresses(source, domain, records) : [];
  return { kind: "answer", answers, additionals, authorities: answers.length === 0 ? soa : [] };
}

function answersOf(question: Question, records: NameRecords): Answer[] {
  const name = question.name;
  const any = String(question.type) === "ANY";
  const base = { name, ttl: ttlSeconds };
  if (records.cname) return [{ ...base, type: "CNAME", data: records.cname }];
  const out: Answer[] = [];
  if (any || question.type === "A")
    out.push(...records.a.map((data): Answer => ({ ...base, type: "A", data })));
  if (any || question.type === "AAAA")
    out.push(...records.aaaa.map((data): Answer => ({ ...base, type: "AAAA", data })));
  if (any || question.type === "SRV")
    out.push(...records.srv.map((data): Answer => ({ ...base, type: "SRV", data })));
  if (records.txt && (any || question.type === "TXT")) out.push({ ...base, type: "TXT", data: records.txt });
  if (records.ptr && (any || question.type === "PTR")) out.push({ ...base, type: "PTR", data: records.ptr });
  return out;
}

/** The addresses of an SRV answer's targets, to save the client a second question. */
function targetAddresses(source: ZoneSource, domain: string, records: NameRecords): Answer[] {
  const targets = new Set(records.srv.map((s) => s.target));
  return [...targets].flatMap((target) => {
    const found = lookup(source, domain, target);
    if (!found) return [];
    return (["A", "AAAA"] as const).flatMap((type) => answersOf({ name: target, type }, found));
  });
}

function startOfAuthority(domain: string, nowMs: number): Answer {
  return {
    type: "SOA",
    name: domain,
    ttl: ttlSeconds,
    data: {
      mname: `ns.dns.${domain}`,
      rname: `hostmaster.${domain}`,
      serial: Math.floor(nowMs / 1000),
      refresh: 7200,
      retry: 1800,
      expire: 86400,
      minimum: ttlSeconds,
    },
  };
}
