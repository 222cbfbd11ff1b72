import type { Readable } from 'node:stream';

/** With `1`, the program stops when its stdin ends. For programs that start it: the pipe ends with them, however they end. */
export const STOP_ON_STDIN_EOF_ENV = 'REMUDA_STOP_ON_STDIN_EOF';

/** Calls back once when the stream has ended or broken. What comes on it is thrown away. */
export function onStdinEnd(stdin: Readable, ended: () => void): void {
  let told = false;
  const tell = () => {
    if (told) return;
    told = true;
    ended();
  };
  stdin.on('end', tell).on('close', tell).on('error', tell).resume();
}
