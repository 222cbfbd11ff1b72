import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import { pino, type Logger } from 'pino';
import { addressFault, dialTarget } from '../client/address.js';
import {
  KEY_PATTERN,
  MAX_LABEL_VALUE_CHARS,
  MAX_REPLACES,
  MAX_SLOTS,
  MAX_WORKER_LABELS,
  WORKER_ID_PATTERN,
} from '../proto/bounds.js';
import { SESSION_MODES, type OnStuck, type SessionMode } from './session-options.js';
import { kindOf } from './task-handler.js';

/** Options of createWorker(). */
export interface WorkerOptions {
  /** The coordinator: HOST:PORT or unix:PATH. */
  readonly address: string;
  /** How many handlers run at once, 1 to 1,000. Default 1. */
  readonly slots?: number;
  /**
   * Stable across restarts, unique in the fleet: 1 to 127 characters of `A-Z a-z 0-9 . _ : / @ -`, beginning with a letter or
   * digit. Default: host and process id, which is not stable.
   */
  readonly workerId?: string;
  /**
   * Labels that tasks may require: at most 64. Keys 1 to 63 characters of `A-Z a-z 0-9 . _ / -` other than `__proto__`, values at
   * most 63.
   */
  readonly labels?: Readonly<Record<string, string>>;
  /** How many more attempts may wait here unstarted, 0 to 1,000. Default 0. */
  readonly prefetch?: number;
  /**
   * When a handler does not settle within 10 s of its abort: `report` an event and keep its slot in use, or `exit`, which
   * ends the whole process by SIGKILL once what else runs is done. With `session: 'inline'` that takes a loop that turns: a
   * handler that blocks it is found out only when it lets go. Default `report`.
   */
  readonly onStuck?: OnStuck;
  /** Default: pino at level info, JSON to standard output. */
  readonly logger?: Logger;
  /**
   * Where the stream to the coordinator is kept. `thread`: in a thread of its own, which handlers cannot block. `inline`: on
   * the loop that runs the handlers, which saves two hops between threads a task, and suits handlers that never block.
   *
   * While a handler blocks an inline session's loop, no heartbeat leaves, nothing is acknowledged, and no time-out, cancel or
   * stop() is heard. For longer than the coordinator's lease (15 s unless it says otherwise) the worker is lost: its tasks
   * are handed out elsewhere as well, and what it reports afterwards counts only if that has not happened yet. A handler that
   * blocks for ever holds the process for ever, whatever `onStuck` says. Default `thread`.
   */
  readonly session?: SessionMode;
}

/** Options, validated, with defaults. */
export interface CompiledWorkerOptions {
  readonly address: string;
  readonly slots: number;
  readonly workerId: string;
  /** The id was made from host and process id. */
  readonly workerIdIsDefault: boolean;
  readonly labels: Readonly<Record<string, string>>;
  readonly prefetch: number;
  readonly onStuck: OnStuck;
  readonly session: SessionMode;
  readonly logger: Logger;
}

const DEFAULTS = {
  slots: 1,
  labels: {},
  prefetch: 0,
  onStuck: 'report',
  session: 'thread',
} as const satisfies Partial<WorkerOptions>;

/**
 * Checks options and fills in defaults.
 *
 * @throws TypeError that names every fault
 */
export function compileWorkerOptions(options: WorkerOptions): CompiledWorkerOptions {
  const faults = workerOptionFaults(options);
  if (faults.length > 0) throw new TypeError(`createWorker: ${faults.join('; ')}`);
  const given: WorkerOptions = { ...DEFAULTS, ...dropUndefined(options) };
  const { address, slots = 1, prefetch = 0, labels = {}, onStuck = 'report', session = 'thread', logger } = given;
  return {
    address: dialTarget(address),
    slots,
    prefetch,
    labels: { ...labels },
    onStuck,
    session,
    workerId: given.workerId ?? defaultWorkerId(),
    workerIdIsDefault: given.workerId === undefined,
    logger: logger ?? pino(),
  };
}

/** What is wrong with options, a sentence each. */
export function workerOptionFaults(options: WorkerOptions): string[] {
  const given: WorkerOptions = { ...DEFAULTS, ...dropUndefined(options) };
  const { slots, prefetch, labels, onStuck = 'report', session = 'thread' } = given;
  return [
    typeof given.address === 'string'
      ? addressFault(given.address)
      : `address is ${kindOf(given.address)}; it must be a string`,
    integerFault('slots', slots, 1, MAX_SLOTS),
    integerFault('prefetch', prefetch, 0, MAX_SLOTS),
    given.workerId === undefined ? undefined : workerIdFault(given.workerId),
    ...labelFaults(labels),
    onStuck === 'exit' || onStuck === 'report'
      ? undefined
      : `onStuck is ${show(onStuck)}; it must be 'exit' or 'report'`,
    SESSION_MODES.includes(session) ? undefined : `session is ${show(session)}; it must be 'thread' or 'inline'`,
  ].filter((fault) => fault !== undefined);
}

/** An id from host and process id; each worker of one process gets its own. */
export function defaultWorkerId(): string {
  madeIds += 1;
  const id = `${hostName()}/${process.pid}`;
  return madeIds === 1 ? id : `${id}-${madeIds}`;
}
let madeIds = 0;

/** The host's name in the characters that a worker_id may have. */
export function hostName(): string {
  const name = hostname()
    .replaceAll(/[^A-Za-z0-9._-]/g, '-')
    .slice(0, 63);
  return /^[A-Za-z0-9]/.test(name) ? name : `host${name}`;
}

/** 128 random bits in 32 lower-case hexadecimal digits. */
export function newIncarnation(): string {
  return randomBytes(16).toString('hex');
}

/** True for an incarnation's form. */
export function isIncarnation(text: string): boolean {
  return /^[0-9a-f]{32}$/.test(text);
}

/** Incarnations out of a comma-separated list; what is none, and all beyond the bound, is left out. */
export function parseReplaces(text: string): string[] {
  return text.split(',').filter(isIncarnation).slice(-MAX_REPLACES);
}

/** What is wrong with a worker_id; undefined if nothing. */
export function workerIdFault(workerId: unknown): string | undefined {
  if (typeof workerId === 'string' && WORKER_ID_PATTERN.test(workerId)) return undefined;
  return `worker_id is ${show(workerId)}; it must be 1 to 127 characters of A-Z a-z 0-9 . _ : / @ -, beginning with a letter or digit`;
}

/** What is wrong with labels, a sentence each. */
export function labelFaults(labels: unknown): string[] {
  if (typeof labels !== 'object' || labels === null || Array.isArray(labels)) {
    return [`labels is ${kindOf(labels)}; it must be an object from keys to values`];
  }
  const entries = Object.entries(labels);
  const faults = entries.flatMap(([key, value]) => {
    const found: string[] = [];
    if (!KEY_PATTERN.test(key)) {
      found.push(`label key ${show(key)} must be 1 to 63 characters of A-Z a-z 0-9 . _ / -, other than __proto__`);
    }
    if (typeof value !== 'string') found.push(`label ${show(key)} is ${kindOf(value)}; it must be a string`);
    else if (value.length > MAX_LABEL_VALUE_CHARS)
      found.push(`label ${show(key)} has ${value.length} characters; the bound is 63`);
    return found;
  });
  if (entries.length > MAX_WORKER_LABELS)
    faults.push(`there are ${entries.length} labels; the bound is ${MAX_WORKER_LABELS}`);
  return faults;
}

/** What is wrong with a whole number; undefined if nothing. */
export function integerFault(name: string, value: unknown, min: number, max: number): string | undefined {
  if (Number.isInteger(value) && (value as number) >= min && (value as number) <= max) return undefined;
  return `${name} is ${show(value)}; it must be a whole number from ${min} to ${max}`;
}

function show(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value.slice(0, 200));
  return typeof value === 'number' ? String(value) : kindOf(value);
}

function dropUndefined(options: WorkerOptions): WorkerOptions {
  return Object.fromEntries(
    Object.entries(options).filter(([, value]) => value !== undefined),
  ) as unknown as WorkerOptions;
}
