/**
 * A run has namespaces of its own for processes and mounts, where the system lets it: whatever ends the harness, kill -9 included,
 * the kernel then ends every process that it has started, and takes the mount away. Also without being root.
 */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { tmpdir } from 'node:os';

const INSIDE_ENV = 'REMUDA_CHAOS_INSIDE';

/** Exit statuses of a run that a signal has ended, as shells have them. */
export const EXIT_SIGINT = 130;
export const EXIT_SIGTERM = 143;

/** Where this process is. */
export type Sandbox =
  /** In namespaces of its own. */
  | { readonly t: 'inside' }
  /** The namespaces were refused, and why. */
  | { readonly t: 'refused'; readonly reason: string };

/**
 * Goes into the sandbox, or says why it cannot. Outside of it this never returns: the same program runs inside, and its exit
 * status becomes this process's. SIGINT and SIGTERM ask it to stop, a second one ends it.
 */
export async function enterSandbox(script: string, argv: readonly string[]): Promise<Sandbox> {
  if (process.env[INSIDE_ENV] === '1') return { t: 'inside' };
  const flags = unshareFlags();
  const reason = refusal(flags);
  if (reason !== null) return { t: 'refused', reason };
  // The shell is the namespace's first process: it reaps those whose parents are gone, which Node would not.
  const inside = ['sh', '-c', '"$@"; exit $?', 'sh', process.execPath, script, ...argv];
  const child = spawn('unshare', [...flags, ...inside], {
    stdio: ['pipe', 'inherit', 'inherit'],
    env: { ...process.env, [INSIDE_ENV]: '1' },
  });
  let asked: number | undefined;
  const stop = (code: number): void => {
    if (asked !== undefined) child.kill('SIGKILL');
    asked = code;
    child.stdin.end();
  };
  process.on('SIGINT', () => stop(EXIT_SIGINT)).on('SIGTERM', () => stop(EXIT_SIGTERM));
  const [code] = (await once(child, 'exit')) as [number | null];
  process.exit(asked ?? code ?? 1);
}

/** Calls back when whoever has put us here is gone, or wants us to stop. */
export function onSandboxEnd(sandbox: Sandbox, stop: () => void): void {
  if (sandbox.t === 'inside') process.stdin.on('end', stop).on('error', stop).resume();
}

function unshareFlags(): string[] {
  const isRoot = process.getuid?.() === 0;
  const user = isRoot ? [] : ['--user', '--map-root-user'];
  return [...user, '--mount', '--pid', '--fork', '--kill-child', '--mount-proc'];
}

function refusal(flags: readonly string[]): string | null {
  if (process.platform !== 'linux') return `${process.platform} has no namespaces`;
  const probe = [...flags, 'mount', '-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', tmpdir()];
  const { status, stderr, error } = spawnSync('unshare', probe, { encoding: 'utf8' });
  if (status === 0) return null;
  return `no namespaces of our own: ${error?.message ?? (stderr.trim() || `unshare ended with ${status}`)}`;
}
