import { spawn, type ChildProcess } from 'node:child_process';
import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { Server, ServerCredentials, type ServerDuplexStream } from '@grpc/grpc-js';
import { afterEach, expect } from 'vitest';
import {
  CancelReason,
  ConnectResponseSchema,
  WorkerService,
  type ConnectRequest,
  type ConnectResponse,
  type Hello,
} from '../../../proto/gen/remuda/v1/worker_service_pb.js';
import type { FleetError } from '../../../proto/fleet-error.js';
import { serviceDefinition } from '../../../proto/service-definition.js';
import { LineSplitter } from '../../../worker/line-splitter.js';
import { parseChildLine, type ChildMessage } from '../../../worker/supervision.js';
import { isAlive } from '../../support/programs.js';

export { isAlive };

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
export const PROGRAM = fileURLToPath(new URL('../../../dist/worker/main.js', import.meta.url));
export const LIBRARY = new URL('../../../dist/worker/index.js', import.meta.url).href;
const WAIT_MS = 20_000;

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

/** Waits until a look gives something; `describe` says what was there instead. */
export async function eventually<T>(
  what: string,
  look: () => T | undefined | false,
  onChange: (wake: () => void) => void,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`waited ${WAIT_MS} ms for ${what}`)), WAIT_MS);
    const check = () => {
      const found = look();
      if (found === undefined || found === false) return;
      clearTimeout(timer);
      resolve(found);
    };
    onChange(check);
    check();
  });
}

/** One stream of a worker, as the scripted coordinator sees it. */
export class Session {
  readonly frames: ConnectRequest[] = [];
  private seq = 0n;
  ended = false;

  constructor(
    private readonly call: ServerDuplexStream<ConnectRequest, ConnectResponse>,
    readonly hello: Hello,
    private readonly owner: ScriptedCoordinator,
  ) {}

  say(frame: MessageInitShape<typeof ConnectResponseSchema>): void {
    const bare = Object.keys(frame).length === 0;
    if (!bare) this.seq += 1n;
    const ack = this.frames.at(-1)?.seq ?? 1n;
    this.call.write(
      create(ConnectResponseSchema, { ...frame, seq: bare ? 0n : this.seq, ack: ack === 0n ? this.lastSeq : ack }),
    );
  }

  lastSeq = 1n;

  hear(frame: ConnectRequest): void {
    if (frame.seq > this.lastSeq) this.lastSeq = frame.seq;
    this.frames.push(frame);
    if (frame.seq > 0n) this.say({});
    if (frame.leaving !== undefined) this.say({ drain: { deadlineMs: frame.leaving.drainTimeoutMs } });
    const reportAcks = frame.reports.flatMap(({ attempt }) =>
      attempt === undefined ? [] : [{ attempt, accepted: true }],
    );
    if (reportAcks.length > 0) this.say({ reportAcks });
    this.owner.changed();
  }

  assign(
    taskId: string,
    type: string,
    { payload = {}, timeoutMs = 60_000, attempt = 1 }: { payload?: unknown; timeoutMs?: number; attempt?: number } = {},
  ): void {
    const data = new Uint8Array(Buffer.from(JSON.stringify(payload)));
    const ref = { taskId, attempt, leaseId: 'f'.repeat(16) };
    this.say({
      assignments: [
        {
          attempt: ref,
          type,
          timeoutMs,
          payload: { contentType: 'application/json', body: { case: 'data', value: data } },
        },
      ],
    });
  }

  /** Several tasks with payloads of bytes, in one frame. */
  assignBytes(tasks: readonly { taskId: string; type: string; data: Uint8Array }[]): void {
    this.say({
      assignments: tasks.map(({ taskId, type, data }) => ({
        attempt: { taskId, attempt: 1, leaseId: 'f'.repeat(16) },
        type,
        timeoutMs: 60_000,
        payload: { contentType: 'application/octet-stream', body: { case: 'data', value: data } },
      })),
    });
  }

  cancel(taskId: string): void {
    this.say({
      cancels: [{ attempt: { taskId, attempt: 1, leaseId: 'f'.repeat(16) }, reason: CancelReason.REQUESTED }],
    });
  }

  end(error?: FleetError): void {
    if (error === undefined) this.call.end();
    else this.call.emit('error', error.toStatus());
  }

  report(taskId: string) {
    const reports = this.frames.flatMap((frame) => frame.reports);
    return this.owner.until(`a report of ${taskId}`, () => reportOf(this, taskId) ?? reports.find(() => false));
  }

  started(taskId: string) {
    return this.owner.until(`${taskId} to start`, () =>
      this.frames.flatMap(({ started }) => started).find((ref) => ref.taskId === taskId),
    );
  }

  heartbeat(what: string, test: (lagMs: number) => boolean) {
    return this.owner.until(what, () =>
      this.frames.map(({ heartbeat }) => heartbeat).find((beat) => beat !== undefined && test(beat.handlerLoopLagMs)),
    );
  }
}

function reportOf(session: Session, taskId: string) {
  return session.frames.flatMap(({ reports }) => reports).find(({ attempt }) => attempt?.taskId === taskId);
}

/** A coordinator that welcomes everybody, acknowledges everything, and otherwise does what the test says. */
export class ScriptedCoordinator {
  readonly sessions: Session[] = [];
  readonly server = new Server();
  port = 0;
  private readonly wakes = new Set<() => void>();
  welcome = { heartbeatIntervalMs: 200, leaseMs: 6_000, maxPayloadBytes: 1_048_576, stuckGraceMs: 500 };
  /** Refuse hellos with this. */
  refusal: FleetError | undefined;

  static async start(address = '127.0.0.1:0'): Promise<ScriptedCoordinator> {
    const coordinator = new ScriptedCoordinator();
    coordinator.server.addService(serviceDefinition(WorkerService), {
      connect: (call: ServerDuplexStream<ConnectRequest, ConnectResponse>) => coordinator.serve(call),
    });
    coordinator.port = await new Promise<number>((resolve, reject) => {
      coordinator.server.bindAsync(address, ServerCredentials.createInsecure(), (error, port) =>
        error ? reject(error) : resolve(port),
      );
    });
    cleanups.push(() => coordinator.server.forceShutdown());
    return coordinator;
  }

  get address(): string {
    return `127.0.0.1:${this.port}`;
  }

  changed(): void {
    for (const wake of [...this.wakes]) wake();
  }

  until<T>(what: string, look: () => T | undefined | false): Promise<T> {
    return eventually(what, look, (wake) => this.wakes.add(wake));
  }

  /** The nth session there has been, from 0. */
  session(index = 0): Promise<Session> {
    return this.until(`session ${index}`, () => this.sessions[index]);
  }

  private serve(call: ServerDuplexStream<ConnectRequest, ConnectResponse>): void {
    let session: Session | undefined;
    call.on('data', (frame: ConnectRequest) => {
      if (session !== undefined) {
        session.hear(frame);
        return;
      }
      if (frame.hello === undefined) throw new Error('the first frame must be hello');
      if (this.refusal !== undefined) {
        call.emit('error', this.refusal.toStatus());
        return;
      }
      session = new Session(call, frame.hello, this);
      const keep = frame.hello.running.flatMap(({ attempt }) => (attempt === undefined ? [] : [attempt]));
      session.say({ welcome: { ...this.welcome, keep, wantedReports: frame.hello.unsentReports } });
      this.sessions.push(session);
      this.changed();
    });
    const end = () => {
      if (session !== undefined) session.ended = true;
      this.changed();
    };
    call.on('end', () => {
      call.end();
      end();
    });
    call.on('error', end);
    call.on('cancelled', end);
    call.on('close', end);
  }
}

/** A process of `remuda-worker`, or of another script, whose output is watched. */
export class Program {
  readonly lines: string[] = [];
  private readonly wakes = new Set<() => void>();
  readonly process: ChildProcess;
  /** What it has told its supervisor, if it has one. */
  readonly said: ChildMessage[] = [];
  exit: { code: number | null; signal: NodeJS.Signals | null } | undefined;

  constructor(
    args: string[],
    {
      script = PROGRAM,
      env = {},
      stdin = 'ignore',
      supervised = false,
    }: { script?: string; env?: Record<string, string>; stdin?: 'ignore' | 'pipe'; supervised?: boolean } = {},
  ) {
    const supervision = { REMUDA_INCARNATION: 'a'.repeat(32), REMUDA_SUPERVISOR_FD: '3' };
    this.process = spawn(process.execPath, [script, ...args], {
      env: { ...process.env, ...env, ...(supervised ? supervision : {}) },
      stdio: supervised ? [stdin, 'pipe', 'pipe', 'pipe'] : [stdin, 'pipe', 'pipe'],
    });
    const lines = new LineSplitter((line) => {
      const message = parseChildLine(line);
      if (message !== undefined) this.said.push(message);
    });
    this.supervision?.on('data', (chunk: Buffer) => {
      lines.push(chunk);
      this.changed();
    });
    for (const stream of [this.process.stdout, this.process.stderr]) {
      let rest = '';
      stream?.on('data', (chunk: Buffer) => {
        const parts = (rest + chunk.toString()).split('\n');
        rest = parts.pop() ?? '';
        this.lines.push(...parts);
        this.changed();
      });
    }
    this.process.on('exit', (code, signal) => {
      this.exit = { code, signal };
    });
    this.process.on('close', () => this.changed());
    cleanups.push(
      () => this.process.exitCode === null && this.process.signalCode === null && this.process.kill('SIGKILL'),
    );
  }

  /** The supervisor's end of the socket. */
  get supervision(): Socket | undefined {
    const socket = this.process.stdio[3];
    return socket instanceof Socket ? socket : undefined;
  }

  private changed(): void {
    for (const wake of [...this.wakes]) wake();
  }

  until<T>(what: string, look: () => T | undefined | false): Promise<T> {
    return eventually(what, look, (wake) => this.wakes.add(wake)).catch((error: unknown) => {
      throw new Error(`${String(error)}; output:\n${this.lines.join('\n')}`);
    });
  }

  /** Log lines that are JSON, parsed. */
  logs(): Record<string, unknown>[] {
    return this.lines.flatMap((line) => {
      try {
        return [JSON.parse(line) as Record<string, unknown>];
      } catch {
        return [];
      }
    });
  }

  log(message: string | RegExp) {
    return this.until(`the log line ${String(message)}`, () =>
      this.logs().find(
        ({ msg }) => typeof msg === 'string' && (typeof message === 'string' ? msg === message : message.test(msg)),
      ),
    );
  }

  ended() {
    return this.until('the end of the process', () => this.exit);
  }
}

/** A directory with a handlers file in it, and other files beside it by name; gone after the test. */
export function handlersFile(
  body: string,
  name = 'handlers.mjs',
  others: Readonly<Record<string, string>> = {},
): string {
  const directory = realpathSync(mkdtempSync(join(tmpdir(), 'remuda-worker-')));
  cleanups.push(() => rmSync(directory, { recursive: true, force: true }));
  for (const [file, content] of Object.entries({ ...others, [name]: body })) {
    mkdirSync(dirname(join(directory, file)), { recursive: true });
    writeFileSync(join(directory, file), content);
  }
  return join(directory, name);
}

/** As {@link handlersFile}, for a script that has this package installed. */
export function scriptFile(body: string, name = 'worker.js', others: Readonly<Record<string, string>> = {}): string {
  const file = handlersFile(body, name, others);
  mkdirSync(join(dirname(file), 'node_modules'));
  symlinkSync(ROOT, join(dirname(file), 'node_modules/remuda'));
  return file;
}

/** The process has ended; looked for, since only its parent is told. */
export async function gone(pid: number): Promise<void> {
  for (let look = 0; look < 1_000 && isAlive(pid); look += 1) await new Promise((resolve) => setTimeout(resolve, 20));
  expect(isAlive(pid)).toBe(false);
}

/** Registers something to be done after the test, last first. */
export function onCleanup(cleanup: () => unknown): void {
  cleanups.push(cleanup);
}
