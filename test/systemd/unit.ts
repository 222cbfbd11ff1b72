import type { Container, RunResult } from './container.js';
import { eventually } from './eventually.js';

const WAIT_MS = 30_000;

/** Properties of a unit as `systemctl show` has them. */
export type Properties = Readonly<Record<string, string>>;

/** One unit in a container. */
export class Unit {
  constructor(
    private readonly container: Container,
    readonly name: string,
  ) {}

  /** These properties of it. */
  async show(...names: readonly string[]): Promise<Properties> {
    const wanted = names.map((name) => `--property=${name}`);
    const text = await this.container.output(['systemctl', 'show', this.name, ...wanted]);
    return Object.fromEntries(
      text
        .split('\n')
        .filter((line) => line.includes('='))
        .map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]),
    );
  }

  /** Waits until it is active. */
  async start(): Promise<void> {
    await this.container.output(['systemctl', 'start', this.name]);
  }

  /** Does not wait for what comes of it. */
  async startSoon(): Promise<void> {
    await this.container.output(['systemctl', 'start', '--no-block', this.name]);
  }

  async restart(): Promise<void> {
    await this.container.output(['systemctl', 'restart', this.name]);
  }

  /** Waits until it has stopped. */
  async stop(): Promise<RunResult> {
    return this.container.run(['systemctl', 'stop', this.name]);
  }

  async kill(signal: NodeJS.Signals, who: 'main' | 'all' = 'main'): Promise<void> {
    await this.container.output(['systemctl', 'kill', `--signal=${signal}`, `--kill-who=${who}`, this.name]);
  }

  /** Waits until these properties fit. */
  async waitFor(
    names: readonly string[],
    fits: (properties: Properties) => boolean,
    what: string,
    timeoutMs = WAIT_MS,
  ): Promise<Properties> {
    const look = async (): Promise<Properties | undefined> => {
      const properties = await this.show(...names);
      return fits(properties) ? properties : undefined;
    };
    return eventually(look, `${what} of ${this.name}`, timeoutMs, async () => this.status());
  }

  async waitForState(state: string, timeoutMs?: number): Promise<Properties> {
    return this.waitFor(['ActiveState'], ({ ActiveState }) => ActiveState === state, `state "${state}"`, timeoutMs);
  }

  async mainPid(): Promise<number> {
    return Number((await this.show('MainPID'))['MainPID']);
  }

  /** The processes that its main process has started, as the container numbers them. */
  async childPids(): Promise<number[]> {
    const main = await this.mainPid();
    const { stdout } = await this.container.run(['pgrep', '--parent', String(main), '--full', 'worker/main.js']);
    return stdout
      .split('\n')
      .filter((line) => line !== '')
      .map(Number);
  }

  /** What a person sees who asks. */
  async status(): Promise<string> {
    const { stdout, stderr } = await this.container.run(['systemctl', 'status', '--no-pager', '--lines=15', this.name]);
    return stdout + stderr;
  }
}
