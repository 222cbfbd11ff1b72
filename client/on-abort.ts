interface Watched {
  readonly runs: Set<() => void>;
  readonly listener: () => void;
}

const watched = new WeakMap<AbortSignal, Watched>();

/**
 * Runs something once when a signal is aborted, until the returned function forgets it. Thousands of calls may share a signal:
 * it gets one listener for all of them, since Node warns of a leak at eleven.
 */
export function onAbort(signal: AbortSignal, run: () => void): () => void {
  const found = watched.get(signal) ?? watch(signal);
  // An entry of its own, whatever else is registered with the same function.
  const entry = (): void => run();
  found.runs.add(entry);
  return () => {
    found.runs.delete(entry);
    if (found.runs.size > 0 || watched.get(signal) !== found) return;
    signal.removeEventListener('abort', found.listener);
    watched.delete(signal);
  };
}

function watch(signal: AbortSignal): Watched {
  const runs = new Set<() => void>();
  const listener = (): void => {
    for (const run of runs) run();
  };
  const made = { runs, listener };
  watched.set(signal, made);
  signal.addEventListener('abort', listener, { once: true });
  return made;
}
