/** An identity, a leash and a paper trail for AI agents. */

export type Mode = "enforce" | "observe";

/**
 * What has happened to a receipt when its call goes on: it is in memory (`enqueue`), with the kernel (`write`, which survives
 * the death of the process) or on the disk (`sync`, which survives the loss of power).
 */
export type Level = "enqueue" | "write" | "sync";

export interface Journal {
  /** A level for actions by patterns of their names, `{ "payments:*": "sync" }`; the longest pattern decides. */
  levels?: Record<string, Level>;
  /** Whether receipts of up to a second may share one signature. */
  sealed?: boolean;
}

export interface AgentOptions {
  /** The path of the revocation lists, if it is not the one in `agent.toml`. */
  lists?: string;
  /** Where journal and budgets go if not into the directory: a path, or `"memory"`, which is stamped into every receipt. */
  state?: string;
  /** `observe` records what would be denied and lets it run; it is stamped into every receipt. */
  mode?: Mode;
  /** How safe a receipt must be before its call goes on; it stands over `agent.toml`. */
  journal?: Journal;
}

/** PEM text, its bytes, or the path of a file that holds it. */
export type Pem = string | Uint8Array;

export interface AgentPapers {
  key: Pem;
  chain: Pem;
  ca: Pem;
  lists: Pem;
  /** The one issuing authority that may speak for the agent: the SHA-256 of its SubjectPublicKeyInfo in hexadecimal. */
  issuer?: string;
  /** The texts of detached lists of names. */
  names?: string[];
  mode?: Mode;
  journal?: Pick<Journal, "sealed">;
}

/** How an agent is connected. What is not given comes from the environment: `KAKUNIN_URL`, `KAKUNIN_AGENT` and those named below. */
export interface ConnectOptions {
  /** Enrols the agent once (`KAKUNIN_TOKEN`); a directory that holds the agent needs none. */
  token?: string;
  /** Where its papers are (`KAKUNIN_AGENT_DIR`); `./.kakunin/agents/AGENT` if not said. */
  directory?: string;
  /** Where journal and budgets go if not into the directory (`KAKUNIN_STATE_DIR`): a path, or `"memory"`. */
  state?: string;
  /** A file of PEM certificates that HTTPS is checked against (`KAKUNIN_CA_FILE`), if not the platform's. */
  caFile?: string;
  /** SHA-256 of the root's DER in hexadecimal (`KAKUNIN_ROOT`); a token of `kakunin agent token` brings it along. */
  root?: string;
  /** The issuing authority that first papers must be of: the SHA-256 of its SubjectPublicKeyInfo in hexadecimal. */
  issuer?: string;
  /** For how many seconds a signed word counts, if that is less than the authority says. */
  maxAge?: number;
  /** Takes lists that ask for no feed, and fetches them every minute. */
  withoutFeed?: boolean;
  /** How many seconds it waits for the authority; 10 if not said. */
  timeout?: number;
  mode?: Mode;
  journal?: Journal;
}

/** Something that did not work, and is tried again. */
export interface Trouble {
  readonly at: Date;
  /** A stable code: the authority's own, or the client's. */
  readonly code: string;
  /** What happened, for operators. */
  readonly text: string;
}

/** How a connected agent is doing, of one moment; ask again for another. Spans are seconds. */
export interface Status {
  readonly agentId: string;
  /** The address that it is connected to; `null` while there is none. */
  readonly url: string | null;
  /** How the feed comes at present; `null` while it does not. */
  readonly transport: "stream" | "long-poll" | "poll" | "files" | null;
  /** How far the feed is known: the number of the last change of standing. */
  readonly epoch: number | null;
  /** Since when nothing new is known, by the signed time of the last word. */
  readonly age: number | null;
  /** For how long that word still counts; zero: the guard denies `revocation.stale`. */
  readonly freshFor: number | null;
  /** For how long a word counts. */
  readonly maxAge: number | null;
  /** Whether the last signed word still counts. */
  readonly fresh: boolean;
  /** When the certificate ends. It is renewed before. */
  readonly certificateUntil: Date | null;
  /** When the list that ends first has to be replaced. */
  readonly listsUntil: Date | null;
  /** What went wrong last, until it works again. */
  readonly lastError: Trouble | null;
  /** Receipts that were sent, or are next, and that the authority has not acknowledged. */
  readonly uploadsBehind: number;
  readonly checkpointsBehind: number;
  /** The last change of which the authority knows that it is enforced here; `null` before the first. */
  readonly acknowledged: number | null;
  /** How often that could not be said. It is said again, and nothing depends on it. */
  readonly acknowledgementsFailed: number;
  /** How often lists were loaded. */
  readonly snapshots: number;
  /** How often a feed was connected to. */
  readonly connections: number;
}

/** What a dry check asks. */
export interface Request {
  /** Decimal text. */
  amount?: string | null;
  amountMinor?: number | bigint | null;
  currency?: string | null;
  counterparty?: Names;
  resource?: Names;
  /** Another time than now. */
  at?: Date;
}

/** A name, several, or none. */
export type Names = string | readonly string[] | ReadonlySet<string> | null | undefined;

/** The answer of a dry check: nothing ran, nothing was reserved, nothing was recorded. Look at `allowed`. */
export interface Decision {
  readonly allowed: boolean;
  readonly action: string;
  readonly code: string | null;
  readonly limit: string | null;
  readonly actual: string | null;
  readonly fix: string | null;
  /** The operator's text. */
  readonly message: string | null;
}

/** An open agent: its verified certificate, its leash, its journal. It belongs to its thread; each worker opens its own. */
export class Agent {
  private constructor();
  /**
   * Connects an agent to its authority, HTTPS or plain HTTP to this machine: papers, lists and the feed of revocations come by
   * themselves, and renew by themselves. If the authority is away and the directory is complete, the agent is open all the same,
   * and is denied until a word is heard. Otherwise it is a `ConnectError`.
   */
  static connect(url?: string | readonly string[], agent?: string, options?: ConnectOptions): Promise<Agent>;
  /** Opens an agent's directory; one that is open in this thread already is the same agent. */
  static fromDir(directory: string, options?: AgentOptions): Agent;
  /** Opens the directory that `KAKUNIN_AGENT_DIR` names; `KAKUNIN_STATE_DIR` is its state, if set. */
  static fromEnv(options?: Pick<AgentOptions, "journal">): Agent;
  /** Opens an agent from PEM texts, or files that hold them, with its state in memory. */
  static fromPem(certificate: Pem, papers: AgentPapers): Agent;
  /** Whether a value is an agent that is open in this thread. */
  static isAgent(value: unknown): value is Agent;
  readonly agentId: string;
  readonly mode: Mode;
  /** The decision about a request, now or `at` another time. */
  check(action: string, request?: Request): Decision;
  /** Whether some request for the action can ever be allowed. */
  mayEver(action: string): boolean;
  /**
   * Looks at clocks, papers and lists now instead of within 250 ms. False if it could not: another look was in the way for
   * 100 ms, and decisions go on by what was known before.
   */
  refresh(): boolean;
  /** What happened since the last call and an operator should know. */
  notices(): string[];
  /** Brings newer lists to an agent that was opened from texts. */
  replaceLists(lists: Pem): void;
  /** How the connection to the authority is doing, now; for agents of `connect`. */
  status(): Status;
  /**
   * Signs what waits, ends the stream of receipts and joins all threads. The exit of the process does it too; a later call
   * begins another stream.
   */
  close(): void;
  toJSON(): { agentId: string; mode: Mode; from: string };
}

/** Makes `agent` the one of this thread, once, and warns of functions that it can never call. */
export function use(agent: Agent): void;

/** Runs `fn`, and whatever it begins, as `agent`. */
export function runAs<T>(agent: Agent, fn: () => T): T;

/** The agent that a guarded function would act as here, if it names none itself. */
export function currentAgent(): Agent | undefined;

declare const constant: unique symbol;
declare const written: unique symbol;

/** A selector that is always this value. */
export interface Constant<T> {
  readonly [constant]: T;
}

/** A selector of an amount that is a JSON number. */
export interface Written {
  readonly [written]: true;
}

/** A property path of the first argument (`"order.total"`), or a function of the arguments. */
export type Read<A extends readonly unknown[], T> = string | ((...args: A) => T);

export type NameSelector<A extends readonly unknown[]> = Read<A, Names> | Constant<Names>;

/** Which values of a call the guard looks at. */
export interface Selectors<A extends readonly unknown[]> {
  /** How much money it moves, in whole units: decimal text. */
  amount?: Read<A, string | null | undefined> | Constant<string> | Written | null;
  /** How much money it moves, in minor units. */
  amountMinor?: Read<A, number | bigint | null | undefined> | null;
  /** The currency itself in capitals (`"EUR"`), or where it is found. */
  currency?: Read<A, string | null | undefined> | Constant<string> | null;
  /** Everyone who receives something. */
  counterparty?: NameSelector<A> | readonly NameSelector<A>[] | null;
  /** Everything that is touched. */
  resource?: NameSelector<A> | readonly NameSelector<A>[] | null;
  /** The agent, whatever the context says. */
  agent?: Agent;
  /** Any other agent than the one of this id is denied. */
  agentId?: string;
  /** Says of a plain function that it returns promises, so that a denial is a rejection too. */
  promise?: boolean;
}

/** What a guarded function demands, and a way to ask without calling it. */
export interface Guarded<A extends readonly unknown[] = unknown[]> {
  readonly function: string;
  readonly action: string;
  readonly selectors: Readonly<Record<string, unknown>>;
  readonly agent: Agent | undefined;
  /** The decision about a call with these arguments, without the call, a receipt or a reservation. */
  check(...args: A): Decision;
}

type AnyFunction = (this: any, ...args: any[]) => any;

export type GuardedFunction<F extends AnyFunction> = F & { readonly guarded: Guarded<Parameters<F>> };

/**
 * Lets a function run only as far as the agent's certificate allows. A denial is thrown as `ScopeDenied`; by an async function
 * it is a rejection, by a generator it is thrown at the first `next`.
 */
export function guard<F extends AnyFunction>(
  action: string,
  selectors: Selectors<Parameters<F>> | null | undefined,
  fn: F,
): GuardedFunction<F>;

/** What a guarded function demands; a `TypeError` if it is not guarded. */
export function guarded(fn: AnyFunction): Guarded;

/** `guard` as a decorator of methods and getters. */
export function verifyAgentScope(
  action: string,
  selectors?: Selectors<any[]>,
): MethodDecorator & StandardDecorator;

type StandardDecorator = <F extends AnyFunction>(
  method: F,
  context: ClassMethodDecoratorContext | ClassGetterDecoratorContext,
) => F;

/** A selector that is always this value: `counterparty: const_("acme")`. */
export function const_<const T>(value: T): Constant<T>;

/**
 * An amount that a model wrote as a JSON number of whole units: `amount: asWritten("total")`. Its shortest decimal text counts.
 * An exponent, NaN, an infinity and more than 15 digits are denied, and every receipt says that it was read this way.
 */
export function asWritten(selector: string | ((...args: any[]) => unknown)): Written;

export { Caller, Gateway, type GatewayOptions } from "./gateway/types.js";

/** The rule of one tool: an action, or an action with selectors over its input. */
export type ToolRule = string | null | ({ action: string } & Selectors<any[]>);

export interface ToolOptions {
  /**
   * What a denied tool does: `"throw"` (the default) throws a `ToolDenied`, whose message is for the model; `"return"` returns
   * that text; a function makes the result itself.
   */
  onDeny?: "throw" | "return" | ((denied: ScopeDenied) => unknown);
  agent?: Agent;
}

/**
 * The same tools, guarded. A tool without a rule is a `TypeError`; `null` leaves one unguarded. Objects are guarded where they are
 * and given back; of a function comes another one.
 */
export function guardTools<T extends Record<string, any>>(
  tools: T,
  map: { [K in keyof T]: ToolRule },
  options?: ToolOptions,
): T;
export function guardTools<T extends readonly { name: string }[]>(
  tools: T,
  map: Record<string, ToolRule>,
  options?: ToolOptions,
): T;

/** A denial as a framework may show it to a model: the message names no limit; the denial itself is the `cause`. */
export class ToolDenied extends Error {
  readonly code: string;
  readonly decisionId: string | null;
}

/** Headers, or the `_meta` of an MCP request. */
export type Carrier = object | Iterable<readonly [string, unknown]> | null | undefined;

/** Decision chains: one id from the call that began it to the last agent it reaches. */
export const chain: {
  /** Runs `fn` at the beginning of a new chain. */
  <T>(fn: () => T): T;
  <T>(options: { traceparent?: string }, fn: () => T): T;
  /**
   * Runs `fn` in the chain of a caller. One that sent no link, or none that can be read, begins a new chain. A link is the
   * caller's word: it says where to look and allows nothing.
   */
  pickUp<T>(carrier: Carrier, fn: () => T): T;
  /** The id of the chain here. */
  id(): string | undefined;
  /** Records that several receipts come together here; what comes after it in this context follows from all. */
  join(links: readonly (string | Carrier)[], options?: { agent?: Agent }): string;
};

/** The headers of a request made here: chain and decision whose body runs; none without a chain. */
export function chainHeaders(): Record<string, string>;

/** The same as members for the `_meta` of an MCP request. */
export function chainMeta(): Record<string, unknown>;

/** Anything that this package throws on purpose. */
export class KakuninError extends Error {}

/** How far an agent's behaviour has come from what it was. */
export type RiskLevel = "clear" | "watch" | "step-up" | "suspend" | "revoke";

/** By what a history is judged. A file is named by its path, or given as bytes. */
export interface RiskReplayOptions {
  /** What is usual for the agent: a file of `kakunin risk baseline`. */
  baseline: string | Uint8Array;
  /** The roots to trust, in PEM. */
  roots: string | Uint8Array | readonly (string | Uint8Array)[];
  /** A policy in TOML; the default one without it. */
  policy?: string | Uint8Array;
  /** Whose behaviour, where receipts of several agents are there. */
  agent?: string;
}

/** The moment at which the agent came to another level. */
export interface RiskChange {
  /** RFC 3339, by the receipts. */
  readonly at: string;
  /** The receipt that brought it about. */
  readonly receipt: string | null;
  readonly from: RiskLevel;
  readonly to: RiskLevel;
  /** From 0 to 1000. */
  readonly score: number;
  readonly evidence: readonly {
    readonly feature: string;
    readonly milli_nats: number;
    readonly sentence: string;
  }[];
}

/** What a history came to, as `kakunin risk replay --json` prints it. */
export interface RiskReplay {
  readonly agent: string;
  readonly level: RiskLevel;
  readonly highest: RiskLevel;
  readonly score: number;
  readonly peak: number;
  readonly calls: number;
  readonly denied: number;
  /** Receipts that nobody signed; they were not judged. */
  readonly unsigned: number;
  /** The verifier's word on a journal or bundle; none for a file of receipts. */
  readonly verdict: string | null;
  /** Features that nothing here shows any of. */
  readonly silent: readonly string[];
  readonly changes: readonly RiskChange[];
  readonly baseline: string;
  readonly policy: string;
  /** The same in every language. */
  readonly digest: string;
}

/**
 * Judges a history again from its beginning, and verifies it on the way: a file of receipts, a bundle, or an agent's directory,
 * its state or its journal. A receipt that is not proven is a `KakuninError`, and nothing is judged.
 */
export function riskReplay(path: string, options: RiskReplayOptions): RiskReplay;

/** Throw it inside a guarded function to say that the action did not happen: what it reserved is released. */
export class NotExecuted extends KakuninError {}

/** An agent could not be connected to its authority. Nothing was opened. */
export class ConnectError extends KakuninError {
  /** `connect.*`, or the authority's own. */
  readonly code: string;
  /** What the operator can do about it. */
  readonly fix: string;
}

/** The action was not allowed and did not run. `message` is for operators and names limits. */
export class ScopeDenied extends KakuninError {
  /** The stable code, for example `scope.amount`. */
  readonly code: string;
  readonly action: string;
  /** The limit that was in the way, in words. */
  readonly limit: string | null;
  /** What was asked for, in words. */
  readonly actual: string | null;
  /** The short name of the recorded decision, for `kakunin why`. */
  readonly decisionId: string | null;
  /** The hash of the decision's receipt; `null` if nothing could be recorded. */
  readonly receipt: string | null;
  /** What the operator can do about it. */
  readonly fix: string;
  /** The text a model may see: what happened and the code, no limit. */
  forModel(): string;
  toJSON(): Record<
    "name" | "message" | "code" | "action" | "limit" | "actual" | "decisionId" | "receipt" | "fix",
    string | null
  >;
}

/** No agent is set, or it is not the right one (`agent.*`). */
export class AgentDenied extends ScopeDenied {}
/** The clock of this machine cannot be trusted (`clock.*`). */
export class ClockDenied extends ScopeDenied {}
/** The agent's certificate is expired, suspended, revoked or no good (`certificate.*`). */
export class CertificateDenied extends ScopeDenied {}
/** The revocation list is missing, too old or wrong (`revocation.*`). */
export class RevocationDenied extends ScopeDenied {}
/** The request cannot be read (`request.*`). */
export class RequestDenied extends ScopeDenied {}
/** The certificate does not allow this (`scope.*`). */
export class ScopeExceeded extends ScopeDenied {}
/** The amount needs an approval (`approval.*`). */
export class ApprovalRequired extends ScopeDenied {}
/** A window or a rate is used up, or unknown (`budget.*`). */
export class BudgetDenied extends ScopeDenied {}
/** The decision cannot be recorded (`journal.*`). */
export class JournalDenied extends ScopeDenied {}
/** The guard failed in a way it does not know (`internal`). */
export class InternalDenied extends ScopeDenied {}

/** Every code of a denial. */
export const DENIAL_CODES: readonly string[];
/** The version of this package. */
export const version: string;
