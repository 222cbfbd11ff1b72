/**
 * What a supervisor and the worker processes that it started say to each other: JSON lines over a socket that the child
 * inherits as a file descriptor. The child's session reads it: in a thread of its own also while user code blocks the main thread;
 * and since only the supervisor's process has the other end, its death by any cause is an end of file here.
 */

import { isJournal, type JournalPath } from '../proto/journal.js';
import { STOP_ON_STDIN_EOF_ENV } from '../proto/stdin-guard.js';
import type { SessionPulse } from './session-pulse.js';
import { isIncarnation, parseReplaces } from './worker-options.js';

/** The environment of a supervised child. The worker's program removes it from its own before user code runs. */
export const SUPERVISION_ENV = {
  /** 32 lower-case hexadecimal digits: the child's incarnation. */
  incarnation: 'REMUDA_INCARNATION',
  /** Incarnations of the same worker_id that have ended, with commas between them. */
  replaces: 'REMUDA_REPLACES',
  /** The descriptor of the socket. */
  supervisorFd: 'REMUDA_SUPERVISOR_FD',
  /**
   * `1`: the child leads a process group of its own, and supervisor and coordinator are one process. The group ends with it, and
   * without its supervisor there is nobody to report to.
   */
  ownGroup: 'REMUDA_OWN_GROUP',
  /** The child's descriptors whose lines the supervisor passes on to the systemd journal: `1`, `2` or `1,2`. */
  journal: 'REMUDA_JOURNAL',
  /** How often the child's session gives a sign of life, in milliseconds; not there: never. */
  pulseMs: 'REMUDA_PULSE_MS',
} as const;

/** What a supervisor has told its child by its environment. */
export interface Supervision {
  /** The child's incarnation. */
  readonly incarnation: string;
  /** Incarnations of the same worker_id that have ended. */
  readonly replaces: readonly string[];
  /** The descriptor of the socket. */
  readonly fd: number;
  /** See {@link SUPERVISION_ENV.ownGroup}. */
  readonly ownGroup: boolean;
  /** See {@link SUPERVISION_ENV.pulseMs}. Undefined: nobody asks for one. */
  readonly pulseMs: number | undefined;
}

type Env = Readonly<Record<string, string | undefined>>;

/** What the supervisor has told; undefined if nobody supervises this process. */
export function parseSupervision(env: Env): Supervision | undefined {
  const incarnation = env[SUPERVISION_ENV.incarnation] ?? '';
  const fd = Number(env[SUPERVISION_ENV.supervisorFd]);
  const pulseMs = Number(env[SUPERVISION_ENV.pulseMs]);
  if (!isIncarnation(incarnation) || !Number.isInteger(fd) || fd < 3) return undefined;
  return {
    incarnation,
    replaces: parseReplaces(env[SUPERVISION_ENV.replaces] ?? ''),
    fd,
    ownGroup: env[SUPERVISION_ENV.ownGroup] === '1',
    pulseMs: pulseMs > 0 ? pulseMs : undefined,
  };
}

/**
 * How what this process prints comes into the systemd journal; undefined: it does not. To be asked before {@link forgetSupervision}.
 *
 * @param fd 1 for standard output, 2 for standard error
 */
export function journalPath(fd: number, env: Env): JournalPath | undefined {
  if (isJournal(fd, env)) return 'direct';
  const relayed = env[SUPERVISION_ENV.journal]?.split(',').includes(String(fd)) === true;
  return relayed && parseSupervision(env) !== undefined ? 'relayed' : undefined;
}

/** Removes what is for this process alone: a worker that a handler starts must not take it for its own. */
export function forgetSupervision(env: Record<string, string | undefined>): void {
  for (const name of [...Object.values(SUPERVISION_ENV), STOP_ON_STDIN_EOF_ENV]) Reflect.deleteProperty(env, name);
}

/** The first directory of systemd's RuntimeDirectory= (systemd.exec(5)); undefined: there is none. It stays for user code, too. */
export function runtimeDirectory({ RUNTIME_DIRECTORY: directories }: Env): string | undefined {
  return directories?.split(':')[0] || undefined;
}

/** Bound of the message of `ending`, in bytes. */
export const MAX_ENDING_MESSAGE_BYTES = 8_192;

/** What the supervisor says. */
export interface SupervisorMessage {
  /** Leave: how long what runs may take to finish, in milliseconds. */
  readonly drainMs: number;
}

/** What a child says. */
export type ChildMessage =
  /** It was welcomed for the first time: the incarnations that it replaces are known to the coordinator. */
  | { readonly ready: true }
  /** Its session lives, as often as the supervisor has asked for it and when something has changed. */
  | { readonly pulse: SessionPulse }
  /**
   * It is about to end, and why: a process that ends itself by SIGKILL cannot tell it by its exit status, and a status does not
   * tell what was wrong. The message has at most {@link MAX_ENDING_MESSAGE_BYTES}. The newest one counts.
   */
  | { readonly ending: { readonly code: number; readonly message: string } };

/** A line as a message; undefined if it is none. */
export function parseSupervisorLine(line: string): SupervisorMessage | undefined {
  const value = parseLine(line) as Partial<SupervisorMessage> | undefined;
  return typeof value?.drainMs === 'number' && value.drainMs >= 0 ? { drainMs: value.drainMs } : undefined;
}

interface ChildLine {
  readonly ready?: unknown;
  /** From our own program of the same version, so it is not looked at more closely. */
  readonly pulse?: SessionPulse;
  readonly ending?: { readonly code?: unknown; readonly message?: unknown };
}

/** A line as a message; undefined if it is none. */
export function parseChildLine(line: string): ChildMessage | undefined {
  const value = parseLine(line) as ChildLine | undefined;
  if (value?.ready === true) return { ready: true };
  if (value?.pulse !== undefined) return { pulse: value.pulse };
  const ending = value?.ending;
  if (typeof ending?.code !== 'number') return undefined;
  return { ending: { code: ending.code, message: typeof ending.message === 'string' ? ending.message : '' } };
}

function parseLine(line: string): object | undefined {
  try {
    const value = JSON.parse(line) as unknown;
    return typeof value === 'object' && value !== null ? value : undefined;
  } catch {
    return undefined;
  }
}
