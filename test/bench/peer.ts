import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { basename } from 'node:path';
import { fileURLToPath } from 'node:url';
import { within } from '../support/programs.js';
import type { Answer, Question } from './serve-peer.js';

/** Above what any peer takes to start, to listen or to stop, also on a busy machine. */
const ANSWER_MS = 30_000;

/** Standard output is for the tables. */
const STDERR = 2;

const running = new Set<Peer>();

/** A process of the benchmark's own, which calls `servePeer`. */
export class Peer implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #name: string;
  readonly #ended: Promise<void>;

  /** @param script Its compiled module */
  constructor(script: URL) {
    const path = fileURLToPath(script);
    this.#name = basename(path, '.js');
    this.#child = fork(path, { stdio: ['ignore', STDERR, STDERR, 'ipc'] });
    running.add(this);
    this.#ended = once(this.#child, 'exit').then(() => {
      running.delete(this);
    });
  }

  /**
   * Has it do something; one thing at a time.
   *
   * @param busyMs How long that takes by itself, on top of which it gets 30 s
   * @throws Error what it threw; that it has ended, or gave no answer in time
   */
  async ask<T>(operation: string, args: unknown = null, busyMs = 0): Promise<T> {
    const timeoutMs = ANSWER_MS + busyMs;
    const answered = once(this.#child, 'message') as Promise<[Answer]>;
    const ended = this.#ended.then(() => {
      throw new Error(`${this.#name} ended before it answered "${operation}"`);
    });
    const question: Question = { operation, args };
    this.#child.send(question);
    const what = () => `${this.#name} did not answer "${operation}" within ${timeoutMs} ms`;
    const [answer] = await within(Promise.race([answered, ended]), timeoutMs, what);
    if ('error' in answer) throw new Error(`${this.#name}: ${answer.error}`);
    return answer.result as T;
  }

  /** Ends it. Nothing of it is worth a farewell: what it writes lies in a folder that is removed. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.kill();
    await this.#ended;
  }

  kill(): void {
    this.#child.kill('SIGKILL');
  }
}

/** Ends whatever is still running, without waiting; for a signal. */
export function killPeers(): void {
  for (const peer of running) peer.kill();
}
