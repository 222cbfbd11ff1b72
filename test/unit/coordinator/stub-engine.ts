import type { Input } from '../../../coordinator/core/inputs.js';
import type { ReplyToken } from '../../../coordinator/core/task.js';
import type { EngineReply } from '../../../coordinator/engine.js';

type Listener = (reply: EngineReply) => void;

/** An engine that only takes down what it is given; the test answers in its place. */
export class StubEngine {
  readonly inputs: Input[] = [];
  readonly refusal = null;
  readonly #listeners = new Map<ReplyToken, Listener>();

  subscribe(listener: Listener): ReplyToken {
    const token = this.#listeners.size + 1;
    this.#listeners.set(token, listener);
    return token;
  }

  append(input: Input): boolean {
    this.inputs.push(input);
    return true;
  }

  abandon(token: ReplyToken, taskIds: Iterable<string>, cancel: boolean): void {
    this.inputs.push({ kind: 'abandon', token, taskIds: [...taskIds], cancel });
  }

  ask(): null {
    return null;
  }

  forget(token: ReplyToken): void {
    this.#listeners.delete(token);
  }

  seen(): void {
    return;
  }

  wasPurged(): boolean {
    return false;
  }

  /** Takes what it has been given of one kind. */
  take<K extends Input['kind']>(kind: K): Extract<Input, { kind: K }>[] {
    const taken = this.inputs.filter((input): input is Extract<Input, { kind: K }> => input.kind === kind);
    for (const input of taken) this.inputs.splice(this.inputs.indexOf(input), 1);
    return taken;
  }

  reply(token: ReplyToken, reply: EngineReply): void {
    this.#listeners.get(token)?.(reply);
  }
}
