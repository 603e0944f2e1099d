// What a plugin in JavaScript sees, for editors and type checkers. The same words as wit/1.0.0, in JavaScript's manner:
// names in camelCase, a variant as {tag, val}, an option as a value or null, a failure as an exception.

/** Milliseconds since 1970-01-01T00:00:00Z. */
type Instant = number;

interface Field {
  name: string;
  value: string;
}

/** A moment as a clock on the wall of the tenant shows it. */
interface WallTime {
  year: number;
  /** 1 to 12. */
  month: number;
  /** 1 to 31. */
  day: number;
  /** 1 is Monday, 7 is Sunday. */
  weekday: number;
  hour: number;
  minute: number;
  second: number;
  /** Minutes east of UTC. */
  offset: number;
}

interface Party {
  /** E.164 with its plus sign, or an extension of the tenant; null when withheld. */
  number: string | null;
  name: string | null;
}

interface Call {
  /** The call's id in Hookswitch. */
  id: string;
  /** Asterisk's linkedid. */
  linkedId: string;
  direction: 'inbound' | 'outbound' | 'internal';
  caller: Party;
  /** The number that was dialled, E.164. */
  dialled: string;
  /** The language of the channel, such as `en`; empty when Asterisk gave none. */
  language: string;
  /** The only clock there is; `Date.now()` says the same. */
  at: Instant;
  /** The same in the tenant's time zone. */
  local: WallTime;
  /** What `Math.random()` begins with. */
  seed: number;
  /** What the dialplan chose to tell plugins. */
  variables: Field[];
}

/** Where a call can go. Names are the tenant's own. */
interface Target {
  tag: 'queue' | 'endpoint' | 'ivr' | 'script' | 'external' | 'voicemail' | 'playback';
  val: string;
}

interface Step {
  target: Target;
  /** Seconds until the next step is tried, 1 to 86400. */
  timeout?: number | null;
  /** Whether the conversation is recorded. */
  record?: boolean | null;
}

interface Plan {
  /** Tried in their order: 1 to 8. */
  steps: Step[];
  /** Why, for people: shown in the call's trace. */
  reason?: string | null;
  /** Given to the channel, each as `HS_V_<name>`. */
  variables?: Field[];
}

type HangupCause = 'normal' | 'busy' | 'rejected' | 'unallocated' | 'no-answer' | 'congestion';

type Decision =
  /** Nothing to say about this call: it goes on as the number is set up. */
  | { tag: 'pass'; val?: null }
  | { tag: 'route'; val: Plan }
  | { tag: 'hang-up'; val: { cause: HangupCause; reason?: string | null } };

interface PluginEvent {
  id: string;
  /** Such as `call.missed`. */
  kind: string;
  at: Instant;
  local: WallTime;
  /** What it is about, such as `call:01jx7y...`. */
  key: string;
  sequence: number;
  seed: number;
  /** The event's data as JSON text. */
  data: string;
}

type Priority = 'low' | 'normal' | 'high' | 'urgent';

interface TicketDraft {
  /** The plugin's own word for why, such as `missed-call`. */
  rule: string;
  subject: string;
  body?: string;
  priority?: Priority;
  /** The number of whom it is about. */
  contact?: string | null;
  tags?: string[];
  fields?: Field[];
}

/** Why the service did not do what it was asked. */
declare class Failure extends Error {
  readonly tag: 'denied' | 'not-found' | 'invalid' | 'limit' | 'timeout' | 'hung-up' | 'other';
  /** A text; for `other` a code and a text; else null. */
  readonly val: string | [string, string] | null;
}

type Level = 'debug' | 'info' | 'warn' | 'error';

/** Lines for the plugin's author. Always granted; `console` writes here too. */
declare const log: {
  write(level: Level, message: string): void;
  debug(message: string): void;
  info(message: string): void;
  warn(message: string): void;
  error(message: string): void;
};

declare const console: {
  debug(...values: unknown[]): void;
  log(...values: unknown[]): void;
  info(...values: unknown[]): void;
  warn(...values: unknown[]): void;
  error(...values: unknown[]): void;
};

/** What the tenant filled in for this plugin. Always granted. */
declare const settings: {
  get(name: string): string | null;
  getList(name: string): string[];
};

/** Small texts that stay from run to run. Grant `kv`. */
declare const kv: {
  get(key: string): string | null;
  /** `ttl`: seconds after which it is gone. */
  set(key: string, value: string, ttl?: number | null): void;
  delete(key: string): boolean;
  increment(key: string, by: number, ttl?: number | null): number;
};

interface Contact {
  id: string;
  name: string;
  company: string | null;
  numbers: string[];
  tags: string[];
  fields: Field[];
}

/** The tenant's address book. Grant `contacts`. */
declare const contacts: {
  byNumber(number: string): Contact | null;
};

interface HttpRequest {
  method: 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  url: string;
  headers?: Field[];
  body?: string | null;
  /** Milliseconds. */
  timeout?: number | null;
}

interface HttpResponse {
  status: number;
  headers: Field[];
  body: string;
}

/** Requests to hosts that were granted. Grant `http`. */
declare const http: {
  send(request: HttpRequest): HttpResponse;
};

interface Ticket {
  id: string;
  subject: string;
  status: string;
  priority: Priority;
  created: Instant;
  tags: string[];
}

/** The tenant's tickets. Grant `tickets`. */
declare const tickets: {
  openFor(number: string): Ticket[];
  comment(id: string, text: string): void;
};

type Prompt =
  | { tag: 'sound' | 'digits' | 'letters'; val: string }
  | { tag: 'number'; val: number }
  | { tag: 'moment'; val: Instant }
  /** Milliseconds. */
  | { tag: 'silence'; val: number };

interface GatherOptions {
  prompts?: Prompt[];
  /** 1 to 32. */
  maxDigits: number;
  /** Seconds to wait for the first key: 1 to 60. */
  timeout: number;
  /** Seconds to wait for each further key: 1 to 60. */
  pause: number;
  /** Keys that end it, such as `#`. */
  terminators?: string;
}

interface Gathered {
  digits: string;
  terminator: string | null;
}

interface Recording {
  id: string;
  milliseconds: number;
}

type DialStatus = 'answered' | 'busy' | 'no-answer' | 'unavailable' | 'cancelled';

interface CallControl {
  answer(): void;
  /** Returns the key of `interruptOn` that the caller stopped it with. */
  play(prompts: Prompt[], interruptOn?: string): string | null;
  say(prompts: Prompt[]): void;
  gather(options: GatherOptions): Gathered;
  record(maxSeconds: number, terminators: string, beep: boolean): Recording;
  dial(target: Target, timeout: number): DialStatus;
  getVariable(name: string): string | null;
  setVariable(name: string, value: string): void;
  now(): Instant;
}

/** The caller on the line; only in call scripts, where its functions are globals too. Each returns when it is done. */
declare const callControl: CallControl;
declare const answer: CallControl['answer'];
declare const play: CallControl['play'];
declare const say: CallControl['say'];
declare const gather: CallControl['gather'];
declare const record: CallControl['record'];
declare const dial: CallControl['dial'];
declare const getVariable: CallControl['getVariable'];
declare const setVariable: CallControl['setVariable'];
declare const now: CallControl['now'];
