import { existsSync } from 'node:fs';
import { lstat, rm } from 'node:fs/promises';
import { BlockList, connect, isIP } from 'node:net';
import { dirname, resolve } from 'node:path';

/** Where a server listens. */
export type ListenAddress =
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number }
  | { readonly kind: 'unix'; readonly path: string };

/** Sockets that listen already, passed to this process by whoever started it. */
export interface PassedSockets {
  readonly kind: 'passed';
  /** Their descriptors, at least one. */
  readonly descriptors: readonly number[];
  /** Where we were told to listen as well, which is not done; null: nowhere. */
  readonly unused: ListenAddress | null;
}

/** What is wrong with an address that is not {@link isLocal}. */
export const REACHABLE_BY_OTHERS =
  'other machines can reach that, and without TLS, which does not exist yet, anybody there can run tasks and read results';

/** The longest path of a socket. The kernel cuts longer ones, silently, at 107; some room for what a caller adds. */
export const MAX_SOCKET_PATH_BYTES = 100;

const loopback = new BlockList();
loopback.addSubnet('127.0.0.0', 8, 'ipv4');
loopback.addAddress('::1', 'ipv6');

/** Reads HOST:PORT, [IPV6]:PORT or unix:PATH; a string says why it is none. */
export function parseListenAddress(text: string): ListenAddress | string {
  if (text.startsWith('unix:')) return parseUnix(text.slice('unix:'.length));
  const match = /^(?:\[(?<v6>[^\]]+)\]|(?<host>[A-Za-z0-9._-]+)):(?<port>\d{1,5})$/.exec(text);
  const host = match?.groups?.v6 ?? match?.groups?.host;
  const port = Number(match?.groups?.port);
  const fits = host !== undefined && port <= 65_535 && (match?.groups?.v6 === undefined || isIP(host) === 6);
  return fits ? { kind: 'tcp', host, port } : 'it must be HOST:PORT, [IPV6]:PORT or unix:PATH; port 0 takes a free one';
}

function parseUnix(path: string): ListenAddress | string {
  if (path === '') return 'it names no path; write unix:/run/remuda.sock, for instance';
  const bytes = Buffer.byteLength(resolve(path));
  if (bytes > MAX_SOCKET_PATH_BYTES) {
    return `the path has ${bytes} bytes; sockets take at most ${MAX_SOCKET_PATH_BYTES}: choose a shorter directory`;
  }
  return { kind: 'unix', path: resolve(path) };
}

/** True if only this machine can reach it. A name other than localhost can mean anything. */
export function isLocal(address: ListenAddress): boolean {
  if (address.kind === 'unix' || address.host === 'localhost') return true;
  const family = isIP(address.host);
  return family !== 0 && loopback.check(address.host, family === 6 ? 'ipv6' : 'ipv4');
}

/** As people and gRPC write it. */
export function formatAddress(address: ListenAddress): string {
  if (address.kind === 'unix') return `unix:${address.path}`;
  const { host, port } = address;
  return isIP(host) === 6 ? `[${host}]:${port}` : `${host}:${port}`;
}

/**
 * Removes a socket file that nobody listens on: what a process leaves behind that was killed.
 *
 * @throws Error if somebody listens there, or something else than a socket is in the way
 */
export async function clearStaleSocket(path: string): Promise<void> {
  const found = await lstat(path).catch(() => undefined);
  if (found === undefined) return;
  if (!found.isSocket()) throw new Error(`${path} exists and is no socket; choose another path, or move it away`);
  if (await isListenedOn(path)) throw new Error(`another process listens on ${path}; stop it, or choose another path`);
  await rm(path, { force: true });
}

/** False only if it is certain that nobody does: a full backlog, or a lack of descriptors here, proves nothing. */
export function isListenedOn(path: string): Promise<boolean> {
  return new Promise((done) => {
    const socket = connect({ path });
    socket.once('connect', () => {
      socket.destroy();
      done(true);
    });
    socket.once('error', (error: NodeJS.ErrnoException) => {
      done(error.code !== 'ECONNREFUSED' && error.code !== 'ENOENT');
    });
  });
}

/** What a person can do, by what the system says. */
const LISTEN_ADVICE = [
  ['EADDRINUSE', 'another process listens there; stop it, or choose another address'],
  ['EACCES', 'this user may not; choose a port above 1023, or a directory that it may write to'],
  ['EADDRNOTAVAIL', 'no network interface of this machine has this address; use 127.0.0.1, or one that it has'],
  ['ENOTFOUND', 'no such host name is known; use an IP address'],
  ['Name resolution failed', 'no such host name is known; use an IP address'],
] as const;

/** The error to show when a server cannot listen where `flag` says: with what to do. */
export function cannotListen(flag: string, address: ListenAddress, cause: unknown): Error {
  const text = cause instanceof Error ? cause.message : String(cause);
  const [, advice] = LISTEN_ADVICE.find(([sign]) => text.includes(sign)) ?? [];
  const missing = address.kind === 'unix' && !existsSync(dirname(address.path));
  const why = missing ? `the directory ${dirname(address.path)} does not exist; make it` : (advice ?? text);
  return new Error(`cannot listen on ${formatAddress(address)} (${flag}): ${why}`, { cause });
}
