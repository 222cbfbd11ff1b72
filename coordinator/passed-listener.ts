import { once } from 'node:events';
import { fstatSync, readFileSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import type { ListenAddress } from './listen-address.js';

/**
 * Connections that may wait for us in the kernel, which bounds this by its own limit (net.core.somaxconn). Listening again sets it
 * anew for a socket that is passed, and Node's own 511 are few where all workers of a fleet wait while no coordinator runs.
 */
const BACKLOG = 2 ** 31 - 1;

/** A socket that was passed cannot be served on; passed again it would be no better. */
export class PassedSocketError extends Error {
  override readonly name = 'PassedSocketError';
}

/** Accepts on a socket that listens already, whose descriptor was passed to this process. One life. */
export class PassedListener {
  #closed: Promise<unknown> | undefined;

  private constructor(
    private readonly server: Server,
    readonly descriptor: number,
    /** Where it really listens. */
    readonly address: ListenAddress,
  ) {}

  /**
   * Takes the descriptor over. Call {@link serve} before the loop's next turn, in which it may accept the first connection.
   *
   * @throws {PassedSocketError} if it is no socket that takes connections
   */
  static async open(descriptor: number): Promise<PassedListener> {
    const inode = socketInode(descriptor);
    // No options: the HTTP/2 server that grpc-js binds itself has none either, and sets TCP_NODELAY on each connection.
    const server = createServer();
    try {
      await once(server.listen({ fd: descriptor }, BACKLOG), 'listening');
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code ?? String(error);
      throw unusable(descriptor, `is a socket that takes no connections (${code})`, error);
    }
    const bound = server.address();
    // Node does not say where a Unix socket listens that it has not bound.
    const path = typeof bound === 'string' ? bound : (unixPath(inode) ?? `(descriptor ${descriptor})`);
    const isTcp = typeof bound === 'object' && bound !== null;
    const address: ListenAddress = isTcp
      ? { kind: 'tcp', host: bound.address, port: bound.port }
      : { kind: 'unix', path };
    return new PassedListener(server, descriptor, address);
  }

  /** Hands over every connection, in the turn in which it is accepted: nothing has been read from it. */
  serve(take: (connection: Socket) => void): void {
    this.server.on('connection', take);
  }

  /**
   * Accepts nothing any more, from this call on. Who has passed the socket still holds it, and what arrives waits there. Idempotent.
   *
   * @returns When the connections that were accepted have ended.
   */
  close(): Promise<unknown> {
    this.#closed ??= new Promise((resolve) => this.server.close(resolve));
    return this.#closed;
  }
}

/** Node must not touch anything else: it would close, with an error, a descriptor that it may have opened itself. */
function socketInode(descriptor: number): number {
  try {
    const stats = fstatSync(descriptor);
    if (stats.isSocket()) return stats.ino;
  } catch (error) {
    throw unusable(descriptor, 'is not open', error);
  }
  throw unusable(descriptor, 'is no socket');
}

/** The path to which a Unix socket is bound; undefined where the system does not say, or in another network namespace. */
function unixPath(inode: number): string | undefined {
  let table: string;
  try {
    // Not asynchronous: open() must give nobody time to connect.
    table = readFileSync('/proc/self/net/unix', 'latin1');
  } catch {
    return undefined;
  }
  // Num RefCount Protocol Flags Type St Inode Path
  const match = new RegExp(`^(?:\\S+ +){6}${inode} (.+)$`, 'm').exec(table);
  return match?.[1] === undefined ? undefined : Buffer.from(match[1], 'latin1').toString();
}

function unusable(descriptor: number, what: string, cause?: unknown): PassedSocketError {
  return new PassedSocketError(
    `cannot listen on descriptor ${descriptor}, which was passed (LISTEN_FDS): it ${what}; ` +
      'pass TCP or Unix stream sockets that listen: in a systemd socket unit, ListenStream= with Accept=no',
    { cause },
  );
}
