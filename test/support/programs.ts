/** Real programs as child processes: started, listened to line by line, and surely ended. */
import { spawn, type ChildProcess } from 'node:child_process';
import { EventEmitter, once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

/** The repository's top folder, also for what runs from `dist`. */
export const ROOT = fileURLToPath(new URL('../../', import.meta.url)).replace(/dist[\\/]$/, '');

const PROGRAMS = {
  coordinator: 'dist/coordinator/main.js',
  worker: 'dist/worker/main.js',
  remuda: 'dist/client/cli/main.js',
} as const;

export interface LogLine {
  readonly text: string;
  /** The line as JSON, if it is an object. */
  readonly json: Readonly<Record<string, unknown>> | null;
}

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

const running = new Set<Program>();

/** A child process and all that it has printed. */
export class Program {
  readonly lines: LogLine[] = [];
  readonly errors: string[] = [];
  readonly exited: Promise<Exit>;
  readonly #events = new EventEmitter();
  #exit: Exit | null = null;

  constructor(
    readonly name: string,
    readonly child: ChildProcess,
  ) {
    running.add(this);
    this.#events.setMaxListeners(0);
    this.exited = once(child, 'close').then(([code, signal]) => {
      running.delete(this);
      this.#exit = { code: code as number | null, signal: signal as NodeJS.Signals | null };
      this.#events.emit('line');
      return this.#exit;
    });
    this.#read(child.stdout, (text) => this.lines.push({ text, json: parseObject(text) }));
    this.#read(child.stderr, (text) => this.errors.push(text));
  }

  get pid(): number {
    return this.child.pid ?? fail(`${this.name} has no pid`);
  }

  get stdout(): string {
    return this.lines.map(({ text }) => text).join('\n');
  }

  get stderr(): string {
    return this.errors.join('\n');
  }

  kill(signal: NodeJS.Signals): void {
    this.child.kill(signal);
  }

  /** The first line printed to stdout, so far or later, that fits. */
  async line(fits: (line: LogLine) => boolean, what: string, timeoutMs = 20_000): Promise<LogLine> {
    return this.#until(() => this.lines.find(fits), what, timeoutMs);
  }

  /** The first line printed to stderr, so far or later, that fits. */
  async complaint(fits: (text: string) => boolean, what: string, timeoutMs = 20_000): Promise<string> {
    return this.#until(() => this.errors.find(fits), what, timeoutMs);
  }

  /** As many lines as asked for that fit. */
  async linesThat(
    fits: (line: LogLine) => boolean,
    count: number,
    what: string,
    timeoutMs = 20_000,
  ): Promise<LogLine[]> {
    return this.#until(
      () => {
        const found = this.lines.filter(fits);
        return found.length >= count ? found : undefined;
      },
      what,
      timeoutMs,
    );
  }

  /** How the program ended; fails if it has not by then. */
  async exit(timeoutMs = 20_000): Promise<Exit> {
    return within(this.exited, timeoutMs, () => `${this.name} did not end within ${timeoutMs} ms\n${this.#tail()}`);
  }

  async #until<T>(find: () => T | undefined, what: string, timeoutMs: number): Promise<T> {
    const deadline = AbortSignal.timeout(timeoutMs);
    for (;;) {
      const found = find();
      if (found !== undefined) return found;
      if (this.#exit !== null) {
        throw new Error(`${this.name} ended (${JSON.stringify(this.#exit)}) before ${what}\n${this.#tail()}`);
      }
      try {
        await once(this.#events, 'line', { signal: deadline });
      } catch {
        throw new Error(`${this.name}: no ${what} within ${timeoutMs} ms\n${this.#tail()}`);
      }
    }
  }

  #read(stream: NodeJS.ReadableStream | null, take: (text: string) => void): void {
    if (stream === null) return;
    createInterface({ input: stream, crlfDelay: Infinity }).on('line', (text) => {
      take(text);
      this.#events.emit('line');
    });
  }

  #tail(): string {
    return [
      ...this.lines.slice(-15).map(({ text }) => `  out ${text}`),
      ...this.errors.slice(-15).map((text) => `  err ${text}`),
    ].join('\n');
  }
}

export interface StartOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  readonly stdin?: 'ignore' | 'pipe';
  readonly detached?: boolean;
  /** Options of Node itself. */
  readonly nodeArgs?: readonly string[];
}

/** Starts one of the package's programs as it is built. */
export function startProgram(
  name: keyof typeof PROGRAMS,
  args: readonly string[],
  options: StartOptions = {},
): Program {
  const script = `${ROOT}${PROGRAMS[name]}`;
  if (!existsSync(script)) throw new Error(`${script} is missing; run \`npm run build\` first`);
  return startNode(name, [script, ...args], options);
}

/** Starts any Node program. */
export function startNode(name: string, args: readonly string[], options: StartOptions = {}): Program {
  const child = spawn(process.execPath, [...(options.nodeArgs ?? []), ...args], {
    cwd: options.cwd ?? ROOT,
    env: { ...process.env, ...options.env },
    stdio: [options.stdin ?? 'ignore', 'pipe', 'pipe'],
    detached: options.detached ?? false,
  });
  return new Program(name, child);
}

/** A coordinator on free ports, ready. */
export async function startCoordinator(
  args: readonly string[] = [],
  options: StartOptions = {},
): Promise<{ program: Program; address: string; http: string }> {
  const given = new Set(args.filter((arg) => arg.startsWith('--')));
  const defaults = { '--listen': '127.0.0.1:0', '--http': '127.0.0.1:0', '--store': 'memory:' };
  const rest = Object.entries(defaults).flatMap(([flag, value]) => (given.has(flag) ? [] : [flag, value]));
  const program = startProgram('coordinator', [...args, ...rest], options);
  const { json } = await program.line(({ json: line }) => line?.['msg'] === 'ready', 'ready line');
  return { program, address: String(json?.['listen']), http: String(json?.['http']) };
}

/** A worker program, and its first welcome. */
export async function startWorker(
  handlers: string,
  address: string,
  args: readonly string[] = [],
  options: StartOptions = {},
): Promise<Program> {
  const program = startProgram('worker', [handlers, '--address', address, ...args], options);
  await program.line(({ json }) => json?.['msg'] === 'ready', 'ready line');
  return program;
}

/** Ends whatever a test has left running; for afterEach. */
export async function endPrograms(): Promise<void> {
  const left = [...running];
  for (const program of left) program.kill('SIGKILL');
  await Promise.all(left.map((program) => program.exited));
}

/** True while a process of this id runs; one that has ended and waits to be reaped by its parent does not. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch {
    return false;
  }
  try {
    // The state follows the name, which is in parentheses and may hold anything.
    return !/\) Z [^)]*$/.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return process.platform !== 'linux';
  }
}

export async function within<T>(promise: Promise<T>, timeoutMs: number, what: () => string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(what())), timeoutMs);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

function parseObject(text: string): Record<string, unknown> | null {
  if (!text.startsWith('{')) return null;
  try {
    return JSON.parse(text) as Record<string, unknown>;
  } catch {
    return null;
  }
}

function fail(message: string): never {
  throw new Error(message);
}
