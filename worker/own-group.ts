/**
 * Ends this process now, by SIGKILL, and with `ownGroup` everything that its handlers have started and that has not left its
 * process group. From any thread: process.exit() ends only the one that calls it.
 */
export function killProcess(ownGroup: boolean): void {
  if (ownGroup) killGroup();
  process.kill(process.pid, 'SIGKILL');
}

/**
 * The group ends with this process, however that comes to its exit. For an orphan: otherwise the supervisor sees to it, and reads
 * the exit status, which a SIGKILL has not. The listener is added last, so that those of user code have run.
 */
export function endGroupAtExit(): void {
  process.on('exit', killGroup);
}

/** A group of this number is led by this process or does not exist, so it is never somebody else's. */
function killGroup(): void {
  try {
    process.kill(-process.pid, 'SIGKILL');
  } catch {
    // The variable was handed on to a process that leads no group.
  }
}
