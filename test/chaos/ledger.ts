/**
 * What happened, written outside the system by whoever it happened to: clients, handlers and the harness, each into files of its
 * own, a line of JSON each, in one system call. What is written survives kill -9 of the writer; it need not survive the machine,
 * so nothing is synced. All times are of the machine's one monotonic clock, which processes share.
 */
import { closeSync, mkdirSync, openSync, readdirSync, readFileSync, writeSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { FaultKind } from './fault-plan.js';
import type { TaskSpec } from './task-kinds.js';

/** Milliseconds on CLOCK_MONOTONIC, the same in all processes of this machine. Stopped processes do not stop it. */
export function machineMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

/** How a task was seen to end: what must be the same whoever looks, however often. */
export interface EndSeen {
  /** SUCCEEDED, CANCELLED, EXPIRED or DEAD_LETTERED. */
  readonly state: string;
  /** Of what its handler returned; null unless SUCCEEDED. */
  readonly digest: string | null;
  /** Why it ended otherwise; empty if it SUCCEEDED. */
  readonly reason: string;
}

/** A line of a client. */
export type ClientLine =
  /** Before the first byte of it is sent. A repeat after a restart of the client is told again. */
  | { readonly is: 'submitting'; readonly tMs: number; readonly spec: TaskSpec }
  /** The coordinator has said that it has it. */
  | { readonly is: 'acknowledged'; readonly tMs: number; readonly taskId: string }
  /** It does not exist, and never will: nothing of it was sent, or it was refused for good. */
  | { readonly is: 'refused'; readonly tMs: number; readonly taskId: string; readonly reason: string }
  | ({ readonly is: 'seen'; readonly tMs: number; readonly taskId: string } & EndSeen)
  /** A call failed, and was repeated. */
  | {
      readonly is: 'trouble';
      readonly tMs: number;
      readonly taskId: string;
      readonly reason: string;
      readonly message: string;
    };

/** A line of a worker process. */
export type HandlerLine =
  | {
      readonly is: 'entered';
      readonly tMs: number;
      readonly taskId: string;
      readonly attempt: number;
      readonly workerId: string;
      readonly incarnation: string;
    }
  | {
      readonly is: 'aborted';
      readonly tMs: number;
      readonly taskId: string;
      readonly attempt: number;
      readonly cause: string;
    }
  | {
      readonly is: 'left';
      readonly tMs: number;
      readonly taskId: string;
      readonly attempt: number;
      readonly how: 'returned' | 'threw';
    }
  /** The handler ends its own process now. */
  | { readonly is: 'kills-itself'; readonly tMs: number; readonly taskId: string; readonly attempt: number }
  /** The loop of the handlers turns, and some run. */
  | { readonly is: 'alive'; readonly tMs: number }
  /** It did not turn in between: blocked, stopped, or without a processor. */
  | { readonly is: 'gap'; readonly tMs: number; readonly fromMs: number };

/** Which part of the fleet a process plays. */
export type Role = 'coordinator' | 'supervisor' | 'child' | 'worker' | 'gone' | 'client';

/** A line of the harness. */
export type HarnessLine =
  | { readonly is: 'started'; readonly tMs: number; readonly seat: string; readonly role: Role; readonly pid: number }
  /** It works: the coordinator listens, a worker is welcomed, a supervisor supervises. */
  | { readonly is: 'ready'; readonly tMs: number; readonly seat: string; readonly pid: number }
  | {
      readonly is: 'ended';
      readonly tMs: number;
      readonly seat: string;
      readonly role: Role;
      readonly pid: number;
      readonly code: number | null;
      readonly signal: string | null;
      /** What the harness had told it; null: it ended by itself. */
      readonly asked: 'SIGKILL' | 'SIGTERM' | null;
    }
  /** Just before it is done. `pid` where it is done to one process. */
  | {
      readonly is: 'fault';
      readonly tMs: number;
      readonly id: number;
      readonly kind: FaultKind;
      readonly seat: string;
      readonly role: Role | null;
      readonly pid: number | null;
    }
  /** What lasted is over. */
  | { readonly is: 'over'; readonly tMs: number; readonly id: number }
  /** The target was not there just then. */
  | { readonly is: 'skipped'; readonly tMs: number; readonly kind: FaultKind; readonly seat: string };

/** One attempt, as the coordinator tells it. */
export interface AttemptFound {
  readonly attempt: number;
  readonly workerId: string;
  /** Empty while it runs. */
  readonly outcome: string;
  /** Empty if there was nothing to charge. */
  readonly charge: string;
  readonly reason: string;
}

/** A task as the coordinator answered for it. `UNKNOWN_TASK` and `PURGED` are its answers that there is none. */
export interface AuditLine extends EndSeen {
  readonly is: 'found';
  readonly tMs: number;
  readonly taskId: string;
  /** Why it is not running, or by whom it is run; for the report of one that has not ended. */
  readonly standing: string;
  /** When it ended by the coordinator's clock, ISO 8601; empty before. */
  readonly endTime: string;
  readonly attempts: readonly AttemptFound[];
}

/** A line of a handler with the process that wrote it. */
export type ProcessLine = HandlerLine & { readonly pid: number };

/** All of it. */
export interface Ledger {
  readonly clients: readonly ClientLine[];
  readonly handlers: readonly ProcessLine[];
  readonly harness: readonly HarnessLine[];
  readonly audits: readonly AuditLine[];
}

/** Where the files of each kind of writer lie. */
export const LEDGER_FOLDERS = {
  clients: 'clients',
  handlers: 'handlers',
  harness: 'harness',
  audits: 'audits',
} as const;

/** One writer's file. */
export class LedgerFile<Line extends object> implements Disposable {
  readonly #descriptor: number;

  /** @param path Folders are made; what is there stays. */
  constructor(path: string) {
    mkdirSync(dirname(path), { recursive: true });
    this.#descriptor = openSync(path, 'a');
  }

  /** Returns when the line is the kernel's. */
  append(line: Line): void {
    writeSync(this.#descriptor, `${JSON.stringify(line)}\n`);
  }

  [Symbol.dispose](): void {
    closeSync(this.#descriptor);
  }
}

/** The lines of one file; a last one that its writer's death has cut short is left out. */
export function readLines<Line>(path: string): Line[] {
  return readFileSync(path, 'utf8')
    .split('\n')
    .slice(0, -1)
    .map((text) => JSON.parse(text) as Line);
}

/** The whole ledger, each kind in the order of time. */
export function readLedger(folder: string): Ledger {
  return {
    clients: inOrder(linesIn<ClientLine>(folder, LEDGER_FOLDERS.clients)),
    handlers: inOrder(linesIn<ProcessLine>(folder, LEDGER_FOLDERS.handlers, (name) => ({ pid: pidOf(name) }))),
    harness: inOrder(linesIn<HarnessLine>(folder, LEDGER_FOLDERS.harness)),
    audits: inOrder(linesIn<AuditLine>(folder, LEDGER_FOLDERS.audits)),
  };
}

/** The file of a worker process: its name says whose child it is, so that a supervisor's children can be found. */
export function handlerFile(folder: string, parentPid: number, pid: number): string {
  return join(folder, LEDGER_FOLDERS.handlers, `${parentPid}-${pid}.jsonl`);
}

/** The worker processes that this one has started, dead ones too, the newest last. */
export function childrenOf(folder: string, parentPid: number): number[] {
  return namesIn(folder, LEDGER_FOLDERS.handlers)
    .filter((name) => name.startsWith(`${parentPid}-`))
    .map(pidOf)
    .sort((a, b) => a - b);
}

function pidOf(name: string): number {
  return Number(/-(\d+)\.jsonl$/.exec(name)?.[1]);
}

function namesIn(folder: string, kind: string): string[] {
  try {
    return readdirSync(join(folder, kind));
  } catch {
    // Nobody has written any.
    return [];
  }
}

function linesIn<Line>(folder: string, kind: string, more: (name: string) => object = () => ({})): Line[] {
  return namesIn(folder, kind).flatMap((name) => {
    const extra = more(name);
    return readLines<Line>(join(folder, kind, name)).map((line) => ({ ...line, ...extra }));
  });
}

function inOrder<Line extends { readonly tMs: number }>(lines: Line[]): Line[] {
  return lines.sort((a, b) => a.tMs - b.tMs);
}
