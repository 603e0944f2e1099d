export { Client, HookswitchError } from "./client.js";
export type { Answer, ClientOptions, Options, PathsWith, Problem } from "./client.js";
export { EventSocket } from "./events.js";
export type { EventOf, EventSocketOptions, EventType, Matching, Ready } from "./events.js";
export type { components, operations, paths } from "./schema.js";
