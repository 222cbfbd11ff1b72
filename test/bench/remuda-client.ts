import { TaskState } from '../../proto/gen/remuda/v1/task_pb.js';
import { json, parsed, Stubs } from '../support/stubs.js';

/** The client that the benchmark measures through: this file alone knows which. */
export interface RemudaClient {
  /** Submits a task and waits for its result. Rejects if it did not succeed. */
  run(type: string, payload: unknown): Promise<unknown>;
}

/** For people: what it is. */
export const THROUGH = 'RunTask, plain stub';

/** Connects at the first task; ends with the process. */
export function openRemudaClient(address: string): RemudaClient {
  const stubs = new Stubs(address);
  return {
    run: async (type, payload) => {
      const { task } = await stubs.run({ task: { type, payload: json(payload) } });
      if (task?.state !== TaskState.SUCCEEDED) throw new Error(`${type}: ${JSON.stringify(task?.failure)}`);
      return parsed(task.result);
    },
  };
}
