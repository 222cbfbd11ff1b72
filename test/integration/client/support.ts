import { createClient, FleetError, type Client, type ClientOptions } from '../../../client/index.js';
import { RawWorker } from '../coordinator/support.js';

let types = 0;

/** A client, and a worker that handles a type of its own and does what the test says. */
export async function setup(address: string, options: ClientOptions = {}) {
  types += 1;
  const type = `client-type-${types}`;
  const worker = await RawWorker.join(address, {
    hello: { workerId: `client-worker-${types}`, taskTypes: [{ type }], slots: 100 },
  });
  const client = createClient({ address, ...options });
  return {
    type,
    worker,
    client,
    [Symbol.asyncDispose]: async () => {
      worker[Symbol.dispose]();
      await client.close();
    },
  };
}

/** The FleetError of a call that is expected to fail. */
export async function refusal(call: Promise<unknown>): Promise<FleetError> {
  const error = await failure(call);
  if (error instanceof FleetError) return error;
  throw error;
}

/** What a call throws. */
export async function failure(call: Promise<unknown>): Promise<Error> {
  try {
    await call;
  } catch (error) {
    return error as Error;
  }
  throw new Error('the call was answered, not refused');
}

/** The next of a watch or a list. */
export async function next<T>(iterator: AsyncIterator<T>): Promise<T> {
  const { done, value } = await iterator.next();
  if (done === true) throw new Error('it is over');
  return value;
}

/** Resolves at an event of a client. */
export function eventOf(client: Client, name: 'connected' | 'disconnected'): Promise<unknown> {
  return new Promise((resolve) => client.on(name, resolve));
}
