/**
 * The native half, as src/ exports it. Written by hand and reviewed; scripts/node_types.sh compares it with what the macro of
 * the binding says. Not part of the package's interface: use index.d.ts.
 */

/** A name, or several. */
type NameValue = string | string[] | undefined | null;

export interface Denial {
  group: string;
  code: string;
  message: string;
  modelText: string;
  action: string;
  limit?: string;
  actual?: string;
  decisionId?: string;
  receipt?: string;
  fix: string;
}

export interface Place {
  chain: string;
  parents: string[];
  trace?: string;
}

export interface OpenOptions {
  mode: string;
  state?: string;
  levels: string[][];
  sealed?: boolean;
  clock?: number;
}

export interface PemTexts {
  certificate: string;
  key: string;
  chain: string;
  ca: string;
  lists: string;
  issuer?: string;
  names: string[];
}

// agent.rs
export function openDirectory(
  directory: string,
  lists: string | undefined | null,
  options: OpenOptions,
): number;
export function openPem(texts: PemTexts, options: OpenOptions): number;
export function agentId(agent: number): string;
export function agentMode(agent: number): string;
export function mayEver(agent: number, action: string): boolean;
export function refresh(agent: number): boolean;
export function takeNotices(agent: number): string[];
export function replaceLists(agent: number, lists: string): void;
export function close(agent: number): void;
export function releaseAgent(agent: number): void;
export function closeAll(): void;

// connect.rs
export interface LineOptions {
  urls: string[];
  agent: string;
  token?: string;
  directory: string;
  state?: string;
  caFile?: string;
  root?: string;
  issuer?: string;
  maxAge?: number;
  withoutFeed: boolean;
  timeoutMillis: number;
}

export interface Connection {
  agent?: number;
  code?: string;
  message?: string;
  fix?: string;
}

export interface LineStatus {
  agentId: string;
  url?: string;
  transport?: string;
  epoch?: number;
  age?: number;
  freshFor?: number;
  maxAge?: number;
  certificateUntil?: number;
  listsUntil?: number;
  lastError?: { at: number; code: string; text: string };
  uploadsBehind: number;
  checkpointsBehind: number;
  acknowledged?: number;
  acknowledgementsFailed: number;
  snapshots: number;
  connections: number;
}

export function connect(line: LineOptions, options: OpenOptions): Promise<Connection>;
export function connectionStatus(agent: number): LineStatus | null;
export function takeAlarms(agent: number): string[];

// plan.rs
export function plan(
  action: string,
  currency?: string | undefined | null,
  expected?: string | undefined | null,
): number;
export function releasePlan(plan: number): void;
export function check(
  plan: number,
  agent: number,
  shape: number,
  number: number,
  amount?: string | undefined | null,
  currency?: string | undefined | null,
  counterparty?: NameValue,
  resource?: NameValue,
  place?: Place | undefined | null,
): number;
export function decide(): number;
export function dry(
  plan: number,
  agent: number,
  shape: number,
  number: number,
  amount?: string | undefined | null,
  currency?: string | undefined | null,
  counterparty?: NameValue,
  resource?: NameValue,
  at?: number | undefined | null,
): Denial | null;
export function setScratch(scratch: Float64Array, letters: Uint8Array): void;
export function keepName(text: string): number;

// denial.rs
export function denial(): Denial | null;

// running.rs
export function finish(running: number, how: number): void;
export function receiptOf(running: number): string | null;
export function countRunning(): number;

// gateway.rs
export interface GatewaySettings {
  names: string[];
  maxBody?: number;
  tls?: boolean;
  proxies?: string[];
  proxyField?: string;
  lists?: string;
  serials?: string;
  shared?: boolean;
  folder?: string;
}

export interface Refusal {
  status: number;
  code: string;
  problem: string;
  fields: string[];
  cause?: string;
}

export interface HeadProven {
  head?: number;
  mark?: string;
  markSeconds?: number;
  refusal?: Refusal;
}

export interface Identified {
  caller?: number;
  agent?: string;
  certificateSerial?: string;
  possession?: string;
  mark?: string;
  markSeconds?: number;
  refusal?: Refusal;
}

export interface Admitted {
  running?: number;
  place?: Place;
  refusal?: Refusal;
}

export interface Proven {
  fields: string[];
  code?: string;
  message?: string;
}

export function gatewayOpen(agent: number, settings: GatewaySettings): number;
export function gatewayMaxBody(gateway: number): number;
export function jsonSaid(fields: string[]): string;
export function releaseGateway(gateway: number): void;
export function gatewayProveHead(
  gateway: number,
  action: string,
  method: string,
  authority: string | undefined | null,
  path: string,
  query: string | undefined | null,
  fields: string[],
  chain?: Buffer[] | undefined | null,
  address?: string | undefined | null,
): HeadProven;
export function gatewayIdentify(gateway: number, head: number, body: Buffer): Identified;
export function releaseHead(head: number): void;
export function callerAdmit(
  caller: number,
  action: string,
  literal: string | undefined | null,
  shape: number,
  number: number,
  amount?: string | undefined | null,
  currency?: string | undefined | null,
  counterparty?: NameValue,
  resource?: NameValue,
): Admitted;
export function releaseCaller(caller: number): void;
export function gatewayRefuse(gateway: number, kind: string, detail: string): Refusal;
export function prove(
  agent: number,
  method: string,
  authority: string,
  path: string,
  query: string | undefined | null,
  content: Buffer,
  place?: Place | undefined | null,
): Proven;
export function proveNames(
  agent: number,
  action: string,
  counterparties: string[],
  resources: string[],
): Proven;

// chain.rs
export function chainBegin(traceparent?: string | undefined | null): Place;
export function chainOfHeaders(header: string, traceparent?: string | undefined | null): Place;
export function chainOfMeta(json: string): Place;
export function chainHeaders(place: Place): string[][];
export function chainMeta(place: Place): string | null;
export function chainJoin(agent: number, place: Place, receipts: string[]): string;

// host.rs
export function denialCodes(): string[];
export function internalDenial(): string[];
export function looseningVariables(): string[];
export function asksForLess(name: string, value: string): boolean;
export function ignored(name: string, value: string): string;
export function writtenText(number: number): string | null;
export function version(): string;

// testing.rs
export function clockNew(millis: number): number;
export function clockNow(clock: number): number;
export function clockAdvance(clock: number, millis: number): void;
export function clockSetWall(clock: number, millis: number): void;
export function clockSleep(clock: number, millis: number): void;
export function authorityNew(clock?: number | undefined | null): number;
export function authorityCertify(
  authority: number,
  name: string,
  scope: string,
  days: number,
  hours: number,
  mode: string,
): number;
export function authorityRecertify(
  authority: number,
  agent: number,
  name: string,
  scope: string,
  days: number,
): void;
export function authorityOrder(
  authority: number,
  agent: number,
  order: string,
  reason: string,
  hours: number,
): void;
export function authorityPublish(authority: number, hours: number): void;
export function authorityLists(authority: number, hours: number): string;
export function authorityHandLists(authority: number, agent: number, lists: string): void;
export function failInside(): void;
export function judgeNew(
  certificate: string,
  chain: string,
  ca: string,
  lists: string,
  kept: string | undefined | null,
  names: string[],
): number;
export function updatedStanding(issuing: Buffer, list: Buffer, delta: Buffer, serial: string): string;
export function judgeAnswer(
  judge: number,
  plan: number,
  at: number,
  shape: number,
  number: number,
  amount?: string | undefined | null,
  currency?: string | undefined | null,
  counterparty?: NameValue,
  resource?: NameValue,
): string;

/** JSON, as `kakunin risk replay --json` prints it. */
export function riskReplay(
  path: string,
  roots: string,
  baseline: string,
  policy: string,
  agent?: string,
): string;
