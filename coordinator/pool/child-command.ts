import { fileURLToPath } from 'node:url';
import type { ChildCommand } from '../../worker/supervised-child.js';
import type { WorkerProcessConfig } from '../../worker/worker-process.js';
import type { PoolSetup } from './pool-messages.js';

/** The program that runs a handlers file. */
const WORKER_PROGRAM = fileURLToPath(new URL('../../worker/main.js', import.meta.url));

/**
 * Variables of `remuda-worker` that would speak for a worker of the pool. They are meant for others: the pool says it all itself.
 */
const FOREIGN_VARIABLES = [
  ...['REMUDA_WORKER_ID', 'REMUDA_SLOTS', 'REMUDA_PROCESSES', 'REMUDA_PREFETCH', 'REMUDA_LABEL', 'REMUDA_SESSION'],
  ...['REMUDA_DRAIN_TIMEOUT', 'REMUDA_LOG_LEVEL', 'REMUDA_STOP_ON_STDIN_EOF'],
];

/**
 * How a worker's process is started: `remuda-worker` with the handlers file, or the program's own script. Either has WORKER_ID and
 * WORKER_CONFIG (JSON) in its environment.
 *
 * @param nodePath the Node that runs it
 */
export function childCommand(
  workerId: string,
  { options, socketPath, env, cwd }: PoolSetup,
  nodePath: string,
): ChildCommand {
  const { program, execArgv, logLevel, heartbeatInterval, taskTimeout } = options;
  const address = `unix:${socketPath}`;
  // The last two are for scripts that want to know; the coordinator says them to the worker.
  const config: WorkerProcessConfig & Record<string, unknown> = { address, logLevel, heartbeatInterval, taskTimeout };
  const variables: Record<string, string | undefined> = { ...env };
  for (const name of FOREIGN_VARIABLES) variables[name] = undefined;
  Object.assign(variables, options.env, { WORKER_ID: workerId, WORKER_CONFIG: JSON.stringify(config) });
  const flags = [
    `--address=${address}`,
    `--worker-id=${workerId}`,
    '--slots=1',
    '--prefetch=0',
    `--log-level=${logLevel}`,
  ];
  const script = program.kind === 'handlers' ? [WORKER_PROGRAM, ...flags, program.path] : [program.path];
  return { command: nodePath, args: [...execArgv, ...script], env: variables, cwd };
}
