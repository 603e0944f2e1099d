// Events over a WebSocket: connects again by itself, with a random pause that grows, and goes on where it stopped, so that
// each event comes once and in order for as long as the page lives. The protocol is in the API's document, under
// *Sockets*.

import type { webhooks } from "./schema.js";

type Body<W> = W extends { post: infer O } ? BodyOf<O> : never;
type BodyOf<O> = O extends { requestBody?: infer B } ? (NonNullable<B> extends { content: { "application/json": infer E } } ? E : never) : never;

/** The types of events. */
export type EventType = keyof webhooks & string;
/** The envelope of a type, or of any of several; its `type` tells which. */
export type EventOf<T extends EventType = EventType> = { [K in T]: Omit<Body<webhooks[K]>, "type"> & { type: K } }[T];

type Prefixed<P extends string> = Extract<EventType, `${P}${string}`>;
/** The types that a pattern such as `call.*` stands for. */
export type Matching<P extends string> = P extends "*" ? EventType : P extends `${infer S}*` ? Prefixed<S> : Extract<EventType, P>;

/** What tells that a socket is open. */
export interface Ready {
  session_id: string;
  role: string;
  tenant_id: string;
  /** When the access token ends; null for API keys. */
  expires_at: string | null;
}

export interface EventSocketOptions<P extends string> {
  /** Where the service is, such as `https://pbx.example.com`. */
  baseUrl: string;
  /** The access token or API key; asked for at each connection and before the one in use ends. */
  token: () => string | Promise<string>;
  /** Types such as `call.ended`, `call.*` or `*`. */
  types: readonly P[];
  /** What to do with an event. When it throws or its promise is rejected, `onError` hears of it, and the stream goes on. */
  onEvent: (event: EventOf<Matching<P>>, cursor: string) => void | Promise<void>;
  /** A cursor to go on from: of an earlier socket, or of `GET /api/v1/events`. */
  after?: string;
  /** Events are gone that were not seen: read afresh what you keep of the service. The stream goes on from here. */
  onResync?: (cursor: string) => void;
  /** The socket is open. */
  onReady?: (ready: Ready) => void;
  /** The connection is lost; it comes back after so many milliseconds. */
  onLost?: (code: number, reason: string, pauseMs: number) => void;
  /** It will not come back: closed here, or for a reason that another try does not mend. */
  onClosed?: (code: number, reason: string) => void;
  onError?: (error: unknown) => void;
  /** First pause before another try in milliseconds, doubled with each failure; each pause is random between 0 and that. */
  baseMs?: number;
  /** Longest such pause. */
  capMs?: number;
  /** How often the service is asked whether it is there; without an answer the connection is given up. */
  pingMs?: number;
  /** Another WebSocket, for programs without one of their own. */
  WebSocket?: typeof WebSocket;
  /** Another chance, for tests. */
  random?: () => number;
}

/** Closing codes after which the same token, or any other of the same caller, leads to the same end. */
const FINAL = new Set([4400, 4403, 4404, 4409, 4440, 4441]);
const UNAUTHENTICATED = 4401;
/** The code of a connection that this side gives up. */
const GIVEN_UP = 4499;

type Frame =
  | ({ op: "ready" } & Ready)
  | { op: "subscribed" | "resync" | "cursor"; cursor: string }
  | { op: "pong"; cursor: string | null }
  | { op: "expiring"; expires_at: string }
  | { op: "error"; code: string; detail: string }
  | ({ op: "event"; cursor: string } & EventOf);

export class EventSocket<P extends string> {
  private socket: WebSocket | undefined;
  private position: string | undefined;
  private failures = 0;
  private refusals = 0;
  private isReady = false;
  private isClosed = false;
  private retry: ReturnType<typeof setTimeout> | undefined;
  private heartbeat: ReturnType<typeof setInterval> | undefined;
  private isAnswered = true;

  /** Connects at once. */
  constructor(private readonly options: EventSocketOptions<P>) {
    this.position = options.after;
    this.connect();
  }

  /** The place to go on from, should this page end: keep it, and give it to the next one as `after`. */
  get cursor(): string | undefined {
    return this.position;
  }

  /** Ends it for good. */
  close(): void {
    if (!this.isClosed) this.end(1000, "closed");
  }

  private end(code: number, reason: string): void {
    this.isClosed = true;
    clearTimeout(this.retry);
    this.drop(1000);
    this.options.onClosed?.(code, reason);
  }

  /** Lets go of the present connection; whatever it still says is not heard. */
  private drop(code: number): void {
    clearInterval(this.heartbeat);
    const socket = this.socket;
    this.socket = undefined;
    socket?.close(code);
  }

  private connect(): void {
    const url = new URL("/ws/v1", this.options.baseUrl);
    url.protocol = url.protocol.replace("http", "ws");
    const socket = new (this.options.WebSocket ?? WebSocket)(url);
    this.socket = socket;
    // What comes of a connection that was let go is nobody's.
    const mine = (what: () => void) => () => { if (this.socket === socket) what(); };
    socket.onopen = mine(() => this.authenticate(socket));
    socket.onmessage = (message: MessageEvent) => mine(() => this.came(socket, JSON.parse(String(message.data)) as Frame))();
    socket.onclose = (closed: CloseEvent) => mine(() => this.lost(closed.code, closed.reason))();
  }

  private authenticate(socket: WebSocket): void {
    Promise.resolve().then(() => this.options.token()).then(
      (token) => { if (this.socket === socket) this.send({ op: "auth", token }); },
      (error: unknown) => {
        this.options.onError?.(error);
        if (this.socket === socket) this.giveUp("no token");
      },
    );
  }

  private send(frame: object): void {
    if (this.socket?.readyState === 1) this.socket.send(JSON.stringify(frame));
  }

  private came(socket: WebSocket, frame: Frame): void {
    this.isAnswered = true;
    switch (frame.op) {
      case "ready":
        this.refusals = 0;
        if (!this.isReady) this.begin(socket);
        this.options.onReady?.(frame);
        break;
      case "event": {
        const { op, cursor, ...event } = frame;
        // First the event, then the place behind it: a page that dies in between sees the event again rather than never.
        this.hand(event as unknown as EventOf<Matching<P>>, cursor);
        this.position = cursor;
        break;
      }
      case "subscribed":
        this.failures = 0;
        this.position = frame.cursor;
        break;
      case "cursor":
        this.position = frame.cursor;
        break;
      case "pong":
        if (frame.cursor !== null) this.position = frame.cursor;
        break;
      case "resync":
        this.position = frame.cursor;
        this.options.onResync?.(frame.cursor);
        break;
      case "expiring":
        this.authenticate(socket);
        break;
      case "error":
        this.options.onError?.(new Error(`${frame.code}: ${frame.detail}`));
        // A cursor of another installation, say: there is nothing to go on from.
        if (frame.code === "bad-cursor") this.end(GIVEN_UP, frame.code);
        break;
    }
  }

  private begin(socket: WebSocket): void {
    this.isReady = true;
    this.send({ op: "subscribe", types: this.options.types, ...(this.position === undefined ? {} : { after: this.position }) });
    this.heartbeat = setInterval(() => {
      if (this.socket !== socket) return;
      if (!this.isAnswered) return this.giveUp("no answer");
      this.isAnswered = false;
      this.send({ op: "ping" });
    }, this.options.pingMs ?? 25_000);
  }

  private hand(event: EventOf<Matching<P>>, cursor: string): void {
    const failed = (error: unknown) => this.options.onError?.(error);
    try {
      Promise.resolve(this.options.onEvent(event, cursor)).catch(failed);
    } catch (error) {
      failed(error);
    }
  }

  private giveUp(reason: string): void {
    this.lost(GIVEN_UP, reason);
  }

  private lost(code: number, reason: string): void {
    this.drop(GIVEN_UP);
    this.isReady = false;
    this.isAnswered = true;
    if (code === UNAUTHENTICATED) this.refusals += 1;
    // A token that is refused twice in a row is not the one before a refresh.
    if (FINAL.has(code) || this.refusals > 1) return this.end(code, reason);
    const most = Math.min(this.options.capMs ?? 30_000, (this.options.baseMs ?? 500) * 2 ** this.failures);
    const pause = (this.options.random ?? Math.random)() * most;
    this.failures += 1;
    this.options.onLost?.(code, reason, pause);
    this.retry = setTimeout(() => this.connect(), pause);
  }
}
