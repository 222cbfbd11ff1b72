import { createClient } from '../../client/index.js';

/** The client that the benchmark measures through: this file alone knows which. */
export interface RemudaClient {
  /** Submits a task and waits for its result. Rejects if it did not succeed. */
  run(type: string, payload: unknown): Promise<unknown>;
}

/** For people: what it is. */
export const THROUGH = 'client.run';

/** Connects at the first task; ends with the process. */
export function openRemudaClient(address: string): RemudaClient {
  return createClient({ address });
}
