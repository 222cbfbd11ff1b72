/** What the host program and the pool's thread say to each other. Figures go another way: see `pool-figures.ts`. */
import type { FleetError, FleetErrorOptions } from '../../proto/fleet-error.js';
import type { PoolEventName } from './pool-events.js';
import type { SharedFigures } from './pool-figures.js';
import type { CompiledPoolOptions } from './pool-options.js';
import type { ScaleResult } from './worker-pool.js';

/** What the thread is started with. */
export interface PoolSetup {
  readonly options: CompiledPoolOptions;
  /** The part of worker_ids before the slash. */
  readonly prefix: string;
  /** Where the coordinator listens, an absolute path in a private directory. */
  readonly socketPath: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Where the workers run, whatever the host does to its own. */
  readonly cwd: string;
  readonly figures: SharedFigures;
}

/** What the host says. */
export type ToPool =
  | { readonly t: 'scale'; readonly number: number; readonly by: number }
  /** For the log. */
  | { readonly t: 'warn'; readonly message: string }
  /** `timeoutMs` undefined: what runs may take as long as it may. A repeat brings the end forward. */
  | { readonly t: 'shutdown'; readonly graceful: boolean; readonly timeoutMs: number | undefined }
  /** Which of these tasks, that the host still waits for, have ended. */
  | { readonly t: 'askEnded'; readonly taskIds: readonly string[] }
  /** After `drained`: the host has heard of every end. */
  | { readonly t: 'close' };

/** An error on its way between threads, which take only plain data. */
export interface PlainError {
  readonly code: FleetError['code'];
  readonly reason: string;
  readonly message: string;
  readonly metadata: NonNullable<FleetErrorOptions['metadata']>;
  /** Of user code; empty or undefined: there is none. */
  readonly stack?: string;
}

/** An event of the pool; errors in it are {@link PlainError}s. */
export interface PoolEventMessage {
  readonly name: PoolEventName;
  readonly event: object;
}

/** What the thread says. */
export type FromPool =
  /** The workers of the start have been welcomed. */
  | { readonly t: 'ready'; readonly httpUrl: string | undefined }
  /** It cannot start, and ends. */
  | { readonly t: 'startFailed'; readonly error: PlainError }
  /** Something a person should know before the log exists, or beside it. */
  | { readonly t: 'warning'; readonly message: string }
  /** All types that any worker has offered. */
  | { readonly t: 'types'; readonly types: readonly string[] }
  | { readonly t: 'events'; readonly events: readonly PoolEventMessage[] }
  | { readonly t: 'scaled'; readonly number: number; readonly result: ScaleResult }
  /** The coordinator or its store is at fault: the pool is over. */
  | { readonly t: 'failed'; readonly message: string }
  /** Every process has ended; the coordinator still answers. */
  | { readonly t: 'drained' }
  | { readonly t: 'ended'; readonly taskIds: readonly string[] }
  /** The coordinator and its store have ended too. Nothing follows. */
  | { readonly t: 'stopped' };

/** Events by the number of their bit in the mask of those that are listened to. */
export const POOL_EVENT_NAMES = [
  'zombie-detected',
  'worker-error',
  'task-failed',
  'pool-scaled-up',
  'pool-scaled-down',
  'worker-ready',
  'worker-exit',
  'worker-restarted',
  'worker-given-up',
  'task-completed',
  'task-dead-lettered',
  'health-changed',
] as const satisfies readonly PoolEventName[];

/** The event's bit. */
export function eventBit(name: PoolEventName): number {
  return 1 << POOL_EVENT_NAMES.indexOf(name);
}
