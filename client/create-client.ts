import type { AnyTasks, Client, TaskMap } from './client.js';
import { compileClientOptions, type ClientOptions } from './client-options.js';
import { FleetClient } from './fleet-client.js';

/**
 * Makes a client of one coordinator. It connects at its first call.
 *
 * @typeParam Tasks what the task types take and give: `createClient<{ resize: { in: Picture; out: Size } }>()`. Default: any type,
 *   any payload, unknown results. The compiler alone knows it; nothing is checked at run time.
 * @throws FleetError INVALID_ARGUMENT / INVALID_OPTIONS with every option that is out of its bounds
 */
export function createClient<Tasks extends TaskMap<Tasks> = AnyTasks>(options: ClientOptions = {}): Client<Tasks> {
  return new FleetClient(compileClientOptions(options), {
    nowMs: () => performance.now(),
    nowWallMs: () => Date.now(),
    random: () => Math.random(),
  });
}
