import { LoopLag } from './loop-lag.js';
import { Session, type SessionPlace } from './session.js';
import type { FromHandlers, FromSession, SessionExit } from './session-messages.js';
import type { SessionPort, SessionPortListener } from './session-port.js';
import type { SessionSetup } from './session-setup.js';

/**
 * A session on the handlers' own loop: nothing is copied and no thread is woken, and while a handler blocks the loop, the
 * session stands still with it.
 */
export class InlinePort implements SessionPort {
  private readonly session: Session;
  private readonly lag: LoopLag;

  constructor(
    setup: SessionSetup,
    private readonly listener: SessionPortListener,
    clock: Pick<SessionPlace, 'nowMs' | 'random'>,
  ) {
    this.lag = new LoopLag(clock.nowMs);
    this.session = new Session(setup, {
      ...clock,
      post: (message) => this.deliver(message),
      handlersBeside: true,
      takeLagMs: () => this.lag.takeMs(),
    });
  }

  /** Hands the message itself over. */
  post(message: FromHandlers): void {
    this.session.hear(message);
  }

  /** At once. */
  sayEnding(exit: SessionExit): void {
    this.session.sayEnding(exit);
  }

  /** What keeps it is its stream, which is not there before the session has been told to dial. */
  keepAlive(): void {
    // Nothing to do.
  }

  /**
   * In the next turn of the loop: handlers and listeners are user code, which may call back at once, throw, or block. By then
   * the frames of this turn are with the system, which sends them whatever the loop does; one of them says `started`.
   */
  private deliver(message: FromSession): void {
    if (message.t === 'exit') this.lag.close();
    setImmediate(() => this.listener.onMessage(message));
  }
}
