import { Server, ServerCredentials } from '@grpc/grpc-js';
import {
  cannotListen,
  clearStaleSocket,
  formatAddress,
  isLocal,
  REACHABLE_BY_OTHERS,
  type ListenAddress,
  type PassedSockets,
} from './listen-address.js';
import { PassedListener, PassedSocketError } from './passed-listener.js';
import { within } from '../proto/within.js';
import { serverOptions } from './server-options.js';
import { addReflection } from './services/health.js';

export interface GrpcServerOptions {
  readonly listen: ListenAddress | PassedSockets;
  /** Accept on a passed socket that other machines can reach. An address to bind was checked with the options of the program. */
  readonly insecure: boolean;
  /** Bytes of one payload or result, at most. */
  readonly maxPayloadBytes: number;
  /** What it serves, beside reflection. */
  readonly services: readonly { addToServer(server: Server): void }[];
}

/** What is in flight when a coordinator stops gets this long to be answered. */
const ANSWERS_MS = 1_000;
/** How long the other end may take to notice that its connection is over: one that hears nothing never does. */
const LINGER_MS = 500;

/** The gRPC side of a coordinator: binds an address, or accepts on sockets that were passed. One life. */
export class GrpcServer {
  readonly #options: GrpcServerOptions;
  #server: Server | undefined;
  #passed: readonly PassedListener[] = [];
  #accepts = true;

  constructor(options: GrpcServerOptions) {
    this.#options = options;
  }

  /**
   * Serves from now on.
   *
   * @returns Where, with real ports: one address, or that of each passed socket in their order.
   * @throws Error with what to do: the address is taken; {@link PassedSocketError}: no listening socket, or others could reach it
   */
  async listen(): Promise<readonly ListenAddress[]> {
    const { listen } = this.#options;
    if (listen.kind !== 'passed') return [await this.#bind(listen)];
    const passed = await this.#open(listen.descriptors);
    // Until the loop turns nothing is accepted: no `await` from here on.
    const addresses = passed.map(({ address }) => address);
    // The server's options depend on the kinds of the sockets, which nobody can tell before they are open.
    const injector = this.#makeServer(addresses).createConnectionInjector(ServerCredentials.createInsecure());
    for (const listener of passed) listener.serve((connection) => injector.injectConnection(connection));
    this.#passed = passed;
    if (!this.#accepts) this.stopAccepting();
    return addresses;
  }

  /**
   * Accepts nothing more on passed sockets: who connects waits in the kernel for the next coordinator. What was accepted is served
   * on. An own socket goes on accepting until {@link shutDown}, so that who connects is answered, and not refused.
   */
  stopAccepting(): void {
    this.#accepts = false;
    for (const listener of this.#passed) void listener.close();
  }

  /** Lets what is in flight be answered for at most {@link ANSWERS_MS}, then ends every connection, whatever the other ends do. */
  async shutDown(): Promise<void> {
    const server = this.#server;
    if (server === undefined) return;
    const answered = new Promise<void>((resolve) => {
      server.tryShutdown(() => resolve());
    });
    // Of connections that were handed to it the server may say that they are over when they are about to be (Node 24 with grpc-js
    // 1.14): their ends are what counts.
    const ended = Promise.all([answered, ...this.#passed.map((listener) => listener.close())]);
    const isOver = await within(ended, ANSWERS_MS);
    server.forceShutdown();
    if (!isOver) await within(ended, LINGER_MS);
  }

  async #bind(listen: ListenAddress): Promise<ListenAddress> {
    const server = this.#makeServer([listen]);
    try {
      if (listen.kind === 'unix') await clearStaleSocket(listen.path);
      const port = await new Promise<number>((resolve, reject) => {
        server.bindAsync(formatAddress(listen), ServerCredentials.createInsecure(), (error, bound) => {
          if (error === null) resolve(bound);
          else reject(error);
        });
      });
      return listen.kind === 'unix' ? listen : { ...listen, port };
    } catch (error) {
      throw cannotListen('--listen', listen, error);
    }
  }

  /** All of them, or none. */
  async #open(descriptors: readonly number[]): Promise<readonly PassedListener[]> {
    const open: PassedListener[] = [];
    try {
      for (const descriptor of descriptors) {
        const listener = await PassedListener.open(descriptor);
        open.push(listener);
        if (!this.#options.insecure && !isLocal(listener.address)) throw tooOpen(listener);
      }
      return open;
    } catch (error) {
      for (const listener of open) void listener.close();
      throw error;
    }
  }

  #makeServer(addresses: readonly ListenAddress[]): Server {
    const server = new Server(serverOptions(this.#options.maxPayloadBytes, addresses));
    for (const service of this.#options.services) service.addToServer(server);
    addReflection(server);
    this.#server = server;
    return server;
  }
}

function tooOpen({ descriptor, address }: PassedListener): PassedSocketError {
  return new PassedSocketError(
    `cannot serve on descriptor ${descriptor}, which was passed (LISTEN_FDS) and listens on ${formatAddress(address)}: ` +
      `${REACHABLE_BY_OTHERS}: let it listen on 127.0.0.1 or a Unix path (ListenStream= of a systemd socket unit) and put a ` +
      'proxy with TLS in front, or pass --insecure if you trust the whole network',
  );
}
