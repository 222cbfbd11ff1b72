import { setTimeout as delay } from 'node:timers/promises';
import type { ChaosDisk } from './disk.js';
import type { PlannedFault } from './fault-plan.js';
import type { ChaosFleet } from './fleet.js';
import { machineMs, type HarnessLine, type LedgerFile, type Role } from './ledger.js';
import { sendSignal } from './run-processes.js';

/** What faults are done to. */
export interface FaultScene {
  readonly fleet: ChaosFleet;
  readonly disk: ChaosDisk;
  readonly ledger: LedgerFile<HarnessLine>;
  /** In the environment of every process of the run. */
  readonly mark: string;
}

interface Victim {
  readonly seat: string;
  readonly role: Role | null;
  readonly pid: number | null;
}

/** Does what a plan says, when it says so, and makes all good again at the end. */
export class FaultPlayer {
  readonly #scene: FaultScene;
  readonly #lasting = new Set<Promise<void>>();
  readonly #busy = new Set<string>();
  #count = 0;
  /** How many processes were killed. */
  kills = 0;

  constructor(scene: FaultScene) {
    this.#scene = scene;
  }

  /** How many faults were done. */
  get count(): number {
    return this.#count;
  }

  /** Until all are done and over; or, once the signal is aborted, as soon as all is good again. */
  async play(plan: readonly PlannedFault[], forMs: number, signal: AbortSignal): Promise<void> {
    const beginMs = machineMs();
    const until = (atMs: number): Promise<unknown> =>
      delay(Math.max(0, beginMs + atMs - machineMs()), undefined, { signal }).catch(() => undefined);
    const calm = new AbortController();
    const onAbort = (): void => calm.abort();
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      for (const fault of plan) {
        await until(fault.atMs);
        if (signal.aborted) break;
        this.#do(fault, calm.signal);
      }
      await until(forMs);
    } finally {
      signal.removeEventListener('abort', onAbort);
      calm.abort();
      await Promise.all(this.#lasting);
    }
  }

  #do(fault: PlannedFault, calm: AbortSignal): void {
    const done = this.#attempt(fault, calm);
    if (done) return;
    const { kind, seat } = fault;
    this.#scene.ledger.append({ is: 'skipped', tMs: machineMs(), kind, seat });
  }

  /** False if its target is not there, or something of the kind is being done to it already. */
  #attempt(fault: PlannedFault, calm: AbortSignal): boolean {
    switch (fault.kind) {
      case 'kill':
        return this.#kill(fault, fault.seat);
      case 'kill-pair': {
        const both = this.#kill(fault, fault.seat);
        return this.#kill(fault, 'coordinator') || both;
      }
      case 'stop':
        return this.#stop(fault, calm);
      case 'restart':
        return this.#restart(fault);
      case 'fill-disk':
        return this.#fillDisk(fault, calm);
      case 'cut-fin':
      case 'cut-reset':
      case 'delay':
      case 'hold-up':
      case 'hold-down':
      case 'hold-both':
      case 'refuse':
        return this.#disturb(fault, calm);
    }
  }

  #kill(fault: PlannedFault, name: string): boolean {
    const found = this.#scene.fleet.processOf(name);
    if (found === undefined) return false;
    this.#begin(fault, { ...found, seat: name });
    this.kills += 1;
    if (found.seat === null) sendSignal(found.pid, 'SIGKILL', this.#scene.mark);
    else found.seat.signal('SIGKILL');
    return true;
  }

  #stop(fault: PlannedFault, calm: AbortSignal): boolean {
    const { fleet, mark } = this.#scene;
    const found = fleet.processOf(fault.seat);
    if (found === undefined || this.#busy.has(`stop ${found.pid}`)) return false;
    const { pid } = found;
    const id = this.#begin(fault, { ...found, seat: fault.seat });
    sendSignal(pid, 'SIGSTOP', mark);
    this.#last(fault, id, `stop ${pid}`, calm, () => void sendSignal(pid, 'SIGCONT', mark));
    return true;
  }

  #restart(fault: PlannedFault): boolean {
    const { fleet, mark } = this.#scene;
    const found = fleet.processOf(fault.seat);
    if (found === undefined) return false;
    const { seat, pid } = found;
    this.#begin(fault, { ...found, seat: fault.seat });
    // A child that is told to leave behind its supervisor's back leaves, and is started again.
    return seat === null ? sendSignal(pid, 'SIGTERM', mark) : seat.signal('SIGTERM');
  }

  #fillDisk(fault: PlannedFault, calm: AbortSignal): boolean {
    const { disk } = this.#scene;
    if (this.#busy.has('disk')) return false;
    const id = this.#begin(fault, { seat: fault.seat, role: null, pid: null });
    this.#last(fault, id, 'disk', calm, () => disk.empty(), disk.fill());
    return true;
  }

  #disturb(fault: PlannedFault, calm: AbortSignal): boolean {
    const { kind, seat, delayMs } = fault;
    const link = this.#scene.fleet.links.get(seat);
    if (link === undefined || this.#busy.has(`link ${seat}`)) return false;
    const id = this.#begin(fault, { seat, role: null, pid: null });
    if (kind === 'cut-fin') link.cut('fin');
    else if (kind === 'cut-reset') link.cut('reset');
    else if (kind === 'delay') link.delay(delayMs);
    else if (kind === 'hold-up') link.hold('up');
    else if (kind === 'hold-down') link.hold('down');
    else if (kind === 'hold-both') link.hold('both');
    else {
      link.refuse();
      link.cut('reset');
    }
    this.#last(fault, id, `link ${seat}`, calm, () => link.heal());
    return true;
  }

  #begin({ kind }: PlannedFault, { seat, role, pid }: Victim): number {
    const id = (this.#count += 1);
    this.#scene.ledger.append({ is: 'fault', tMs: machineMs(), id, kind, seat, role, pid });
    return id;
  }

  #last(
    { durationMs }: PlannedFault,
    id: number,
    busy: string,
    calm: AbortSignal,
    mend: () => void,
    begun: Promise<void> = Promise.resolve(),
  ): void {
    this.#busy.add(busy);
    const last = async (): Promise<void> => {
      await begun;
      await delay(durationMs, undefined, { signal: calm }).catch(() => undefined);
      mend();
      this.#busy.delete(busy);
      this.#lasting.delete(lasting);
      this.#scene.ledger.append({ is: 'over', tMs: machineMs(), id });
    };
    const lasting = last();
    this.#lasting.add(lasting);
  }
}
