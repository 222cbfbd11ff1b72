/** Reads which listening sockets the starter of this process has passed to it, as systemd does: sd_listen_fds(3). */
import { UsageExit } from '../proto/program-options.js';

/** Descriptors 0 to 2 are stdin, stdout and stderr; those that are passed follow. */
const FIRST_DESCRIPTOR = 3;
/** More is a mistake: a socket unit names a few addresses. */
const MAX_SOCKETS = 64;
/** LISTEN_FDNAMES gives names to sockets of different use; ours are all of one. LISTEN_PIDFDID is LISTEN_PID once more. */
const VARIABLES = ['LISTEN_PID', 'LISTEN_PIDFDID', 'LISTEN_FDS', 'LISTEN_FDNAMES'] as const;

/**
 * Takes the sockets that are meant for this process out of its environment: the variables are removed, whatever they say, so that
 * no process started from here takes them for its own.
 *
 * @param env the environment of the process, which is changed
 * @param pid the id of the process
 * @returns Their descriptors, unchecked; none if nothing was passed, or to another process.
 * @throws {UsageExit} if the variables make no sense
 */
export function takePassedSockets(env: Record<string, string | undefined>, pid: number): readonly number[] {
  const { LISTEN_PID: listenPid = '', LISTEN_FDS: listenFds = '' } = env;
  for (const name of VARIABLES) Reflect.deleteProperty(env, name);
  if (listenPid === '' || listenFds === '') return [];
  if (!/^[1-9]\d*$/.test(listenPid)) throw malformed('LISTEN_PID', listenPid, 'it must be the id of a process');
  if (Number(listenPid) !== pid) return [];
  const count = /^\d{1,9}$/.test(listenFds) ? Number(listenFds) : NaN;
  if (!(count >= 1 && count <= MAX_SOCKETS)) {
    throw malformed('LISTEN_FDS', listenFds, `it must be how many sockets were passed, 1 to ${MAX_SOCKETS}`);
  }
  return Array.from({ length: count }, (_, index) => FIRST_DESCRIPTOR + index);
}

function malformed(variable: string, value: string, what: string): UsageExit {
  const text =
    `remuda-coordinator: cannot start\n  - ${variable} is "${value}": ${what}; ` +
    'start it from a systemd socket unit, which sets this, or without LISTEN_PID to let it listen itself';
  return new UsageExit(text, 2);
}
