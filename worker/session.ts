import type { Logger } from 'pino';
import { programLog } from '../proto/program-log.js';
import { beatMs, ServiceManager, type ServiceManagerAddress } from '../proto/service-manager.js';
import { grpcDialler } from './grpc-stream.js';
import { killProcess } from './own-group.js';
import { EXIT_RECYCLE } from './session-effects.js';
import { SessionHost, type SessionHostOptions } from './session-host.js';
import { ServiceNotices } from './service-notices.js';
import { SessionLog } from './session-log.js';
import { SessionMachine, type WorkerLoad } from './session-machine.js';
import { SessionPulses } from './session-pulse.js';
import type { FromHandlers, FromSession, SessionEvent, SessionExit } from './session-messages.js';
import type { SessionOptions } from './session-options.js';
import type { SessionSetup } from './session-setup.js';
import { SupervisorLink } from './supervisor-link.js';

/** What a session has from the place where it runs. */
export interface SessionPlace {
  /** Sends to the handlers' side; `transfer` lists buffers that may be moved. Must not call back before it returns. */
  readonly post: (message: FromSession, transfer: ArrayBuffer[]) => void;
  /** The handlers run on this same loop. */
  readonly handlersBeside: SessionHostOptions['handlersBeside'];
  /** The longest delay of the handlers' loop since the last call, in milliseconds. */
  readonly takeLagMs: () => number;
  /** Monotonic milliseconds. */
  readonly nowMs: () => number;
  /** Evenly distributed in [0, 1). */
  readonly random: () => number;
}

/** How long an orphan may take to give its tasks back before it ends itself. */
const ORPHAN_MS = 10_000;
/** The same where the coordinator is gone with the supervisor: for its handlers to clean up. */
const ABANDONED_MS = 2_000;
/** How long the handlers' side may take to end the process once the session is over: teardown has 10 s. */
const EXIT_MS = 15_000;

/** One worker's session with its coordinator and its supervisor, wherever it runs: in a thread of its own or beside the handlers. */
export class Session {
  private host: SessionHost | undefined;
  private readonly supervisor: SupervisorLink | undefined;
  private readonly logger: Logger | undefined;
  private log: SessionLog | undefined;
  private cpu = process.cpuUsage();
  private cpuAtMs: number;
  private pulses: SessionPulses | undefined;
  private notices: ServiceNotices | undefined;
  private saidReady = false;
  private over = false;

  constructor(
    private readonly setup: SessionSetup,
    private readonly place: SessionPlace,
  ) {
    this.cpuAtMs = place.nowMs();
    if (setup.log !== undefined) {
      // Straight to the descriptor: what goes through the main thread is lost when that is blocked and the process ends.
      this.logger = programLog(setup.log.level, { journal: setup.log.journal });
    }
    if (setup.supervisorFd !== undefined) {
      this.supervisor = new SupervisorLink(setup.supervisorFd, {
        onDrain: (drainMs) => this.leave(drainMs),
        onGone: () => this.orphaned(),
      });
    }
  }

  /** What the handlers' side says. */
  hear(message: FromHandlers): void {
    switch (message.t) {
      case 'start':
        this.start(message.options);
        break;
      case 'leave':
        this.leave(message.drainTimeoutMs);
        break;
      default:
        this.host?.hear(message);
        if (message.t === 'settled') this.pulses?.handlerSettled();
    }
  }

  /** The handlers' loop was asked for a sign of life, or has given it. For a place that can ask while the loop is blocked. */
  loopWatched(what: 'asked' | 'answered'): void {
    this.host?.loopWatched(what);
  }

  /** The process is about to end for a reason of its own, which its supervisor is told at once. */
  sayEnding(exit: SessionExit): void {
    this.supervisor?.say({ ending: exit });
  }

  /** It holds attempts. */
  get isBusy(): boolean {
    return this.host?.isBusy === true;
  }

  private start(options: SessionOptions): void {
    if (this.host !== undefined || this.over) return;
    const { nowMs, random, post, handlersBeside } = this.place;
    const logger = this.logger?.child({ worker_id: options.workerId, incarnation: options.incarnation });
    this.log = logger === undefined ? undefined : new SessionLog(logger, options.address, nowMs);
    this.host = new SessionHost({
      machine: new SessionMachine(options, { random }),
      open: grpcDialler(options.address),
      post,
      handlersBeside,
      measure: () => this.measure(),
      onEvent: (event) => this.onEvent(event),
      onExit: (exit) => this.onExit(exit),
      nowMs,
    });
    this.host.start();
    this.startPulses(this.host, options.address);
  }

  /** Whoever watches this process is told that the session lives: its supervisor, or else the service manager. */
  private startPulses(host: SessionHost, address: string): void {
    const { pulseMs, serviceManager } = this.setup;
    const periodMs = serviceManager === undefined ? pulseMs : beatMs(serviceManager);
    if (periodMs === undefined) return;
    const notices = serviceManager === undefined ? undefined : this.openNotices(serviceManager, address, periodMs);
    this.notices = notices;
    this.pulses = new SessionPulses({
      periodMs,
      isVital: () => host.isVital,
      runningCount: () => host.runningCount,
      tell: (pulse, regular) => {
        this.supervisor?.say({ pulse });
        notices?.pulse(0, pulse);
        if (regular) notices?.beat();
      },
    });
  }

  private openNotices(address: ServiceManagerAddress, coordinator: string, periodMs: number): ServiceNotices {
    const manager = new ServiceManager(address, (message) => this.logger?.error({ detail: message }, 'notify-failed'));
    const { nowMs } = this.place;
    return new ServiceNotices({ manager, address: coordinator, processes: undefined, beatMs: periodMs, nowMs });
  }

  private leave(drainTimeoutMs: number): void {
    this.notices?.draining(drainTimeoutMs);
    if (this.host !== undefined) this.host.leave(drainTimeoutMs);
    else this.onExit({ code: 0, message: 'it was asked to leave before it had started' });
  }

  /** Nobody would restart or stop this process any more: it gives its tasks back and ends, whatever its handlers do. */
  private orphaned(): void {
    const { ownGroup } = this.setup;
    this.logger?.warn('the supervisor is gone; leaving');
    this.place.post({ t: 'orphaned' }, []);
    this.killLater(ownGroup ? ABANDONED_MS : ORPHAN_MS);
    if (ownGroup && this.host !== undefined) this.host.abandon();
    else this.leave(0);
  }

  private measure(): WorkerLoad {
    const cpu = process.cpuUsage();
    const atMs = this.place.nowMs();
    const usedMicros = cpu.user + cpu.system - this.cpu.user - this.cpu.system;
    const elapsedMs = Math.max(1, atMs - this.cpuAtMs);
    this.cpu = cpu;
    this.cpuAtMs = atMs;
    return {
      cpuMillis: Math.round(usedMicros / elapsedMs),
      rssBytes: process.memoryUsage.rss(),
      handlerLoopLagMs: this.place.takeLagMs(),
    };
  }

  private onEvent(event: SessionEvent): void {
    this.log?.write(event);
    this.pulses?.heard(event);
    if (event.name === 'draining' && event.cause === 'coordinator') this.notices?.draining(event.deadlineMs);
    if (event.name === 'welcome' && !this.saidReady) {
      this.saidReady = true;
      this.supervisor?.say({ ready: true });
    }
    this.place.post({ t: 'event', event }, []);
  }

  private onExit(exit: SessionExit): void {
    if (this.over) return;
    this.over = true;
    this.sayEnding(exit);
    if (exit.code === EXIT_RECYCLE && this.setup.killWhenStuck) {
      this.logger?.error(`${exit.message}: SIGKILL`);
      killProcess(this.setup.ownGroup);
    }
    this.killLater(EXIT_MS);
    const post = () => this.place.post({ t: 'exit', exit }, []);
    // The end of the process would cut the last words short.
    if (this.notices === undefined) post();
    else void this.notices.ended(exit.message).then(post);
  }

  /** process.exit() in a thread ends only the thread, and a blocked main thread never gets to it. */
  private killLater(waitMs: number): void {
    if (!this.setup.ownsProcess) return;
    setTimeout(() => killProcess(this.setup.ownGroup), waitMs);
  }
}
