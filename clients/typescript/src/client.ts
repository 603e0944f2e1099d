// A thin client over fetch. Paths, parameters, bodies and answers are typed by the OpenAPI document; nothing is
// generated beside the types.

import type { components, paths } from "./schema.js";

export type Problem = components["schemas"]["Problem"];

type Method = "get" | "post" | "put" | "patch" | "delete";
type Operation<P extends keyof paths, M extends Method> = NonNullable<paths[P][M]>;

/** The paths that take a method. */
export type PathsWith<M extends Method> = {
  [P in keyof paths]: paths[P] extends { [K in M]: infer O } ? (O extends undefined ? never : P) : never;
}[keyof paths];

type Parameters<O> = O extends { parameters: infer P } ? P : never;
type PathOf<O> = Parameters<O> extends { path: infer P } ? { path: P } : { path?: never };
type QueryOf<O> = Parameters<O> extends { query: infer Q } ? { query: Q }
  : Parameters<O> extends { query?: infer Q } ? { query?: NonNullable<Q> } : { query?: never };
type HeadersOf<O> = Parameters<O> extends { header?: infer H } ? { headers?: NonNullable<H> } : { headers?: never };
type Contents<B> = B extends { content: infer C } ? C[keyof C] : never;
type BodyOf<O> = O extends { requestBody: infer B } ? { body: Contents<B> } : { body?: never };
type Whole<O> = PathOf<O> & QueryOf<O> & HeadersOf<O> & BodyOf<O> & { signal?: AbortSignal };

/** What an operation takes; nothing may be left out that it needs. */
export type Options<O> = Whole<O>;
type Arguments<O> = {} extends Whole<O> ? [options?: Whole<O>] : [options: Whole<O>];

type Success<R> = R extends { 200: infer A } ? A : R extends { 201: infer A } ? A : R extends { 202: infer A } ? A : R extends { 204: infer A } ? A : never;
type JsonOf<A> = A extends { content: infer C } ? (C extends { "application/json": infer J } ? J : string) : undefined;
/** What an operation answers when all is well. */
export type Answer<O> = O extends { responses: infer R } ? JsonOf<Success<R>> : never;

/** An answer that is a problem. */
export class HookswitchError extends Error {
  override readonly name = "HookswitchError";
  constructor(readonly status: number, readonly problem: Problem, readonly retryAfterSeconds: number | undefined) {
    super(`${problem.code}: ${problem.detail}`);
  }
}

export interface ClientOptions {
  /** Where the service is, such as `https://pbx.example.com`. */
  baseUrl: string;
  /** The access token or API key; asked for before every request, so that it may change. */
  token?: () => string | undefined | Promise<string | undefined>;
  /** Another fetch, for tests. */
  fetch?: typeof fetch;
}

interface Loose {
  path?: Record<string, unknown>;
  query?: Record<string, unknown>;
  headers?: Record<string, unknown>;
  body?: unknown;
  signal?: AbortSignal;
}

export class Client {
  constructor(private readonly options: ClientOptions) {}

  get<P extends PathsWith<"get">>(path: P, ...[options]: Arguments<Operation<P, "get">>): Promise<Answer<Operation<P, "get">>> {
    return this.send("get", path, options as Loose | undefined);
  }
  post<P extends PathsWith<"post">>(path: P, ...[options]: Arguments<Operation<P, "post">>): Promise<Answer<Operation<P, "post">>> {
    return this.send("post", path, options as Loose | undefined);
  }
  put<P extends PathsWith<"put">>(path: P, ...[options]: Arguments<Operation<P, "put">>): Promise<Answer<Operation<P, "put">>> {
    return this.send("put", path, options as Loose | undefined);
  }
  patch<P extends PathsWith<"patch">>(path: P, ...[options]: Arguments<Operation<P, "patch">>): Promise<Answer<Operation<P, "patch">>> {
    return this.send("patch", path, options as Loose | undefined);
  }
  delete<P extends PathsWith<"delete">>(path: P, ...[options]: Arguments<Operation<P, "delete">>): Promise<Answer<Operation<P, "delete">>> {
    return this.send("delete", path, options as Loose | undefined);
  }

  /** Every record of a list, page after page. `load` asks for the page behind a cursor. */
  async *all<T>(load: (after: string | undefined) => Promise<{ data: T[]; page: { next: string | null } }>): AsyncGenerator<T> {
    let after: string | undefined;
    do {
      const page = await load(after);
      yield* page.data;
      after = page.page.next ?? undefined;
    } while (after !== undefined);
  }

  private async send<A>(method: Method, path: string, options: Loose = {}): Promise<A> {
    const place = path.replace(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(String(options.path?.[name])));
    const url = new URL(place, this.options.baseUrl);
    for (const [name, value] of Object.entries(options.query ?? {})) {
      if (value !== undefined) url.searchParams.set(name, String(value));
    }
    const headers = new Headers({ accept: "application/json, application/problem+json" });
    for (const [name, value] of Object.entries(options.headers ?? {})) headers.set(name, String(value));
    const token = await this.options.token?.();
    if (token !== undefined) headers.set("authorization", `Bearer ${token}`);
    const init: RequestInit = { method: method.toUpperCase(), headers };
    if (options.body !== undefined) {
      headers.set("content-type", "application/json");
      init.body = JSON.stringify(options.body);
    }
    if (options.signal) init.signal = options.signal;
    const answer = await (this.options.fetch ?? fetch)(url, init);
    const kind = answer.headers.get("content-type") ?? "";
    if (!answer.ok) {
      const text = await answer.text();
      const after = Number(answer.headers.get("retry-after") ?? Number.NaN);
      throw new HookswitchError(answer.status, problemOf(answer, kind, text), Number.isNaN(after) ? undefined : after);
    }
    if (answer.status === 204) return undefined as A;
    return (kind.startsWith("application/json") ? await answer.json() : await answer.text()) as A;
  }
}

/** The problem of an answer; one is made up for what no service of ours answers, such as a proxy's page. */
function problemOf(answer: Response, kind: string, text: string): Problem {
  if (kind.startsWith("application/problem+json")) return JSON.parse(text) as Problem;
  return {
    type: "about:blank",
    title: answer.statusText,
    status: answer.status,
    detail: text.slice(0, 200),
    instance: new URL(answer.url).pathname,
    code: "not-from-hookswitch",
    request_id: answer.headers.get("x-request-id") ?? "",
  };
}
