import type { Logger } from 'pino';
import { isJournal } from '../proto/journal.js';
import { printFault } from '../proto/program-options.js';
import { onStdinEnd, STOP_ON_STDIN_EOF_ENV } from '../proto/stdin-guard.js';
import type { ServiceManagerAddress } from '../proto/service-manager.js';
import type { CoordinatorConfig } from './config.js';
import { Coordinator } from './coordinator.js';
import { PassedSocketError } from './passed-listener.js';
import { ServiceNotices } from './service-notices.js';

/** A stop that takes longer leaves the rest to the next start: everything acknowledged is in the store. */
const STOP_MS = 5_000;

/**
 * Runs a coordinator for as long as this process lives: signals, faults, exit statuses. Fulfilled when it has started.
 *
 * @param serviceManager Who is told how it is. Undefined: nobody.
 */
export async function runProgram(
  config: CoordinatorConfig,
  log: Logger,
  serviceManager: ServiceManagerAddress | undefined,
): Promise<void> {
  const onFault = (message: string): void => {
    log.error({ detail: message }, 'notify-failed');
  };
  const notices = serviceManager === undefined ? undefined : new ServiceNotices(serviceManager, onFault);
  const life = new ProgramLife(log, notices);
  process.on('uncaughtException', (error) => life.exitFatally(error, 70));
  process.on('unhandledRejection', (error) => life.exitFatally(error, 70));
  const stop = (cause: string): void => life.stop(cause);
  process.on('SIGTERM', stop).on('SIGINT', stop);
  // Whoever started us holds the other end and is gone when it closes, however it ended.
  if (process.env[STOP_ON_STDIN_EOF_ENV] === '1') onStdinEnd(process.stdin, () => stop('stdin closed'));
  await life.start(config);
}

class ProgramLife {
  #coordinator: Coordinator | undefined;
  #stopping = false;

  constructor(
    private readonly log: Logger,
    private readonly notices: ServiceNotices | undefined,
  ) {}

  async start(config: CoordinatorConfig): Promise<void> {
    try {
      const onFatal = (error: Error, exitCode: number): void => this.exitFatally(error, exitCode);
      this.#coordinator = new Coordinator(config, { log: this.log, onFatal });
      const { listen } = await this.#coordinator.start();
      this.notices?.serving(this.#coordinator, listen);
    } catch (error) {
      // A start that a stop has cut short has failed as it should.
      if (this.#stopping) return;
      const message = error instanceof Error ? error.message : String(error);
      printFault(`remuda-coordinator: cannot start: ${message}`, isJournal(2, process.env));
      await this.notices?.ended(`cannot start: ${message}`);
      // As wrong options: the next start would find the same.
      await this.#exit(error instanceof PassedSocketError ? 2 : 1);
    }
  }

  stop(cause: string): void {
    const { log } = this;
    if (this.#stopping) return void this.#exit(1);
    this.#stopping = true;
    log.info({ cause }, 'stopping');
    this.notices?.stopping();
    const timer = setTimeout(() => {
      log.warn({ detail: `not stopped after ${STOP_MS} ms; what is unfinished is in the store` }, 'stop-cut-short');
      void this.#exit(1);
    }, STOP_MS);
    timer.unref();
    this.#coordinator?.stop().then(
      async () => {
        clearTimeout(timer);
        log.info('stopped');
        await this.notices?.ended('stopped');
        process.exit(0);
      },
      (error: unknown) => this.exitFatally(error, 70),
    );
  }

  exitFatally(error: unknown, exitCode: number): void {
    this.log.fatal({ err: error, exit_code: exitCode }, 'fatal');
    // Not waited for: nothing must hold up this end.
    void this.notices?.ended(`ended by a fault: ${error instanceof Error ? error.message : String(error)}`);
    void this.#exit(exitCode);
  }

  /** A thread in the middle of a call to the store would turn the exit into an abort, so it is let go first. */
  async #exit(exitCode: number): Promise<void> {
    if ((await this.#coordinator?.abandon()) === false) process.kill(process.pid, 'SIGKILL');
    process.exit(exitCode);
  }
}
