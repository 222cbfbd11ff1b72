/** Sockets that listen while nobody accepts, as systemd holds them, and programs that they are passed to. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type { ListenOptions } from 'node:net';
import { Worker } from 'node:worker_threads';
import { Program, ROOT } from './programs.js';

/** The thread of a held socket. Node has no public way to ask a server for its descriptor. */
const HOLDER = `
const { createServer } = require('node:net');
const { parentPort, workerData } = require('node:worker_threads');
const server = createServer().listen(workerData, () => {
  parentPort.postMessage({ descriptor: server._handle.fd, address: server.address() });
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
});`;

const held = new Set<HeldSocket>();

/**
 * A listening socket of this process. What connects to it waits in the kernel: the thread that has made it stands still from then
 * on, so that its loop accepts nothing.
 */
export class HeldSocket {
  private constructor(
    private readonly thread: Worker,
    readonly descriptor: number,
    /** As gRPC writes it. */
    readonly address: string,
  ) {
    held.add(this);
  }

  static async listen(options: Pick<ListenOptions, 'host' | 'port' | 'path' | 'ipv6Only'>): Promise<HeldSocket> {
    const thread = new Worker(HOLDER, { eval: true, workerData: options });
    const [{ descriptor, address }] = (await once(thread, 'message')) as [
      { descriptor: number; address: string | { address: string; family: string; port: number } },
    ];
    if (typeof address === 'string') return new HeldSocket(thread, descriptor, `unix:${address}`);
    const host = address.family === 'IPv6' ? `[${address.address}]` : address.address;
    return new HeldSocket(thread, descriptor, `${host}:${address.port}`);
  }

  async close(): Promise<void> {
    held.delete(this);
    await this.thread.terminate();
  }
}

/** Closes whatever a test has left open; for afterEach. */
export async function closeHeldSockets(): Promise<void> {
  await Promise.all([...held].map((socket) => socket.close()));
}

/** A descriptor of this process; or a pipe to it. */
export type Passed = HeldSocket | number | 'pipe';

/** Starts a coordinator as systemd does: what is passed has the descriptors from 3 on. */
export function startActivated(
  passed: readonly Passed[],
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Program {
  // Only a process itself knows its id before it runs the program.
  const script = 'LISTEN_PID=${LISTEN_PID:-$$} exec "$@"';
  const node = [process.execPath, `${ROOT}dist/coordinator/main.js`];
  const descriptors = passed.map((one) => (one instanceof HeldSocket ? one.descriptor : one));
  const child = spawn('sh', ['-c', script, 'sh', ...node, ...args], {
    cwd: ROOT,
    env: { ...process.env, LISTEN_FDS: String(passed.length), ...env },
    stdio: ['ignore', 'pipe', 'pipe', ...descriptors],
  });
  return new Program('coordinator', child);
}

/** One that is ready, with the address that it says. */
export async function readyActivated(
  passed: readonly Passed[],
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<{ program: Program; address: string }> {
  const program = startActivated(passed, ['--http', 'off', ...args], env);
  const { json } = await program.line(({ json: line }) => line?.['msg'] === 'ready', 'ready line');
  return { program, address: String(json?.['listen']) };
}
