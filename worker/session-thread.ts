/**
 * The session thread: the stream to the coordinator, in a thread of its own, so that user code which blocks the process's main
 * thread cannot silence the worker. Started by FleetWorker; speaks the messages of thread-messages.ts over its MessagePort.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { pino, type Logger } from 'pino';
import { grpcDialler } from './grpc-stream.js';
import { LoopWatch, LOOP_PING_MS } from './loop-watch.js';
import { EXIT_RECYCLE } from './session-effects.js';
import { SessionHost } from './session-host.js';
import { SessionLog } from './session-log.js';
import { SessionMachine, type WorkerLoad } from './session-machine.js';
import type { SessionOptions } from './session-options.js';
import { SupervisorLink } from './supervisor-link.js';
import type { SessionThreadData } from './thread-data.js';
import type { FromMain, FromThread, SessionEvent, SessionExit } from './thread-messages.js';

/** How long an orphan may take to give its tasks back before it ends itself. */
const ORPHAN_MS = 10_000;
/** How long the main thread may take to end the process once the session is over: teardown has 10 s. */
const EXIT_MS = 15_000;

const nowMs = (): number => performance.now();

class SessionThread {
  private host: SessionHost | undefined;
  private readonly watch: LoopWatch;
  private readonly supervisor: SupervisorLink | undefined;
  private readonly logger: Logger | undefined;
  private log: SessionLog | undefined;
  private cpu = process.cpuUsage();
  private cpuAtMs = nowMs();
  private saidReady = false;
  private over = false;

  constructor(
    private readonly port: NonNullable<typeof parentPort>,
    private readonly data: SessionThreadData,
  ) {
    if (data.log !== undefined) {
      // Straight to the descriptor: what goes through the main thread is lost when that is blocked and the process ends.
      this.logger = pino({ level: data.log.level }, pino.destination({ dest: 1, sync: true }));
    }
    this.watch = new LoopWatch({
      nowMs,
      ping: (number) => this.post({ t: 'ping', number }),
      onChange: (what) => this.host?.loopWatched(what),
    });
    if (data.supervisorFd !== undefined) {
      this.supervisor = new SupervisorLink(data.supervisorFd, {
        onDrain: (drainMs) => this.leave(drainMs),
        onGone: () => this.orphaned(),
      });
    }
    port.on('message', (message: FromMain) => this.hear(message));
  }

  private hear(message: FromMain): void {
    switch (message.t) {
      case 'start':
        this.start(message.options);
        break;
      case 'leave':
        this.leave(message.drainTimeoutMs);
        break;
      case 'pong':
        this.watch.pong(message.number);
        break;
      default:
        this.host?.hear(message);
    }
  }

  private start(options: SessionOptions): void {
    if (this.host !== undefined || this.over) return;
    const logger = this.logger?.child({ worker_id: options.workerId, incarnation: options.incarnation });
    this.log = logger === undefined ? undefined : new SessionLog(logger, options.address, nowMs);
    const machine = new SessionMachine(options, { random: Math.random });
    this.host = new SessionHost({
      machine,
      open: grpcDialler(options.address),
      post: (message, transfer) => this.post(message, transfer),
      measure: () => this.measure(),
      onEvent: (event) => this.onEvent(event),
      onExit: (exit) => this.onExit(exit),
      nowMs,
    });
    setInterval(() => this.watch.ask(), LOOP_PING_MS);
    this.host.start();
  }

  private leave(drainTimeoutMs: number): void {
    if (this.host !== undefined) this.host.leave(drainTimeoutMs);
    else this.onExit({ code: 0, message: 'it was asked to leave before it had started' });
  }

  /** Nobody would restart or stop this process any more: it gives its tasks back and ends, whatever its handlers do. */
  private orphaned(): void {
    this.logger?.warn('the supervisor is gone; leaving');
    this.killLater(ORPHAN_MS);
    this.leave(0);
  }

  private measure(): WorkerLoad {
    const cpu = process.cpuUsage();
    const atMs = nowMs();
    const usedMicros = cpu.user + cpu.system - this.cpu.user - this.cpu.system;
    const elapsedMs = Math.max(1, atMs - this.cpuAtMs);
    this.cpu = cpu;
    this.cpuAtMs = atMs;
    return {
      cpuMillis: Math.round(usedMicros / elapsedMs),
      rssBytes: process.memoryUsage.rss(),
      handlerLoopLagMs: this.watch.takeLagMs(),
    };
  }

  private onEvent(event: SessionEvent): void {
    this.log?.write(event);
    if (event.name === 'welcome' && !this.saidReady) {
      this.saidReady = true;
      this.supervisor?.say({ ready: true });
    }
    this.post({ t: 'event', event });
  }

  private onExit(exit: SessionExit): void {
    if (this.over) return;
    this.over = true;
    this.supervisor?.say({ ending: exit });
    if (exit.code === EXIT_RECYCLE && this.data.killWhenStuck) {
      this.logger?.error(`${exit.message}: SIGKILL`);
      process.kill(process.pid, 'SIGKILL');
    }
    this.post({ t: 'exit', exit });
    this.killLater(EXIT_MS);
  }

  /** process.exit() in a thread ends only the thread, and a blocked main thread never gets to it. */
  private killLater(waitMs: number): void {
    if (!this.data.ownsProcess) return;
    setTimeout(() => process.kill(process.pid, 'SIGKILL'), waitMs);
  }

  private post(message: FromThread, transfer: ArrayBuffer[] = []): void {
    this.port.postMessage(message, transfer);
  }
}

if (parentPort === null) throw new Error('session-thread is started by a worker, not by itself');
new SessionThread(parentPort, workerData as SessionThreadData);
