import type { FaultKind } from './fault-plan.js';
import type { HarnessLine, Ledger, Role } from './ledger.js';

/** One fault, from its beginning until all was as before, as far as the harness can tell. */
export interface FaultTime {
  readonly kind: FaultKind;
  readonly seat: string;
  readonly role: Role | null;
  readonly pid: number | null;
  readonly fromMs: number;
  /** Infinity: nothing followed. */
  readonly toMs: number;
}

/** What was done, in order. */
export type FaultTimes = readonly FaultTime[];

/** When faults were done, in order: those that last until they were over, an end of a process until its seat was taken again. */
export function faultTimes({ harness }: Pick<Ledger, 'harness'>): FaultTimes {
  const overMs = new Map<number, number>();
  const readyMs: number[] = [];
  const startedMs = new Map<string, number[]>();
  const coordinators = new Set(
    harness.flatMap((line) => (line.is === 'started' && line.role === 'coordinator' ? [line.pid] : [])),
  );
  for (const line of harness) {
    if (line.is === 'over') overMs.set(line.id, line.tMs);
    else if (line.is === 'ready' && coordinators.has(line.pid)) readyMs.push(line.tMs);
    else if (line.is === 'started') startedMs.set(line.seat, [...(startedMs.get(line.seat) ?? []), line.tMs]);
  }
  const endOf = (line: Extract<HarnessLine, { is: 'fault' }>): number => {
    if (!isEnding(line.kind)) return overMs.get(line.id) ?? Infinity;
    const back = line.role === 'coordinator' ? readyMs : (startedMs.get(line.seat) ?? []);
    return back.find((tMs) => tMs > line.tMs) ?? Infinity;
  };
  return harness.flatMap((line) => {
    if (line.is !== 'fault') return [];
    const { kind, seat, role, pid, tMs } = line;
    return [{ kind, seat, role, pid, fromMs: tMs, toMs: endOf(line) }];
  });
}

/** True for faults that end a process by kill -9. */
export function isKill(kind: FaultKind): boolean {
  return kind === 'kill' || kind === 'kill-pair';
}

/** True for faults that end a process, in good order or not. */
export function isEnding(kind: FaultKind): boolean {
  return isKill(kind) || kind === 'restart';
}

/** True for faults of a link. */
export function isOfLink(kind: FaultKind): boolean {
  return ['cut-fin', 'cut-reset', 'delay', 'hold-up', 'hold-down', 'hold-both', 'refuse'].includes(kind);
}
