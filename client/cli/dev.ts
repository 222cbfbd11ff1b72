import { existsSync, statSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Command } from 'commander';
import type { CliContext } from './cli-context.js';
import { DEV_DRAIN_MS, DevFleet, type DevFleetAddresses, type DevFleetOptions } from './dev-fleet.js';
import { CliError, EXIT, usageError } from './exit-status.js';
import { integerReader } from './option-values.js';
import { DEFAULT_ADDRESS } from '../address.js';

interface DevOptions {
  readonly handlers?: string;
  readonly root: string;
  readonly data: string;
  readonly processes?: number;
  readonly slots?: number;
  readonly listen?: string;
  readonly http?: string;
}

/** From `dist/client/cli`: the compiled programs, and the package around them. */
const DIST = new URL('../../', import.meta.url);
const EXAMPLE_HANDLERS = fileURLToPath(new URL('../docs/examples/handlers.mjs', DIST));

const EXAMPLES = `
The coordinator keeps its tasks in DIR/remuda.db and finds them again at the next start; logs are DIR/coordinator.log and
DIR/worker.log, emptied at each start.

Examples:
  remuda dev
  remuda dev --handlers handlers.mjs --processes 4
  remuda dev --listen 127.0.0.1:7170 --http 127.0.0.1:7171 --data .remuda-2`;

/** Adds `remuda dev`. */
export function addDevCommand(program: Command, context: CliContext): void {
  program
    .command('dev')
    .summary('run a coordinator and workers on this machine')
    .description('Runs a durable coordinator and worker processes on this machine until Ctrl-C.')
    .option('--handlers <FILE>', 'handlers file of the workers (default: the examples: file.stats, file.checksum, ...)')
    .option('--root <DIR>', 'the only directory that the example handlers read and write', '.')
    .option('--data <DIR>', 'directory of the store and the logs', '.remuda')
    .option('--processes <N>', 'how many worker processes (default: one for each core)', integerReader(1, 1_000))
    .option('--slots <N>', 'how many tasks a process runs at once (default: 1)', integerReader(1, 1_000))
    .option('--listen <ADDRESS>', `where the coordinator listens (default: REMUDA_LISTEN or ${DEFAULT_ADDRESS})`)
    .option('--http <ADDRESS>', 'where it serves /metrics, /healthz, /readyz (default: REMUDA_HTTP or 127.0.0.1:7071)')
    .addHelpText('after', EXAMPLES)
    .action(async (options: DevOptions) => {
      context.exitCode = await runDev(fleetOptions(options, context), options.handlers === undefined, context);
    });
}

function fleetOptions(options: DevOptions, { env, terminal }: CliContext): DevFleetOptions {
  const handlers = options.handlers === undefined ? EXAMPLE_HANDLERS : resolve(options.handlers);
  if (!existsSync(handlers)) throw usageError(`there is no handlers file ${handlers}; name one with --handlers FILE`);
  const root = resolve(options.root);
  if (!statSync(root, { throwIfNoEntry: false })?.isDirectory()) {
    throw usageError(`--root is ${root}, which is no directory; name one that exists`);
  }
  return {
    coordinatorScript: programFile('coordinator/main.js'),
    workerScript: programFile('worker/main.js'),
    handlers,
    root,
    data: resolve(options.data),
    processes: options.processes ?? availableParallelism(),
    slots: options.slots,
    listen: options.listen,
    http: options.http,
    env,
    onAlarm: (name, text) => terminal.note(`${terminal.noteStyle('yellow', `${name}:`)} ${text}`),
  };
}

function programFile(path: string): string {
  const file = fileURLToPath(new URL(path, DIST));
  if (existsSync(file)) return file;
  throw new CliError(EXIT.failed, `${file} is missing; build the programs with \`npm run build\``);
}

async function runDev(options: DevFleetOptions, examples: boolean, context: CliContext): Promise<number> {
  const { terminal } = context;
  const fleet = new DevFleet(options);
  const stop = new AbortController();
  const stopped = new Promise<void>((done) => stop.signal.addEventListener('abort', () => done(), { once: true }));
  let killed = false;
  const offStop = context.onStop((signal) => {
    killed = stop.signal.aborted;
    if (killed) return fleet.kill();
    terminal.note(
      `\nstopping: running tasks have ${DEV_DRAIN_MS / 1000} s to finish; a second ${STOP_NAMES[signal]} kills`,
    );
    stop.abort();
  });
  try {
    terminal.note(terminal.noteStyle('dim', 'starting the coordinator and the workers ...'));
    const addresses = await Promise.race([fleet.start(stop.signal), stopped]);
    if (addresses !== undefined) {
      terminal.out(welcomeText(addresses, options, examples));
      await Promise.race([stopped, fleet.endedByItself]);
    }
  } catch (error) {
    // Ctrl-C cuts the start short: what that breaks is no news.
    if (!stop.signal.aborted) throw error;
  } finally {
    await fleet.stop();
    offStop();
  }
  terminal.note(killed ? 'killed' : 'stopped');
  return killed ? EXIT.interrupted : EXIT.done;
}

const STOP_NAMES = { SIGINT: 'Ctrl-C', SIGTERM: 'SIGTERM', SIGHUP: 'SIGHUP' } as const;

function welcomeText({ listen, http }: DevFleetAddresses, options: DevFleetOptions, examples: boolean): string {
  const { processes, slots = 1, data, root } = options;
  const workers = `${processes} ${processes === 1 ? 'process' : 'processes'}, ${slots} ${slots === 1 ? 'slot' : 'slots'} each`;
  const at = listen === DEFAULT_ADDRESS ? '' : ` --address ${listen}`;
  const lines = [
    '',
    'Remuda is up.',
    '',
    `  coordinator  ${listen} (gRPC)${http === null ? '' : `, http://${http}/metrics`}`,
    `  workers      ${workers}`,
    ...(examples ? [`  files        below ${root}`] : []),
    `  data, logs   ${shortPath(data)}: remuda.db, coordinator.log, worker.log`,
    '',
    'In another terminal:',
    '',
    examples
      ? `  npx remuda submit file.checksum '{"path":"package.json"}' --wait${at}`
      : `  npx remuda submit TYPE '{"your":"payload"}' --wait${at}`,
    `  npx remuda workers${at}`,
    '',
    'Ctrl-C stops it; queued tasks are kept.',
    '',
  ];
  return `${lines.join('\n')}\n`;
}

function shortPath(path: string): string {
  const short = relative('', path);
  return short === '' || short.startsWith('..') ? path : short;
}
